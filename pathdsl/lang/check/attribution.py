"""Checks of attributions: one node or edge, by a method that scores it, of a metric with a slope.

Source: docs/scores.md, attribution(UNIT, by: METHOD).
"""

from __future__ import annotations

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.check.nodes import holds_marks
from pathdsl.lang.check.scope import Faults, Scope, fault, listed, source_text
from pathdsl.lang.serving import fields_of, named_option, treated_by
from pathdsl.lang.signatures.attribution import (
    ATTRIBUTIONS,
    RULES,
    TO_REFERENCE,
    AttributionRecord,
)
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.signatures.treated import kind_of
from pathdsl.lang.subjects import meant
from pathdsl.lang.walk import walk

__all__ = ["check_attribution"]

_OF_ONE = "an attribution is of one node, one mark or one edge"


def check_attribution(scope: Scope, score: ast.Score, metric: ast.MetricDecl | None) -> Faults:
    """Everything about one attribution that the model's graph does not say."""
    record = ATTRIBUTIONS.get(named_option(score.options, "by") or "")
    if record is None or not score.subjects:
        return  # told with the arguments
    yield from _unread(score, record)
    written = {o.keyword: o for o in score.options}
    subject = score.subjects[0]
    unit = meant(scope.program, subject)
    slot = written.get("slot")
    if isinstance(unit, ast.Chain | ast.Edges):
        yield from _edge(subject, unit)
        if slot is not None:
            yield fault(
                "PD129",
                "`slot:` names an input of a node, and an edge says on its arrow where it leads",
                slot.span,
                "not for an edge",
                help=f"`attribution(a5.h5 -[{named_option(score.options, 'slot')}]-> a8.h6, …)`",
            )
        if not record.edges:
            yield _other(subject, record, "an edge", "edges")
    elif isinstance(unit, ast.NodeRef):
        yield from _node(scope, subject, unit)
        marked = holds_marks(scope, unit)
        if marked and slot is not None:
            yield fault(
                "PD129",
                "`slot:` names an input of a head, and a mark is the stream itself",
                slot.span,
                "not for a mark",
                help="leave it out",
            )
        if marked and not record.marks:
            yield _other(subject, record, "a mark", "marks")
        elif not marked and not record.nodes:
            yield _other(subject, record, "a node", "nodes")
    else:
        yield fault(
            "PD408", _OF_ONE, subject.span, "a path set", help=f"`effect({_text(scope, subject)})`"
        )
    if metric is not None and record.effect:
        yield from _slope(metric, record, score)
    if record.treated_runs:
        yield from _treated_runs(scope, score, record)


def _text(scope: Scope, node: ast.Node) -> str:
    return source_text(scope.program, node)


def _unread(score: ast.Score, record: AttributionRecord) -> Faults:
    """Options of an integral, given to a method that has none or has other rules; a metric or a
    treated value, given to one that compares no runs."""
    for option in score.options:
        if option.keyword in ("metric", "treated") and not record.effect:
            yield fault(
                "PD129",
                f"`by: {record.name}` reads the reference run alone, and does not read "
                f"`{option.keyword}:`",
                option.span,
                "says nothing here",
                help="leave it out, or `by: eap` for what treating the edge does to a metric",
            )
        if option.keyword not in ("steps", "rule"):
            continue
        if not record.steps:
            integrals = (f"by: {one.name}" for one in ATTRIBUTIONS.values() if one.steps)
            yield fault(
                "PD129",
                f"`by: {record.name}` has no integral, and does not read `{option.keyword}:`",
                option.span,
                f"belongs to {listed(integrals)}",
                help="leave it out",
            )
        elif option.keyword == "rule" and _given(option) in {*RULES} - {*record.rules}:
            yield fault(
                "PD129",
                f"`by: {record.name}` has no rule `{_given(option)}`",
                option.span,
                f"wanted {listed(record.rules)}",
            )


def _given(option: ast.Argument) -> str:
    return option.value.name if isinstance(option.value, ast.Name) else ""


