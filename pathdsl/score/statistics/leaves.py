"""Quantities without `max`, `min` or `abs`: how each kind finds the ends of its interval.

A leaf gives its ends at any tail probability, one tail on each side, and its standardised
bootstrap deviations, from which several leaves get ends that hold together (see `intervals`).

- `Hull`: smooth in means (see `pivot`).
- `Share`: Clopper and Pearson's exact ends (see `shares`).
- `Order`: a median or quantile of independent prompts, by order statistics: k of n values lie below
  the q-quantile with a binomial probability, whatever they look like (Thompson 1936, Ann. Math.
  Statist. 7:122). Exact, and conservative by its steps.
- `Percentile`: other arithmetic with quantiles; the jackknife is inconsistent for them.
- `Correlated`: a correlation, on Fisher's scale. The hull of the bootstrap's quantiles, of these
  turned round the estimate, and of Student's t with the jackknife's error, around the estimate and
  around it less twice its bias. Noise in the values of members biases a correlation over them, and
  their resamples, which have the noise twice, by as much again and more.
- `Fixed`: a constant sample, or none at all.
- `Image`: arithmetic with a number around one of these, which is monotone.

`scipy.special` takes a tenth of a check of stored values to import: what is asked of it there is
kept in the book of the file, and it is imported where it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from pathdsl.score.statistics.book import Book, key_of
from pathdsl.score.statistics.ends import Ends
from pathdsl.score.statistics.pivot import Pivot
from pathdsl.score.statistics.shares import clopper_pearson

__all__ = ["Correlated", "Fixed", "Hull", "Image", "Leaf", "Order", "Percentile", "Share"]


class Leaf(Protocol):
    """What an interval needs of a quantity; `units` were resampled, None where ends are exact."""

    @property
    def method(self) -> str:
        """How the ends are found, in a word."""

    @property
    def units(self) -> int | None:
        """What was resampled."""

    def ends(self, tail: float) -> Ends:
        """The ends, each missed with probability `tail`; infinite where nothing is known."""

    def why(self, tail: float) -> str:
        """Why an end is infinite, "" where none is."""

    def deviations(self) -> np.ndarray:
        """(resamples,) bootstrap deviations in standard deviations; empty where none moves."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hull:
    """Smooth in means; `too_few(tail)` says why so few units do not reach a tail below `least`.

    `made` gives the pivot, resampled when it is first asked for. Its ends
    are kept in `book` under `key`.
    """

    made: Callable[[], Pivot]
    book: Book
    key: str
    too_few: Callable[[float], str]
    units: int
    least: float
    method: str = "hull"

    @property
    def pivot(self) -> Pivot:
        """The quantity under resampling."""
        return self.made()

    def ends(self, tail: float) -> Ends:
        """Those of the pivot, none where there are too few units."""
        if self.too_few(tail):
            return -np.inf, np.inf
        low, high = self.book.numbers(self.key, f"ends {tail!r}", lambda: self.pivot.ends(tail), 2)
        found = low, high
        return found if not np.isnan(found).any() else (-np.inf, np.inf)

    def why(self, tail: float) -> str:
        """Too few units, or a denominator that may be 0."""
        if reason := self.too_few(tail):
            return reason
        known = np.isfinite(self.ends(tail)).all()
        return "" if known else f"at {100 * (1 - 2 * tail):.6g}% a denominator may be 0"

    def p_value(self, threshold: float) -> float:
        """The smallest alpha whose interval is not withheld and leaves the threshold out."""
        (own,) = self.book.numbers(
            self.key, f"p {threshold!r}", lambda: (self.pivot.p_value(threshold),), 1
        )
        return min(1.0, max(own, 2 * self.least))

    def deviations(self) -> np.ndarray:
        """Those of the numerator less the estimate times the denominator."""
        return _standardised(self.pivot.moved())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """`hits` of `n`; `drawn` gives its bootstrap values where several leaves are judged.

    Its ends are kept in `book`.
    """

    hits: int
    n: int
    book: Book
    drawn: Callable[[], np.ndarray]
    method: str = "Clopper-Pearson"
    units: None = None

    def ends(self, tail: float) -> Ends:
        """Exact ends."""
        found = partial(clopper_pearson, self.hits, self.n, 1 - 2 * tail)
        key = key_of("share", self.hits, self.n)
        low, high = self.book.numbers(key, f"ends {tail!r}", found, 2)
        return low, high

    def why(self, tail: float) -> str:
        """Always known."""
        return ""

    def deviations(self) -> np.ndarray:
        """Standardised resamples."""
        return _standardised(self.drawn())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """The `q`-quantile of independent `values`, sorted; `drawn` are its bootstrap values.

    The ranks of its ends are kept in `book`.
    """

    values: np.ndarray
    q: float
    book: Book
    drawn: np.ndarray
    too_few: Callable[[float], str]
    method: str = "order statistics"
    units: None = None

    def ends(self, tail: float) -> Ends:
        """The innermost order statistics that hold the tail."""
        n = len(self.values)
        key = key_of("quantile", n, float(self.q))
        ranks = self.book.numbers(key, f"ranks {tail!r}", lambda: self._ranks(tail), 2)
        low, high = map(int, ranks)
        return (
            float(self.values[low - 1]) if low >= 1 else -np.inf,
            float(self.values[high - 1]) if high <= n else np.inf,
        )

    def _ranks(self, tail: float) -> tuple[int, int]:
        """The ranks of the ends, from 1; 0, and one more than there are values, where none is."""
        from scipy.special import bdtr

        n = len(self.values)
        # P(fewer than l values below the quantile) and P(u or more) are `tail` at most.
        below = bdtr(np.arange(n + 1), n, self.q)  # P(k or fewer of n)
        return int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1 - tail)) + 1

    def why(self, tail: float) -> str:
        """Too few values beyond the quantile."""
        return "" if np.isfinite(self.ends(tail)).all() else self.too_few(tail)

    def deviations(self) -> np.ndarray:
        """Standardised resamples."""
        return _standardised(self.drawn)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Percentile:
    """Quantiles of the bootstrap values `drawn`."""

    drawn: np.ndarray
    too_few: Callable[[float], str]
    units: int
    method: str = "percentile"

    def ends(self, tail: float) -> Ends:
        """The tails of the bootstrap distribution, outermost values where it has no more."""
        if self.too_few(tail):
            return -np.inf, np.inf
        found = np.nanquantile(self.drawn, (tail, 1 - tail))
        return float(found[0]), float(found[1])

    def why(self, tail: float) -> str:
        """Too few units or resamples."""
        return self.too_few(tail)

    def deviations(self) -> np.ndarray:
        """Standardised resamples."""
        return _standardised(self.drawn)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correlated:
    """A correlation r: arctanh of r and of its resamples `drawn`, and the jackknife's error.

    `most`: the correlation that stands for 1 there.
    """

    value: float
    error: float
    drawn: np.ndarray
    most: float
    too_few: Callable[[float], str]
    units: int
    method: str = "Fisher"

    def ends(self, tail: float) -> Ends:
        """The hull of them all, as correlations."""
        if self.too_few(tail):
            return -np.inf, np.inf
        from scipy.special import stdtrit

        reach = float(stdtrit(self.units - 1, 1 - tail)) * self.error
        low, high = (float(q) for q in np.nanquantile(self.drawn, (tail, 1 - tail)))
        z = self.value
        centres = z, z - 2 * (float(np.nanmean(self.drawn)) - z)
        least = min(low, 2 * z - high, *(centre - reach for centre in centres))
        most = max(high, 2 * z - low, *(centre + reach for centre in centres))
        edge = float(np.arctanh(self.most))
        return (
            -1.0 if least <= -edge else float(np.tanh(least)),
            1.0 if most >= edge else float(np.tanh(most)),
        )

    def why(self, tail: float) -> str:
        """Too few units or resamples."""
        return self.too_few(tail)

    def deviations(self) -> np.ndarray:
        """Standardised resamples."""
        return _standardised(self.drawn)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fixed:
    """Ends that resampling does not move; `at` gives them by tail, None where there are none."""

    at: Callable[[float], Ends | None]
    told: str = ""
    method: str = "exact"
    units: None = None

    def ends(self, tail: float) -> Ends:
        """The ends, or infinite ones."""
        return self.at(tail) or (-np.inf, np.inf)

    def why(self, tail: float) -> str:
        """Why there are none."""
        return "" if self.at(tail) is not None else self.told

    def deviations(self) -> np.ndarray:
        """Nothing moves."""
        return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """A leaf through a monotone function."""

    inner: Leaf
    through: Callable[[float], float]

    @property
    def method(self) -> str:
        """That of the inner leaf."""
        return self.inner.method

    @property
    def units(self) -> int | None:
        """Those of the inner leaf."""
        return self.inner.units

    def ends(self, tail: float) -> Ends:
        """The images of the inner ends, in order."""
        low, high = sorted(self.through(end) for end in self.inner.ends(tail))
        return low, high

    def why(self, tail: float) -> str:
        """That of the inner leaf."""
        return self.inner.why(tail)

    def deviations(self) -> np.ndarray:
        """Those of the inner leaf, to first order and but for their sign."""
        return self.inner.deviations()


def _standardised(values: np.ndarray) -> np.ndarray:
    """Deviations from the mean in standard deviations, 0 where undefined; empty if none moves."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(0)
    moved = np.where(known, values, values[known].mean()) - values[known].mean()
    spread = float(moved.std())
    return moved / spread if spread > 0 else np.zeros(0)
