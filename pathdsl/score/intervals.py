"""Confidence intervals of quantities, two-sided and central.

Four methods, chosen by what the quantity is (semantics.md section 6):

- **BCa** for smooth statistics. With the bootstrap distribution G of the estimate t, the bias
  z0 = Phi^-1(G(t)) and the acceleration a from the jackknife, the end point at probability p is the
  quantile of G at Phi(z0 + (z0 + z_p) / (1 - a (z0 + z_p))). Second-order accurate and invariant
  under monotone maps: Efron 1987, J. Amer. Statist. Assoc. 82:171; with several samples the
  acceleration pools their jackknife influences (Efron and Tibshirani 1993, chapter 14). A
  resample of n clusters spreads less than a sample, by sqrt((n - 1)/n), and does not know by how
  much, which Student's t corrects: z_p is sqrt(n/(n - 1)) t_(n-1, p) (Hesterberg 2015, Amer.
  Statist. 69:371, section 5.3, expands the percentile interval so).
- **percentile** for medians, quantiles, minima and maxima, where the jackknife is inconsistent.
- **Clopper-Pearson** for shares of prompts, exact (see `shares`).
- **none** for another constant sample below `FEWEST` clusters, whose spread says nothing. From
  there on the interval is the point, or for counts what may be left unseen (see `shares`).

Two more samples have none. No resample goes beyond the least and the largest value, and all n
clusters lie on one side of a quantity at the q-quantile with probability q^n (q = 1/2 for a mean of
a symmetric sample): where that is more than alpha/2, no bootstrap reaches the level. And where B
resamples have not one beyond the tail, alpha/2 (B + 1) < 1, they do not show where it begins.

Two rules avoid statistics that no bootstrap handles. The interval of |d| is the image of that of d,
since a bootstrap of |d| is biased upward at 0. And the largest of m members, max_k t_k, has the
interval [max_k low_k at 1 - alpha/m, max_k high_k at 1 - alpha]: above, the member that is truly
the largest is covered at its own level; below, one member must pass Bonferroni, which is Holm's
first step. That is the rule for worst-of-K scores, and dually for the smallest.

Values used as treated values are held fixed: no interval covers the choice of their prompts.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, log

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from pathdsl.score.crossing import Crossing, averages, crosses, ends
from pathdsl.score.design import Design, Weights, design_of, generator_of
from pathdsl.score.evaluate import Evaluator
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Op,
    Scalar,
    Worst,
    aggregates,
    is_constant,
    lift_worst,
    mean,
    row_denominators,
    smooth,
)  # fmt: skip
from pathdsl.score.shares import clopper_pearson, hits, of_counts, unseen

__all__ = ["FEWEST", "Bootstrap", "Interval", "reach"]

FEWEST = 30
KEPT_ENTRIES = 64_000_000  # about as many bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """End points and how they were found; infinite ends say that nothing is known, and `why`."""

    low: float
    high: float
    method: str
    why: str = ""

    @property
    def known(self) -> bool:
        """True when both ends are finite."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def pair(self) -> tuple[float, float] | None:
        """The end points, or None where one is infinite."""
        return (self.low, self.high) if self.known else None


def reach(probability: float, units: float) -> float:
    """The normal quantile at a probability, widened for `units` clusters, at least two."""
    return float(np.sqrt(units / (units - 1)) * stdtrit(units - 1, probability))


def _unknown(why: str) -> Interval:
    return Interval(low=-np.inf, high=np.inf, method="none", why=why)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sampled:
    """The bootstrap distribution of one quantity, sorted, with what BCa needs."""

    values: np.ndarray
    bias: float
    acceleration: float
    method: str
    units: int

    def end(self, probability: float) -> float:
        if self.method == "BCa":
            z = self.bias + reach(probability, self.units)
            scale = 1 - self.acceleration * z
            # Beyond scale 0 the map folds back; its limit there is the end of the distribution.
            shifted = self.bias + z / scale if scale > 0 else np.copysign(np.inf, z)
            probability = float(ndtr(shifted))
        place = probability * (len(self.values) - 1)
        low = int(np.floor(place))
        high = min(low + 1, len(self.values) - 1)
        below, above = float(self.values[low]), float(self.values[high])
        return below if below == above else below + (place - low) * (above - below)