def _edge(subject: ast.Node, unit: ast.Chain | ast.Edges) -> Faults:
    """A fault unless one arrow stands between two nodes, into one input."""
    chains = (unit,) if isinstance(unit, ast.Chain) else unit.chains
    steps = [step for chain in chains for step in chain.steps]
    hop = steps[0] if len(steps) == 1 else None
    ends: list[ast.Node] = [] if hop is None else [chains[0].first]
    if isinstance(hop, ast.Hop):
        ends.append(hop.target)
    if not isinstance(hop, ast.Hop) or not all(isinstance(end, ast.NodeRef) for end in ends):
        yield fault(
            "PD408",
            _OF_ONE,
            subject.span,
            "several arrows" if len(steps) > 1 else "no edge between two nodes",
            help="`sum(e in edges(P): attribution(e, …))` is over the edges of a path set",
        )
        return
    slots = [slot for label in hop.arrow.labels for slot in label.slots]
    if hop.arrow.reach:
        yield fault(
            "PD408", _OF_ONE, hop.arrow.span, "any way from here to there", help="write `->`"
        )
    if len(slots) > 1:
        yield fault(
            "PD408",
            _OF_ONE,
            hop.arrow.span,
            f"{len(slots)} edges",
            help=f"name one input, `-[{slots[0]}]->`",
        )
    for label in hop.arrow.labels:
        if label.relation is not None:
            yield fault(
                "PD408",
                f"the score of an edge does not tell `{label.relation.kind}` from other distances",
                label.span,
                "a part of an edge",
                help=f"leave it out, `-[{label.slots[0]}]->`, or measure it: "
                "`mean(LD(treat(…))) - mean(LD(reference))`",
            )


def _node(scope: Scope, subject: ast.Node, unit: ast.Node) -> Faults:
    """A fault for what is written as several nodes or as no node that writes."""
    if isinstance(unit, ast.Word) and unit.word == "logits":
        yield fault("PD408", _OF_ONE, subject.span, "`logits` write nothing that is patched")
    elif isinstance(unit, ast.Word) and unit.word != "input":
        yield fault(
            "PD408",
            _OF_ONE,
            subject.span,
            "several nodes",
            help=f"`let a for h in {unit.word} = attribution(h, …)`, or the sum of them, "
            f"`sum(h in {unit.word}: attribution(h, …))`",
        )


def _other(subject: ast.Node, record: AttributionRecord, what: str, kind: str) -> Diagnostic:
    scores = [f"by: {one.name}" for one in ATTRIBUTIONS.values() if getattr(one, kind)]
    own = [one for one in ("nodes", "marks", "edges") if getattr(record, one)]
    return fault(
        "PD408",
        f"`by: {record.name}` scores {' and '.join(own)}, and this is {what}",
        subject.span,
        what,
        help=f"{listed(scores)}",
    )


def _treated_runs(scope: Scope, score: ast.Score, record: AttributionRecord) -> Faults:
    """A fault where a method reads runs on treated prompts, and there are none."""
    value = treated_by(score)
    if value is None and scope.task is not None:
        field = fields_of(scope.program, scope.task).get("treated")
        value = field.value if field is not None else None
    kind = kind_of(value) if value is not None else None
    if value is not None and kind is not None and kind.constant:
        yield fault(
            "PD408",
            f"`by: {record.name}` takes slopes on treated prompts, and "
            f"`{_text(scope, value)}` is given component by component",
            score.span,
            "there is no such prompt",
            labels=[(value.span, "the treated value")],
            help="`by: eap` or `by: exact`, or another prompt as the treated value",
        )


def _at_reference(score: ast.Score, record: AttributionRecord) -> bool:
    """Whether every slope is taken at the reference run."""
    if not record.steps:
        return record.at_reference
    options = resolve_options(score)
    rule = options["rule"] or record.rules[0]
    return (options["steps"] or record.steps) == 1 and rule == TO_REFERENCE


def _slope(metric: ast.MetricDecl, record: AttributionRecord, score: ast.Score) -> Faults:
    """A fault where a method follows the slope of a metric that has none."""
    if record.exact:
        return
    at = next((o for o in score.options if o.keyword == "metric"), score)
    for call in walk(metric.expression):
        measure = MEASURES.get(call.name) if isinstance(call, ast.Call) else None
        if measure is None:
            continue
        if measure.exact:
            yield fault(
                "PD408",
                f"`by: {record.name}` follows the slope of a metric, and `{measure.name}` has none",
                at.span,
                "the metric jumps from one whole number to the next",
                labels=[(metric.name.span, "the metric")],
                help="attribute a metric of logits or probabilities, or `by: exact`",
            )
        elif measure.reads not in ("answer", "reference"):
            yield fault(
                "PD408",
                f"`by: {record.name}` follows slopes from the logits, and `{measure.name}` is "
                "measured at a component",
                at.span,
                "not at the logits",
                labels=[(metric.name.span, "the metric")],
                help="attribute a metric of logits or probabilities, or `by: exact`",
            )
        elif measure.reads == "reference" and _at_reference(score, record):
            yield fault(
                "PD408",
                f"the slope of `{measure.name}` is 0 at the reference run, and with it every score "
                f"`by: {record.name}`"
                + (f" of one step, `rule: {TO_REFERENCE}`" * bool(record.steps)),
                at.span,
                "a divergence is least there",
                labels=[(metric.name.span, "the metric")],
                help="more `steps:`, or `rule: left`, whose one point is the treated run"
                if record.steps
                else "`by: eap_ig`, which follows it away from there, or another metric",
            )
