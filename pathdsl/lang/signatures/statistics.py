"""The functions of expressions, `mean(x)` over the prompts and `max(x, y)`: a record for each.

Source: docs/language.md, `let`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pathdsl.lang.signatures.kinds import REQUIRED, Kind, Parameter, Signature, first, table
from pathdsl.lang.signatures.ranges import Range, largest, size, smallest, spread
from pathdsl.record import record

__all__ = ["AVERAGING", "STATISTICS", "StatisticRecord"]


@record
class StatisticRecord(Signature):
    """What is known of a function.

    `over`: the `moments` of the prompts' values, smooth in the weight of each; their `order`, which
    hangs on one prompt or two; or `arguments`, numbers of one prompt or of all. `range` is where
    it lies, by where its arguments do.
    """

    over: Literal["moments", "order", "arguments"]
    range: Callable[[Sequence[Range]], Range]


def _of_one(args: Sequence[Range]) -> Range:
    """Of an average, which lies where the values lie."""
    return args[0]


_X, _Y = first("x", Kind.EXPRESSION), first("y", Kind.EXPRESSION)
_Q = Parameter(
    name="q", kind=Kind.NUMBER, default=REQUIRED, by_place=True, least=0.0, most=1.0, open_ends=True
)

STATISTICS = table(
    StatisticRecord(
        name="mean", parameters=(_X,), example="mean(LD(reference))", over="moments", range=_of_one
    ),
    StatisticRecord(
        name="median", parameters=(_X,), example="median(LD(reference))", over="order",
        range=_of_one,
    ),
    StatisticRecord(
        name="quantile", parameters=(_X, _Q), example="quantile(LD(reference), 90%)", over="order",
        range=_of_one,
    ),
    StatisticRecord(
        name="std", parameters=(_X,), example="std(LD(reference))", over="moments", range=spread
    ),
    StatisticRecord(
        name="abs", parameters=(_X,), example="abs(LD(reference))", over="arguments", range=size
    ),
    StatisticRecord(
        name="min", parameters=(_X, _Y), any_number=True, example="min(LD(reference), 1)",
        over="arguments", range=smallest,
    ),
    StatisticRecord(
        name="max", parameters=(_X, _Y), any_number=True, example="max(LD(reference), 0)",
        over="arguments", range=largest,
    ),
)  # fmt: skip
AVERAGING = tuple(name for name, one in STATISTICS.items() if one.over != "arguments")
"""Those that make one number of all prompts."""