class Bootstrap:
    """Intervals of quantities by one number of resamples and one seed."""

    def __init__(self, evaluator: Evaluator, *, count: int = 10_000, seed: int = 0) -> None:
        self.evaluator = evaluator
        self.count = count
        self.seed = seed
        self._sampled: dict[Scalar, _Sampled] = {}
        self._crossings: dict[tuple[Aggregate, ...], Crossing] = {}
        self._kept: dict[object, list[Weights]] = {}
        self._kept_entries = 0

    # ---------------------------------------------------------------------------------------------
    # Intervals by the form of the quantity
    # ---------------------------------------------------------------------------------------------

    def interval(self, node: Scalar, level: float) -> Interval:
        """The two-sided interval at a confidence level between 0 and 1."""
        node = lift_worst(node)
        if is_constant(node):
            value = self.evaluator.estimate(node)
            return Interval(low=value, high=value, method="exact")
        if (found := hits(node, self.evaluator)) is not None:
            low, high = clopper_pearson(*found, level)
            return Interval(low=low, high=high, method="Clopper-Pearson")
        match node:
            case Worst():
                return self._worst(node, level)
            case Op(op="abs", args=(inner,)):
                return _absolute(self.interval(inner, level))
            case Op() if (place := _varying(node)) is not None:
                return self._mapped(node, place, level)
        return self._resampled(node, level)

    def _worst(self, node: Worst, level: float) -> Interval:
        adjusted = 1 - (1 - level) / len(node.members)
        plain = [self.interval(member, level) for _, member in node.members]
        strict = [self.interval(member, adjusted) for _, member in node.members]
        if node.which == "max":
            low, high = max(i.low for i in strict), max(i.high for i in plain)
        else:
            low, high = min(i.low for i in plain), min(i.high for i in strict)
        method = " ".join(sorted({i.method for i in plain}))
        why = next((i.why for i in (*plain, *strict) if i.why), "")
        return Interval(low=low, high=high, method=f"worst of {len(plain)}, {method}", why=why)

    def _mapped(self, node: Op, place: int, level: float) -> Interval:
        """Through arithmetic with constants, which is monotone."""
        inner = self.interval(node.args[place], level)
        ends = []
        for end in (inner.low, inner.high):
            args = (*node.args[:place], Constant(value=end), *node.args[place + 1 :])
            ends.append(self.evaluator.estimate(Op(op=node.op, args=args)))
        return Interval(low=min(ends), high=max(ends), method=inner.method, why=inner.why)

    def _resampled(self, node: Scalar, level: float) -> Interval:
        design = design_of(node, self.evaluator.session.tasks)
        if crosses(design):
            return self._crossed(node, design, level)
        sampled = self._sample(node)
        finite, n = sampled.values, sampled.units
        if len(finite) == 0:
            return _unknown("no resample has a value")
        spread = float(finite[-1] - finite[0])
        estimate = self.evaluator.estimate(node)
        noise = max(self.evaluator.tolerance(node), 1e-12 * abs(estimate))
        if spread <= noise and n < FEWEST:
            return _unknown(f"a constant sample below {FEWEST} prompts or clusters has no interval")
        if spread <= 1e-12 * abs(estimate):
            if not of_counts(node):
                return Interval(low=estimate, high=estimate, method="constant sample")
            ends = unseen(node, self.evaluator, n, level)
            if ends is None:
                return _unknown("a constant sample of counts has no interval")
            return Interval(low=ends[0], high=ends[1], method="constant counts")
        tail = (1 - level) / 2
        if why := self._out_of_reach(node, n, tail):
            return _unknown(why)
        return Interval(low=sampled.end(tail), high=sampled.end(1 - tail), method=sampled.method)

    def _crossed(self, node: Scalar, design: Design, level: float) -> Interval:
        """Of rows that cross in two fields."""
        if not smooth(node):
            return _unknown("an order statistic has no interval over crossed rows")
        means = averages(node)
        if means not in self._crossings:
            generator = functools.partial(generator_of, self.seed)
            self._crossings[means] = Crossing(
                means, design, self.evaluator, self.count, generator
            )
        crossing = self._crossings[means]
        leaf, n = crossing.leaf(node), design.n_units
        estimate = leaf.estimate
        if leaf.df <= 0:
            return _unknown("one value of each crossed field is too few for an interval")
        noise = max(self.evaluator.tolerance(node), 1e-12 * abs(estimate))
        if leaf.se <= noise and n < FEWEST:
            return _unknown(f"a constant sample below {FEWEST} prompts or clusters has no interval")
        if leaf.se <= 1e-12 * abs(estimate):
            found = unseen(node, self.evaluator, n, level) if of_counts(node) else (estimate,) * 2
            if found is None:
                return _unknown("a constant sample of counts has no interval")
            return Interval(low=found[0], high=found[1], method="constant sample")
        low, high = ends(crossing, node, (1 - level) / 2)
        return Interval(low=low, high=high, method="crossed")

    def _out_of_reach(self, node: Scalar, n: int, tail: float) -> str:
        """Why resamples do not reach so far into the tail; "" where they do."""
        at = f"an interval at {100 * (1 - 2 * tail):.6g}%"
        sides = [max(a.q, 1 - a.q) for a in aggregates(node) if a.kind == "quantile"]
        side = max(sides, default=0.5)
        if side**n > tail:
            needed = ceil(log(tail) / log(side))
            return f"{n} prompts or clusters are too few for {at}: {needed} or more"
        if tail * (self.count + 1) < 1:
            needed = ceil(1 / tail - 1e-6)
            return f"{self.count:,} resamples are too few for {at}: `bootstrap({needed})`"
        return ""

    def _units(self, node: Scalar, design: Design) -> int:
        """Independent clusters, at most those in which each denominator is anything but 0."""
        found = [design.n_units]
        for below in dict.fromkeys(_denominators(node)):
            counted: set[tuple[str, int]] = set()
            for aggregate in aggregates(below):
                x = self.evaluator.mask(aggregate) & (self.evaluator.vector(aggregate) != 0)
                clusters = self.evaluator.session.tasks[aggregate.task].clusters[x]
                counted |= {(aggregate.task, int(c)) for c in np.unique(clusters)}
            if not is_constant(below):
                found.append(len(counted))
        return min(found)

    # ---------------------------------------------------------------------------------------------
    # Denominators
    # ---------------------------------------------------------------------------------------------

    def undefined(self, node: Scalar, level: float) -> str:
        """Why the quantity has no value: a denominator that may be 0; "" where it has one."""
        for below in dict.fromkeys(_denominators(node)):
            value = self.evaluator.estimate(below)
            tolerance = self.evaluator.tolerance(below)
            if not np.isfinite(value) or abs(value) <= tolerance:
                return f"a denominator is {value:.4g}, which rounding cannot tell from 0"
            interval = self.interval(below, level)
            inside = interval.low - tolerance <= 0 <= interval.high + tolerance
            if interval.method != "none" and inside:
                ends = f"[{interval.low:.4g}, {interval.high:.4g}]"
                return f"the interval of a denominator, {ends}, contains 0"
        for aggregate in aggregates(node):
            for rows in row_denominators(aggregate.rows):
                x = np.abs(self.evaluator.rows(rows)) <= self.evaluator.row_error(rows)
                x = np.broadcast_to(x, (x.shape[0], len(self.evaluator.mask(aggregate))))
                bad = np.flatnonzero(x.any(axis=0) & self.evaluator.mask(aggregate))
                if len(bad):
                    row = self.evaluator.session.tasks[aggregate.task].row_ids[int(bad[0])]
                    many = f"{len(bad)} prompt{'s' if len(bad) > 1 else ''}"
                    return f"a denominator is 0 within rounding on {many}, the first is `{row}`"
        if not np.isfinite(self.evaluator.estimate(node)):
            return f"its value is {self.evaluator.estimate(node)}"
        return ""

    # ---------------------------------------------------------------------------------------------
    # Resampling
    # ---------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Drop kept distributions, to bound memory between claims."""
        self._sampled.clear()
        self._crossings.clear()

    def _sample(self, node: Scalar) -> _Sampled:
        if node not in self._sampled:
            design = design_of(node, self.evaluator.session.tasks)
            found = [self.evaluator.values(node, w) for w in self._weights(design)]
            values = np.concatenate(found)
            values = np.sort(values[~np.isnan(values)])
            self._sampled[node] = self._with_correction(node, values, design)
        return self._sampled[node]

    def _with_correction(self, node: Scalar, values: np.ndarray, design: Design) -> _Sampled:
        units = self._units(node, design)
        if not smooth(node) or len(values) == 0:
            return _Sampled(
                values=values, bias=0.0, acceleration=0.0, method="percentile", units=units
            )
        estimate = self.evaluator.estimate(node)
        # Equal sums in another order differ in their last digits: what is so near counts as equal.
        near = 1e-12 * (abs(estimate) + float(values[-1] - values[0]))
        near = near if np.isfinite(near) else 0.0
        below = int(np.searchsorted(values, estimate - near, "left"))
        below += int(np.searchsorted(values, estimate + near, "right"))
        share = float(np.clip(below / (2 * len(values)), 0.5 / len(values), 1 - 0.5 / len(values)))
        return _Sampled(
            values=values,
            bias=float(ndtri(share)),
            acceleration=self._acceleration(node, design),
            method="BCa",
            units=units,
        )

    def _acceleration(self, node: Scalar, design: Design) -> float:
        cubes = squares = 0.0
        for stratum in design.strata:
            if stratum.n_units < 2:
                continue
            left = [self.evaluator.values(node, w) for w in design.left_out(stratum)]
            jackknife = np.concatenate(left)
            influence = (stratum.n_units - 1) * (jackknife.mean() - jackknife)
            cubes += float((influence**3).sum()) / stratum.n_units**3
            squares += float((influence**2).sum()) / stratum.n_units**2
        found = cubes / (6 * squares**1.5) if squares > 0 else 0.0
        return found if np.isfinite(found) else 0.0

    def _weights(self, design: Design) -> Iterable[Weights]:
        """The resamples of a design, kept as bytes, since many quantities share a design."""
        mark = (
            tuple(sorted(design.keys.items())),
            tuple((s.key, s.name, s.unit.tobytes()) for s in design.strata),
        )
        if mark not in self._kept:
            entries = self.count * sum(design.n_rows.values())
            if entries > KEPT_ENTRIES:
                yield from design.resamples(self.count, self.seed)
                return
            if self._kept_entries + entries > KEPT_ENTRIES:
                self._kept.clear()
                self._kept_entries = 0
            blocks = [_packed(block) for block in design.resamples(self.count, self.seed)]
            self._kept[mark] = blocks
            self._kept_entries += entries
        for block in self._kept[mark]:
            yield {task: counts.astype(np.float64) for task, counts in block.items()}


