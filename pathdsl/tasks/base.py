"""What a data generator is: a name, documented columns, and rows that depend on nothing hidden.

A generator turns a few arguments into rows in exactly the form of one JSONL line, so that
`data = ioi(take: 256, seed: 0)` and a file written from it mean the same. A row is a dict:

- `id`: a string, different for every row;
- prompt columns: a text, or a list of token ids used as they are;
- token columns: one token as written (leading space included), an id, or a list of those;
- labels: texts or whole numbers, for `where`, `by:` and `cluster`;
- `positions`: `{"S2": 11}`, an index or a list of indices into the token sequence, special tokens
  included; or, where prompts are texts,
- `spans`: `{"S2": [58, 62]}`, first and past-the-last *character* of the word in the column
  `prompt`. The word is without its leading space; a token belongs to it when their characters
  overlap, which is right both for tokenizers that count the space to the token and for those that
  do not. All prompt columns of a row put the same words' places at the same token indices.

Row *i* is a function of the arguments and of *i* alone, so `take: 50` is the beginning of
`take: 256`. Standard library only: `pathdsl lint` and `explain` read generators and must start
fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pathdsl import limits

__all__ = ["SEED", "TAKE", "Argument", "Column", "Generator", "Parameter", "Row", "argument_faults"]

Argument = int | float | str | bool
Row = dict[str, Any]

_KINDS: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of a generator: its kind (int, float, str or bool), default and limits.

    `choices` is a closed list of texts, `least` and `most` are inclusive, `odd` asks for odd
    numbers.
    """

    name: str
    kind: str
    default: Argument
    doc: str
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    odd: bool = False

    def fault(self, value: object) -> str | None:
        """What is wrong with a value for this parameter, or None."""
        wanted = _KINDS[self.kind]
        fits = isinstance(value, wanted) or (self.kind == "float" and isinstance(value, int))
        # bool is an int in Python, but `take: true` is surely a slip.
        if not fits or (isinstance(value, bool) and self.kind != "bool"):
            return f"`{self.name}` is {value!r}, wanted {self.kind}"
        if self.choices and value not in self.choices:
            wanted_list = ", ".join(f"`{choice}`" for choice in self.choices)
            return f"`{self.name}` is `{value}`, wanted one of {wanted_list}"
        if isinstance(value, int) and self.least is not None and value < self.least:
            return f"`{self.name}` is {value}, wanted at least {self.least}"
        if isinstance(value, int) and self.most is not None and value > self.most:
            return f"`{self.name}` is {value}, wanted at most {self.most}"
        if self.odd and isinstance(value, int) and value % 2 == 0:
            return f"`{self.name}` is {value}, wanted an odd number"
        return None


MAX_TAKE = limits.TAKE.most
TAKE = Parameter(name="take", kind="int", default=100, least=1, most=MAX_TAKE, doc="number of rows")
SEED = Parameter(name="seed", kind="int", default=0, doc="seed of the draws")


def prompt_length(default: int, *, least: int, most: int) -> Parameter:
    """How long the prompts are."""
    doc = "tokens per prompt, <bos> included"
    return Parameter(name="length", kind="int", default=default, least=least, most=most, doc=doc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A field of every row, or a named position, with one sentence that says what it holds."""

    name: str
    doc: str


def argument_faults(parameters: tuple[Parameter, ...], given: Mapping[str, object]) -> list[str]:
    """Every fault of the given arguments, as lower-case sentences; empty where there is none."""
    known = {parameter.name: parameter for parameter in parameters}
    faults = []
    for name, value in given.items():
        if name not in known:
            listed = ", ".join(f"`{other}`" for other in known)
            faults.append(f"no argument `{name}`, wanted one of {listed}")
        elif (fault := known[name].fault(value)) is not None:
            faults.append(fault)
    return faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A data generator: its documentation and the function that makes row `index`.

    `row(index, **arguments)` receives every parameter except `take`, defaults filled in, and
    returns the row without its `id`. `examples` are arguments that the tests also try.
    """

    name: str
    summary: str
    doc: str
    row: Callable[..., Row]
    parameters: tuple[Parameter, ...] = (TAKE, SEED)
    prompt_columns: tuple[Column, ...]
    token_columns: tuple[Column, ...]
    labels: tuple[Column, ...] = ()
    positions: tuple[Column, ...] = ()
    examples: tuple[Mapping[str, Argument], ...] = ()

    def faults(self, **arguments: object) -> list[str]:
        """What is wrong with these arguments, one sentence each; for messages to a user."""
        return argument_faults(self.parameters, arguments)

    def complete(self, **arguments: Argument) -> dict[str, Argument]:
        """The arguments with the defaults filled in, in the order of the parameters.

        Raises ValueError that lists every fault.
        """
        if faults := self.faults(**arguments):
            raise ValueError(f"generator `{self.name}`: " + "; ".join(faults))
        return {p.name: arguments.get(p.name, p.default) for p in self.parameters}

    def rows(self, **arguments: Argument) -> list[Row]:
        """The rows, JSON-able, `id` first; the same on every machine.

        Raises ValueError that lists every fault of the arguments.
        """
        filled = self.complete(**arguments)
        take = int(filled.pop("take"))
        stem = "-".join([self.name, *map(str, filled.values())])
        return [{"id": f"{stem}-{i:05d}", **self.row(i, **filled)} for i in range(take)]


def find_spans(template: str, words: Mapping[str, str]) -> tuple[str, dict[str, list[int]]]:
    """Fill `{NAME}` in a template; returns the text and each name's [start, end) in characters.

    A name used more than once has the span of its last use.
    """
    text, spans, done = "", {}, 0
    for match in re.finditer(r"\{(\w+)\}", template):
        text += template[done : match.start()]
        start = len(text)
        text += words[match[1]]
        spans[match[1]] = [start, len(text)]
        done = match.end()
    return text + template[done:], spans


def to_jsonl(rows: list[Row]) -> str:
    """The rows as the text of a JSONL file: one object per line, keys in the rows' order."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
