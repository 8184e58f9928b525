"""A file's result as a drawn report shows it: sections of texts, made from its JSON object alone.

page_of(json.loads(text))        # templates in `templates/` lay it out
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product
from json import dumps
from typing import Any

from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.method import shared_method
from pathdsl.report.numbers import Pair, digits, many, nothing_to_treat, pair, plain, shown
from pathdsl.report.page.claims import (
    ClaimView,
    MemberRow,
    claim_view,
    member_rows,
    spread_of,
    worst_of,
)
from pathdsl.report.page.forest import strips
from pathdsl.report.page.lock import LockView, lock_view

__all__ = ["FileView", "FindingView", "QuantityFamily", "QuantityRow", "UnitRow", "page_of"]

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityRow:
    """One quantity; `name` is the member's alone inside a family."""

    name: str
    unit: str
    estimate: str
    interval: str
    n: str
    level: str
    notes: tuple[str, ...]
    members: tuple[MemberRow, ...]
    members_title: str
    spread: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityFamily:
    """The members of one `let … for`, largest first; a single quantity is a family of one."""

    name: str
    single: bool
    statement: str
    mathml: str
    rows: tuple[QuantityRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One diagnostic."""

    code: str
    name: str
    severity: str
    message: str
    place: str
    notes: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """One drawn unit with everything that quantities and claims say of it."""

    name: str
    groups: str
    effects: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """Everything to show of one file.

    `metrics`, and quantities and claims in `stated`, are name, text, LaTeX and MathML. `keys`: by
    unit, the claims that concern it. `short_hash`: of method, quantities and claims.
    """

    path: str
    name: str
    title: str
    sources: Mapping[str, str]
    headline: str
    tone: str
    scope: tuple[str, ...]
    replaced: str
    findings: tuple[FindingView, ...]
    claims: tuple[ClaimView, ...]
    norms: str
    quantities: tuple[QuantityFamily, ...]
    metrics: tuple[tuple[str, str, str, str], ...]
    stated: tuple[tuple[str, str, str, str], ...]
    drawing: Object | None
    units: tuple[UnitRow, ...]
    method: tuple[tuple[str, str], ...]
    checks: tuple[tuple[str, str, str, str], ...]
    cost: tuple[str, ...]
    lock: LockView | None
    short_hash: str
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def page_of(result: Object) -> tuple[FileView, ...]:
    """The views of all files of what `check --format json` prints."""
    return tuple(_file(file, number) for number, file in enumerate(result["files"], 1))


def _file(file: Object, number: int) -> FileView:
    rounding = file.get("rounding") or 0.0
    rows = strips(file["claims"])
    claims = tuple(
        claim_view(claim, f"f{number}c{i}", file, strip, rounding)
        for i, (claim, strip) in enumerate(zip(file["claims"], rows, strict=True), 1)
    )
    drawing = file.get("drawing")
    return FileView(
        path=file["path"],
        name=file["circuit"] or file["path"],
        title=file.get("title", ""),
        sources=file.get("sources", {}),
        headline=_headline(file),
        tone={0: "good", 5: "open"}.get(file["exit_code"], "bad"),
        scope=tuple(_scope(file)),
        replaced=", ".join(f"{name} = {value}" for name, value in file["replaced"].items()),
        findings=tuple(_finding(found) for found in file["diagnostics"]),
        claims=claims,
        norms=_norms(file),
        quantities=tuple(_families(file, rounding / 100)),
        metrics=tuple(_formulas(file, "metric")),
        stated=tuple(_formulas(file, "let", "claim")),
        drawing=drawing,
        units=tuple(_units(drawing, file, rounding / 100)) if drawing else (),
        method=tuple(_method(file).items()),
        checks=tuple(_checks(file)),
        cost=tuple(_cost(file, rounding)),
        lock=lock_view(file),
        short_hash=sha256(dumps(_lasting(file), sort_keys=True).encode()).hexdigest()[:12],
        keys=_keys(claims),
    )


def _formulas(file: Object, *kinds: str) -> Iterable[tuple[str, str, str, str]]:
    for formula in file.get("formulas", ()):
        if formula["kind"] in kinds:
            mathml = plain_mathml(formula.get("mathml", ""))
            yield formula["name"], formula["text"], formula["latex"], mathml


def _lasting(file: Object) -> Object:
    """What came out and how, without where it was computed from and what is drawn of it."""
    kept = ("methodology", "replaced", "quantities", "claims", "other_norms")
    return {key: file[key] for key in kept}


def _keys(claims: Sequence[ClaimView]) -> dict[str, tuple[str, ...]]:
    """By unit, the keys of the claims that concern it."""
    found: dict[str, tuple[str, ...]] = {}
    for claim in claims:
        for unit in claim.units:
            found[unit] = (*found.get(unit, ()), claim.key)
    return found


def _headline(file: Object) -> str:
    """`4 claims: 3 supported, 1 refuted as expected`."""
    match file["exit_code"]:
        case 2:
            return "the file was not checked: see its faults"
        case 3:
            return "the check could not be finished"
    claims = file["claims"]
    if not claims:
        return "no claims"
    counts = Counter((c["verdict"], c["as_expected"]) for c in claims)
    told = []
    for verdict, good in product(
        ("supported", "refuted", "inconclusive", "undefined"), (True, False)
    ):
        if counts[verdict, good]:
            usual = good and verdict == "supported"
            remark = "" if usual else " as expected" if good else " NOT as expected"
            told.append(f"{counts[verdict, good]} {verdict}{remark}")
    if (file.get("lock") or {}).get("drifted"):
        told.append("drifted from its lock")
    return f"{many(len(claims), 'claim')}: {', '.join(told)}"


def _scope(file: Object) -> Iterable[str]:
    if model := file["methodology"].get("model"):
        yield f"model {model}"
    for task in file.get("tasks", ()):
        if task["read"]:
            yield f"task {task['name']}, {many(task['prompts'], 'prompt')}"


def _finding(found: Object) -> FindingView:
    span = found["span"]
    place = ""
    if span is not None:
        place = span["path"] + (f":{span['line']}:{span['column']}" if span["line"] else "")
    return FindingView(
        code=found["code"],
        name=found["name"],
        severity=found["severity"],
        message=found["message"],
        place=place,
        notes=(*(label["text"] for label in found["labels"]), *found["notes"]),
        help=found["help"],
    )


def _norms(file: Object) -> str:
    modes = file["other_norms"]
    if not modes:
        return ""
    told = ", ".join(f"{mode} in task {task}" for task, mode in modes.items())
    changed = [
        claim["name"]
        for claim in file["claims"]
        if claim["other_norm"] is not None and claim["other_norm"]["verdict"] != claim["verdict"]
    ]
    if not changed:
        return f"norms: both modes give the same verdicts (judged again with norms {told})"
    return f"norms: another verdict with norms {told}: {', '.join(changed)}"


def _families(file: Object, noise: float) -> Iterable[QuantityFamily]:
    said = {name: (text, mathml) for name, text, _, mathml in _formulas(file, "let")}
    found: dict[str, list[Object]] = {}
    for quantity in file["quantities"]:
        found.setdefault(quantity["name"].partition("[")[0], []).append(quantity)
    for name, members in found.items():
        single = len(members) == 1 and members[0]["name"] == name
        ordered = sorted(members, key=_size)
        places = None
        if not single:  # one column, so as many digits for all
            places = next(
                (digits(q["estimate"], _pair(q["interval"])) for q in ordered if q["estimate"]),
                None,
            )
        yield QuantityFamily(
            name=name,
            single=single,
            statement=said.get(name, ("", ""))[0],
            mathml=said.get(name, ("", ""))[1],
            rows=tuple(_row(q, single, noise, places) for q in ordered),
        )


def _size(quantity: Object) -> tuple[bool, float]:
    estimate = quantity["estimate"]
    return (estimate is None, 0.0 if estimate is None else -abs(estimate))


def _row(quantity: Object, single: bool, noise: float, places: int | None) -> QuantityRow:
    estimate, ends = quantity["estimate"], _pair(quantity["interval"])
    text = shown(estimate, ends, noise, places)
    if not quantity["n"] and estimate is not None:  # counted: nothing was resampled
        whole = estimate == int(estimate) and abs(estimate) < 1e15
        text = f"{int(estimate):,}" if whole else f"{estimate:.4g}"
    name = quantity["name"]
    return QuantityRow(
        name=name if single else name.partition("[")[2].removesuffix("]"),
        unit="" if quantity["unit"] == "none" else quantity["unit"],
        estimate=text,
        interval=pair(ends, estimate or 0.0, noise, places),
        n=f"{quantity['n']:,}" if quantity["n"] else "",
        level=f"{quantity['confidence'] * 100:g}%" if quantity["confidence"] and ends else "",
        notes=(
            *quantity["notes"],
            *([nothing_to_treat(count)] if (count := quantity.get("unchanged")) else []),
        ),
        members=member_rows(quantity, noise),
        members_title=worst_of(quantity["members"]),
        spread=spread_of(quantity.get("prompts"), noise) if single else "",
    )


def _units(drawing: Object, file: Object, noise: float) -> Iterable[UnitRow]:
    """Every drawn unit with the quantities and claims that have a member of its name."""
    of: dict[str, list[tuple[str, str]]] = {}
    for one in (*file["quantities"], *file["claims"]):
        name, _, member = one["name"].partition("[")
        of.setdefault(member.removesuffix("]"), []).append((name, _told(one, noise)))
    for claim in file["claims"]:
        for one in claim["members"]:
            of.setdefault(one["name"], []).append((claim["name"], _told(one, noise)))
    for node in drawing["nodes"]:
        yield UnitRow(
            name=node["name"],
            groups=", ".join(node["groups"]),
            effects=tuple(dict.fromkeys(of.get(node["name"], ()))),
        )


def _told(one: Object, noise: float) -> str:
    ends = _pair(one["interval"])
    number = shown(one["estimate"], ends, noise)
    return f"{number} {pair(ends, one['estimate'] or 0.0, noise)}".strip()


def _method(file: Object) -> dict[str, str]:
    tasks = {task["name"]: bool(task["read"]) for task in file.get("tasks", ())}
    return shared_method(file["methodology"], tasks)


def _checks(file: Object) -> Iterable[tuple[str, str, str, str]]:
    """Self-checks by kind, by their largest error; last, of how many."""
    kinds: dict[str, list[Object]] = {}
    for proof in file["proofs"]:
        kinds.setdefault(proof["name"], []).append(proof)
    for name, proofs in kinds.items():
        broken = [p for p in proofs if p["error"] is None or not p["holds"]]
        worst = broken[0] if broken else max(proofs, key=lambda p: p["error"])
        error = "undefined" if worst["error"] is None else f"{worst['error']:.1e}"
        mark = "" if len(proofs) == 1 else f"largest of {len(proofs)}"
        yield name, error, f"{worst['tolerance']:.0e}", mark


def _cost(file: Object, rounding: float) -> Iterable[str]:
    cost, store = file["cost"], file["store"]
    if cost is not None:
        times = cost["forwards"]
        about = plain(times, 1 if times < 100 else 0) if times is not None else "undefined"
        copies = many(cost["copies"], "component copy", "component copies")
        checks = cost.get("self_checks") or 0.0
        of_them = f" ({plain(checks, 1)} of them self-checks)" if checks >= 0.05 else ""
        yield f"{many(cost['runs'], 'run')}, {copies}, about {about} plain forward passes{of_them}"
    if store is not None and store["stored"]:
        total = many(store["stored"] + store["computed"], "value")
        yield f"{store['stored']:,} of {total} from the result store" + (
            f", {store['beside_others']:,} of them computed beside other runs"
            if store["beside_others"]
            else ""
        )
    if rounding:
        yield f"≈0: below {rounding / 100:.0e}, less than the rounding of this dtype"


def _pair(ends: Sequence[float] | None) -> Pair | None:
    return None if ends is None else (ends[0], ends[1])
