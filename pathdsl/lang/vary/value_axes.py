"""Axes of what is measured: the metric, and the direction from which an effect is measured."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pathdsl.lang import ast
from pathdsl.lang.loops import variables_of
from pathdsl.lang.program import Program
from pathdsl.lang.serving import (
    averages_ratios,
    choose_metric,
    choose_task,
    form_of,
    metrics_read,
    named_option,
    reads_whole,
)
from pathdsl.lang.signatures.measures import MEASURES, columns_in
from pathdsl.lang.spelling import position_text
from pathdsl.lang.units import unit_of
from pathdsl.lang.vary.axis import below, meant_below, scores_of
from pathdsl.lang.vary.edits import Edit, reached, replaced, text_of
from pathdsl.lang.vary.method_axis import estimates_in
from pathdsl.lang.walk import strip, walk
from pathdsl.record import record

__all__ = ["Direction", "MetricAxis"]

_DIFFERENCE = "logit_difference"
_UNITS = {_DIFFERENCE: "logits"} | {n: one.unit for n, one in MEASURES.items() if one.varied}


def _text_with(program: Program, metric: ast.MetricDecl, value: str) -> str:
    """A metric's expression of another kind from the same answer columns; "" if there is none."""
    terms = [
        (column.name, text_of(program, n.at) if n.at is not None else "")
        for n in walk(metric.expression)
        if isinstance(n, ast.Call) and n.name in MEASURES and MEASURES[n.name].reads == "answer"
        for column in columns_in(n)
    ]
    if not terms:
        return ""
    right, at = terms[0]
    other = next(((c, p) for c, p in terms if c != right), None)
    if value != _DIFFERENCE:
        return f"{value}({right}) {at}".rstrip()
    if other is None:
        return ""
    return f"{f'logit({right}) {at}'.rstrip()} - {f'logit({other[0]}) {other[1]}'.rstrip()}"


@record
class MetricAxis:
    """The metric: logit difference, probability, log probability or top-1, of the same answers."""

    name: str = "metric"
    probe: str = "prob"
    nothing: str = "nothing to change"

    def values(self, program: Program) -> tuple[str, ...]:
        """The kinds that change the metric of some claim."""
        found = []
        for value in _UNITS:
            left = self.left_out(program, value)
            if any(claim.name.name not in left for claim in program.claims):
                found.append(value)
        return tuple(found)

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """Claims without a metric, with a threshold in its unit, or of that metric already."""
        units = unit_of(program)
        found: dict[str, str] = {}
        conditions = [one.left for task in program.tasks.values() for one in task.where]
        choosing = {left.name for left in conditions if isinstance(left, ast.Call)}
        for claim in program.claims:
            names = metrics_read(program, meant_below(program, claim))
            unit = units.get(claim.name.name, "none")
            texts = {name: _text_with(program, program.metrics[name], value) for name in names}
            lacking = [name for name, text in texts.items() if not text]
            whole = any(reads_whole(program, program.metrics[name]) for name in names)
            if not names:
                found[claim.name.name] = "it reads no metric"
            elif choosing & set(names):
                found[claim.name.name] = "rows are chosen by its metric"
            elif whole and value == _DIFFERENCE:
                found[claim.name.name] = "its answers are read whole, and logits do not add up"
            elif _jumps(value) and estimates_in(program, claim):
                found[claim.name.name] = f"`{value}` has no slope for an attribution to follow"
            elif lacking:
                found[claim.name.name] = f"`{lacking[0]}` names too few answers for {value}"
            elif all(_same(program, name, text) for name, text in texts.items()):
                found[claim.name.name] = "that is its metric already"
            elif _UNITS[value] == "nats" and _needs_a_zero(program, claim):
                found[claim.name.name] = "a share of a log probability has no zero to start from"
            elif unit != "none" and not _against_zero(claim):
                found[claim.name.name] = f"its threshold is in the metric's unit, {unit}"
        return found

    def edits(self, program: Program, value: str) -> list[Edit]:
        """The metrics that claims read, and the units of lets left to be inferred."""
        edits: list[Edit] = []
        nodes = (n for c in program.claims for n in meant_below(program, c))
        for name in metrics_read(program, nodes):
            metric = program.metrics[name]
            text = _text_with(program, metric, value)
            head = f"metric {name}"
            head += f" on {metric.task.name}" if metric.task is not None else ""
            head += f" {text_of(program, metric.at)}" if metric.at is not None else ""
            unit = "" if _UNITS[value] == "none" else f": {_UNITS[value]}"
            edits.append(replaced(metric, f"{head}{unit} = {text}"))
        source = program.sources[program.path].text
        for let in reached(program, program.claims).values():
            if let.unit is not None:
                colon = source.rindex(":", let.span.start, let.unit.span.start)
                edits.append(Edit(start=colon, end=let.unit.span.end, text=""))
        return edits


