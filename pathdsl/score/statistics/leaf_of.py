"""Which kind of leaf a quantity without extremes is, and why some have no interval.

Two samples have none: a constant one below `FEWEST` units, whose spread says nothing, and one of n
units all of which lie on one side of a quantile with probability q^n > alpha/2 (q = 1/2 for a mean
of a symmetric sample). A unit is a prompt, or a cluster of prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from math import ceil, log

import numpy as np

from pathdsl.score.quantity import (
    Aggregate,
    Among,
    Constant,
    Correlation,
    Op,
    Scalar,
    aggregates,
    inner_first,
    is_constant,
    mean,
    row_denominators,
)  # fmt: skip
from pathdsl.score.statistics.book import Book, key_of
from pathdsl.score.statistics.correlated import fisher, largest
from pathdsl.score.statistics.design import Design, Stratum, design_of
from pathdsl.score.statistics.ends import Ends
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.lattice import rational
from pathdsl.score.statistics.leaves import (
    Correlated,
    Fixed,
    Hull,
    Image,
    Leaf,
    Order,
    Percentile,
    Share,
)
from pathdsl.score.statistics.moments import Moments, is_smooth
from pathdsl.score.statistics.pivot import Pivot, pivot_of
from pathdsl.score.statistics.resamples import Resamples
from pathdsl.score.statistics.shares import hits, of_counts, unseen

__all__ = ["FEWEST", "Leaves", "denominators", "too_few"]

FEWEST = 30
KEPT_BYTES = 256_000_000


class Leaves:
    """The leaves of one set of resamples, kept while they fit."""

    def __init__(self, evaluator: Evaluator, resamples: Resamples) -> None:
        self.evaluator = evaluator
        self.resamples = resamples
        self.book: Book = getattr(evaluator.session, "book", None) or Book()
        self._kept: dict[Scalar, Leaf] = {}
        self._held = 0

    def forget(self) -> None:
        """Drop kept distributions, to bound memory between claims."""
        self._kept.clear()
        self._held = 0

    def of(self, node: Scalar) -> Leaf:
        """The leaf of a quantity without extremes."""
        if node not in self._kept:
            leaf = self._made(node)
            self._held += 5 * 8 * self.resamples.count
            if self._held > KEPT_BYTES:
                self.forget()
            self._kept[node] = leaf
        return self._kept[node]

    def _made(self, node: Scalar) -> Leaf:
        if (found := hits(node, self.evaluator)) is not None:
            drawn = partial(self.resamples.values, node)
            return Share(hits=found[0], n=found[1], book=self.book, drawn=drawn)
        inner = _around(node, self.evaluator)
        if inner is not None and isinstance(node, Op) and self._keeps_its_own(node):
            return Image(inner=self.of(inner), through=partial(self._through, node, inner))
        design = design_of(node, self.evaluator.session.tasks)
        units = self._units(node, design)
        if is_smooth(node):
            return self._hull(node, design, units)
        if _crosses(design):
            what = "a correlation" if isinstance(node, Correlation) else "an order statistic"
            told = f"{what} has no interval over crossed rows"
            return Fixed(at=_nothing, told=told, method="none")
        values = self.resamples.values(node)
        if (fixed := self._constant(node, values, units)) is not None:
            return fixed
        few = partial(self._too_few, node, units)
        if isinstance(node, Correlation):
            return self._correlated(node, values, design, units)
        if isinstance(node, Aggregate) and not node.smooth and _alone(design):
            x = np.sort(self.evaluator.vector(node)[self.evaluator.mask(node)])
            return Order(values=x, q=node.q, book=self.book, drawn=values, too_few=few)
        coarse = partial(self._too_coarse, few)
        return Percentile(drawn=values, too_few=coarse, units=units)

    def _keeps_its_own(self, node: Scalar | None) -> bool:
        """Whether numbers stand around a share, a quantile or a root: ends that map as they are."""
        while node is not None and hits(node, self.evaluator) is None:
            root = isinstance(node, Op) and node.op == "^"
            order = isinstance(node, Aggregate) and not node.smooth
            inner = _around(node, self.evaluator)
            if order or isinstance(node, Correlation) or (root and inner is not None):
                return True
            node = inner
        return node is not None

    def _hull(self, node: Scalar, design: Design, units: int) -> Leaf:
        above, below = rational(node)
        divided = not is_constant(below)
        moments = Moments((above, below), self.evaluator, design)
        crossed = _crosses(design)
        limit = np.inf if crossed else units - 1
        made = cache(
            lambda: pivot_of(moments, design, self.resamples, divided=divided, limit=limit)
        )
        book, key = self.book, key_of(
            moments.mark, [_mark(stratum) for stratum in design.strata], self.resamples.count,
            self.resamples.seed, divided, float(limit),
        )  # fmt: skip
        few = _enough if crossed else partial(self._too_few, node, units)
        least = 0.0 if crossed else _side(node) ** units
        hull = Hull(made=made, book=book, key=key, too_few=few, units=units, least=least)
        # How far rounding may move a quantity is no part of the key, and decides on few units.
        if not crossed and units >= FEWEST:
            (moved,) = book.numbers(key, "moved", lambda: (float(self._moved(node, made())),), 1)
            if moved:
                return hull
        pivot = made()
        if crossed and pivot.freedom(pivot.estimate) <= 0:
            told = "one value of each crossed field is too few for an interval"
            return Fixed(at=_nothing, told=told, method="none")
        fixed = self._constant(node, pivot.values, units)
        return fixed if fixed is not None else hull

    def _moved(self, node: Scalar, pivot: Pivot) -> bool:
        """Whether resamples move a quantity on units that are not few."""
        return self._constant(node, pivot.values, FEWEST) is None

    def _correlated(
        self, node: Correlation, values: np.ndarray, design: Design, units: int
    ) -> Leaf:
        variance = 0.0
        most = largest(len(node.names), ranked=node.ranked)
        for stratum in design.strata:
            left = [self.evaluator.values(node, w) for w in design.left_out(stratum)]
            moved = fisher(np.concatenate(left), most)
            moved = moved[np.isfinite(moved)]
            n = len(moved)
            variance += (n - 1) / n * float(((moved - moved.mean()) ** 2).sum()) if n else 0.0
        return Correlated(
            value=float(fisher(np.array(self.evaluator.estimate(node)), most)),
            error=variance**0.5,
            drawn=fisher(values, most),
            most=most,
            too_few=partial(self._too_coarse, partial(self._too_few, node, units)),
            units=units,
        )

    def _constant(self, node: Scalar, values: np.ndarray, units: int) -> Fixed | None:
        """What stands for an interval where no resample moves the quantity."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return Fixed(at=_nothing, told="no resample has a value", method="none")
        spread = float(np.ptp(finite))
        estimate = self.evaluator.estimate(node)
        few = units < FEWEST
        if few and spread <= max(self.evaluator.tolerance(node), 1e-12 * abs(estimate)):
            told = f"a constant sample below {FEWEST} prompts or clusters has no interval"
            return Fixed(at=_nothing, told=told, method="none")
        if spread > 1e-12 * abs(estimate):
            return None
        if not of_counts(node):
            return Fixed(at=partial(_point, estimate), method="constant sample")
        at = partial(self._unseen, node, units)
        told = "a constant sample of counts has no interval"
        return Fixed(at=at, told=told, method="constant counts" if at(0.025) else "none")

    def _unseen(self, node: Scalar, units: int, tail: float) -> Ends | None:
        return unseen(node, self.evaluator, units, 1 - 2 * tail)

    def _through(self, node: Op, inner: Scalar, value: float) -> float:
        """Arithmetic with numbers, the inner quantity replaced by a value."""
        if node.op == "^":
            value = max(value, 0.0)  # only quantities that cannot be negative come here
        args = tuple(Constant(value=value) if arg is inner else arg for arg in node.args)
        return self.evaluator.estimate(Op(op=node.op, args=args))

    def _too_few(self, node: Scalar, units: int, tail: float) -> str:
        """Why so few units do not reach so far into the tail; "" where they do."""
        side = _side(node)
        if side**units <= tail:
            return ""
        return too_few(units, 1 - 2 * tail, ceil(log(tail) / log(side)))

    def _too_coarse(self, few: Callable[[float], str], tail: float) -> str:
        """Too few units, or too few resamples for a tail that is read off them."""
        if why := few(tail):
            return why
        if tail * (self.resamples.count + 1) < 1:
            needed = ceil(1 / tail - 1e-6)
            at = f"an interval at {100 * (1 - 2 * tail):.6g}%"
            return f"{self.resamples.count:,} resamples are too few for {at}: `bootstrap({needed})`"
        return ""

    def _units(self, node: Scalar, design: Design) -> int:
        """Independent clusters, at most those in which each denominator is anything but 0."""
        found = [design.n_units]
        for below in dict.fromkeys(denominators(node)):
            counted: set[tuple[str, int]] = set()
            for aggregate in aggregates(below):
                x = self.evaluator.mask(aggregate) & (self.evaluator.vector(aggregate) != 0)
                clusters = design.clusters[design.keys[aggregate.task]][x]
                counted |= {(aggregate.task, int(c)) for c in np.unique(clusters)}
            if not is_constant(below):
                found.append(len(counted))
        return min(found)


