"""The words of the language as an editor meets them: how they are coloured, where they are words.

What a word means stands in `pathdsl.lang.words`, which `pathdsl explain` prints: it is the one
table, and this adds what highlighting wants to know of it. A name that a file declares wins over
every word that is not reserved.

Source: grammars/circuit.lark; docs/language.md, Files, words and literals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Literal

from pathdsl.lang.check.names import is_reserved
from pathdsl.lang.signatures.calls import (
    DATA_FILES,
    KNOCKOUTS,
    LOADERS,
    MEASURES,
    METHODS,
    PATH_SETS,
    RUN_OPTIONS,
    SCORES,
    STATISTICS,
    TREATED,
    Signature,
)
from pathdsl.lang.signatures.correlations import CORRELATION
from pathdsl.lang.signatures.emergence import EMERGES
from pathdsl.lang.signatures.interventions import VECTOR
from pathdsl.lang.signatures.kinds import UNITS
from pathdsl.lang.signatures.members import OVER_MEMBERS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.words import Word, all_words, words_named
from pathdsl.record import record

__all__ = ["KINDS", "Coloured", "coloured", "meaning", "signatures"]

Inside = Literal["anywhere", "line start", "bracket", "arrow", "action", "unit", "block"]
_KINDS: Mapping[str, str] = {
    "statement": "statement",
    "part of a claim": "clause",
    "loop": "clause",
    "part of a task or metric": "clause",
    "node": "node",
    "path set": "path set",
    "run": "run",
    "score": "score",
    "action": "action",
    "relation": "relation",
    "slot": "slot",
    "field of circuit": "field",
    "field of task": "field",
    **dict.fromkeys(
        (
            "measure", "statistic", "test", "function over members", "function of two loops",
            "method", "model", "data", "treated value", "search",
        ),
        "function",
    ),
}  # fmt: skip
"""How the words of each kind of `pathdsl.lang.words` are coloured; others are not."""
_OTHERWISE: Mapping[tuple[str, str], str] = {
    ("except", "node"): "clause",
    ("with", "run"): "clause",
    ("scope", "run"): "",
    ("edges", "loop"): "",
    **{(name, "action"): "function" for name in ("uniform", "only", "from", "vector")},
}
"""Words that are coloured unlike the others of their kind; "" for not at all."""
_INSIDE: Mapping[str, Inside] = {
    "statement": "line start", "action": "action", "relation": "arrow", "slot": "arrow",
    "field": "block", "unit": "unit",
}  # fmt: skip
_CONSTANTS = ("true", "false", "supported", "refuted")
KINDS = ("constant", "unit", *dict.fromkeys(_KINDS.values()))
"""The kinds of words for highlighting."""


@record
class Coloured:
    """One word: how it is coloured, and where it is one.

    `inside`: "anywhere" for words that nothing may be called; "line start" at column 1; "bracket"
    where `(` or `{` follows; "arrow" in the labels of an arrow; "action" where a line of an
    `intervene` block begins; "unit" behind the `:` of a metric or let; "block" before `=` in a
    block.
    """

    name: str
    kind: str
    inside: Inside


@cache
def coloured() -> tuple[Coloured, ...]:
    """Every word that is coloured; one of several kinds has a row for each."""
    found: dict[tuple[str, str], Coloured] = {}

    def add(name: str, kind: str) -> None:
        inside = _INSIDE.get(kind) or ("anywhere" if is_reserved(name) else "bracket")
        found.setdefault((name, kind), Coloured(name=name, kind=kind, inside=inside))

    for word in all_words():
        name = word.name.split()[0]
        kind = _OTHERWISE.get((name, word.kind), _KINDS.get(word.kind, ""))
        if kind and name.replace("_", "").isalpha():
            add(name, kind)
    for name in _CONSTANTS:
        add(name, "constant")
    for name in UNITS:
        add(name, "unit")
    return tuple(found.values())


def meaning(name: str, told: str = "") -> str:
    """What a word means in each of its senses, as Markdown; "" for what is no word.

    `told`: as what it stands there, so that only that sense is told: "argument" or "field".
    """
    senses = words_named(name)
    if told == "argument":
        chosen = [one for one in senses if one.kind == "option"]
    elif told == "field":
        chosen = [one for one in senses if one.kind.startswith("field of")]
    else:
        chosen = [one for one in senses if not one.kind.startswith(("field of", "option"))]
    parts = []
    for one in chosen or senses:
        shown, says, example = _of(name, one) if one.kind == "node" else (
            one.name, one.meaning, one.example
        )  # fmt: skip
        lines = [f"**{shown}** · {one.kind}", "", says, "", "```circuit", example, "```"]
        lines += [f"- `{o.written}`" + (f": {o.means}" if o.means else "") for o in one.options]
        lines += ["of " + ", ".join(one.taken_by)] if one.taken_by else []
        parts.append("\n".join(lines))
    return "\n\n---\n\n".join(parts)


def _of(name: str, sense: Word) -> tuple[str, str, str]:
    """What is said of `a9.h6`, of another head: its numbers in the place of 9 and 6."""
    numbers = dict(
        zip(re.findall(r"\d+", sense.name), re.findall(r"\d+", name), strict=False)
    )  # fmt: skip

    def put(text: str) -> str:
        return re.sub(r"\d+", lambda found: numbers.get(found[0], found[0]), text)

    return name, put(sense.meaning), put(sense.example)


def signatures() -> dict[str, Signature]:
    """What each word that is called may be called with; a word of several meanings the first."""
    found: dict[str, Signature] = {}
    tables: tuple[Mapping[str, Signature], ...] = (
        SCORES, STATISTICS, P_VALUES, OVER_MEMBERS, MEASURES, METHODS, KNOCKOUTS, LOADERS,
        DATA_FILES, TREATED, PATH_SETS, {CORRELATION.name: CORRELATION, VECTOR.name: VECTOR},
        {EMERGES.name: EMERGES},
        {"treat": RUN_OPTIONS, "keep": RUN_OPTIONS},
    )  # fmt: skip
    for one in tables:
        for name, signature in one.items():
            found.setdefault(name, signature)
    return found
