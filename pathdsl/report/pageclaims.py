"""One claim as a drawn report shows it: texts and places, ready for any template.

Made from the JSON object of a claim and of nothing else; numbers are written as in the text report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pathdsl.report.numbers import Pair, apart, many, pair, shown

__all__ = ["ClaimView", "MemberRow", "PromptRow", "Strip", "claim_view", "strips"]

Object = Mapping[str, Any]
TONES = {"inconclusive": "open"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One row of the forest plot in percent of its width; None where there is nothing to draw.

    `wanted` is the stretch of values that satisfy the claim; `low` and `high` are the axis's ends.
    """

    estimate: float | None
    interval: Pair | None
    wanted: Pair
    bounds: tuple[float, ...]
    zero: float | None
    low: str
    high: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A candidate of a score that takes the worst."""

    name: str
    estimate: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """A prompt that speaks against a claim; `tokens` is empty where they are not known."""

    task: str
    row_id: str
    value: str
    tokens: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """The prompt as text; tokens that carry their own blanks are joined as they are."""
        spaced = any(token.startswith(" ") for token in self.tokens)
        return ("" if spaced else " ").join(self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """A claim in texts. `tone` is good, open or bad; `expectation` is empty where all is usual."""

    key: str
    name: str
    verdict: str
    tone: str
    expectation: str
    text: str
    estimate: str
    interval: str
    wanted: str
    n: int
    scope: str
    p_value: str
    statement: str
    latex: str
    units: tuple[str, ...]
    terms: tuple[tuple[str, str], ...]
    members: tuple[MemberRow, ...]
    members_title: str
    notes: tuple[str, ...]
    worst: tuple[PromptRow, ...]
    strip: Strip | None


def claim_view(
    claim: Object, key: str, file: Object, strip: Strip | None, rounding: float
) -> ClaimView:
    """The texts of one claim; `key` names it in links, `rounding` is that of the file."""
    noise = rounding / 100
    ends = _pair(claim["interval"])
    places = None
    if claim["estimate"] is not None and claim["threshold"] is not None:
        places = apart(claim["estimate"], ends, _bounds(claim), rounding)
    declared = _declared(claim["name"], file)
    members = _by_distance(claim["members"], claim["estimate"])
    within = f" within {claim['within']:g}" if claim["within"] is not None else ""
    threshold = "undefined" if claim["threshold"] is None else f"{claim['threshold']:g}"
    verdict, good = claim["verdict"], claim["as_expected"]
    return ClaimView(
        key=key,
        name=claim["name"],
        verdict=verdict,
        tone=TONES.get(verdict, "good" if good else "bad"),
        expectation=_expectation(claim),
        text=claim["text"],
        estimate=shown(claim["estimate"], ends, noise, places),
        interval=pair(ends, claim["estimate"] or 0.0, noise, places),
        wanted=f"{claim['relation']} {threshold}{within}",
        n=claim["n"],
        scope=_scope(claim),
        p_value=f"{claim['p_value']:.2g}" if claim["p_value"] is not None else "",
        statement=declared.get("text", ""),
        latex=declared.get("latex", ""),
        units=_units(claim["name"], declared, file),
        terms=tuple((t["text"], shown(t["value"], None, noise)) for t in claim["terms"]),
        members=tuple(
            MemberRow(
                name=m["decided_by"] or m["name"],
                estimate=shown(m["estimate"], _pair(m["interval"]), noise),
                interval=pair(_pair(m["interval"]), m["estimate"] or 0.0, noise),
            )
            for m in members
        ),
        members_title=f"worst of {many(len(members), 'candidate')}" if members else "",
        notes=tuple(_notes(claim, noise)),
        worst=tuple(_worst(claim, file, noise)),
        strip=strip,
    )


def _expectation(claim: Object) -> str:
    if not claim["as_expected"]:
        wanted = "" if claim["expected"] == "supported" else f" ({claim['expected']})"
        return f"NOT as expected{wanted}"
    return "" if claim["verdict"] == "supported" else "as expected"


def _scope(claim: Object) -> str:
    parts = [f"n = {claim['n']:,}"] if claim["n"] else []
    if claim["confidence"] is None:
        parts.append("no confidence asked: the estimate decides")
    else:
        parts.append(f"{claim['confidence'] * 100:g}% confidence")
        if claim["level"] is not None and abs(claim["level"] - claim["confidence"]) > 1e-12:
            parts.append(f"{claim['level'] * 100:.4g}% after correction")
    if claim["p_value"] is not None:
        parts.append(f"p = {claim['p_value']:.2g}")
    return ", ".join(parts)


def _notes(claim: Object, noise: float) -> Iterable[str]:
    yield from claim["notes"]
    other = claim["other_norm"]
    if other is not None and other["verdict"] != claim["verdict"]:
        ends = _pair(other["interval"])
        numbers = shown(other["estimate"], ends, noise)
        told = f"{numbers} {pair(ends, other['estimate'] or 0.0, noise)}".strip()
        yield f"layernorm {other['layernorm']}: {other['verdict']}, {told}"
    if claim["settle_n"] is not None:
        yield f"about {claim['settle_n']:,} prompts would settle it"


def _worst(claim: Object, file: Object, noise: float) -> Iterable[PromptRow]:
    known = {(p["task"], p["index"]): tuple(p["tokens"]) for p in file.get("prompts", ())}
    for row in claim["worst"]:
        yield PromptRow(
            task=row["task"],
            row_id=row["row_id"],
            value=shown(row["value"], None, noise),
            tokens=known.get((row["task"], row["index"]), ()),
        )


def _declared(name: str, file: Object) -> Object:
    """The declaration of a claim, or of the family that it is a member of."""
    stem = name.partition("[")[0]
    for formula in file.get("formulas", ()):
        if formula["kind"] == "claim" and formula["name"] == stem:
            found: Object = formula
            return found
    return {}


def _units(name: str, declared: Object, file: Object) -> tuple[str, ...]:
    """The drawn units that a claim concerns; of a member of a loop over units, that one."""
    member = name.partition("[")[2].removesuffix("]")
    drawing = file.get("drawing") or {}
    if any(node["name"] == member for node in drawing.get("nodes", ())):
        return (member,)
    return tuple(declared.get("units", ()))


def _by_distance(members: Sequence[Object], estimate: float | None) -> list[Object]:
    """Those that decide first."""

    def distance(member: Object) -> float:
        if member["estimate"] is None or estimate is None:
            return float("inf")
        return abs(float(member["estimate"]) - estimate)

    return sorted(members, key=distance)


def _pair(ends: Sequence[float] | None) -> Pair | None:
    return None if ends is None else (ends[0], ends[1])


def _bounds(claim: Object) -> tuple[float, ...]:
    threshold, within = claim["threshold"], claim["within"] or 0.0
    if threshold is None:
        return ()
    if claim["within"] is None:
        return (threshold,)
    return (threshold - within, threshold + within)


def strips(claims: Sequence[Object]) -> list[Strip | None]:
    """The forest plot, a row for each claim.

    Claims differ in what they measure, so each has an axis of its own, with 0 on it; members of one
    family share theirs. None where neither a number nor a threshold is finite.
    """
    reach: dict[str, list[float]] = {}
    for claim in claims:
        values = reach.setdefault(claim["name"].partition("[")[0], [0.0])
        values += [v for v in (claim["estimate"], *_bounds(claim)) if v is not None]
        values += claim["interval"] or ()
    return [_strip(claim, reach[claim["name"].partition("[")[0]]) for claim in claims]


def _strip(claim: Object, values: Sequence[float]) -> Strip | None:
    low, high = min(values), max(values)
    bounds = _bounds(claim)
    if low == high or not bounds:
        return None
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    edge = place(bounds[0])
    match claim["relation"]:
        case ">" | ">=":
            wanted = (edge, 100.0)
        case "<" | "<=":
            wanted = (0.0, edge)
        case _:
            wanted = (edge, place(bounds[-1]))
    ends = claim["interval"]
    return Strip(
        estimate=place(claim["estimate"]) if claim["estimate"] is not None else None,
        interval=(place(ends[0]), place(ends[1])) if ends is not None else None,
        wanted=wanted,
        bounds=tuple(place(bound) for bound in bounds),
        zero=place(0.0),
        low=f"{low:.3g}",
        high=f"{high:.3g}",
    )
