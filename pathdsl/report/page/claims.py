"""One claim as a drawn report shows it: texts and places, ready for any template.

Made from the JSON object of a claim and of nothing else; numbers are written as in the text report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.numbers import (
    Pair,
    apart,
    many,
    nothing_to_treat,
    p_text,
    pair,
    shown,
    spread_words,
)  # fmt: skip
from pathdsl.report.page.forest import Strip, bounds

__all__ = [
    "ClaimView", "MemberRow", "PartRow", "PromptRow", "claim_view", "member_rows", "spread_of",
    "worst_of",
]  # fmt: skip

Object = Mapping[str, Any]
TONES = {"inconclusive": "open"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A candidate of a score that takes the worst."""

    name: str
    estimate: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """A claim on the prompts with one value of a label; `remark` where it does not hold there."""

    value: str
    estimate: str
    interval: str
    n: str
    remark: str


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
    """A claim in texts. `tone` is good, open or bad; `expectation` is empty where all is usual.

    `spread` says how it is distributed over prompts, `spreads` the same of each of its averages;
    `parts` are its values by the label `parts_title`.
    """

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
    mathml: str
    units: tuple[str, ...]
    terms: tuple[tuple[str, str], ...]
    members: tuple[MemberRow, ...]
    members_title: str
    parts: tuple[PartRow, ...]
    parts_title: str
    spread: str
    spreads: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    worst: tuple[PromptRow, ...]
    strip: Strip | None


def _p_cell(value: float | None) -> str:
    """A p-value in a column of its own, `0.012` or `< 0.0001`."""
    return p_text(value).removeprefix("p ").removeprefix("= ") if value is not None else ""


def claim_view(
    claim: Object, key: str, file: Object, strip: Strip | None, rounding: float
) -> ClaimView:
    """The texts of one claim; `key` names it in links, `rounding` is that of the file."""
    noise = rounding / 100
    ends = _pair(claim["interval"])
    places = None
    if claim["estimate"] is not None and claim["threshold"] is not None:
        places = apart(claim["estimate"], ends, bounds(claim), rounding)
    declared = _declared(claim["name"], file)
    parts = claim.get("parts", ())
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
        p_value=_p_cell(claim["p_value"]),
        statement=declared.get("text", ""),
        latex=declared.get("latex", ""),
        mathml=plain_mathml(declared.get("mathml", "")),
        units=_units(claim["name"], declared, file),
        terms=tuple((t["text"], shown(t["value"], None, noise)) for t in claim["terms"]),
        members=member_rows(claim, noise),
        members_title=worst_of(claim["members"]),
        parts=tuple(_part(part, noise) for part in parts),
        parts_title=f"by {parts[0]['field']}" if parts else "",
        spread=spread_of(claim.get("prompts"), noise),
        spreads=tuple(
            (term["text"], told)
            for term in claim["terms"]
            if len(claim["terms"]) > 1 and (told := spread_of(term.get("prompts"), noise))
        ),
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
    if claim.get("unchanged"):
        parts.append(nothing_to_treat(claim["unchanged"]))
    if claim["confidence"] is None:
        parts.append("no confidence asked: the estimate decides")
    else:
        parts.append(f"{claim['confidence'] * 100:g}% confidence")
        if claim["level"] is not None and abs(claim["level"] - claim["confidence"]) > 1e-12:
            parts.append(f"{claim['level'] * 100:.4g}% after correction")
    if claim["p_value"] is not None:
        parts.append(p_text(claim["p_value"]))
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


def member_rows(one: Object, noise: float) -> tuple[MemberRow, ...]:
    """The candidates of a claim or quantity that takes the worst, those that decide it first."""
    estimate = one["estimate"]

    def distance(member: Object) -> float:
        if member["estimate"] is None or estimate is None:
            return float("inf")
        return abs(float(member["estimate"]) - estimate)

    return tuple(
        MemberRow(
            name=m["decided_by"] or m["name"],
            estimate=shown(m["estimate"], _pair(m["interval"]), noise),
            interval=pair(_pair(m["interval"]), m["estimate"] or 0.0, noise),
        )
        for m in sorted(one["members"], key=distance)
    )


def worst_of(members: Sequence[Object]) -> str:
    """`worst of 5 candidates`; "" where there is none."""
    return f"worst of {many(len(members), 'candidate')}" if members else ""


def _part(part: Object, noise: float) -> PartRow:
    ends = _pair(part["interval"])
    return PartRow(
        value=str(part["value"]),
        estimate=shown(part["estimate"], ends, noise),
        interval=pair(ends, part["estimate"] or 0.0, noise),
        n=f"{part['n']:,}",
        remark="does not satisfy it" if part["satisfied"] is False else "",
    )


def spread_of(spread: Object | None, noise: float) -> str:
    """How something is distributed over prompts, as the text report says it; "" for None."""
    if spread is None:
        return ""
    told = spread_words(spread["least"], spread["quartiles"], spread["most"], noise)
    if spread["satisfied"] is None:
        return told
    return f"{told}; {spread['satisfied']:,} of {spread['n']:,} satisfy it"


def _pair(ends: Sequence[float] | None) -> Pair | None:
    return None if ends is None else (ends[0], ends[1])
