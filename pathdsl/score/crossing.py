"""Smooth quantities over crossed rows: their standard error and the pivots of their intervals.

A quantity is g(means) of columns per prompt: an average is the mean of x over the mean of the mask
of its part, a standard deviation has the squares as well. With the gradient of g at the means the
variance is that of one column, the influence (see `crossed`); in each resample the pivot divides by
the standard error of that resample. Tasks that are drawn apart are independent, and so are the
halves of a search: their variances add up.

The interval is the hull of Student's t and the studentised pigeonhole, which is never wider than
three times the former. A ratio A/B > c is judged as A - cB > 0, the same with g = A - cB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from pathdsl.score.crossed import Table
from pathdsl.score.design import Design, Stratum
from pathdsl.score.evaluate import Evaluator, apply
from pathdsl.score.quantity import Aggregate, Constant, Op, Scalar, aggregates

__all__ = ["CAP", "Crossing", "Leaf", "averages", "crosses", "ends"]

CAP = 3.0
STEP = 1e-5
Values = Mapping[Aggregate, np.ndarray]


def crosses(design: Design) -> bool:
    """Whether some rows of a design cross in two fields."""
    return any(stratum.table is not None for stratum in design.strata)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leaf:
    """A smooth quantity: its estimate, standard error, degrees of freedom and sorted pivots T*."""

    estimate: float
    se: float
    df: float
    pivots: np.ndarray

    def ends(self, tail: float) -> tuple[float, float]:
        """The interval that leaves `tail` on either side."""
        if self.se == 0 or self.df <= 0:
            return self.estimate, self.estimate
        t = float(stdtrit(self.df, 1 - tail))
        beyond = int(np.floor(tail * (len(self.pivots) + 1)))
        high = self.pivots[-beyond] if beyond else np.inf
        low = -self.pivots[beyond - 1] if beyond else np.inf
        left, right = (float(np.clip(q, t, CAP * t)) * self.se for q in (high, low))
        return self.estimate - left, self.estimate + right


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sampled:
    """A smooth quantity: effects by stratum, and its value and slopes in each resample."""

    estimate: float
    effects: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    values: np.ndarray
    slopes: np.ndarray
    known: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)


class Crossing:
    """The means of some averages and their resamples, for any smooth quantity that is made of them.

    `generators` gives each stratum its own, as `Design.resamples` does.
    """

    def __init__(
        self,
        means: tuple[Aggregate, ...],
        design: Design,
        evaluator: Evaluator,
        count: int,
        generator: Callable[[Stratum], np.random.Generator],
    ) -> None:
        self.means = means
        self.evaluator = evaluator
        self.count = count
        self.generator = generator
        self._strata: list[tuple[Stratum, Table, np.ndarray]] = []
        self._places: dict[Aggregate, list[tuple[int, int]]] = {mean: [] for mean in means}
        self._centre = {mean: self._middle(mean) for mean in means}
        for stratum in design.strata:
            inside = stratum.unit >= 0
            own = [mean for mean in means if design.keys[mean.task] == stratum.key]
            columns = [self._columns(mean, inside) for mean in own]
            start = sum(found.shape[1] for _, _, found in self._strata)
            for mean, found in zip(own, columns, strict=True):
                self._places[mean].append((start, int(inside.sum())))
                start += found.shape[1]
            unit = stratum.unit[inside]
            table = stratum.table or Table(unit, np.zeros_like(unit))
            self._strata.append((stratum, table, np.concatenate(columns, axis=1)))

    def _middle(self, mean: Aggregate) -> float:
        x = self.evaluator.vector(mean)[self.evaluator.mask(mean)]
        return float(x.mean()) if len(x) else 0.0

    def _columns(self, mean: Aggregate, inside: np.ndarray) -> np.ndarray:
        """(rows, 2) mask and centred values of an average; of `std` (rows, 3), with squares."""
        mask = self.evaluator.mask(mean)[inside]
        x = np.where(mask, self.evaluator.vector(mean)[inside] - self._centre[mean], 0.0)
        return np.stack([mask, x] if mean.kind == "mean" else [mask, x, x**2], axis=1)

    @cached_property
    def _observed(self) -> np.ndarray:
        return np.concatenate([sums.mean(axis=0) for _, _, sums in self._strata])

    @cached_property
    def _resampled(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [
            table.resamples(sums, self.count, self.generator(stratum))
            for stratum, table, sums in self._strata
        ]

    def _values(self, means: np.ndarray) -> Values:
        """Each average from (…, columns) means of the columns."""
        found = {}
        for mean, places in self._places.items():
            wide = 2 if mean.kind == "mean" else 3
            sums = sum(rows * means[..., at : at + wide] for at, rows in places)
            total = sums[..., 0]
            average = sums[..., 1] / total
            if mean.kind == "mean":
                found[mean] = self._centre[mean] + average
            else:
                spread = np.maximum(sums[..., 2] / total - average**2, 0.0)
                found[mean] = np.sqrt(spread * total / (total - 1))
        return found

    def _gradient(self, node: Scalar, means: np.ndarray) -> np.ndarray:
        """(…, columns) by central differences; columns are centred, so that steps are absolute."""
        found = np.empty_like(means)
        for place in range(means.shape[-1]):
            step = STEP * float(self._scale[place])
            if step == 0:
                found[..., place] = 0.0
                continue
            up, down = means.copy(), means.copy()
            up[..., place] += step
            down[..., place] -= step
            found[..., place] = (_on(node, self._values(up)) - _on(node, self._values(down))) / (
                2 * step
            )
        return found

    @cached_property
    def _scale(self) -> np.ndarray:
        return np.concatenate([np.abs(sums).mean(axis=0) for _, _, sums in self._strata])

    def leaf(self, node: Scalar) -> Leaf:
        """A smooth quantity of these averages, with its pivots."""
        return self._leaf([self._sampled(node)], np.ones(1))

    def score(self, above: Scalar, below: Scalar) -> Callable[[float], Leaf]:
        """A - cB by c."""
        parts = [self._sampled(above), self._sampled(below)]
        return lambda c: self._leaf(parts, np.array([1.0, -c]))

    def _sampled(self, node: Scalar) -> _Sampled:
        with np.errstate(all="ignore"):
            observed = self._gradient(node, self._observed)
            effects = []
            at = 0
            for _, table, sums in self._strata:
                own = observed[at : at + sums.shape[1]]
                effects.append(table.effects((sums - sums.mean(axis=0)) @ own))
                at += sums.shape[1]
            means = np.concatenate([found for found, _ in self._resampled], axis=1)
            return _Sampled(
                estimate=float(_on(node, self._values(self._observed))),
                effects=effects,
                values=np.broadcast_to(_on(node, self._values(means)), (self.count,)),
                slopes=self._gradient(node, means),
            )

    def _covariance(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(resamples,) of two quantities with these slopes."""
        found = np.zeros(len(left))
        at = 0
        for means, covariance in self._resampled:
            part = slice(at, at + means.shape[1])
            found += np.einsum("bi,bij,bj->b", left[:, part], covariance, right[:, part])
            at += means.shape[1]
        return found

    def _leaf(self, sampled: Sequence[_Sampled], factors: np.ndarray) -> Leaf:
        """The sum of quantities, each times its factor."""
        parts = [
            table.variance(
                tuple(
                    sum(f * one.effects[i][way] for f, one in zip(factors, sampled, strict=True))
                    for way in range(3)
                )  # type: ignore[arg-type]
            )
            for i, (_, table, _) in enumerate(self._strata)
        ]
        variance = sum(part.total for part in parts)
        below = sum(part.total**2 / part.df for part in parts if part.df > 0)
        df = variance**2 / below if below > 0 else max(part.df for part in parts)
        estimate = float(sum(f * one.estimate for f, one in zip(factors, sampled, strict=True)))
        with np.errstate(all="ignore"):
            moved = sum(f * one.values for f, one in zip(factors, sampled, strict=True)) - estimate
            spread = np.zeros(self.count)
            for f, one in zip(factors, sampled, strict=True):
                for g, other in zip(factors, sampled, strict=True):
                    spread = spread + f * g * self._products(one, other)
            tiny = 1e-9 * variance
            pivots = np.where(
                spread > tiny, moved / np.sqrt(np.maximum(spread, tiny)), np.sign(moved) * np.inf
            )
        pivots = np.sort(pivots[~np.isnan(pivots)])
        return Leaf(estimate=estimate, se=float(np.sqrt(variance)), df=df, pivots=pivots)

    def _products(self, one: _Sampled, other: _Sampled) -> np.ndarray:
        key = (id(one), id(other))
        if key not in one.known:
            one.known[key] = self._covariance(one.slopes, other.slopes)
        return one.known[key]


