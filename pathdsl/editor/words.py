"""One table of the words of the language: what highlighting, hover and completion go by.

A word is here because the grammar has a terminal for it or because a record of
`pathdsl.lang.signatures` (or a generator of rows) bears its name. `kind` is how it is coloured.
`inside` says where it is a word at all: a name that a file declares wins over every other.

Source: grammars/circuit.lark; docs/language.md, Files, words and literals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pathdsl.lang.check.names import is_reserved
from pathdsl.lang.serving import generator, generator_names
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.calls import (
    CIRCUIT_FIELDS,
    DATA_FILES,
    KNOCKOUTS,
    LOADERS,
    MEASURES,
    METHODS,
    PATH_SETS,
    RUN_OPTIONS,
    SCORES,
    STATISTICS,
    TASK_FIELDS,
    TREATED,
    Parameter,
    Signature,
)
from pathdsl.lang.signatures.correlations import CORRELATION
from pathdsl.lang.signatures.interventions import PATTERNS, VECTOR
from pathdsl.lang.signatures.kinds import UNITS
from pathdsl.lang.signatures.members import OVER_MEMBERS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.syntax.sweep import KEYWORDS

__all__ = ["KINDS", "Word", "meaning", "signatures", "words"]

Kind = Literal[
    "statement", "clause", "node", "path set", "run", "score", "function", "constant", "action",
    "relation", "slot", "unit", "source", "field",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "statement", "clause", "node", "path set", "run", "score", "function", "constant", "action",
    "relation", "slot", "unit", "source", "field",
)  # fmt: skip
Inside = Literal["anywhere", "line start", "bracket", "arrow", "action", "unit", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word: how it is coloured, where it is one, and what it means in a sentence.

    `inside`: "anywhere" for words that nothing may be called; "line start" at column 1; "bracket"
    where `(` or `{` follows; "arrow" in the labels of an arrow; "action" where a line of an
    `intervene` block begins; "unit" behind the `:` of a metric or let; "block" before `=` in a
    block. `signature` is that of what is called.
    """

    name: str
    kind: Kind
    inside: Inside
    says: str
    signature: Signature | None = None


_CLAUSES = {
    "for": "says the statement once for each member of a set, `for h in attn`",
    "in": "between the variable of a loop and its set, `for h in attn`",
    "at": "how sure a claim has to be, `at 95% confidence`",
    "confidence": "how sure a claim has to be, `at 95% confidence`",
    "by": "how a claim is judged, `by holm()`",
    "on": "the task that a metric is read on, `metric LD on ioi = …`",
    "where": "which rows a derived task keeps, `task a = ioi where template == 1`",
    "and": "joins the conditions of `where`",
    "with": "a run under an intervention, `reference with repair`",
    "within": "how far apart `~=` may be, `A ~= B within 0.1`",
    "except": "leaves nodes out of a set, `{ attn, except a9.h6 }`",
    "expect": "the verdict that the author expects, `expect refuted`",
    "windows": "every run of neighbours in a set, `for w in windows(m[0..11], 3)`",
}
_NODES = {
    "input": "where every path begins: what the embedding writes at each position",
    "logits": "where every path ends",
    "attn": "all attention heads",
    "mlp": "all MLPs",
    "any": "all heads and MLPs",
}
_PATH_SETS = {
    "full": "all paths from `input` to `logits`",
    "none": "no path",
    "through": "the paths that visit one of these nodes, `through(a9.h9)`",
    "within": "the paths that visit these nodes only, `within(movers, mlp)`",
    "edges": "the paths along listed edges, `edges { a -> b }`, or along those of a file",
    "nodes": 'the nodes that a file says, `nodes("circuit.json", top: 200)`',
    "random_like": "as many nodes or edges as a path set has, drawn at random",
    "random_edges": "edges drawn at random",
}
_RUNS = {
    "reference": "the run of the model on the prompts of the reference column, untouched",
    "treated": "the run in which all paths carry their treated values",
    "treat": "the run in which these paths carry treated values, all others reference ones",
    "keep": "the run in which these paths carry reference values, all others treated ones",
}
_ACTIONS = {
    "pattern": "sets the attention pattern of heads, `pattern(a9.h9@END) = uniform(S1)`",
    "block": "lets heads not look at a position, `block(a9.h9 -> S1)`",
    "zero": "an input of heads is zero, `zero q|v(a9.h9)`",
    "scale": "multiplies what a node writes, `scale a9.h9 = 2.0`",
    "set": "a node writes what it writes in another run, `set a9.h9 = treated`",
    "add": "adds a vector to the residual stream, `add r5@END = vector(…)`",
}
_RELATIONS = {
    "prev": "from the position before, `-[k: prev]->`",
    "same": "from the same position, `-[v: same]->`",
    "window": "from at most so many positions before, `-[k,v: window(3)]->`",
    "offset": "from the position so many before, `-[k: offset(-2)]->`",
}
_SLOTS = {"q": "the queries of a head", "k": "the keys of a head", "v": "the values of a head"}
_UNITS = {
    "logits": "numbers are logits, or differences of them",
    "nats": "numbers are log-probabilities or divergences",
    "prob": "numbers are probabilities",
    "none": "numbers have no unit",
}
_STATEMENTS = {
    "circuit": "names the file, its version of the language and its hypothesis",
    "use": "takes in the declarations of another file",
    "model": "the model, and the exact weights, that the file is about",
    "task": "the prompts: where they come from, what is compared with what",
    "group": "a name for a set of nodes",
    "path": "a name for a set of paths",
    "metric": "what is read at the logits of a run, one number for each prompt",
    "let": "a name for a number, or for one of each member of a set",
    "intervene": "a change of the model that a run can stand under",
    "claim": "what is claimed of the model, and judged",
}
_CONSTANTS = {
    "true": "yes",
    "false": "no",
    "supported": "the verdict of a claim that holds, `expect supported`",
    "refuted": "the verdict of a claim that does not hold, `expect refuted`",
}