def _packed(weights: Weights) -> Weights:
    """Weights in the smallest type that holds how often a row was drawn."""
    return {
        task: counts.astype(np.uint8 if counts.max(initial=0.0) < 256 else np.uint16)
        for task, counts in weights.items()
    }


def _absolute(inner: Interval) -> Interval:
    ends = sorted((abs(inner.low), abs(inner.high)))
    low = 0.0 if inner.low <= 0 <= inner.high else ends[0]
    return Interval(low=low, high=ends[1], method=inner.method, why=inner.why)


def _varying(node: Op) -> int | None:
    """The place of the only argument that varies in arithmetic that is monotone in it."""
    if node.op == "neg":
        return 0
    if node.op not in ("+", "-", "*", "/"):
        return None
    places = [i for i, arg in enumerate(node.args) if not is_constant(arg)]
    if len(places) != 1 or (node.op == "/" and places[0] == 1):
        return None
    return places[0]


def _denominators(node: Scalar) -> list[Scalar]:
    """Everything that a quantity divides by: scalars, and means of per-prompt denominators."""
    found: list[Scalar] = []
    match node:
        case Aggregate():
            for rows in row_denominators(node.rows):
                found.append(mean(rows, node.task, part=node.part))
        case Op(op=op, args=args):
            for arg in args:
                found += _denominators(arg)
            if op == "/":
                found.append(args[1])
        case Worst(members=members):
            for _, member in members:
                found += _denominators(member)
    return found
