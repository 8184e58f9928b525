"""Checks of a `where`: labels that are there, comparisons with a meaning, metrics of plain runs.

Source: docs/language.md, Parts of a task.
"""

from __future__ import annotations

from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_column
from pathdsl.lang.check.scope import Faults, Scope, fault, listed, source_text, unknown
from pathdsl.lang.check.scores import needs_treated
from pathdsl.lang.serving import serving
from pathdsl.lang.signatures.comparisons import COMPARISONS
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.walk import walk

__all__ = ["check_where"]

_TOP1 = "`metric ok = top1(answer)`, and then `where ok(reference) == 1`"


def check_where(scope: Scope, task: ast.TaskDecl, base: ast.TaskDecl) -> Faults:
    """Every condition of a task that is a part of `base`."""
    for condition in task.where:
        if isinstance(condition.left, ast.Call):
            yield from _of_run(scope, condition, condition.left, base)
        else:
            yield from check_column(scope, condition.left, "label")
            yield from _order(condition)


def _order(condition: ast.Condition) -> Faults:
    """PD305 where a text or a truth value is to be smaller or larger."""
    comparison = COMPARISONS.get(condition.relation)
    value = condition.value
    if comparison is None or not comparison.ordered or isinstance(value, ast.Number):
        return
    what = "texts have" if isinstance(value, ast.String) else "`true` and `false` have"
    yield fault(
        "PD305",
        f"{what} no order",
        value.span,
        f"`{condition.relation}` compares numbers",
        help="compare with `==` or `!=`, or write a number",
    )


def _of_run(scope: Scope, condition: ast.Condition, call: ast.Call, base: ast.TaskDecl) -> Faults:
    """PD306 for what is no metric with the values 0 and 1 of a plain run of the whole task."""
    program = scope.program
    (run,) = (argument.value for argument in call.arguments)
    if not isinstance(run, ast.PlainRun) or run.under is not None:
        yield fault(
            "PD306",
            "rows are chosen by a plain run, `reference` or `treated`",
            run.span,
            "what a claim could be about",
            help=f"`{call.name}(reference)`",
        )
        return
    metric = program.metrics.get(call.name)
    if metric is None:
        name = ast.Name(name=call.name, span=call.name_span)
        help = _TOP1 if call.name in MEASURES or not program.metrics else ""
        yield from unknown(scope, name, ("metric",), help=help)
        return
    served = serving(program, metric)
    if base.name.name not in served:
        yield fault(
            "PD304",
            f"`{call.name}` does not serve the task `{base.name.name}`, whose rows are chosen",
            call.span,
            "read on all rows of that task",
            labels=[(metric.name.span, "the metric")],
            help=f"it serves {listed(served)}" if served else "",
        )
    yield from needs_treated(scope, run, base)
    measured = [n for n in walk(metric.expression) if isinstance(n, ast.Call)]
    reals = [n for n in measured if n.name in MEASURES and MEASURES[n.name].values != "hits"]
    if reals or not any(n.name in MEASURES for n in measured):
        read = f"reads `{source_text(program, reals[0])}`" if reals else "reads nothing"
        yield fault(
            "PD306",
            f"`{call.name}` {read}: a metric that chooses rows is 1 or 0 on each of them",
            call.span,
            "no yes or no",
            labels=[(metric.name.span, "the metric")],
            help=_TOP1,
        )
    value = condition.value
    comparison = COMPARISONS.get(condition.relation)
    asked = isinstance(value, ast.Number) and value.value in (0.0, 1.0)
    if comparison is not None and (comparison.ordered or not asked):
        yield fault(
            "PD306",
            f"`{call.name}({run.which})` is 1 or 0, and is compared by `==` or `!=` with one of "
            "them",
            condition.span,
            help=f"`{call.name}({run.which}) == 1`",
        )
