"""What a report says of one claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from pathdsl.report.content.rows import (
    Measured,
    Object,
    WorstOf,
    measured,
    member_rows,
    split_name,
    spread_of,
)
from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.numbers import apart, nothing_to_treat, p_text, shown, wanted_text

__all__ = [
    "ClaimContent", "PartRow", "PromptRow", "bounds", "claim_content", "counted", "declaration",
]  # fmt: skip

VERDICTS = ("supported", "refuted", "inconclusive", "undefined")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow(Measured):
    """A claim on the prompts with one value of a label; `remark` where it does not hold there."""

    value: str
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
class ClaimContent(WorstOf):
    """A claim in texts. `tone` is good, open or bad; `expectation` is empty where all is usual.

    `confidence` is `95%`, or "" where none was asked. `spread` says how the claim is distributed
    over prompts, `spreads` the same of each of its averages; `parts` are its values by the label
    that `parts_title` names. `other_norm` is the verdict in the other norm mode where it is another
    one, `settle` how many prompts would settle it.
    """

    name: str
    verdict: str
    expected: str
    as_expected: bool
    tone: str
    expectation: str
    text: str
    wanted: str
    confidence: str
    n: int
    scope: str
    p_value: str
    statement: str
    latex: str
    mathml: str
    terms: tuple[tuple[str, str], ...]
    parts: tuple[PartRow, ...]
    parts_title: str
    spread: str
    spreads: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    other_norm: str
    settle: str
    worst: tuple[PromptRow, ...]

    @property
    def declared(self) -> str:
        """The name that the file declares, without the member."""
        return split_name(self.name)[0]

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, the other norm mode and how many prompts would settle it."""
        return tuple(text for text in (*self.notes, self.other_norm, self.settle) if text)


def claim_content(claim: Object, file: Object, rounding: float) -> ClaimContent:
    """The texts of one claim of a file, whose rounding is `rounding`."""
    noise = rounding / 100
    places = None
    if claim["estimate"] is not None and claim["threshold"] is not None:
        places = apart(claim["estimate"], claim["interval"], bounds(claim), rounding)
    declared = declaration(claim["name"], file)
    parts, terms = claim.get("parts", ()), claim["terms"]
    settle_n, p_value = claim["settle_n"], claim["p_value"]
    return ClaimContent(
        name=claim["name"],
        verdict=claim["verdict"],
        expected=claim["expected"],
        as_expected=claim["as_expected"],
        tone=_tone(claim),
        expectation=_expectation(claim),
        text=claim["text"],
        **measured(claim, noise, places),
        wanted=wanted_text(claim["relation"], claim["threshold"], claim["within"]),
        confidence=f"{claim['confidence'] * 100:g}%" if claim["confidence"] is not None else "",
        n=claim["n"],
        scope=_scope(claim),
        p_value=p_text(p_value).removeprefix("p ").removeprefix("= ")
        if p_value is not None
        else "",
        statement=declared.get("text", ""),
        latex=declared.get("latex", ""),
        mathml=plain_mathml(declared.get("mathml", "")),
        terms=tuple((term["text"], shown(term["value"], None, noise)) for term in terms),
        members=member_rows(claim, noise),
        parts=tuple(_part(part, noise) for part in parts),
        parts_title=f"by {parts[0]['field']}" if parts else "",
        spread=spread_of(claim.get("prompts"), noise),
        spreads=tuple(
            (term["text"], text)
            for term in terms
            if len(terms) > 1 and (text := spread_of(term.get("prompts"), noise))
        ),
        notes=tuple(claim["notes"]),
        other_norm=_other_norm(claim, noise),
        settle=f"about {settle_n:,} prompts would settle it" if settle_n is not None else "",
        worst=tuple(_worst(claim, file, noise)),
    )


def bounds(claim: Object) -> tuple[float, ...]:
    """Where the values that satisfy a claim end: one, or two of `~= … within …`."""
    threshold, within = claim["threshold"], claim["within"]
    if threshold is None:
        return ()
    return (threshold,) if within is None else (threshold - within, threshold + within)


def declaration(name: str, file: Object) -> Object:
    """The declaration of a claim, or of the family that it is a member of; {} where none is."""
    stem, _ = split_name(name)
    for formula in file.get("formulas", ()):
        if formula["kind"] == "claim" and formula["name"] == stem:
            declared: Object = formula
            return declared
    return {}


def counted(claims: Iterable[tuple[str, bool]]) -> list[tuple[str, str]]:
    """`3 supported`, `1 refuted as expected` and so on, each with its tone.

    `claims` are verdicts, each with whether it was expected.
    """
    counts, texts = Counter(claims), []
    for verdict, good in product(VERDICTS, (True, False)):
        if counts[verdict, good]:
            usual = good and verdict == "supported"
            remark = "" if usual else " as expected" if good else " NOT as expected"
            tone = "good" if good else "open" if verdict == "inconclusive" else "bad"
            texts.append((tone, f"{counts[verdict, good]} {verdict}{remark}"))
    return texts


def _tone(claim: Object) -> str:
    if claim["verdict"] == "inconclusive":
        return "open"
    return "good" if claim["as_expected"] else "bad"


def _expectation(claim: Object) -> str:
    if not claim["as_expected"]:
        other = "" if claim["expected"] == "supported" else f" ({claim['expected']})"
        return f"NOT as expected{other}"
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


def _other_norm(claim: Object, noise: float) -> str:
    other = claim["other_norm"]
    if other is None or other["verdict"] == claim["verdict"]:
        return ""
    numbers = Measured(**measured(other, noise)).numbers
    return f"layernorm {other['layernorm']}: {other['verdict']}, {numbers}"


def _worst(claim: Object, file: Object, noise: float) -> Iterable[PromptRow]:
    tokens = {(p["task"], p["index"]): tuple(p["tokens"]) for p in file.get("prompts", ())}
    for row in claim["worst"]:
        yield PromptRow(
            task=row["task"],
            row_id=row["row_id"],
            value=shown(row["value"], None, noise),
            tokens=tokens.get((row["task"], row["index"]), ()),
        )


def _part(part: Object, noise: float) -> PartRow:
    return PartRow(
        value=str(part["value"]),
        **measured(part, noise),
        n=f"{part['n']:,}",
        remark="does not satisfy it" if part["satisfied"] is False else "",
    )
