"""How large an effect a unit may still have that was never patched alone.

A screening by gradients says which units to verify. The others are treated together, in random
subsets of which each unit is in a share p, and the effect I(S) of each subset S is measured. For a
unit n let d be the mean of I(S) over the subsets that hold it less that over those that do not, s
its standard error and v the degrees of freedom (Welch 1947, Biometrika 34:28). With T Student's
variable of v degrees,

    p(n) = P(T > (theta - |d|) / s)

is the p-value of "the effect of n is theta or more". That no unit has so large an effect is said
where the largest p(n) is small: were it false for one unit, that unit's own p(n) would be small by
chance alone, so nothing is corrected for their number. Turned around, the bound at a confidence 1 -
a is the largest |d| + t s of any unit, t being Student's quantile at 1 - a.

What is bounded is |E[I(S) | n in S] - E[I(S) | n not in S]|: what n adds inside a random subset, on
average, on the prompts at hand. It is no bound on the effect of n alone, nor on a single prompt.

Student's quantile is too small where a unit acts in few subsets, so it is replaced by that of the
studentised bootstrap over subsets where this is larger, up to three times as far, as intervals of
means are. There is no bound where a unit is in, or out of, fewer than `least` subsets: too few to
see it beside each other unit at the confidence asked for. Simulated: docs/levels.md.

Source: Kramár et al. 2024 (arXiv:2403.00745), section on bounding false negatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathdsl.draws import Draws

__all__ = [
    "CONFIDENCES", "FalseNegativeBound", "false_negative_bound", "least", "random_subsets",
    "subsets_for", "welch",
]  # fmt: skip

CONFIDENCES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Those of a curve, as far as there are enough subsets for them."""

FEWEST = 20
RESAMPLES = 2_000
WIDEST = 3.0
HUGE = 1e9
NOISE = 1e-12
BLOCK = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseNegativeBound:
    """What units may still do that were not patched alone, in the unit of the metric.

    `bound`: at `confidence` no unit's average effect inside a random subset is larger, either way;
    None where the subsets are too few, and `why` says so. `unit`: the place of the unit that sets
    it, -1 without one. `curve`: (bound, confidence) pairs, both ascending. `units`: how many are
    bounded; `subsets`: how many were run; `share`: of them each unit is in. `verified`: how many
    units were patched alone and are not among these.
    """

    bound: float | None
    confidence: float
    curve: tuple[tuple[float, float], ...]
    unit: int
    units: int
    subsets: int
    share: float
    verified: int
    why: str

    def confidence_of(self, theta: float) -> float:
        """The largest confidence of the curve at which no unit's effect is above `theta`, or 0."""
        return max((level for bound, level in self.curve if bound <= theta), default=0.0)

    @property
    def unseen(self) -> float:
        """The share of its subsets in which a unit may act, with others, without being seen to.

        What occurs in so many of the subsets that hold a unit occurred in none of those that were
        run with a probability of 1 - confidence: no bound knows of it.
        """
        held = round(min(self.share, 1 - self.share) * self.subsets)
        return 1 - (1 - self.confidence) ** (1 / held) if held else 1.0

    def __str__(self) -> str:
        what = f"{self.units:,} unverified unit{'s' * (self.units != 1)}"
        if not self.units:
            return "every unit was patched alone"
        if self.bound is None:
            return f"no bound on {what}: {self.why}"
        return (
            f"at {100 * self.confidence:g}% confidence none of {what} changes the metric by more "
            f"than {self.bound:.3g} on average inside random subsets of {100 * self.share:.3g}% "
            f"of them ({self.subsets:,} subsets); what one does in fewer than "
            f"{100 * self.unseen:.2g}% of the subsets that hold it may be missed"
        )


def least(confidence: float, share: float) -> int:
    """How many subsets must hold each unit, and how many must not.

    At least 20, and so many that another unit is in none of them with a probability of at most 1 -
    confidence.
    """
    rare = min(share, 1 - share)
    together = math.log(1 - confidence) / math.log(1 - rare)
    return max(FEWEST, math.ceil(together - 1e-9))


def subsets_for(confidence: float, share: float) -> int:
    """How many subsets a bound at a confidence takes where each unit is in a share of them."""
    return math.ceil(least(confidence, share) / min(share, 1 - share) - 1e-9)


def random_subsets(names: Sequence[str], count: int, share: float, seed: int) -> np.ndarray:
    """(count, units) bool: which subsets hold each unit, drawn by its name.

    Each unit is in `round(share * count)` of them, drawn apart from all others, so that inside one
    subset units are independent. ValueError for a share outside 0 to 1, or of no subset or all.
    """
    held = round(share * count)
    if not 0 < share < 1 or not 0 < held < count:
        raise ValueError(f"a share of {share:g} of {count} subsets is none of them, or all")
    inside = np.zeros((count, len(names)), dtype=bool)
    for unit, name in enumerate(names):
        inside[Draws(seed, "random subset", name).sample(range(count), held), unit] = True
    return inside


