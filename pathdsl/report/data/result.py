"""The outcome of `check` as one JSON object: a public contract, see `schema/check.schema.json`.

Numbers keep their full precision and are never NaN; what is undefined is null. Nothing in the
object tells the time or names a place on the machine, so the same check gives the same bytes, but
for `cost` and `store`, which say what was computed and what was known. `result_sha256` is the hash
of what came out (`hashed.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import resources
from math import isfinite
from typing import TYPE_CHECKING, Any

from pathdsl.errors import Diagnostic, ExitCode, Severity, Span
from pathdsl.lang.rules import name_of
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.visible import escaped, visible
from pathdsl.report.data.controls import control_objects
from pathdsl.report.data.details import details, drawn
from pathdsl.report.data.families import families_of, forms_of
from pathdsl.report.data.hashed import result_hash

if TYPE_CHECKING:  # `lint` prints JSON too, and must start fast
    from pathdsl.checking.outcome import FileOutcome
    from pathdsl.engine.proof import Proof
    from pathdsl.plan.taskdata import TaskData
    from pathdsl.score.results import ClaimResult, MemberResult, QuantityResult, Spread, TellingRow

__all__ = [
    "AT",
    "SCHEMA_VERSION",
    "check_object",
    "diagnostic_object",
    "dump",
    "fields_of",
    "file_object",
    "outcome_object",
    "place_object",
    "proof_object",
    "schema",
]  # fmt: skip

SCHEMA_VERSION = 1
AT = "kind layer head neuron position slot to"
"""What is said of where a member stands."""
Object = dict[str, Any]


def dump(value: Object) -> str:
    """The text of an object, ending in a line break, safe to look at; refuses NaN."""
    return escaped(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def schema(verb: str = "check") -> Object:
    """The JSON schema (draft 2020-12) of `check --format json`, or of `diff`."""
    path = resources.files("pathdsl.report") / f"data/schema/{verb}.schema.json"
    read: Object = json.loads(path.read_text("utf-8"))
    return read


def check_object(files: Sequence[Object], exit_code: ExitCode) -> Object:
    """What `check --format json` prints; `files` are made by `file_object`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "files": list(files),
        "families": families_of(files),
        "exit_code": int(exit_code),
    }


def file_object(outcome: FileOutcome) -> Object:
    """One file with its hash; with the key `lock` where it was compared with its lock."""
    file = _came_out(outcome)
    if outcome.judgement is not None:
        file |= details(outcome) | drawn(outcome)
    return file | {"result_sha256": result_hash(file)}


def outcome_object(outcome: FileOutcome) -> Object:
    """The same without formulas, drawing and lock, which take time and which no text shows."""
    return _came_out(outcome) | details(outcome)


def _came_out(outcome: FileOutcome) -> Object:
    program, judgement, sources = outcome.program, outcome.judgement, outcome.sources
    tally = outcome.tally
    return {
        "path": outcome.path,
        "circuit": program.circuit.name.name if program and program.circuit else None,
        "methodology": dict(outcome.methodology),
        "replaced": dict(outcome.replaced),
        "diagnostics": [diagnostic_object(d, sources) for d in outcome.diagnostics],
        "quantities": [_quantity(q) for q in judgement.quantities] if judgement else [],
        "claims": _claims(outcome),
        "other_norms": dict(judgement.other_norms) if judgement else {},
        "proofs": [{"task": task, **proof_object(proof)} for task, proof in outcome.proofs],
        "cost": _cost(outcome),
        "store": tally and fields_of(tally, "computed stored beside_others"),
        "exit_code": int(outcome.exit_code),
    } | _curves(outcome)


def _curves(outcome: FileOutcome) -> Object:
    """The curves behind areas; no key where there is none."""
    curves = outcome.judgement.curves if outcome.judgement is not None else ()
    made = [
        fields_of(curve, "of rank confidence")
        | {
            "names": list(curve.names),
            "points": [
                fields_of(p, "share edges estimate interval distance distance_interval")
                for p in curve.points
            ],
        }
        for curve in curves
    ]
    return {"curves": made} if made else {}


def diagnostic_object(fault: Diagnostic, sources: Mapping[str, SourceFile]) -> Object:
    """One diagnostic; lines and columns count from 1, null where the text is not at hand."""
    return {
        "code": fault.code,
        "name": name_of(fault.code),
        "severity": "error" if fault.severity is Severity.ERROR else "warning",
        "message": visible(fault.message),
        "span": place_object(fault.span, sources),
        "label": visible(fault.label),
        "labels": [
            {"span": place_object(s, sources), "text": visible(text)} for s, text in fault.labels
        ],
        "notes": [visible(note) for note in fault.notes],
        "help": visible(fault.help),
    }