def too_few(units: int, level: float, needed: int) -> str:
    """What is said where a sample does not reach a level."""
    at = f"an interval at {100 * level:.6g}%"
    return f"{units} prompts or clusters are too few for {at}: {needed} or more"


def _mark(stratum: Stratum) -> list[object]:
    """What decides how a stratum is drawn."""
    table = stratum.table
    crossed = [table.row, table.column] if table is not None else []
    return [stratum.key, stratum.name, stratum.unit, stratum.n_units, crossed]


def _side(node: Scalar) -> float:
    """The probability that a unit lies on the likelier side of what is estimated."""
    sides = [max(a.q, 1 - a.q) for a in aggregates(node)]
    return max(sides, default=0.5)


def _nothing(tail: float) -> None:
    return None


def _enough(tail: float) -> str:
    return ""


def _point(value: float, tail: float) -> Ends:
    return value, value


def _crosses(design: Design) -> bool:
    """Whether some rows of a design cross in two fields."""
    return any(stratum.table is not None for stratum in design.strata)


def _alone(design: Design) -> bool:
    """Whether every prompt is a unit of its own and all are of one kind."""
    return len(design.strata) == 1 and design.n_read == design.n_units


def _around(node: Scalar, evaluator: Evaluator) -> Scalar | None:
    """The quantity that a node is monotone arithmetic with numbers of; None where it is not."""
    if not isinstance(node, Op) or node.op not in ("+", "-", "*", "/", "^", "neg"):
        return None
    places = [i for i, arg in enumerate(node.args) if not is_constant(arg)]
    if len(places) != 1 or (node.op in "/^" and places[0] == 1):
        return None
    inner = node.args[places[0]]
    if node.op != "^":
        return inner
    # A root of a mean that cannot be negative, such as that of squares.
    if not isinstance(inner, Aggregate) or inner.kind != "mean":
        return None
    known = evaluator.never_negative(inner) and evaluator.estimate(node.args[1]) > 0
    return inner if known else None


def denominators(node: Scalar) -> list[Scalar]:
    """Everything that a quantity divides by: scalars, and means of per-prompt denominators.

    What a member of a share divides by leaves that member undecided, and the share defined.
    """
    found: list[Scalar] = []
    for one in inner_first(node, below=lambda one: not isinstance(one, Among)):
        match one:
            case Aggregate():
                for rows in row_denominators(one.rows):
                    found.append(mean(rows, one.task, part=one.part))
            case Correlation(of_prompts=(x, y)):
                found += [replace(x, kind="std"), replace(y, kind="std")]
            case Op(op="/", args=(_, below)):
                found.append(below)
            case Op(op="^", args=(below, exponent)) if _is_negative(exponent):
                found.append(below)
    return found


def _is_negative(node: Scalar) -> bool:
    return isinstance(node, Constant) and node.value < 0
