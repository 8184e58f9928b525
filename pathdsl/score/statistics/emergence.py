"""From which step of a series a condition holds for good, with what is known at each step.

Let a condition hold, or not, at each of the steps that were judged. Its emergence E is the first of
them from which it holds at every later one; *never* where it does not hold at the last. Of every
step it is known that the condition holds, that it does not, or neither. E then lies between

- the step behind the last one at which the condition surely does not hold, and
- the first step from which it surely holds at all.

The step's intervals hold together with the stated confidence (`joint_tail`), so that both ends do.
A step that was not judged is one of which nothing is known: no end passes over it.

A claim about a step that was not judged says something of what lies between two that were: there E
may lie anywhere behind the last step at which the condition surely fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.score.results import Verdict
from pathdsl.score.statistics.leaves import Leaf

__all__ = ["Between", "between", "decide_step", "deviations_of", "joint_tail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Where E lies among `steps`: places from 0, `len(steps)` for never."""

    steps: tuple[int, ...]
    first: int
    last: int

    @property
    def lower(self) -> int | None:
        """The first step that E may be; None where it is surely never."""
        return self.steps[self.first] if self.first < len(self.steps) else None

    @property
    def upper(self) -> int | None:
        """The last step that E may be; None where it may be never."""
        return self.steps[self.last] if self.last < len(self.steps) else None

    @property
    def never(self) -> bool:
        """Whether the condition surely does not hold at the last step."""
        return self.first == len(self.steps)


def between(steps: Sequence[int], sides: Sequence[Verdict]) -> Between:
    """Where the emergence lies, by what is known at each step: supported, refuted, or neither."""
    failing = [i for i, side in enumerate(sides) if side is Verdict.REFUTED]
    open_ = [i for i, side in enumerate(sides) if side is not Verdict.SUPPORTED]
    return Between(
        steps=tuple(steps),
        first=failing[-1] + 1 if failing else 0,
        last=open_[-1] + 1 if open_ else 0,
    )


def decide_step(found: Between, relation: str, step: float) -> Verdict:
    """What is known of `E relation step`; what never emerges is at no step, and later than all.

    So `E <= 64000` is refuted where it never emerges, and `E > 64000`, which says that it does,
    undefined.
    """
    high = found.upper if found.upper is not None else inf
    if found.never:
        low = inf
    elif step in found.steps:
        low = found.steps[found.first]
    else:  # behind the last step at which it fails, and before the next one that was judged
        low = found.steps[found.first - 1] if found.first else -inf
    record = RELATIONS[relation]
    if record.asks == "below":
        if high < step or (high == step and not record.strict):
            return Verdict.SUPPORTED
        beyond = low > step or (low == step and record.strict)
        return Verdict.REFUTED if beyond else Verdict.INCONCLUSIVE
    if found.never:
        return Verdict.UNDEFINED
    if high < step or (high == step and record.strict):
        return Verdict.REFUTED
    behind = low > step or (low == step and not record.strict)
    return Verdict.SUPPORTED if behind and high < inf else Verdict.INCONCLUSIVE


def deviations_of(leaf: Leaf) -> np.ndarray | None:
    """(resamples,) those of a leaf, empty where it has no ends to miss; None where nothing says
    when they miss."""
    drawn = leaf.deviations()
    return None if not len(drawn) and 0 < np.ptp(leaf.ends(0.025)) < np.inf else drawn


def joint_tail(
    deviations: Iterable[np.ndarray | None],
    leaves: int,
    count: int,
    alpha: float,
    *,
    aligned: bool,
) -> float:
    """The tail at which the ends of all `leaves` hold together, of all steps.

    `aligned`: resample i of one is that of all others, since they are of the same rows; then their
    tail is 1 - Phi(Q) with Q the 1 - alpha quantile of the largest deviation of `count`
    (`pathdsl.score.statistics.intervals`). Otherwise it is Bonferroni's.
    """
    if leaves <= 1:
        return alpha / 2
    least = alpha / 2 / leaves
    beyond = int(np.floor(alpha * (count + 1)))
    if not aligned or beyond < 1:
        return least
    largest = np.zeros(count)
    for drawn in deviations:
        if drawn is None:
            return least
        if len(drawn):
            largest = np.maximum(largest, np.abs(drawn))
    from scipy.special import ndtr  # see `leaves`

    shared = float(ndtr(-np.sort(largest)[count - beyond]))
    return float(np.clip(shared, least, alpha / 2))