def place_object(span: Span | None, sources: Mapping[str, SourceFile]) -> Object | None:
    """Where something stands, as of a diagnostic; null for nowhere."""
    if span is None:
        return None
    source = sources.get(span.path)
    ends: Sequence[int | None] = (None,) * 4
    if source is not None:
        ends = (*source.line_col(span.start), *source.line_col(span.end))
    keys = ("line", "column", "end_line", "end_column")
    return {"path": span.path, **dict(zip(keys, ends, strict=True))}


def proof_object(proof: Proof) -> Object:
    """One self-check."""
    return fields_of(proof, "code name error tolerance holds compared")


def _quantity(quantity: QuantityResult) -> Object:
    return {
        **fields_of(quantity, "name unit estimate interval n rows unchanged confidence claimed"),
        **_at(quantity),
        **_indices(quantity),
        "members": [_member(member) for member in quantity.members],
        "notes": list(quantity.notes),
        "prompts": _spread(quantity.prompts),
    }


def _claims(outcome: FileOutcome) -> list[Object]:
    """The claims; with the places of their path sets where a model was at hand."""
    claims = outcome.judgement.claims if outcome.judgement is not None else ()
    forms = forms_of(outcome)
    objects = [_claim(c, outcome.tasks) | {"about": forms.get(c.name)} for c in claims]
    for one, found in zip(objects, control_objects(outcome), strict=True):
        one |= found
    if outcome.claimed is not None:
        for one, places in zip(objects, outcome.claimed.by_claim, strict=True):
            one["path_sets"] = list(places)
    return objects


def _claim(claim: ClaimResult, tasks: Mapping[str, TaskData]) -> Object:
    other = claim.other_norm
    return {
        **fields_of(
            claim, "name verdict expected as_expected estimate interval relation threshold"
        ),
        **fields_of(claim, "within confidence level n rows unchanged p_value"),
        **_at(claim),
        **_indices(claim),
        "terms": [
            fields_of(t, "text value") | {"prompts": _spread(t.prompts)} for t in claim.terms
        ],
        "from_terms": claim.from_terms,
        "members": [_member(member) for member in claim.members],
        "prompts": _spread(claim.prompts),
        "parts": [fields_of(p, "field value n estimate interval satisfied") for p in claim.parts],
        "instead": [fields_of(one, "paths of estimate satisfied") for one in claim.instead],
        "worst": [_prompt(row, tasks) for row in claim.worst],
        "notes": list(claim.notes),
        **fields_of(claim, "settle_n text"),
        "other_norm": other and fields_of(other, "layernorm verdict estimate interval"),
    }


def _at(result: QuantityResult | ClaimResult) -> Object:
    """Where a member of a loop stands; no key for what has no `for`."""
    return (
        {"at": fields_of(result.at, AT) if result.at is not None else None} if result.member else {}
    )


def _indices(result: QuantityResult | ClaimResult) -> Object:
    """What each variable of its loop stands for, and the function over members that it is.

    No key for what has no `for`, or is no such function.
    """
    indices = {"indices": dict(result.indices)} if result.indices else {}
    return indices | ({"over_members": result.over} if result.over else {})


def _member(member: MemberResult) -> Object:
    return fields_of(member, "name decided_by estimate interval")


def _spread(spread: Spread | None) -> Object | None:
    names = "n least quartiles most negative satisfied"
    return fields_of(spread, names) if spread is not None else None


def _prompt(row: TellingRow, tasks: Mapping[str, TaskData]) -> Object:
    """A prompt that speaks against a claim; its tokens are [] where the rows are not at hand."""
    tokens = tasks[row.task].tokens if row.task in tasks else ()
    at_hand = tokens[row.index] if row.index < len(tokens) else ()
    return {**fields_of(row, "task index row_id value"), "tokens": list(at_hand)}


def _cost(outcome: FileOutcome) -> Object | None:
    attributed = outcome.session.attributed if outcome.session is not None else []
    if not outcome.costs and not attributed:
        return None
    runs = sum(cost.forwards for cost in outcome.costs) + sum(attributed)
    return {
        "runs": sum(len(plan.outputs) for plan in (*outcome.plans, *outcome.other_plans)),
        "plain_runs": sum(cost.plain_runs for cost in outcome.costs),
        "copies": sum(sum(cost.copies_by_layer) for cost in outcome.costs),
        "forwards": _plain(runs + outcome.self_checks),
        "self_checks": _plain(outcome.self_checks),
        **({"attributions": len(attributed)} if attributed else {}),
    }


def fields_of(record: object, names: str) -> Object:
    """The fields of a record by their names, each as JSON has it."""
    return {name: _plain(getattr(record, name)) for name in names.split()}


def _plain(value: Any) -> Any:
    """A value as JSON has it: null for a number that is not finite and an interval that ends so."""
    match value:
        case StrEnum():
            return value.value
        case float():
            return float(value) if isfinite(value) else None
        case tuple():
            return [float(end) for end in value] if all(map(isfinite, value)) else None
        case _:
            return value
