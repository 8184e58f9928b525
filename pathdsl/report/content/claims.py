"""What a report says of one claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product

from pathdsl.lang import ast
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.walk import walk
from pathdsl.report.content.path_sets import sets_of
from pathdsl.report.content.rows import Measured, Object, WorstOf, split_name, spread_of
from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.numbers import (
    apart,
    distinct_prompts,
    nothing_to_treat,
    p_text,
    shown,
    wanted_text,
)

__all__ = [
    "ClaimContent",
    "PartRow",
    "PromptRow",
    "bounds",
    "counted",
    "declaration",
    "written_claim",
]

MOST_LETS = 8
"""Lets behind a claim that its comparison shows; of further ones it says how many there are."""
VERDICTS = ("supported", "refuted", "inconclusive", "undefined")


class PartRow(Measured):
    """A claim on the prompts with one value of a label; `remark` where it does not hold there."""

    def __init__(self, part: Object, noise: float) -> None:
        super().__init__(part, noise)
        self.value = str(part["value"])
        self.n = f"{part['n']:,}"
        self.remark = "does not satisfy it" if part["satisfied"] is False else ""


class PromptRow:
    """A prompt that speaks against a claim; `prompts` are those whose tokens the file has."""

    def __init__(self, row: Object, prompts: Iterable[Object], noise: float) -> None:
        key = row["task"], row["index"]
        self.task: str = row["task"]
        self.row_id: str = row["row_id"]
        self.value = shown(row["value"], None, noise)
        known = {(one["task"], one["index"]): one for one in prompts}.get(key, {})
        self.tokens: Sequence[str] = known.get("tokens", ())
        self.answers: str = ", ".join(
            f"{column}: {_joined(words).strip()}"
            for column, words in known.get("answers", {}).items()
        )

    @property
    def prompt(self) -> str:
        """The prompt as text, and the answers that are read behind it."""
        return _joined(self.tokens) + (f" [{self.answers}]" if self.answers else "")


def _joined(tokens: Sequence[str]) -> str:
    """Tokens as one text; those that carry their own blanks are joined as they are."""
    return ("" if any(token.startswith(" ") for token in tokens) else " ").join(tokens)


class ClaimContent(WorstOf):
    """A claim of a file in texts. `tone` is good, open or bad; `expectation` is "" for as usual.

    `confidence` is `95%`, or "" where none was asked, and `asked` the same for one line, `at 95%`.
    `n_text` says how many prompts there were, "" for none. `path_sets` are those that it is about.
    `spread` says how the claim is distributed over prompts, `spreads` the same of each of its
    averages; `parts` are its values by the label that `parts_title` names. `other_norm` is the
    verdict in the other norm mode where it is another one, `settle` how many prompts would settle
    it. `instead` is what no path and all paths give. `comparison` is what is compared as written,
    with the lets behind it if it is `by_lets`, "" where the result does not hold it.
    """

    def __init__(self, claim: Object, file: Object, rounding: float) -> None:
        noise, places = rounding / 100, None
        if claim["estimate"] is not None and claim["threshold"] is not None:
            places = apart(claim["estimate"], claim["interval"], bounds(claim), rounding)
        super().__init__(claim, noise, places)
        self.name: str = claim["name"]
        self.verdict: str = claim["verdict"]
        self.expected: str = claim["expected"]
        self.as_expected: bool = claim["as_expected"]
        self.tone = _tone(claim)
        self.expectation = _expectation(claim)
        self.text: str = claim["text"]
        self.wanted = wanted_text(claim["relation"], claim["threshold"], claim["within"])
        asked, p_value, settle_n = claim["confidence"], claim["p_value"], claim["settle_n"]
        self.confidence = f"{asked * 100:g}%" if asked is not None else ""
        self.asked = f"at {self.confidence}" if self.confidence else "no confidence"
        self.n: int = claim["n"]
        self.n_text = _n_text(claim)
        self.scope = _scope(claim)
        p = p_text(p_value) if p_value is not None else ""
        self.p_value = p.removeprefix("p ").removeprefix("= ")
        declared, terms = declaration(claim["name"], file), claim["terms"]
        self.statement: str = declared.get("text", "")
        self.comparison, self.by_lets = _comparison(claim["name"], file)
        self.mathml = plain_mathml(declared.get("mathml", ""))
        self.path_sets = sets_of(claim, file)
        self.terms = [(term["text"], shown(term["value"], None, noise)) for term in terms]
        parts = claim.get("parts", ())
        self.parts = [PartRow(part, noise) for part in parts]
        self.parts_title = f"by {parts[0]['field']}" if parts else ""
        self.spread = spread_of(claim.get("prompts"), noise)
        spreads = [(term["text"], spread_of(term.get("prompts"), noise)) for term in terms]
        self.spreads = [one for one in spreads if len(terms) > 1 and one[1]]
        self.notes: Sequence[str] = claim["notes"]
        self.instead = _instead(claim, noise)
        self.other_norm = _other_norm(claim, noise)
        self.settle = f"about {settle_n:,} prompts would settle it" if settle_n is not None else ""
        spread = claim.get("prompts")
        none = (  # none speaks against it, and none more than another one
            spread is not None
            and spread["least"] == spread["most"]
            and spread["satisfied"] == spread["n"]
        )
        against = () if none else claim["worst"]
        self.worst = [PromptRow(row, file.get("prompts", ()), noise) for row in against]

    @property
    def declared(self) -> str:
        """The name that the file declares, without the member."""
        return split_name(self.name)[0]

    @property
    def came_out(self) -> str:
        """`supported`, `refuted as expected`, `inconclusive NOT as expected`."""
        return f"{self.verdict} {self.expectation}".rstrip()

    @property
    def about(self) -> str:
        """`main: 2 of 8 nodes, 5 of 75 edges`; "" where nothing is known of its path sets."""
        return " · ".join(row.line for row in self.path_sets)

    @property
    def remarks(self) -> list[str]:
        """What other path sets give, the notes, the other norm mode and what would settle it."""
        texts = (self.instead, *self.notes, self.other_norm, self.settle)
        return [text for text in texts if text]


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


def written_claim(name: str, file: Object) -> tuple[ast.ClaimDecl | None, str]:
    """A claim as the file declares it, and its text; None where the result does not hold it."""
    text = declaration(name, file).get("text", "")
    statements = _statements(text)
    if len(statements) == 1 and isinstance(written := statements[0], ast.ClaimDecl):
        return written, text
    return None, ""


@lru_cache(maxsize=256)
def _statements(text: str) -> Sequence[ast.Statement]:
    """The statements of a declaration's text; every member of a loop asks for the same."""
    return parse(text, "declaration")[0].statements if text else ()


