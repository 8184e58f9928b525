"""Intervals as pairs of ends, and arithmetic on them.

`applied` gives the least and largest value that an operation can have when each argument lies
between its ends. Infinite ends mean that nothing is known on that side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = ["Ends", "Interval", "applied"]

Ends = tuple[float, float]
UNKNOWN: Ends = (-np.inf, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """End points and how they were found; infinite ends say that nothing is known, and `why`.

    `note` is what a reader must know of an interval that has ends.
    """

    low: float
    high: float
    method: str
    why: str = ""
    note: str = ""

    @property
    def known(self) -> bool:
        """True when both ends are finite."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def pair(self) -> tuple[float, float] | None:
        """The end points, or None where one is infinite."""
        return (self.low, self.high) if self.known else None


def applied(op: str, ends: Sequence[Ends]) -> Ends:
    """The ends of `op` on arguments that lie between theirs."""
    lows, highs = [low for low, _ in ends], [high for _, high in ends]
    match op:
        case "max":
            return max(lows), max(highs)
        case "min":
            return min(lows), min(highs)
        case "neg":
            return -highs[0], -lows[0]
        case "abs":
            least = 0.0 if lows[0] <= 0 <= highs[0] else min(abs(lows[0]), abs(highs[0]))
            return least, max(abs(lows[0]), abs(highs[0]))
        case "+":
            return lows[0] + lows[1], highs[0] + highs[1]
        case "-":
            return lows[0] - highs[1], highs[0] - lows[1]
        case "*":
            return _corners([_times(x, y) for x, y in product(*ends)])
        case "/":
            if lows[1] <= 0 <= highs[1]:
                return UNKNOWN
            return _corners([_times(x, 1 / y) for x, y in product(*ends)])
        case "^":
            return _power(ends[0], ends[1])
        case _:
            raise ValueError(f"`{op}` is no arithmetic on intervals")


def _times(x: float, y: float) -> float:
    return 0.0 if x == 0 or y == 0 else x * y


def _power(base: Ends, exponent: Ends) -> Ends:
    """Of a base that is never below 0, or an odd power; nothing is known of others."""
    with np.errstate(all="ignore"):
        if exponent[0] == exponent[1] and exponent[0] > 0 and exponent[0] % 2 == 1:
            return _corners([float(np.power(x, exponent[0])) for x in base])
        if base[0] < 0 or (base[0] == 0 and exponent[0] < 0):
            return UNKNOWN
        return _corners([float(np.power(x, y)) for x, y in product(base, exponent)])


def _corners(values: Sequence[float]) -> Ends:
    return (min(values), max(values)) if not np.isnan(values).any() else UNKNOWN