def signatures() -> dict[str, Signature]:
    """What each word that is called may be called with; a word of several meanings the first."""
    found: dict[str, Signature] = {}
    members = {name: one for name, one in OVER_MEMBERS.items()}
    tables: tuple[Mapping[str, Signature], ...] = (
        SCORES, STATISTICS, P_VALUES, members, MEASURES, METHODS, KNOCKOUTS, LOADERS, DATA_FILES,
        TREATED, PATH_SETS, {CORRELATION.name: CORRELATION, VECTOR.name: VECTOR},
        {"treat": RUN_OPTIONS, "keep": RUN_OPTIONS},
    )  # fmt: skip
    for one in tables:
        for name, signature in one.items():
            found.setdefault(name, signature)
    return found


@cache
def words() -> tuple[Word, ...]:
    """The table; a word of several kinds has a row for each."""
    rows: list[Word] = []

    def add(kind: Kind, inside: Inside, texts: Mapping[str, str]) -> None:
        rows.extend(Word(name=n, kind=kind, inside=inside, says=t) for n, t in texts.items())

    add("statement", "line start", {name: _STATEMENTS[name] for name in KEYWORDS})
    add("clause", "anywhere", _CLAUSES)
    add("node", "anywhere", _NODES)
    for name, says in _PATH_SETS.items():
        inside: Inside = "anywhere" if is_reserved(name) else "bracket"
        rows.append(Word(name=name, kind="path set", inside=inside, says=says,
                         signature=PATH_SETS.get(name)))  # fmt: skip
    for name, says in _RUNS.items():
        signature = RUN_OPTIONS if name in ("treat", "keep") else None
        rows.append(Word(name=name, kind="run", inside="anywhere", says=says, signature=signature))
    add("constant", "anywhere", _CONSTANTS)
    add("action", "action", _ACTIONS)
    add("relation", "arrow", _RELATIONS)
    add("slot", "arrow", _SLOTS)
    add("unit", "unit", {name: _UNITS[name] for name in UNITS})
    for name, signature in SCORES.items():
        rows.append(_called(name, "score", signature))
    known = signatures()
    tables: tuple[Iterable[str], ...] = (
        STATISTICS, P_VALUES, OVER_MEMBERS, MEASURES, METHODS, KNOCKOUTS, TREATED,
        (CORRELATION.name, VECTOR.name), PATTERNS,
    )  # fmt: skip
    for name in dict.fromkeys(one for names in tables for one in names):
        rows.append(_called(name, "function", known.get(name)))
    for name in (*LOADERS, *DATA_FILES):
        rows.append(_called(name, "source", known[name]))
    for name in generator_names() or ():
        made = generator(name)
        rows.append(Word(name=name, kind="source", inside="bracket",
                         says=made.summary if made is not None else "rows"))  # fmt: skip
    for name in dict.fromkeys((*CIRCUIT_FIELDS, *TASK_FIELDS)):
        parameter = CIRCUIT_FIELDS.get(name) or TASK_FIELDS[name]
        block = "circuit" if name in CIRCUIT_FIELDS else "task"
        rows.append(Word(name=name, kind="field", inside="block",
                         says=f"field of a {block}: {_wanted(parameter)}"))  # fmt: skip
    return tuple(rows)


def meaning(name: str) -> str:
    """What a word means, as Markdown; "" for what is no word of the language."""
    found = [one for one in words() if one.name == name]
    parts: list[str] = []
    for one in found:
        lines = [f"**{name}** · {one.kind}", "", one.says] if one.says else [
            f"**{name}** · {one.kind}"
        ]  # fmt: skip
        if one.signature is not None:
            lines += ["", "```circuit", one.signature.example, "```"]
            lines += [f"- {_described(p)}" for p in one.signature.parameters]
        parts.append("\n".join(lines))
    if not parts and name in ATTRIBUTIONS:
        parts.append(f"**{name}** · method of attribution, `by: {name}`")
    return "\n\n---\n\n".join(dict.fromkeys(parts))


def _called(name: str, kind: Kind, signature: Signature | None) -> Word:
    inside: Inside = "anywhere" if is_reserved(name) else "bracket"
    return Word(name=name, kind=kind, inside=inside, says="", signature=signature)


def _described(parameter: Parameter) -> str:
    name = f"`{parameter.name}`" if parameter.by_place else f"`{parameter.name}:`"
    default = parameter.default
    if parameter.required:
        return f"{name} {_wanted(parameter)}"
    shown = "" if default is None else f", `{_written(default)}` if left out"
    return f"{name} {_wanted(parameter)}{shown}"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def _wanted(parameter: Parameter) -> str:
    if parameter.choices:
        return " or ".join(f"`{one}`" for one in parameter.choices)
    return str(parameter.kind)
