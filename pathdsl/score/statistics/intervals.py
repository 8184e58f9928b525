"""Confidence intervals of quantities, two-sided and central (docs/semantics.md, Intervals).

1. A quantity is brought into a form whose `max`, `min` and `abs` stand outside (see `lattice`).
2. What is left inside are *leaves*: smooth quantities, shares, quantiles, each with ends at any
   tail p (see `leaves`).
3. One leaf, or arithmetic with numbers around one, |x| and the like, has the image of its ends at
   alpha/2.
4. Several leaves have ends that hold together. With z* their bootstrap deviations in standard
   deviations, resampled jointly, and Q the 1 - alpha quantile of the largest |z*|, their common
   tail is p* = 1 - Phi(Q), between alpha/2m (Bonferroni) and alpha/2 (Westfall and Young 1993,
   Resampling-based Multiple Testing, section 2.3). Extremes and arithmetic are then applied to
   the ends: a quantity made of them lies between the results wherever all leaves do.
5. The largest of m members is no larger than the largest upper end, each at its own alpha/2, since
   the member that truly is the largest is covered; dually the smallest. That is Holm's first step
   for `max > c`, and an intersection-union test for `min > c`.

6. A share of members goes from those that surely satisfy the condition, by ends that hold together,
   to all but those that surely do not. A member whose denominator may be 0 counts on both sides.

Above 95 % a quantity that was resampled over fewer than `SKEWED` prompts or clusters has no
interval: those of skewed effects miss several times too often there.

Values used as treated values are held fixed: no interval covers the choice of their prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from pathdsl.score.quantity import (
    Aggregate,
    Among,
    Correlation,
    Op,
    Scalar,
    Worst,
    inner_first,
    is_constant,
    parts,
    row_denominators,
)  # fmt: skip
from pathdsl.score.results import Verdict
from pathdsl.score.statistics.book import key_of
from pathdsl.score.statistics.ends import Ends, Interval, applied
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.lattice import Lattice, is_leaf, leaves
from pathdsl.score.statistics.leaf_of import Leaves, denominators, too_few
from pathdsl.score.statistics.leaves import Hull, Leaf
from pathdsl.score.statistics.resamples import Resamples
from pathdsl.score.statistics.rounding import ULPS
from pathdsl.score.statistics.verdict import Rule, decide

__all__ = ["SKEWED", "Bootstrap", "Interval"]

SKEWED = 20
NESTED = 8
NOISE = 0.2
USUAL = 0.95 + 1e-12
WIDE = "computed from the ends of its parts, which holds and is too wide"


class Bootstrap:
    """Intervals of quantities by one number of resamples and one seed."""

    def __init__(self, evaluator: Evaluator, *, count: int = 10_000, seed: int = 0) -> None:
        self.evaluator = evaluator
        self.count = count
        self.leaves = Leaves(evaluator, Resamples(evaluator, count=count, seed=seed))
        self.lattice = Lattice(self._sign, evaluator.estimate, evaluator.never_negative)
        self._largest: dict[tuple[Scalar, ...], np.ndarray] = {}
        self._ends_of: dict[tuple[Scalar, float], Ends] = {}
        self._divisors: dict[tuple[Scalar, float, float], str] = {}  # small, and never forgotten

    def forget(self) -> None:
        """Drop kept distributions, to bound memory between claims."""
        self.leaves.forget()
        self._largest.clear()
        self._ends_of.clear()

    # ---------------------------------------------------------------------------------------------
    # Intervals by the form of the quantity
    # ---------------------------------------------------------------------------------------------

    def interval(self, node: Scalar, level: float) -> Interval:
        """The two-sided interval at a confidence level between 0 and 1."""
        if is_constant(node):
            value = self.evaluator.estimate(node)
            return Interval(low=value, high=value, method="exact")
        form = self.lattice.form(node)
        alpha = 1 - level
        parts = leaves(form)
        made = [self.leaves.of(part) for part in parts]
        few = min((leaf.units for leaf in made if leaf.units is not None), default=SKEWED)
        if few < SKEWED and level > USUAL:
            return Interval(
                low=-np.inf, high=np.inf, method="none", why=too_few(few, level, SKEWED)
            )
        low, high = self._ends(form, alpha)
        tail = self._common_tail(parts, alpha)
        method = " ".join(sorted({leaf.method for leaf in made}))
        several = len(parts) > 1
        return Interval(
            low=low,
            high=high,
            method=f"{len(parts)} together: {method}" if several else method,
            why=next((why for leaf in made if (why := leaf.why(tail))), ""),
            note=WIDE if several and not _outside(form) else self._capped(made, tail),
        )

    def form(self, node: Scalar) -> Scalar:
        """An equal quantity whose leaves have ends."""
        return self.lattice.form(node)

    def together(self, node: Scalar, tail: float) -> Ends:
        """The ends of a quantity whose leaves have theirs at this tail, as those of others may."""
        return self._together(self.form(node), tail)

    def _capped(self, made: list[Leaf], tail: float) -> str:
        """What to say where no resample lies so far in the tail."""
        if tail * (self.count + 1) >= 1 or not any(isinstance(leaf, Hull) for leaf in made):
            return ""
        return f"three times Student's, at most: `bootstrap({ceil(1 / tail - 1e-6)})` may narrow it"

    def p_values(self, node: Scalar) -> Callable[[float], float] | None:
        """The smallest alpha whose interval leaves a threshold out; None where no formula is."""
        form = self.lattice.form(node)
        leaf = self.leaves.of(form) if is_leaf(form) and not is_constant(form) else None
        if not isinstance(leaf, Hull):
            return None
        least = 1 - USUAL if leaf.units < SKEWED else 0.0
        return lambda threshold: max(least, leaf.p_value(threshold))

    def _ends(self, form: Scalar, alpha: float) -> Ends:
        """The ends of a form by the rules for its outermost part."""
        if (form, alpha) not in self._ends_of:
            self._ends_of[form, alpha] = self._outermost(form, alpha)
        return self._ends_of[form, alpha]

    def _outermost(self, form: Scalar, alpha: float) -> Ends:
        parts = leaves(form)
        if len(parts) <= 1:
            return self._together(form, alpha / 2)
        assert isinstance(form, Op | Worst | Among)
        if form.nesting > NESTED:  # holds as well, wider than need be
            return self._together(form, self._common_tail(parts, alpha))
        if isinstance(form, Worst):
            low, high = self._together(form, self._common_tail(parts, alpha))
            own = [self._ends(member, alpha) for _, member in form.members]
            if form.which == "max":
                return low, max(end for _, end in own)
            return min(end for end, _ in own), high
        if not isinstance(form, Among) and sum(not is_constant(arg) for arg in form.args) == 1:
            return applied(form.op, [self._one(arg, alpha) for arg in form.args])
        return self._together(form, self._common_tail(parts, alpha))

    def _one(self, arg: Scalar, alpha: float) -> Ends:
        if is_constant(arg):
            value = self.evaluator.estimate(arg)
            return value, value
        return self._ends(arg, alpha)

    def _together(self, form: Scalar, tail: float) -> Ends:
        """Extremes and arithmetic on the ends of leaves, each at this tail."""
        known: dict[int, Ends] = {}
        for part in inner_first(form, below=lambda one: not is_leaf(one)):
            match part:
                case _ if is_constant(part):
                    value = self.evaluator.estimate(part)
                    known[id(part)] = value, value
                case _ if is_leaf(part):
                    known[id(part)] = self.leaves.of(part).ends(tail)
                case Op(op=op) | Worst(which=op):
                    known[id(part)] = applied(op, [known[id(one)] for one in parts(part)])
                case Among(members=members):
                    sides = [self.side(part, m, known[id(m)], tail) for _, m in members]
                    known[id(part)] = (
                        sides.count(Verdict.SUPPORTED) / len(sides),
                        (len(sides) - sides.count(Verdict.REFUTED)) / len(sides),
                    )
        return known[id(form)]

    def side(self, among: Among, member: Scalar, ends: Ends, tail: float) -> Verdict:
        """Whether a member surely satisfies the condition of a share, surely not, or neither."""
        if self.undefined(member, 1 - 2 * tail):
            return Verdict.UNDEFINED
        e = self.evaluator
        rule = Rule(
            relation=among.relation,
            threshold=among.threshold,
            tolerance=e.tolerance(member) + ULPS * abs(among.threshold),
            exact=e.allowance(member) == 0,
        )
        return decide(rule, Interval(low=ends[0], high=ends[1], method="together"))

    def sides(self, among: Among, level: float) -> list[Verdict]:
        """The same of every member of a share that is brought into form."""
        tail = self._common_tail(leaves(among), 1 - level)
        return [self.side(among, m, self._together(m, tail), tail) for _, m in among.members]

    def _common_tail(self, parts: tuple[Scalar, ...], alpha: float) -> float:
        """p*: the tail at which the leaves hold together; Bonferroni's where none is drawn."""
        if len(parts) <= 1:
            return alpha / 2
        made = [self.leaves.of(part) for part in parts]
        if all(isinstance(leaf, Hull) for leaf in made):
            key = key_of([leaf.key for leaf in made if isinstance(leaf, Hull)])
            of, book = self._shared_tail, self.leaves.book
            (tail,) = book.numbers(key, f"tail {alpha!r}", lambda: (of(parts, alpha),), 1)
            return tail
        return self._shared_tail(parts, alpha)

    def _shared_tail(self, parts: tuple[Scalar, ...], alpha: float) -> float:
        if parts not in self._largest:
            self._largest[parts] = self._largest_of([self.leaves.of(part) for part in parts])
        largest = self._largest[parts]
        beyond = int(np.floor(alpha * (len(largest) + 1)))
        if beyond < 1:
            return alpha / 2 / len(parts)
        from scipy.special import ndtr  # see `leaves`

        shared = float(ndtr(-largest[len(largest) - beyond]))
        return float(np.clip(shared, alpha / 2 / len(parts), alpha / 2))

    def _largest_of(self, made: list[Leaf]) -> np.ndarray:
        """(resamples,) the largest deviation, sorted; endless where one has ends and none drawn."""
        found = np.zeros(self.count)
        for leaf in made:
            drawn = leaf.deviations()
            if len(drawn):
                found = np.maximum(found, np.abs(drawn))
            elif 0 < np.ptp(leaf.ends(0.025)) < np.inf:
                return np.full(self.count, np.inf)  # a share of 40 of 40 misses as others do
        return np.sort(found)

    # ---------------------------------------------------------------------------------------------
    # Denominators and signs
    # ---------------------------------------------------------------------------------------------

    def _sign(self, node: Scalar) -> int:
        """The sign of a factor, 0 where its 95 % interval holds 0."""
        interval = self.interval(node, 0.95)
        return 1 if interval.low > 0 else -1 if interval.high < 0 else 0

    def undefined(self, node: Scalar, level: float) -> str:
        """Why the quantity has no value: a denominator that may be 0; "" where it has one."""
        for below in dict.fromkeys(denominators(node)):
            if why := self._near_zero(below, level):
                return why
        for one in inner_first(node):
            if isinstance(one, Correlation) and (why := self._noisy(one)):
                return why
        outside = inner_first(node, below=lambda one: not isinstance(one, Among))
        for aggregate in (one for one in outside if isinstance(one, Aggregate)):
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

    def _near_zero(self, below: Scalar, level: float) -> str:
        """Why a denominator may be 0; "" where it is not. Said once: a sweep divides by one."""
        key = below, level, self.evaluator.session.allowance()
        if key not in self._divisors:
            self._divisors[key] = self._may_be_zero(below, level)
        return self._divisors[key]

    def _may_be_zero(self, below: Scalar, level: float) -> str:
        value = self.evaluator.estimate(below)
        tolerance = self.evaluator.tolerance(below)
        if not np.isfinite(value) or abs(value) <= tolerance:
            return f"a denominator is {value:.4g}, which rounding cannot tell from 0"
        interval = self.interval(below, level)
        inside = interval.low - tolerance <= 0 <= interval.high + tolerance
        if interval.method != "none" and inside:
            if not np.isfinite(interval.low) and not np.isfinite(interval.high):
                return "the interval of a denominator has no ends, so that it may be 0"
            ends = f"[{interval.low:.4g}, {interval.high:.4g}]"
            return f"the interval of a denominator, {ends}, contains 0"
        return ""

    def _noisy(self, node: Correlation) -> str:
        """Why a correlation over members has no value: noise is too much of what sets them apart.

        Of members that are equal it is all, and less than `NOISE` in 1 of 100 samples of three.
        """
        for which, side in (("first", node.xs), ("second", node.ys)) if node.names else ():
            drawn = [np.nanvar(self.leaves.resamples.values(one)) for one in side]
            spread = float(np.var([self.evaluator.estimate(one) for one in side], ddof=1))
            share = float(np.mean(drawn)) / spread if spread > 0 else 1.0
            if share > NOISE:
                return (
                    f"{min(share, 1.0):.0%} of what sets the members of its {which} argument "
                    "apart is noise"
                )
        return ""


def _outside(form: Scalar) -> bool:
    """Whether nothing but extremes, and arithmetic with numbers, stands around the leaves."""
    return all(
        is_leaf(one)
        or is_constant(one)
        or isinstance(one, Worst | Among)
        or sum(not is_constant(arg) for arg in parts(one)) == 1
        for one in inner_first(form)
    )
