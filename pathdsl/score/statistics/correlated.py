"""Correlations on resamples of the prompts: over the prompts, and over members whose values move.

Over the prompts the sums are weighted by how often each row was drawn. Ranks are midranks of the
weighted sample, as they are in the sample in which each row is repeated that often, so equal values
share a rank. Over members the values of the members move with the prompts, and the members stay.

Source: Spearman 1904, Am. J. Psychol. 15:72; Fisher 1921, Metron 1:3 (arctanh).
"""

from __future__ import annotations

import numpy as np

__all__ = ["fisher", "of_members", "of_prompts"]

LARGEST = 1 - 1e-12
"""A correlation nearer to 1 is 1 but for the last digits."""


def of_prompts(x: np.ndarray, y: np.ndarray, w: np.ndarray, *, ranked: bool) -> np.ndarray:
    """(resamples,) the correlation of `x` and `y` (rows,) under `w` (resamples, rows)."""
    if ranked:
        return _weighted(ranks(x, w), ranks(y, w), w)
    # Centred first, so that a large mean takes no digits; one product gives each sum.
    return _weighted((x - x.mean())[None], (y - y.mean())[None], w)


def of_members(x: np.ndarray, y: np.ndarray, *, ranked: bool) -> np.ndarray:
    """(resamples,) the correlation of `x` and `y` (members, resamples) over the members."""
    if ranked:
        x, y = _midranks(x), _midranks(y)
    with np.errstate(all="ignore"):
        a, b = x - x.mean(axis=0), y - y.mean(axis=0)
        found = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray(np.clip(found, -1.0, 1.0))


def ranks(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(resamples, rows) the midrank of each row in the weighted sample."""
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    tied = np.add.reduceat(w[:, order], first, axis=1)
    middle = np.cumsum(tied, axis=1) - (tied - 1) / 2
    lengths = np.diff(np.append(first, len(x)))
    found = np.empty_like(w)
    found[:, order] = np.repeat(middle, lengths, axis=1)
    return found


def largest(members: int, *, ranked: bool) -> float:
    """What stands for a correlation of 1 on Fisher's scale, where 1 is infinite.

    Of few ranks 1 is the end of a coarse scale: next to it is 1 - 12 / (n³ - n), two neighbours in
    the other order. It stands for all that rounds to it, halfway to the next.
    """
    if not ranked or members < 3:
        return LARGEST
    return 1 - 6 / (members**3 - members)


def fisher(r: np.ndarray, most: float = LARGEST) -> np.ndarray:
    """arctanh, that of `most` at 1."""
    return np.asarray(np.arctanh(np.clip(r, -most, most)))


def _weighted(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        n = w.sum(axis=1)
        mx, my = (w * x).sum(axis=1) / n, (w * y).sum(axis=1) / n
        xy = (w * x * y).sum(axis=1) / n - mx * my
        xx = (w * x**2).sum(axis=1) / n - mx**2
        yy = (w * y**2).sum(axis=1) / n - my**2
        flat = 1e-13 * (x**2).max(initial=0.0)
        flat_y = 1e-13 * (y**2).max(initial=0.0)
        found = np.where((xx > flat) & (yy > flat_y), xy / np.sqrt(xx * yy), np.nan)
    return np.asarray(np.clip(found, -1.0, 1.0))


def _midranks(x: np.ndarray) -> np.ndarray:
    """(members, resamples) midranks within each resample."""
    below = (x[None] < x[:, None]).sum(axis=1)
    alike = (x[None] == x[:, None]).sum(axis=1)
    return np.asarray(below + (alike + 1) / 2)
