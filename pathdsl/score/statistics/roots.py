"""Brent's method for a root in a bracket.

The steps of `scipy.optimize.brentq` (scipy/optimize/Zeros/brentq.c, after Brent 1973, chapter 4),
one by one, so that the root is the same to the last bit; a test compares them. Importing
scipy.optimize takes longer than all that a check of stored values does with it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan

__all__ = ["brentq"]

STEPS = 100


def brentq(f: Callable[[float], float], low: float, high: float, xtol: float, rtol: float) -> float:
    """A root of `f` between two places where it differs in sign.

    It is known to within xtol + rtol |root|. Raises ValueError where the signs are equal or `f` is
    not a number, and RuntimeError after `STEPS` steps.
    """

    def value(x: float) -> float:
        found = float(f(x))
        if isnan(found):
            raise ValueError(f"the function is not a number at {x!r}")
        return found

    before, now = float(low), float(high)
    f_before, f_now = value(before), value(now)
    if f_before == 0:
        return before
    if f_now == 0:
        return now
    if (f_before < 0) == (f_now < 0):
        raise ValueError("f(a) and f(b) must have different signs")
    block = f_block = step = last = 0.0
    for _ in range(STEPS):
        if f_before != 0 and f_now != 0 and (f_before < 0) != (f_now < 0):
            block, f_block = before, f_before
            step = last = now - before
        if abs(f_block) < abs(f_now):
            before, now, block = now, block, now
            f_before, f_now, f_block = f_now, f_block, f_now
        delta = (xtol + rtol * abs(now)) / 2
        half = (block - now) / 2
        if f_now == 0 or abs(half) < delta:
            return now
        if abs(last) > delta and abs(f_now) < abs(f_before):
            if before == block:  # a secant
                tried = -f_now * (now - before) / (f_now - f_before)
            else:  # an inverse parabola
                d_before = (f_before - f_now) / (before - now)
                d_block = (f_block - f_now) / (block - now)
                above = -f_now * (f_block * d_block - f_before * d_before)
                below = d_block * d_before * (f_block - f_before)
                tried = above / below if below else inf
            if 2 * abs(tried) < min(abs(last), 3 * abs(half) - delta):
                last, step = step, tried
            else:
                last = step = half
        else:
            last = step = half
        before, f_before = now, f_now
        if abs(step) > delta:
            now += step
        else:
            now += delta if half > 0 else -delta
        f_now = value(now)
    raise RuntimeError(f"no root after {STEPS} steps")
