"""What a signature is made of: kinds of values, parameters, and the words that take them.

The tables themselves are in `pathdsl.lang.signatures.calls`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeVar

from pathdsl.lang import ast
from pathdsl.record import record

__all__ = [
    "REQUIRED", "SEED", "UNITS", "Kind", "Parameter", "Signature", "Unit", "UnitRecord",
    "count_of", "first", "literal", "table", "word",
]  # fmt: skip

Unit = Literal["logits", "nats", "prob", "none"]


@record
class UnitRecord:
    """What is known of a unit.

    `percent`: whether a percentage of it means something. `bounded`: whether values lie between 0
    and 1, near which they hardly move.
    """

    percent: bool
    bounded: bool


UNITS: dict[str, UnitRecord] = {
    "logits": UnitRecord(percent=False, bounded=False),
    "nats": UnitRecord(percent=False, bounded=False),
    "prob": UnitRecord(percent=True, bounded=True),
    "none": UnitRecord(percent=True, bounded=False),
}


class Kind(StrEnum):
    """What a value has to be; the word is what a message calls it."""

    INTEGER = "a whole number"
    COUNT = "a whole number or a percentage"
    NUMBER = "a number"
    TEXT = "a text in quotes"
    BOOL = "`true` or `false`"
    WORD = "one of the words"
    COLUMN = "a column"
    COLUMNS = "a list of columns, `[answer, wrong]`"
    LABEL = "a field of the rows"
    LABELS = "one field of the rows, or two that cross, `[pair, sentence]`"
    METRIC = "a metric"
    TASK = "a task"
    MODEL = "a model"
    TREATED = "a treated value"
    POSITIONS = "a position or a list of positions"
    PATHS = "a path set"
    NODES = "a set of nodes"
    UNIT = "a node or an edge"
    UNITS = "a set of nodes or `edges { … }`"
    OVER = "`node`, `head`, `edge`, a set of nodes or `edges { … }`"
    KNOCKOUTS = "a choice of knockouts"
    GIVEN = "a map `{ node: knockouts }`"
    RUN = "a run"
    EXPRESSION = "an expression"
    ATTENTION = "a head and two positions, `a9.h9, END -> IO`"
    TEXTS = "a text in quotes or a list of them"
    SOURCE = "a data source"


class _Required:
    """The default of an argument that has none."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


@record
class Parameter:
    """One argument: what it must be, and its default.

    Leading parameters may be given by place when `by_place`. `choices`: words that it takes, beside
    names of its kind where it has one. `least` and `most` bound numbers, both ends in unless
    `open_ends`. `means`: what an option is for, in a few words.
    """

    name: str
    kind: Kind
    default: object = None
    by_place: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    open_ends: bool = False
    means: str = ""

    @property
    def required(self) -> bool:
        """True where the language has no default."""
        return self.default is REQUIRED


@record
class Signature:
    """What one word may be called with; `example` works when pasted."""

    name: str
    parameters: tuple[Parameter, ...] = ()
    example: str
    any_number: bool = False

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((p for p in self.parameters if p.name == name), None)

    @property
    def by_place(self) -> tuple[Parameter, ...]:
        """The parameters that may be given without their name, in order."""
        return tuple(p for p in self.parameters if p.by_place)


S = TypeVar("S", bound=Signature)


def table(*signatures: S) -> dict[str, S]:
    """Signatures by name."""
    return {signature.name: signature for signature in signatures}


def first(
    name: str,
    kind: Kind,
    default: object = REQUIRED,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Parameter:
    """A parameter that may be given by place."""
    return Parameter(name=name, kind=kind, default=default, by_place=True, least=least, most=most)


def word(
    name: str, choices: tuple[str, ...], default: object = None, *, means: str = ""
) -> Parameter:
    """A parameter that takes one of a closed list of words."""
    return Parameter(name=name, kind=Kind.WORD, choices=choices, default=default, means=means)


SEED = Parameter(
    name="seed",
    kind=Kind.INTEGER,
    default=0,
    means="where draws begin; the same seed gives the same draws",
)


def count_of(asked: int | float, total: int) -> int:
    """How many of `total` a COUNT asks for: itself, or a part of them, a float, rounded down."""
    # A share times a number is a hair below a whole one where rounding has it so.
    return asked if isinstance(asked, int) else int(asked * total + 1e-9)


def literal(value: ast.Node) -> int | float | str | bool | None:
    """The Python value of a number, text, word or truth value; None for anything else."""
    match value:
        case ast.Number(value=number, integer=integer):
            return int(number) if integer else number
        case ast.Unary(operand=ast.Number(value=number, integer=integer)):
            return -int(number) if integer else -number
        case ast.String(value=text):
            return text
        case ast.Bool(value=truth):
            return truth
        case ast.Name(name=name, at=None):
            return name
        case _:
            return None