def _comparison(name: str, file: Object) -> tuple[str, bool]:
    """The comparison of a claim as written with the lets behind it, and whether there are any.

    A name is the author's, and so is that of a `let`: what stands behind the names is the claim.
    """
    written, text = written_claim(name, file)
    if written is None:
        return "", False
    start, end = written.left.span.start, (written.within or written.right).span.end
    lets = {one["name"]: one["text"] for one in file["formulas"] if one["kind"] == "let"}
    behind: dict[str, str] = {}
    pending: list[ast.Node] = [written]
    while pending:
        named = (one.name for one in walk(pending.pop(0)) if isinstance(one, ast.Name))
        for let in dict.fromkeys(named):
            if let in lets and let not in behind:
                behind[let] = lets[let].removeprefix("let ")
                pending += _statements(lets[let])
    shown = [*behind.values()][:MOST_LETS]
    more = f" and {len(behind) - len(shown):,} more" if len(behind) > len(shown) else ""
    where = f" where {', '.join(shown)}{more}" if behind else ""
    return " ".join(f"{text[start:end]}{where}".split()), bool(behind)


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


def _n_text(claim: Object) -> str:
    return distinct_prompts(claim["n"], claim.get("rows", 0)) if claim["n"] else ""


def _scope(claim: Object) -> str:
    parts = [f"n = {_n_text(claim)}"] if claim["n"] else []
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


def _instead(claim: Object, noise: float) -> str:
    """`in place of main: none gives 0.03, full gives 1.00 (satisfies it)`, for each path set.

    "" where nothing is known, and for what was to be refuted and is: what refutes it tells nothing.
    """
    if claim["verdict"] == "refuted" and claim["as_expected"]:
        return ""
    by_set: dict[str, list[str]] = {}
    for one in claim.get("instead", ()):
        if one["satisfied"] is None:
            continue
        value = "no value" if one["estimate"] is None else shown(one["estimate"], None, noise)
        too = " (satisfies it)" if one["satisfied"] else ""
        by_set.setdefault(one["of"], []).append(f"{one['paths']} gives {value}{too}")
    return " · ".join(f"in place of {of}: {', '.join(texts)}" for of, texts in by_set.items())


def _other_norm(claim: Object, noise: float) -> str:
    other = claim["other_norm"]
    if other is None or other["verdict"] == claim["verdict"]:
        return ""
    numbers = Measured(other, noise).numbers
    return f"layernorm {other['layernorm']}: {other['verdict']}, {numbers}"
