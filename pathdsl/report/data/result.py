"""The outcome of `check` as one JSON object: a public contract, see `schema/check.schema.json`.

Numbers keep their full precision and are never NaN; what is undefined is null. Nothing in the
object tells the time or names a place on the machine, so the same check gives the same bytes, but
for `cost` and `store`, which say what was computed and what was known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from math import isfinite
from typing import TYPE_CHECKING, Any

from pathdsl.errors import Diagnostic, ExitCode, Severity, Span
from pathdsl.lang.rules import name_of
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.visible import escaped, visible
from pathdsl.report.data.details import details, drawn

if TYPE_CHECKING:  # `lint` prints JSON too, and must start fast
    from pathdsl.checking.outcome import FileOutcome
    from pathdsl.plan.taskdata import TaskData
    from pathdsl.score.results import (
        ClaimResult,
        MemberResult,
        OtherNorm,
        PartResult,
        QuantityResult,
        Spread,
        TellingRow,
    )

__all__ = [
    "SCHEMA_VERSION", "check_object", "diagnostic_object", "dump", "file_object",
    "outcome_object", "schema",
]  # fmt: skip

SCHEMA_VERSION = 1
Object = dict[str, Any]


def dump(value: Object) -> str:
    """The text of an object, ending in a line break, safe to look at; refuses NaN."""
    return escaped(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def schema() -> Object:
    """The JSON schema (draft 2020-12) of `check --format json`."""
    text = (
        resources.files("pathdsl.report")
        .joinpath("data/schema/check.schema.json")
        .read_text("utf-8")
    )
    read: Object = json.loads(text)
    return read


def check_object(files: Sequence[Object], exit_code: ExitCode) -> Object:
    """What `check --format json` prints; `files` are made by `file_object`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "files": list(files),
        "exit_code": int(exit_code),
    }


def file_object(outcome: FileOutcome) -> Object:
    """One file; with the key `lock` where it was compared with its lock."""
    if outcome.judgement is None:
        return _came_out(outcome)
    return outcome_object(outcome) | drawn(outcome)


def outcome_object(outcome: FileOutcome) -> Object:
    """The same without formulas, drawing and lock, which take time and which no text shows."""
    return _came_out(outcome) | details(outcome)


def _came_out(outcome: FileOutcome) -> Object:
    program, judgement, sources = outcome.program, outcome.judgement, outcome.sources
    return {
        "path": outcome.path,
        "circuit": program.circuit.name.name if program and program.circuit else None,
        "methodology": dict(outcome.methodology),
        "replaced": dict(outcome.replaced),
        "diagnostics": [diagnostic_object(d, sources) for d in outcome.diagnostics],
        "quantities": [_quantity(q) for q in judgement.quantities] if judgement else [],
        "claims": [_claim(c, outcome.tasks) for c in judgement.claims] if judgement else [],
        "other_norms": dict(judgement.other_norms) if judgement else {},
        "proofs": [
            {
                "task": task,
                "code": proof.code,
                "name": proof.name,
                "error": _number(proof.error),
                "tolerance": proof.tolerance,
                "holds": proof.holds,
                "compared": proof.compared,
            }
            for task, proof in outcome.proofs
        ],
        "cost": _cost(outcome),
        "store": _store(outcome),
        "exit_code": int(outcome.exit_code),
    }


def diagnostic_object(fault: Diagnostic, sources: Mapping[str, SourceFile]) -> Object:
    """One diagnostic; lines and columns count from 1, null where the text is not at hand."""
    return {
        "code": fault.code,
        "name": name_of(fault.code),
        "severity": "error" if fault.severity is Severity.ERROR else "warning",
        "message": visible(fault.message),
        "span": _span(fault.span, sources),
        "label": visible(fault.label),
        "labels": [{"span": _span(s, sources), "text": visible(text)} for s, text in fault.labels],
        "notes": [visible(note) for note in fault.notes],
        "help": visible(fault.help),
    }


def _span(span: Span | None, sources: Mapping[str, SourceFile]) -> Object | None:
    if span is None:
        return None
    place: Object = {"path": span.path, "line": None, "column": None}
    place |= {"end_line": None, "end_column": None}
    source = sources.get(span.path)
    if source is not None:
        place["line"], place["column"] = source.line_col(span.start)
        place["end_line"], place["end_column"] = source.line_col(span.end)
    return place


