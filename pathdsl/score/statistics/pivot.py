r"""Ends of intervals for smooth quantities: the hull of Student's t and the studentised bootstrap.

With theta the quantity, se_J its jackknife standard error, and for each resample the pivot
T* = (theta* - theta) / se*, se* by the resample's own influences, the ends at a tail of p are

    theta - clip(Q_(1-p)(T*), t, 3 t) se_J        theta + clip(-Q_p(T*), t, 3 t) se_J

with t the quantile of Student's distribution at 1 - p. The bootstrap lengthens the side of a long
tail (Efron 1979, Ann. Statist. 7:1; Hall 1988, Ann. Statist. 16:927), Student's t holds where
heavy tails make resamples too even; the longer of both misses no more than the better of them. The
cap keeps ends finite where few values differ from 0.

A quotient A/B, B > 0, exceeds c where A - cB exceeds 0, so its ends are the c at which the hull of
the mean of A - cB ends at 0 (Fieller 1954, J. R. Stat. Soc. B 16:175). The quotient itself is
skewed and its tails miss unevenly; A - cB is not. Every smooth quantity is held as such a
numerator over a denominator, which is 1 where nothing is divided.

The p-value against c is the smallest alpha whose interval leaves c out.

Several samples (tasks, halves) have their variances added, with Welch's degrees of freedom
(Biometrika 34:28, 1947). Rows that cross in two fields have the variance of `crossed`, with its
degrees of freedom and its resamples. docs/levels.md has the levels that were measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pathdsl.score.statistics.crossed import Effects, Table, Variance
from pathdsl.score.statistics.design import Design
from pathdsl.score.statistics.moments import Moments
from pathdsl.score.statistics.resamples import Resamples
from pathdsl.score.statistics.roots import brentq

__all__ = ["CAP", "Cells", "Pivot", "Spread", "Units", "pivot_of"]

CAP = 3.0
TINY = 1e-9
ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Variance of `A - cB` as a function of c: `aa - 2 c ab + c^2 bb`, numbers or arrays."""

    aa: np.ndarray
    ab: np.ndarray
    bb: np.ndarray

    def at(self, c: float) -> np.ndarray:
        """The variance, never below 0."""
        if c == 0.0:
            return np.maximum(self.aa, 0.0)
        return np.maximum(self.aa - 2 * c * self.ab + c**2 * self.bb, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """Independent units of one stratum: jackknife variance, and that of their influences."""

    jackknife: Spread
    influence: Spread
    size: int

    def error(self, c: float) -> tuple[float, float]:
        """The variance of A - cB and its degrees of freedom."""
        return float(self.jackknife.at(c)), float(self.size - 1)

    def scale(self, c: float) -> float:
        """The variance by influences, against which a resample's spread is nothing."""
        return float(self.influence.at(c))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Crossed rows of one stratum: their table, and the effects of A and B on it."""

    table: Table
    above: Effects
    below: Effects

    def variance(self, c: float) -> Variance:
        """Of A - cB, in its parts."""
        pairs = zip(self.above, self.below, strict=True)
        rows, columns, cells = (a - c * b for a, b in pairs)
        return self.table.variance((rows, columns, cells))

    def error(self, c: float) -> tuple[float, float]:
        """The variance of A - cB and its degrees of freedom."""
        found = self.variance(c)
        return found.total, found.df

    def scale(self, c: float) -> float:
        """The variance."""
        return self.variance(c).total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pivot:
    """A smooth quantity A/B on the prompts seen and under resampling.

    `above`, `below`: A and B, B > 0. `samples` have their variances, by stratum. `above_drawn` and
    `below_drawn` (resamples,) are A* and B*, `drawn` the variances by the resamples' own
    influences. `limit` bounds the degrees of freedom.
    """

    above: float
    below: float
    divided: bool
    samples: tuple[Units | Cells, ...]
    above_drawn: np.ndarray
    below_drawn: np.ndarray
    drawn: Spread
    limit: float

    @property
    def estimate(self) -> float:
        """A/B."""
        return self.above / self.below

    @property
    def values(self) -> np.ndarray:
        """(resamples,) A*/B*."""
        with np.errstate(all="ignore"):
            return self.above_drawn / self.below_drawn if self.divided else self.above_drawn

    # ---------------------------------------------------------------------------------------------
    # Against a threshold
    # ---------------------------------------------------------------------------------------------

    def gap(self, c: float) -> float:
        """A - cB."""
        return self.above - c * self.below

    def error(self, c: float) -> float:
        """The standard error of A - cB."""
        return float(np.sqrt(sum(sample.error(c)[0] for sample in self.samples)))

    def freedom(self, c: float) -> float:
        """Degrees of freedom: n - 1, or Welch's for several samples; 0 where none is left."""
        parts = [sample.error(c) for sample in self.samples]
        total = sum(variance for variance, _ in parts)
        below = sum(variance**2 / df for variance, df in parts if df > 0)
        found = total**2 / below if below > 0 else min(df for _, df in parts)
        return min(self.limit, found)

    def scaled(self, c: float) -> np.ndarray:
        """(resamples,) T* of A - cB, unordered; infinite where a resample has no spread."""
        moved = self.above_drawn - self.above
        if c != 0.0:
            moved = moved - c * (self.below_drawn - self.below)
        variance = self.drawn.at(c)
        least = TINY * sum(sample.scale(c) for sample in self.samples)
        size = 1e-12 * (abs(self.above) + abs(c * self.below) + 1e-300)
        with np.errstate(all="ignore"):
            flat = np.where(np.abs(moved) <= size, 0.0, np.sign(moved) * np.inf)
            found = np.where(variance > least, moved / np.sqrt(np.maximum(variance, least)), flat)
        return found[~np.isnan(found)]

    def moved(self) -> np.ndarray:
        """(resamples,) A* - theta B*: how the quantity moves, to first order and times B."""
        return self.above_drawn - self.estimate * self.below_drawn

    def reach(self, c: float, tail: float) -> tuple[float, float]:
        """How many standard errors the lower and the upper end are away from A - cB."""
        from scipy.special import stdtrit  # see `leaves`

        t = float(stdtrit(self.freedom(c), 1 - tail))
        pivots = self.scaled(c)
        k = int(np.floor(tail * (len(pivots) + 1) + 1e-9))
        if k < 1 or not len(pivots):
            return CAP * t, CAP * t
        ordered = np.partition(pivots, (k - 1, len(pivots) - k))
        low, high = float(ordered[len(pivots) - k]), -float(ordered[k - 1])
        return min(max(low, t), CAP * t), min(max(high, t), CAP * t)

    # ---------------------------------------------------------------------------------------------
    # Ends and p-values
    # ---------------------------------------------------------------------------------------------

    def ends(self, tail: float) -> tuple[float, float]:
        """The ends at one tail on each side; infinite where B may be 0."""
        if not self.divided:
            low, high = self.reach(0.0, tail)
            error = self.error(0.0)
            return self.above - low * error, self.above + high * error
        return self._end(tail, -1.0), self._end(tail, 1.0)

    def _end(self, tail: float, side: float) -> float:
        """The c on one side of A/B at which the hull of A - cB ends at 0."""

        def beyond(c: float) -> float:
            # Positive where c is inside: the gap is no longer than its hull on that side.
            low, high = self.reach(c, tail)
            reach = low if side < 0 else high
            return reach * self.error(c) + side * self.gap(c)

        start, step = self.estimate, self._step()
        if beyond(self._far(side)) >= 0:
            return side * np.inf  # B may be 0 or below: what lies beyond the first root is inside
        inside, outside = start, start + side * 2 * step
        for _ in range(60):
            if beyond(outside) < 0:
                break
            inside, outside = outside, start + 2 * (outside - start)
        else:
            return side * np.inf
        if beyond(inside) <= 0:
            return inside
        return float(brentq(beyond, inside, outside, xtol=1e-12 * (abs(start) + step), rtol=1e-12))

    def _step(self) -> float:
        """About a standard error of A/B."""
        start = self.estimate
        return max(self.error(start) / self.below, 1e-12 * abs(start), 1e-300)

    def _far(self, side: float) -> float:
        """A number so large that A - cB is told from 0 as B is."""
        return self.estimate + side * 2.0**60 * self._step()

    def p_value(self, c: float) -> float:
        """The smallest alpha whose interval does not hold c; 1 where it is the estimate itself.

        No less than that of B against 0: an interval at a smaller alpha has no ends.
        """
        found = self._p_value(c)
        return max(found, self._p_value(self._far(1.0))) if self.divided else found

    def _p_value(self, c: float) -> float:
        gap, error = self.gap(c), self.error(c)
        if gap == 0.0:
            return 1.0
        if error == 0.0:
            return 0.0
        from scipy.special import stdtr

        t, freedom = gap / error, self.freedom(c)
        pivots = self.scaled(c)
        more = (pivots >= t).sum() if t > 0 else (pivots <= t).sum()
        drawn = (int(more) + 1) / (len(pivots) + 1)
        plain, capped = (float(stdtr(freedom, -abs(t) / x)) for x in (1.0, CAP))
        return min(1.0, 2 * max(plain, min(drawn, capped)))


# -------------------------------------------------------------------------------------------------
# From prompts
# -------------------------------------------------------------------------------------------------


def pivot_of(
    moments: Moments, design: Design, resamples: Resamples, *, divided: bool, limit: float
) -> Pivot:
    """The pivot of two compiled quantities, A and B."""
    above, below = moments.outputs
    totals = moments.totals
    values = moments.values(totals)
    a, b = float(values[above][0]), float(values[below][0])
    sign = -1.0 if b < 0 else 1.0  # a quotient by a negative denominator is that of both turned
    slopes = [sign * moments.gradient(out, totals, values)[0] for out in (above, below)]
    samples: list[Units | Cells] = []
    for place, stratum in enumerate(design.strata):
        columns = moments.columns[place]
        if stratum.table is None:
            jackknife, influence = _left_out(moments, place), _influences(columns, slopes)
            samples.append(Units(jackknife=jackknife, influence=influence, size=len(columns)))
        else:
            table, centred = stratum.table, columns - columns.mean(axis=0)
            up, down = (table.effects(table.n * (centred @ slope)) for slope in slopes)
            samples.append(Cells(table=table, above=up, below=down))
    drawn = [_resampled(moments, parts, divided) for parts in _drawn(moments, design, resamples)]
    aa, ab, bb, ups, downs = (np.concatenate(part) for part in zip(*drawn, strict=True))
    return Pivot(
        above=sign * a,
        below=sign * b,
        divided=divided,
        samples=tuple(samples),
        above_drawn=sign * ups,
        below_drawn=sign * downs,
        drawn=Spread(aa, ab, bb),
        limit=limit,
    )


_Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of some resamples of one stratum: (b, columns) totals, which columns vary, their covariances."""


def _drawn(moments: Moments, design: Design, resamples: Resamples) -> Iterator[list[_Part]]:
    """The resamples in blocks whose covariances fit, each a part for every stratum."""
    size = max(1, ENTRIES // max(1, moments.totals.shape[1]) ** 2)
    crossed = {
        place: _pigeonhole(moments.columns[place], stratum.table, resamples.count,
                           resamples.generator(stratum))
        for place, stratum in enumerate(design.strata)
        if stratum.table is not None
    }  # fmt: skip
    done = 0
    for counts in resamples.unit_counts(design):
        for start in range(0, len(counts[0]), size):
            block = [w[start : start + size] for w in counts]
            until = done + len(block[0])
            parts = []
            for place, columns in enumerate(moments.columns):
                if place in crossed:
                    totals, moving, cov = crossed[place]
                    parts.append((totals[done:until], moving, cov[done:until]))
                else:
                    parts.append(_moments_of(block[place], columns))
            yield parts
            done = until


def _pigeonhole(
    columns: np.ndarray, table: Table, count: int, generator: np.random.Generator
) -> _Part:
    """All resamples of crossed rows, their totals scaled to as many prompts as there are."""
    means, cov = table.resamples(columns, count, generator)
    return table.n * means, np.arange(columns.shape[1]), table.n**2 * cov


def _left_out(moments: Moments, place: int) -> Spread:
    """The jackknife's variances and covariance of A and B over the units of one stratum."""
    columns = moments.columns[place]
    n = len(columns)
    if n < 2:
        return _spread(0.0, np.zeros(n), np.zeros(n))
    values = moments.values(moments.totals - columns)
    return _spread((n - 1) / n, *(values[out] for out in moments.outputs))


def _influences(columns: np.ndarray, slopes: list[np.ndarray]) -> Spread:
    n = len(columns)
    if n < 2:
        return _spread(0.0, np.zeros(n), np.zeros(n))
    return _spread(n / (n - 1), *(columns @ slope for slope in slopes))


def _spread(factor: float, a: np.ndarray, b: np.ndarray) -> Spread:
    """`factor` times the sums of squares and products of A and B around their means."""
    a, b = (x - x.mean() if len(x) else x for x in (a, b))
    return Spread(*(factor * np.asarray((x * y).sum()) for x, y in ((a, a), (a, b), (b, b))))


def _resampled(
    moments: Moments, parts: list[_Part], divided: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Variances of A and B, their covariance, and A and B themselves in each resample."""
    totals = sum((total for total, _, _ in parts[1:]), parts[0][0])
    values = moments.values(totals)
    up, down = (values[out] for out in moments.outputs)
    first = moments.gradient(moments.outputs[0], totals, values)
    zero = np.zeros(len(up))
    if not divided:
        return _product(first, first, parts), zero, zero, up, down
    second = moments.gradient(moments.outputs[1], totals, values)
    pairs = ((first, first), (first, second), (second, second))
    aa, ab, bb = (_product(left, right, parts) for left, right in pairs)
    return aa, ab, bb, up, down


def _moments_of(w: np.ndarray, columns: np.ndarray) -> _Part:
    """A part of independent units from how often each was drawn, (b, units)."""
    n = len(columns)
    moving = np.flatnonzero(np.ptp(columns, axis=0) > 0) if n else np.arange(0)
    totals = np.tile(columns.sum(axis=0), (len(w), 1))
    s = columns[:, moving]
    i, j = np.triu_indices(len(moving))
    sums = w @ np.concatenate([s, s[:, i] * s[:, j]], axis=1)
    totals[:, moving] = sums[:, : len(moving)]
    cov = np.zeros((len(w), len(moving), len(moving)))
    if n > 1:
        shared = sums[:, len(moving) :] - sums[:, i] * sums[:, j] / n
        cov[:, i, j] = cov[:, j, i] = shared * n / (n - 1)
    return totals, moving, cov


def _product(left: np.ndarray, right: np.ndarray, parts: list[_Part]) -> np.ndarray:
    """(b,) covariance of two quantities with these gradients, added over strata."""
    found = np.zeros(len(left))
    for _, moving, cov in parts:
        found += np.einsum("bi,bij,bj->b", left[:, moving], cov, right[:, moving])
    return found