def false_negative_bound(
    effects: np.ndarray,
    membership: np.ndarray,
    *,
    confidence: float = 0.95,
    verified: int = 0,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> FalseNegativeBound:
    """The bound and its curve.

    Args:
        effects: (subsets,) the effect of treating each subset, or (subsets, prompts), of which the
            mean over prompts is taken.
        membership: (subsets, units) bool, as of `random_subsets`.
        verified: how many units were patched alone beside these; only told.
        seed, resamples: of the bootstrap over subsets.

    Raises:
        ValueError: shapes that do not fit, no unit, or a confidence outside 0.5 to 1.
    """
    values = np.asarray(effects, dtype=np.float64)
    values = values.mean(axis=1) if values.ndim == 2 else values
    inside = np.asarray(membership, dtype=bool)
    if values.ndim != 1 or inside.ndim != 2 or len(inside) != len(values) or not inside.size:
        raise ValueError(f"effects {np.shape(effects)} of subsets {inside.shape}")
    if not 0.5 <= confidence < 1:
        raise ValueError(f"a confidence of {confidence:g} is not between 0.5 and 1")
    count, units = inside.shape
    held = inside.sum(axis=0)
    share = float(held.mean()) / count
    there = int(min(held.min(), count - held.max()))
    enough = {
        level: there >= FEWEST and there >= least(level, share)
        for level in sorted({*CONFIDENCES, confidence})
    }
    why = ""
    if not np.isfinite(values).all():
        why = "the metric has no value in some subset"
    elif not enough[confidence]:
        why = (
            f"each unit is in, or out of, too few of {count:,} subsets for {100 * confidence:g}% "
            f"confidence (the fewest are {there})"
        )
        if 0 < share < 1:
            why += f"; {subsets_for(confidence, share):,} subsets are enough"
    levels = [] if why else [level for level, known in enough.items() if known]
    bounds, which = _bounds(values, inside, levels, seed, resamples) if levels else ([], [])
    found = dict(zip(levels, zip(bounds, which, strict=True), strict=True))
    bound, unit = found.get(confidence, (None, -1))
    return FalseNegativeBound(
        bound=bound, confidence=confidence, unit=unit, units=units, subsets=count, share=share,
        curve=tuple((found[level][0], level) for level in levels), verified=verified, why=why,
    )  # fmt: skip


def _bounds(
    values: np.ndarray, inside: np.ndarray, levels: Sequence[float], seed: int, resamples: int
) -> tuple[list[float], list[int]]:
    """At each level the bound, and the place of the unit that sets it."""
    difference, error, freedom = welch(values, inside)
    from scipy.stats import t as student

    t = student.ppf(np.asarray(levels)[:, None], freedom)  # (levels, units)
    bound = np.abs(difference) + t * error
    # Only units that may pass the largest of these have to be resampled.
    may = np.abs(difference) + WIDEST * t * error
    near = np.flatnonzero((may >= bound.max(axis=1)[:, None]).any(axis=0) & (error > 0))
    count = len(values)
    places = np.random.default_rng([seed, count]).integers(0, count, size=(resamples, count))
    places += count * np.arange(resamples)[:, None]
    times = np.bincount(places.ravel(), minlength=places.size).reshape(places.shape)
    drawn = _Sums(times.astype(np.float64), values)
    at = np.concatenate([1 - np.asarray(levels), levels])
    step = max(1, BLOCK // resamples)
    for start in range(0, len(near), step):
        units = near[start : start + step]
        d, s, least_t = difference[units], error[units], t[:, units]
        low, high = np.split(np.quantile(drawn.moved(inside[:, units], d), at, axis=1), 2)
        up = np.clip(-low, least_t, WIDEST * least_t)
        down = np.clip(high, least_t, WIDEST * least_t)
        bound[:, units] = np.maximum(d + up * s, down * s - d)
    which = bound.argmax(axis=1)
    return [float(row[n]) for row, n in zip(bound, which, strict=True)], [int(n) for n in which]


def welch(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference of means, its standard error and degrees of freedom, (units,) each."""
    difference, error, freedom = _Sums(np.ones((1, len(values))), values).welch(inside)
    return difference[:, 0], error[:, 0], freedom[:, 0]


class _Sums:
    """Resamples of subsets: how often each was drawn, (resamples, subsets), and what it adds."""

    def __init__(self, counts: np.ndarray, values: np.ndarray) -> None:
        centred = values - values.mean()
        self.drawn = [np.ascontiguousarray((counts * centred**n).T) for n in range(3)]
        self.total = [part.sum(axis=0) for part in self.drawn]

    def welch(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Difference of means, its standard error and degrees of freedom, (units, resamples)."""
        held = np.ascontiguousarray(inside.T, dtype=np.float64)
        of_in = [held @ part for part in self.drawn]
        of_out = [total - part for total, part in zip(self.total, of_in, strict=True)]
        noise = NOISE * self.total[2]  # what differences of sums round to
        means, spreads = [], []
        with np.errstate(divide="ignore", invalid="ignore"):
            for n, total, square in (of_in, of_out):
                means.append(total / n)
                squares = square - total * means[-1]
                spreads.append(np.where(squares > noise, squares, 0.0) / (n - 1) / n)
            both = spreads[0] + spreads[1]
            freedom = both**2 / (
                spreads[0] ** 2 / (of_in[0] - 1) + spreads[1] ** 2 / (of_out[0] - 1)
            )
        fewest = np.maximum(np.minimum(of_in[0], of_out[0]) - 1, 1)
        freedom = np.where(np.isfinite(freedom), freedom, fewest)
        return means[0] - means[1], np.sqrt(both), freedom

    def moved(self, inside: np.ndarray, difference: np.ndarray) -> np.ndarray:
        """(units, resamples): how far each resample is from the differences, in its own errors."""
        d, s, _ = self.welch(inside)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = (d - difference[:, None]) / s
        return np.clip(np.nan_to_num(moved, nan=0.0, posinf=HUGE, neginf=-HUGE), -HUGE, HUGE)
