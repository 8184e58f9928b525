"""The values of quantities: on the observed prompts, on resamples, and how far rounding moves them.

Statistics are weighted, with whole-number weights that say how often a row was drawn, and agree
with the plain statistic of the sample in which each row is repeated that often; quantiles
interpolate linearly between order statistics (type 7 of Hyndman and Fan 1996, numpy's default).
`std` divides by n - 1.
"""

from __future__ import annotations

import numpy as np

from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.score.faults import fault
from pathdsl.score.quantity import (
    Aggregate,
    Among,
    Constant,
    Correlation,
    Half,
    Op,
    RowExpr,
    RowMetric,
    RowNumber,
    RowScored,
    Scalar,
    Slice,
    Worst,
    inner_first,
    parts,
)  # fmt: skip
from pathdsl.score.session import Session
from pathdsl.score.statistics.arithmetic import apply
from pathdsl.score.statistics.correlated import of_members, of_prompts
from pathdsl.score.statistics.design import Weights, part_mask
from pathdsl.score.statistics.rounding import ULPS, digits, of_quantity, of_rows

__all__ = ["Evaluator"]


class Evaluator:
    """Values of quantities whose measures a session knows; row values are kept."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._metrics: dict[RowMetric, np.ndarray] = {}
        self._vectors: dict[Aggregate, np.ndarray] = {}
        self._masks: dict[tuple[str, Half | Slice | None], np.ndarray] = {}
        self._allowances: dict[tuple[Scalar, float], float] = {}

    # ---------------------------------------------------------------------------------------------
    # Rows
    # ---------------------------------------------------------------------------------------------

    def rows(self, expr: RowExpr) -> np.ndarray:
        """(draws, rows) values; raises LanguageError PD422 where numbers of draws do not fit."""
        match expr:
            case RowNumber(value=value):
                return np.full((1, 1), value)
            case RowMetric():
                return self._metric(expr)
            case RowScored():
                unit = expr.sender, expr.receiver, expr.slot
                return self.session.scored(expr.run, expr.measure, unit, expr.at)
            case _:
                args = [self.rows(arg) for arg in expr.args]
                draws = {a.shape[0] for a in args} - {1}
                if len(draws) > 1:
                    raise fault(
                        "PD422",
                        "runs with " + " and ".join(map(str, sorted(draws))) + " draws are combined"
                        " prompt by prompt",
                        help="give both treated values the same `draws:`, or take the means first",
                    )
                return apply(expr.op, args)

    def _metric(self, expr: RowMetric) -> np.ndarray:
        if expr not in self._metrics:
            values = {m: self.session.value(expr.run, m) for m in expr.metric.measures}
            self._metrics[expr] = expr.metric.evaluate(values)
        return self._metrics[expr]

    def row_error(self, expr: RowExpr) -> np.ndarray:
        """How far rounding may move each row value, to first order; broadcasts with `rows`."""
        return of_rows(self, expr)

    def vector(self, aggregate: Aggregate) -> np.ndarray:
        """(rows,) the row expression after the mean over draws; every row of the task."""
        if aggregate not in self._vectors:
            rows = self.rows(aggregate.rows).mean(axis=0)
            n_rows = self.session.tasks[aggregate.task].n_rows
            self._vectors[aggregate] = np.ascontiguousarray(np.broadcast_to(rows, (n_rows,)))
        return self._vectors[aggregate]

    def mask(self, aggregate: Aggregate) -> np.ndarray:
        """(rows,) bool: the rows that the aggregate is over."""
        key = (aggregate.task, aggregate.part)
        if key not in self._masks:
            self._masks[key] = part_mask(self.session.tasks[aggregate.task], aggregate.part)
        return self._masks[key]

    # ---------------------------------------------------------------------------------------------
    # Scalars
    # ---------------------------------------------------------------------------------------------

    def estimate(self, node: Scalar) -> float:
        """The quantity on the observed prompts; nan or infinite where a denominator is 0."""
        return float(self.values(node, None)[0])

    def never_negative(self, node: Scalar) -> bool:
        """Whether a quantity is made of values none of which is below 0, without a difference."""
        for one in inner_first(node):
            match one:
                case Constant(value=value):
                    negative = value < 0
                case Aggregate():
                    negative = self.vector(one)[self.mask(one)].min(initial=0.0) < 0
                case Op(op=op):
                    negative = op in ("-", "neg")
                case Worst() | Among():
                    negative = False
                case Correlation():
                    negative = True
            if negative:
                return False
        return True

    def values(self, node: Scalar, weights: Weights | None) -> np.ndarray:
        """(resamples,) the quantity under each row of weights; None: every prompt once.

        What an expression names twice, or is the same object, is taken once.
        """
        kept = _shared(node)
        return self._values(node, weights, {}, kept)

    def _values(
        self,
        node: Scalar,
        weights: Weights | None,
        known: dict[Aggregate | int, np.ndarray],
        kept: set[int],
    ) -> np.ndarray:
        # An average costs a pass over the weights; other values only memory, unless shared.
        key = node if isinstance(node, Aggregate) else id(node)
        if key in known:
            return known[key]
        match node:
            case Constant(value=value):
                return np.full(1, value)
            case Aggregate():
                found = self._aggregate(node, weights)
            case Op(op=op):
                found = apply(op, [self._values(a, weights, known, kept) for a in node.args])
            case Worst(which=which):
                found = apply(
                    which, [self._values(m, weights, known, kept) for _, m in node.members]
                )
            case Among(members=members):
                values = [self._values(m, weights, known, kept) for _, m in members]
                found = np.mean(np.broadcast_arrays(*(_satisfied(node, v) for v in values)), axis=0)
            case Correlation(of_prompts=None, ranked=ranked):
                sides = [
                    np.stack(
                        np.broadcast_arrays(*(self._values(m, weights, known, kept) for m in s))
                    )
                    for s in (node.xs, node.ys)
                ]
                found = of_members(*sides, ranked=ranked)
            case Correlation():
                found = self._of_prompts(node, weights)
        if isinstance(node, Aggregate) or id(node) in kept:
            known[key] = found
        return found

    def _aggregate(self, node: Aggregate, weights: Weights | None) -> np.ndarray:
        x, mask = self.vector(node), self.mask(node)
        w = np.ones((1, len(x))) if weights is None else weights[node.task]
        return _statistic(node, x, w, mask)

    def _of_prompts(self, node: Correlation, weights: Weights | None) -> np.ndarray:
        assert node.of_prompts is not None
        x, y = node.of_prompts
        inside = self.mask(x)
        w = np.ones((1, len(inside))) if weights is None else weights[x.task]
        return of_prompts(
            self.vector(x)[inside], self.vector(y)[inside], w[:, inside], ranked=node.ranked
        )

    def allowance(self, node: Scalar) -> float:
        """How far rounding may move the quantity, to first order; 0 where it is exact."""
        key = node, self.session.allowance()
        if key not in self._allowances:
            self._allowances[key] = of_quantity(self, node)
        return self._allowances[key]

    def tolerance(self, node: Scalar) -> float:
        """The allowance and the last digits of the arithmetic on the values."""
        return self.allowance(node) + digits(self, node)


def _satisfied(among: Among, x: np.ndarray) -> np.ndarray:
    """1.0 where a value satisfies the condition, the last digits of the arithmetic apart."""
    relation, t = RELATIONS[among.relation], among.threshold
    away = x - t if relation.asks == "above" else t - x
    digit = ULPS * (np.abs(x) + abs(t))
    with np.errstate(all="ignore"):
        return np.asarray(away > digit if relation.strict else away >= -digit, dtype=np.float64)


def _shared(node: Scalar) -> set[int]:
    """The objects that a quantity holds in more than one place."""
    seen: set[int] = set()
    found: set[int] = set()
    for one in inner_first(node):
        for part in parts(one):
            (found if id(part) in seen else seen).add(id(part))
    return found


def _statistic(node: Aggregate, x: np.ndarray, w: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(resamples,) the statistic of `x` (rows,) inside `mask` under `w` (resamples, rows)."""
    with np.errstate(all="ignore"):
        if not node.smooth:
            return _quantile(x[mask], w[:, mask], node.q)
        # The values are centred first: a constant sample then gives exactly its constant. One
        # product gives all the sums, since reading the weights is what takes the time.
        centre = x[mask][0] if mask.any() else np.nan
        shifted = np.where(mask, x - centre, 0.0)
        powers = [mask.astype(np.float64), shifted, shifted**2]
        sums = w @ np.stack(powers if node.kind == "std" else powers[:2], axis=1)
        total, average = sums[:, 0], sums[:, 1] / sums[:, 0]
        if node.kind == "mean":
            return np.asarray(centre + average)
        spread = np.maximum(sums[:, 2] / total - average**2, 0.0)
        return np.sqrt(spread * total / (total - 1))


def _quantile(x: np.ndarray, w: np.ndarray, q: float) -> np.ndarray:
    total = w.sum(axis=1)
    order = np.argsort(x, kind="stable")
    ranked, reached = x[order], np.cumsum(w[:, order], axis=1)
    place = (total - 1) * q
    low = np.floor(place)
    below = ranked[(reached > low[:, None]).argmax(axis=1)]
    above = ranked[(reached > np.minimum(low + 1, total - 1)[:, None]).argmax(axis=1)]
    return np.asarray(below + (place - low) * (above - below))