def _jumps(value: str) -> bool:
    """Whether a metric of that kind is a count, which has no slope."""
    return value in MEASURES and MEASURES[value].exact


def _same(program: Program, name: str, text: str) -> bool:
    own = text_of(program, program.metrics[name].expression)
    return re.sub(r"[\s()]", "", own) == re.sub(r"[\s()]", "", text)


def _needs_a_zero(program: Program, claim: ast.ClaimDecl) -> bool:
    """Whether a claim divides by a value of the metric and not by a difference of two."""
    for node in below(program, claim):
        if isinstance(node, ast.Binary) and node.op == "/":
            if not any(isinstance(n, ast.Binary) and n.op == "-" for n in walk(node.right)):
                return True
        elif isinstance(node, ast.Score):
            if form_of(node).divides_by == "value":
                return True
    return False


def _against_zero(claim: ast.ClaimDecl) -> bool:
    """Whether only the sign is claimed, which has no unit."""
    sides = (strip(claim.left), strip(claim.right))
    return claim.within is None and any(isinstance(s, ast.Number) and s.value == 0 for s in sides)


@record
class Direction:
    """From which run an effect is measured: what treating destroys, or what keeping restores.

    m(reference) - m(treat(P)) is what is lost when P is treated, m(keep(P)) - m(treated) what is
    restored when P alone is kept. They are equal where P and the other paths do not interact;
    an AND of two parts is seen whole by the first, an OR by the second (Heimersheim and Nanda 2024,
    arXiv:2404.15255).
    """

    name: str = "direction"
    probe: str = "swapped"
    nothing: str = "nothing to change"

    def values(self, program: Program) -> tuple[str, ...]:
        """`swapped` where some claim is made of runs that can be measured from the other side."""
        left = self.left_out(program, "swapped")
        return ("swapped",) if any(c.name.name not in left for c in program.claims) else ()

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """Claims without such a run, or with a score that has no form from the other side."""
        found: dict[str, str] = {}
        for claim in program.claims:
            fixed = [s for s in scores_of(program, claim) if not form_of(s).other_side]
            if fixed:
                found[claim.name.name] = f"`{fixed[0].name}` has no form from the other side"
            elif not any(isinstance(n, ast.Score | ast.PathRun) for n in below(program, claim)):
                found[claim.name.name] = "it treats no path set"
        return found

    def edits(self, program: Program, value: str) -> list[Edit]:
        """Scores and metrics of path runs, each written from the other run."""
        edits: list[Edit] = []
        declared = [*program.claims, *reached(program, program.claims).values()]
        metrics = {*program.metrics, *(v for one in declared for v in variables_of(program, one))}
        for claim in program.claims:
            for node in below(program, claim):
                if isinstance(node, ast.Score):
                    edits.append(replaced(node, _score(program, node)))
                elif isinstance(node, ast.Call) and node.name in metrics:
                    run = next((a.value for a in node.arguments if not a.keyword), None)
                    if isinstance(run, ast.PathRun):
                        edits.append(replaced(node, _call(program, node, run)))
        return edits


def _options(program: Program, options: tuple[ast.Argument, ...], *names: str) -> str:
    return "".join(f", {text_of(program, o)}" for o in options if o.keyword in names)


def _call(program: Program, call: ast.Call, run: ast.PathRun) -> str:
    """m(treat(P)) as m(reference) + m(treated) - m(keep(P)), and keep(P) likewise."""
    options = _options(program, run.options, "scope", "treated")
    task = _options(program, call.arguments, "task")
    other = "keep" if run.which == "treat" else "treat"
    whole = f"treat(full{options})" if options else "treated"
    text = f"{other}({text_of(program, run.paths)}{options})"
    m = call.name
    at = f" @{position_text(call.at)}" if call.at is not None else ""
    return f"({m}(reference{task}){at} + {m}({whole}{task}){at} - {m}({text}{task}){at})"


def _score(program: Program, score: ast.Score) -> str:
    """`faithfulness(P)` as the share that treating P destroys; `effect(P)` as what it restores."""
    name = choose_metric(program, score).name
    asked = named_option(score.options, "task")
    task = _options(program, score.options, "task")
    scope = _options(program, score.options, "scope", "treated")
    paths = text_of(program, score.subjects[0])
    runs = {
        "reference": "reference",
        "every": f"treat(full{scope})" if scope else "treated",
        "treat": f"treat({paths}{scope})",
        "keep": f"keep({paths}{scope})",
    }
    measured = {key: f"{name}({run}{task})" for key, run in runs.items()}
    terms = [term.format(**measured) for term in form_of(score).other_side]
    if len(terms) == 1:
        return f"mean({terms[0]})"
    chosen = choose_task(program, program.metrics.get(name or ""), asked).name
    its_task = program.tasks.get(chosen or "")
    if averages_ratios(program, its_task):
        return "mean(" + " / ".join(f"({term})" for term in terms) + ")"
    return "(" + " / ".join(f"mean({term})" for term in terms) + ")"
