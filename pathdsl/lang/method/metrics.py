"""Lint of the method: what is measured and how it is averaged.

Sources: Zhang and Nanda 2023, arXiv:2309.16042 (probabilities, logit differences) · Miller et al.
2024, arXiv:2407.08734 (ratios averaged prompt by prompt).
"""

from __future__ import annotations

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.loops import meant_nodes
from pathdsl.lang.program import Declaration, Program
from pathdsl.lang.reach import gathered
from pathdsl.lang.serving import averages_ratios, fields_of, metrics_read
from pathdsl.lang.signatures.kinds import UNITS
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.units import unit_of
from pathdsl.lang.walk import walk

__all__ = ["check_averages", "check_metrics"]


def check_metrics(program: Program) -> Faults:
    """Metrics that are all probabilities, and claims that are judged by the logit of one token."""
    yield from _probability(program)
    yield from _lone_logit(program)


def _probability(program: Program) -> Faults:
    metrics = program.metrics
    units = unit_of(program)
    if metrics and all(UNITS[units.get(name, "none")].bounded for name in metrics):
        first = next(iter(metrics.values()))
        yield warning(
            "PD507",
            "every metric is a probability",
            first.expression.span,
            "near 0 and 1 it hides what components do",
            help="add one in logits, for example `logit(io) - logit(s)`",
        )


def _lone_logit(program: Program) -> Faults:
    names: dict[str, None] = {}
    for claim in program.claims:
        read = gathered(program, claim, "metrics", lambda node: metrics_read(program, [node]))
        names.update(dict.fromkeys(read))
    if not names or not all(_is_lone(program.metrics[name]) for name in names):
        return
    first = next(iter(names))
    metric = program.metrics[first]
    yield warning(
        "PD514",
        f"`{first}` is the logit of one answer, beside which no other stands",
        metric.expression.span,
        "rises, too, where all logits rise",
        help="`logit(right) - logit(wrong)`, or `logprob(right)`",
    )


def _is_lone(metric: ast.MetricDecl) -> bool:
    """Whether the only thing that a metric measures is the logit of one column."""
    measured = {
        (node.name, str([argument.value for argument in node.arguments]))
        for node in walk(metric.expression)
        if isinstance(node, ast.Call) and node.name in MEASURES
    }
    return len(measured) == 1 and all(
        MEASURES[name].unit == "logits" and MEASURES[name].reads == "answer" for name, _ in measured
    )


def check_averages(program: Program) -> Faults:
    """Ratios that are averaged prompt by prompt: a field of a task, or written out."""
    for task in program.tasks.values():
        if task.base is None and averages_ratios(program, task):
            yield warning(
                "PD515",
                "each prompt's ratio counts alike, however small its denominator",
                fields_of(program, task)["average"].value.span,
                "one prompt may decide the mean",
                help="`average = ratio_of_means`, or leave it out",
            )
    declarations: list[Declaration] = [*program.lets.values(), *program.claims]
    for declaration in declarations:
        for node in meant_nodes(program, declaration):
            if isinstance(node, ast.Call) and node.name == "mean" and _has_ratio(program, node):
                yield warning(
                    "PD515",
                    "each prompt's ratio counts alike, however small its denominator",
                    node.span,
                    "one prompt may decide the mean",
                    help="divide the means, `mean(A) / mean(B)`, or take the `median`",
                )


def _has_ratio(program: Program, mean: ast.Call) -> bool:
    """Whether a metric stands below the line of a quotient inside a mean over prompts."""
    if any(isinstance(argument.value, ast.OverMembers) for argument in mean.arguments):
        return False
    return any(
        isinstance(node, ast.Binary)
        and node.op == "/"
        and any(isinstance(n, ast.Call) and n.name in program.metrics for n in walk(node.right))
        for node in walk(mean)
    )
