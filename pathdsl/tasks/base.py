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
  `prompt`, or a list of such pairs. The word is without its leading space; a token belongs to it
  when their characters overlap, which is right both for tokenizers that count the space to the
  token and for those that do not. All prompt columns of a row put the same words' places at the
  same token indices.

Row *i* is a function of the arguments and of *i* alone, so `take: 50` is the beginning of
`take: 256`. Words that vary are to be one token each. The lists hold words that are one token of
GPT-2; with the tokenizer of another model the words that are not are left out before anything is
drawn (`Words`), and rows are then a function of the lists that are left, too. Standard library
only: `pathdsl lint` and `explain` read generators and must start fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from math import perm, prod
from typing import Any, TypeVar

from pathdsl import limits
from pathdsl.record import record

__all__ = [
    "SEED", "TAKE", "Argument", "Column", "Fits", "Generator", "Lists", "Parameter", "Row",
    "TooFewWords", "Words", "argument_faults", "find_spans", "picked", "to_jsonl", "ways",
]  # fmt: skip

T = TypeVar("T")
Argument = int | float | str | bool
Row = dict[str, Any]
Lists = Mapping[str, tuple[str, ...]]
"""The words of each list of a generator that are in use, by the list's name."""
Fits = Callable[[tuple[str, ...]], bool]
"""Whether each piece of a text is exactly one token of a tokenizer."""

_KINDS: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


@record
class Parameter:
    """One argument of a generator: its kind (int, float, str or bool), default and limits.

    `choices` is a closed list of texts, `least` and `most` are inclusive, `odd` asks for odd
    numbers. `added`: it came after rows were published, and their ids name it only where it is
    not the default.
    """

    name: str
    kind: str
    default: Argument
    doc: str
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    odd: bool = False
    added: bool = False

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


@record
class Column:
    """A field of every row, or a named position, with one sentence that says what it holds.

    `added`: it came after rows were published. The hash of rows leaves it out, so that locks and
    draws stay what they are; a lock still has the tokens of the columns that its file reads.
    """

    name: str
    doc: str
    added: bool = False


def behind_a_blank(word: str) -> tuple[str, ...]:
    """The one piece of a word inside a sentence."""
    return (f" {word}",)


@record
class Words:
    """A list of words that a generator draws from, each made of pieces that must be one token each.

    `least`: how many of them a task needs.
    """

    name: str
    words: tuple[str, ...]
    least: int
    pieces: Callable[[str], tuple[str, ...]] = behind_a_blank

    def fitting(self, fits: Fits | None) -> tuple[str, ...]:
        """The words whose pieces fit, in their order; all of them without a tokenizer."""
        return self.words if fits is None else tuple(w for w in self.words if fits(self.pieces(w)))


class TooFewWords(ValueError):
    """A tokenizer leaves a generator too few words, or fewer prompts than were asked for."""


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


@record
class Generator:
    """A data generator: its documentation and the function that makes row `index`.

    `row(index, **arguments)` receives every parameter except `take`, defaults filled in, and
    returns the row without its `id`; where there are `words`, also the lists in use as `words`.
    `distinct(**arguments)`, called alike, is the number of rows until the first one that could be
    there before, None where nobody counts them. `examples` are arguments that the tests also try.
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
    words: tuple[Words, ...] = ()
    distinct: Callable[..., int] | None = None
    examples: tuple[Mapping[str, Argument], ...] = ()

    @property
    def added(self) -> frozenset[str]:
        """The columns that no hash of rows counts."""
        columns = (*self.prompt_columns, *self.token_columns, *self.labels)
        return frozenset(column.name for column in columns if column.added)

    def faults(self, **arguments: object) -> list[str]:
        """What is wrong with these arguments, one sentence each; for messages to a user."""
        found = argument_faults(self.parameters, arguments)
        take: Any = self._filled(arguments)["take"]
        most = None if found else self.most(**arguments)
        if most is not None and take > most:
            found.append(f"`take` is {take}, and there are {most:,} different prompts")
        return found

    def most(self, **arguments: Any) -> int | None:
        """How many different prompts there are, None where nobody counts them."""
        if self.distinct is None:
            return None
        return self._most({one.name: one.words for one in self.words}, self._filled(arguments))

    def complete(self, **arguments: Argument) -> dict[str, Argument]:
        """The arguments with the defaults filled in, in the order of the parameters.

        Raises ValueError that lists every fault.
        """
        if faults := self.faults(**arguments):
            raise ValueError(f"generator `{self.name}`: " + "; ".join(faults))
        return self._filled(arguments)

    def rows(self, fits: Fits | None = None, /, **arguments: Argument) -> list[Row]:
        """The rows, JSON-able, `id` first; the same on every machine.

        `fits` leaves out words that are not one token of a model. Raises ValueError that lists
        every fault of the arguments, TooFewWords where too few words are left.
        """
        filled = self.complete(**arguments)
        lists = self.lists(fits)
        take = int(filled["take"])
        if self.distinct is not None and take > (most := self._most(lists, filled)):
            raise TooFewWords(
                f"`take` is {take}, and the words that are left make {most:,} prompts"
            )
        del filled["take"]
        said = [p.name for p in self.parameters if p.name in filled and not _silent(p, filled)]
        stem = "-".join([self.name, *(str(filled[name]) for name in said)])
        given: dict[str, Any] = {**filled, "words": lists} if self.words else filled
        return [{"id": f"{stem}-{i:05d}", **self.row(i, **given)} for i in range(take)]

    def lists(self, fits: Fits | None) -> Lists:
        """The words in use. Raises TooFewWords."""
        found = {}
        for one in self.words:
            found[one.name] = one.fitting(fits)
            if len(found[one.name]) < one.least:
                raise TooFewWords(
                    f"{len(found[one.name])} of {len(one.words)} {one.name} are tokens of this "
                    f"model's tokenizer as they are written, and the task needs {one.least}"
                )
        return found

    def left_out(self, fits: Fits) -> str:
        """`without 8 of 100 names, 1 of 12 places, …`, the words that do not fit; "" for none."""
        counts = []
        for one in self.words:
            if lost := len(one.words) - len(one.fitting(fits)):
                counts.append(f"{lost} of {len(one.words)} {one.name}")
        return f"without {', '.join(counts)}, not one token each here" if counts else ""

    def _filled(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {p.name: arguments.get(p.name, p.default) for p in self.parameters}

    def _most(self, lists: Lists, filled: Mapping[str, Any]) -> int:
        assert self.distinct is not None
        given = {name: value for name, value in filled.items() if name != "take"}
        return self.distinct(**given, words=lists) if self.words else self.distinct(**given)


def _silent(parameter: Parameter, filled: Mapping[str, Argument]) -> bool:
    """Whether ids of rows say nothing of a parameter."""
    return parameter.added and filled[parameter.name] == parameter.default


def picked(number: int, *choices: tuple[Sequence[T], int]) -> list[list[T]]:
    """The `number`-th way to take k different items in order from each of some sequences.

    ``picked(n, (names, 2), (places, 1))``; there are `ways` of them, and each number is another.
    """
    found: list[list[T]] = []
    for items, k in choices:
        left, taken = list(items), []
        for _ in range(k):
            number, place = divmod(number, len(left))
            taken.append(left.pop(place))
        found.append(taken)
    return found


def ways(*choices: tuple[Sequence[object], int]) -> int:
    """In how many ways `picked` takes its items from the same choices."""
    return prod(perm(len(items), k) for items, k in choices)


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
