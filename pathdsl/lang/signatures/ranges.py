"""Between which values a quantity lies whatever the model does: intervals and arithmetic on them.

Both ends are in. The ends are those that the same arithmetic on values gives, so that rounding,
which keeps the order of numbers, leads no value out of its range.

Source: interval arithmetic, Moore 1966; the ranges of measures and scores are in docs/scores.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan

__all__ = [
    "ANY", "NOT_BELOW_0", "SHARE", "Range", "apply", "hull", "largest", "point", "size", "smallest",
    "spread",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `low` to `high`."""

    low: float
    high: float

    @property
    def is_point(self) -> bool:
        """Whether there is one value only."""
        return self.low == self.high

    @property
    def bounded(self) -> bool:
        """Whether it says anything."""
        return isfinite(self.low) or isfinite(self.high)

    def holds(self, value: float) -> bool:
        """Whether a value lies in it."""
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """By how much two values may differ."""
        return self.high - self.low if isfinite(self.low) and isfinite(self.high) else inf

    @property
    def distance(self) -> Range:
        """How far two values may lie apart."""
        return Range(0.0, self.width)

    @property
    def change(self) -> Range:
        """What one value less another may be."""
        return Range(-self.width, self.width)


ANY = Range(-inf, inf)
NOT_BELOW_0 = Range(0.0, inf)
SHARE = Range(0.0, 1.0)


def point(value: float) -> Range:
    """One value."""
    return Range(value, value)


def hull(values: Sequence[float]) -> Range:
    """From the least value to the largest; what has no value may be anything."""
    if any(isnan(value) for value in values):
        return ANY
    return Range(min(values), max(values))


def smallest(args: Sequence[Range]) -> Range:
    """The smallest of several values."""
    return Range(min(a.low for a in args), min(a.high for a in args))


def largest(args: Sequence[Range]) -> Range:
    """The largest of several values."""
    return Range(max(a.low for a in args), max(a.high for a in args))


def size(args: Sequence[Range]) -> Range:
    """|x|."""
    (x,) = args
    ends = abs(x.low), abs(x.high)
    return Range(0.0 if x.holds(0.0) else min(ends), max(ends))


def spread(args: Sequence[Range]) -> Range:
    """A standard deviation with n - 1: of two values it is their distance by the root of 2."""
    return Range(0.0, args[0].width / 2**0.5 * (1 + 1e-12))


def apply(op: str, left: Range, right: Range) -> Range:
    """An operator of the language, `+ - * / ^`."""
    match op:
        case "+":
            return _sum(left, right)
        case "-":
            return _sum(left, Range(-right.high, -right.low))
        case "*":
            return _product(left, right)
        case "/":
            return _quotient(left, right)
        case "^":
            return _power(left, right)
        case _:
            raise ValueError(f"no range of `{op}` is known")


def _sum(left: Range, right: Range) -> Range:
    return Range(left.low + right.low, left.high + right.high)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _product(left: Range, right: Range) -> Range:
    return hull([_times(a, b) for a in (left.low, left.high) for b in (right.low, right.high)])


def _quotient(above: Range, below: Range) -> Range:
    """Where the denominator can be 0 the quotient has no value there; it may still be any near."""
    if below.low < 0 < below.high or below == point(0.0):
        return ANY
    if below.low == 0 or below.high == 0:
        # Of one sign, and as near to 0 as you like: the quotient keeps its sign and no size.
        far = below.high if below.low == 0 else below.low
        ends = [_over(end, far) for end in (above.low, above.high)]
        signed = [inf if end * far > 0 else -inf for end in (above.low, above.high) if end != 0]
        return hull([*ends, *signed, *([0.0] if above.holds(0.0) else [])])
    ends = [_over(a, b) for a in (above.low, above.high) for b in (below.low, below.high)]
    return hull(ends)


def _over(a: float, b: float) -> float:
    if a == 0:
        return 0.0
    if not isfinite(b):
        return 0.0 if isfinite(a) else float("nan")
    return a / b


def _power(base: Range, exponent: Range) -> Range:
    if not exponent.is_point or not isfinite(exponent.low):
        return ANY
    n = exponent.low
    if n == 0:
        return point(1.0)
    if n < 0 and base.low <= 0:
        return ANY
    if base.low < 0:
        if n != int(n):
            return ANY
        ends = [_raised(base.low, n), _raised(base.high, n)]
        return Range(0.0, max(ends)) if n % 2 == 0 and base.holds(0.0) else hull(ends)
    return hull([_raised(base.low, n), _raised(base.high, n)])


def _raised(base: float, n: float) -> float:
    try:
        return float(base**n)
    except OverflowError:
        return inf if base > 0 or n % 2 == 0 else -inf