def _on(node: Scalar, values: Values) -> np.ndarray:
    """A smooth quantity where its averages have these values, elementwise."""
    match node:
        case Constant(value=value):
            return np.asarray(value)
        case Aggregate():
            return np.asarray(values[node])
        case Op(op=op, args=args):
            return apply(op, [_on(arg, values) for arg in args])
        case _:
            raise ValueError("the largest of some quantities is no smooth one")


def ends(crossing: Crossing, node: Scalar, tail: float) -> tuple[float, float]:
    """The interval of a quantity that leaves `tail` on either side; infinite where unbounded.

    A quotient A/B has the values c with 0 in the interval of A - cB.
    """
    if not (isinstance(node, Op) and node.op == "/" and averages(node.args[1])):
        return crossing.leaf(node).ends(tail)
    above, below = node.args
    score, whole = crossing.score(above, below), crossing.leaf(node)
    sign = np.sign(crossing.leaf(below).estimate)

    def excluded(c: float, side: int) -> bool:
        low, high = score(c).ends(tail)
        return bool(low > 0 if side * sign < 0 else high < 0)

    found = []
    for side in (-1, 1):
        step = max(2.0 * whole.se, 1e-12 * max(1.0, abs(whole.estimate)))
        near = whole.estimate
        for _ in range(30):
            far = whole.estimate + side * step
            if excluded(far, side):
                break
            near, step = far, 2 * step
        else:
            found.append(side * np.inf)
            continue
        for _ in range(36):
            middle = (near + far) / 2
            near, far = (near, middle) if excluded(middle, side) else (middle, far)
        found.append(far)
    return found[0], found[1]


def averages(node: Scalar) -> tuple[Aggregate, ...]:
    """The averages that a quantity is made of, each once."""
    return tuple(dict.fromkeys(aggregates(node)))