def _quantity(quantity: QuantityResult) -> Object:
    return {
        "name": quantity.name,
        "unit": quantity.unit,
        "estimate": _number(quantity.estimate),
        "interval": _interval(quantity.interval),
        "n": quantity.n,
        "unchanged": quantity.unchanged,
        "confidence": quantity.confidence,
        "members": [_member(m) for m in quantity.members],
        "notes": list(quantity.notes),
        "prompts": _spread(quantity.prompts),
    }


def _spread(spread: Spread | None) -> Object | None:
    if spread is None:
        return None
    return {
        "n": spread.n,
        "least": spread.least,
        "quartiles": list(spread.quartiles),
        "most": spread.most,
        "negative": spread.negative,
        "satisfied": spread.satisfied,
    }


def _prompt(row: TellingRow, tasks: Mapping[str, TaskData]) -> Object:
    """A prompt that speaks against a claim; its tokens are [] where the rows are not at hand."""
    task = tasks.get(row.task)
    at_hand = task is not None and row.index < len(task.tokens)
    return {
        "task": row.task,
        "index": row.index,
        "row_id": row.row_id,
        "value": _number(row.value),
        "tokens": list(task.tokens[row.index]) if task is not None and at_hand else [],
    }


def _claim(claim: ClaimResult, tasks: Mapping[str, TaskData]) -> Object:
    return {
        "name": claim.name,
        "verdict": claim.verdict.value,
        "expected": claim.expected.value,
        "as_expected": claim.as_expected,
        "estimate": _number(claim.estimate),
        "interval": _interval(claim.interval),
        "relation": claim.relation,
        "threshold": _number(claim.threshold),
        "within": _number(claim.within),
        "confidence": claim.confidence,
        "level": claim.level,
        "n": claim.n,
        "unchanged": claim.unchanged,
        "p_value": _number(claim.p_value),
        "terms": [
            {"text": t.text, "value": _number(t.value), "prompts": _spread(t.prompts)}
            for t in claim.terms
        ],
        "members": [_member(m) for m in claim.members],
        "prompts": _spread(claim.prompts),
        "parts": [_part(part) for part in claim.parts],
        "worst": [_prompt(row, tasks) for row in claim.worst],
        "notes": list(claim.notes),
        "settle_n": claim.settle_n,
        "text": claim.text,
        "other_norm": _other_norm(claim.other_norm),
    }


def _part(part: PartResult) -> Object:
    return {
        "field": part.field,
        "value": part.value,
        "n": part.n,
        "estimate": _number(part.estimate),
        "interval": _interval(part.interval),
        "satisfied": part.satisfied,
    }


def _other_norm(other: OtherNorm | None) -> Object | None:
    if other is None:
        return None
    return {
        "layernorm": other.layernorm,
        "verdict": other.verdict.value,
        "estimate": _number(other.estimate),
        "interval": _interval(other.interval),
    }


def _member(member: MemberResult) -> Object:
    return {
        "name": member.name,
        "decided_by": member.decided_by,
        "estimate": _number(member.estimate),
        "interval": _interval(member.interval),
    }


def _cost(outcome: FileOutcome) -> Object | None:
    if not outcome.costs:
        return None
    runs = sum(cost.forwards for cost in outcome.costs)
    return {
        "runs": sum(len(plan.outputs) for plan in (*outcome.plans, *outcome.other_plans)),
        "plain_runs": sum(cost.plain_runs for cost in outcome.costs),
        "copies": sum(sum(cost.copies_by_layer) for cost in outcome.costs),
        "forwards": _number(runs + outcome.self_checks),
        "self_checks": _number(outcome.self_checks),
    }


def _store(outcome: FileOutcome) -> Object | None:
    tally = outcome.tally
    if tally is None:
        return None
    return {
        "computed": tally.computed,
        "stored": tally.stored,
        "beside_others": tally.beside_others,
    }


def _number(value: float | None) -> float | None:
    """The number, or null where there is none."""
    return float(value) if value is not None and isfinite(value) else None


def _interval(pair: tuple[float, float] | None) -> list[float] | None:
    if pair is None or not all(isfinite(end) for end in pair):
        return None
    return [float(end) for end in pair]
