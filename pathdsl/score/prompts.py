"""What single prompts contribute: their shares in an estimate, how these spread, and the worst.

A prompt's share in an estimate is its jackknife pseudo-value, n t - (n - 1) t_(-i) (Tukey 1958):
for a mean the prompt's own value, for a ratio of means its value to first order, and their mean is
the estimate up to bias. Shares keep their sign: those of `effect(P)` are what treating P does to
the metric of each prompt. An average can hide that a circuit is right for half of the prompts and
wrong for the rest (Miller et al. 2024, arXiv:2407.08734).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from pathdsl.score.quantity import (
    Aggregate,
    Among,
    Constant,
    Op,
    Scalar,
    Worst,
    inner_first,
    is_constant,
    rebuilt,
    remade,
)  # fmt: skip
from pathdsl.score.results import Spread, TellingRow
from pathdsl.score.statistics.design import Design, design_of
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.rounding import ULPS
from pathdsl.score.statistics.verdict import Rule

__all__ = ["deciding", "opened", "prompt_shares", "spread", "telling_rows", "term_spread"]

TELLING = 5
LARGEST = 5000


def opened(node: Scalar, evaluator: Evaluator) -> Scalar:
    """The quantity with every `Worst` replaced by the member that decides it.

    A share of members is a number here: it moves in steps, and no prompt has a part in it.
    """

    def decided(one: Scalar, args: Sequence[Scalar]) -> Scalar:
        if isinstance(one, Among):
            return Constant(value=evaluator.estimate(one))
        return args[deciding(one, evaluator)] if isinstance(one, Worst) else rebuilt(one, args)

    return remade(node, decided)


def deciding(node: Worst, evaluator: Evaluator) -> int:
    """Which member has the largest or smallest value."""
    values = np.array([evaluator.estimate(member) for _, member in node.members])
    values = np.where(np.isfinite(values), values, -np.inf if node.which == "max" else np.inf)
    return int(values.argmax() if node.which == "max" else values.argmin())


def prompt_shares(node: Scalar, evaluator: Evaluator) -> tuple[TellingRow, ...]:
    """The finite share of each prompt in an opened quantity, in the order of the rows.

    Empty where the estimate is not finite, no prompt enters, or there are more than 5,000.
    """
    if is_constant(node):
        return ()
    tasks = evaluator.session.tasks
    design = design_of(node, tasks, by_rows=True)
    estimate = evaluator.estimate(node)
    if not np.isfinite(estimate) or sum(design.n_rows.values()) > LARGEST:
        return ()
    names = {key: task for task, key in reversed(list(design.keys.items()))}
    return tuple(
        TellingRow(
            task=task, index=int(index), row_id=tasks[task].row_ids[index], value=float(value)
        )
        for key, task in names.items()
        for index, value in zip(*_shares(node, evaluator, design, key, estimate), strict=True)
        if np.isfinite(value)
    )


def telling_rows(shares: Sequence[TellingRow], rule: Rule) -> tuple[TellingRow, ...]:
    """The prompts that speak most against the rule, the worst first."""
    ordered = sorted(shares, key=lambda row: (-_against(row.value, rule), row.task, row.index))
    return tuple(ordered[:TELLING])


def spread(
    shares: Sequence[TellingRow], node: Scalar, evaluator: Evaluator, rule: Rule | None = None
) -> Spread | None:
    """How the shares in an opened quantity are distributed; None where none stands for a prompt.

    The jackknife of a median or quantile has few distinct values, which say nothing of prompts.
    Rounding moves a share as far as it moves the quantity, and the arithmetic on values as often
    as there are shares, since a share is n times one value less n - 1 times another.
    """
    if not shares or not all(_has_shares(one) for one in inner_first(node)):
        return None
    moved = evaluator.allowance(node)
    moved += 2 * len(shares) * (evaluator.tolerance(node) - moved)
    return spread_of(np.array([row.value for row in shares]), rule, moved)


def term_spread(term: Aggregate, evaluator: Evaluator) -> Spread | None:
    """How the values of prompts that an average is over are distributed."""
    values = evaluator.vector(term)[evaluator.mask(term)]
    error = float(np.max(evaluator.row_error(term.rows), initial=0.0))
    return spread_of(values, moved=error + ULPS * float(np.max(np.abs(values), initial=0.0)))


def _has_shares(part: Scalar) -> bool:
    """False for order statistics, which hang on one prompt or two."""
    if isinstance(part, Aggregate):
        return part.smooth
    return not (isinstance(part, Op) and part.op in ("min", "max"))


def spread_of(values: np.ndarray, rule: Rule | None = None, moved: float = 0.0) -> Spread | None:
    """How finite values are distributed; None where there is none.

    `moved`: how far rounding may move each of them. Values that lie no further apart than that are
    one value, their median.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    if np.ptp(values) <= 2 * moved:
        values = np.full(len(values), np.median(values))
    least, low, middle, high, most = (
        float(q) for q in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    )
    return Spread(
        n=len(values),
        least=least,
        quartiles=(low, middle, high),
        most=most,
        negative=int((values < 0).sum()),
        satisfied=sum(rule.satisfied(float(v)) for v in values) if rule is not None else None,
    )


def _shares(
    node: Scalar, evaluator: Evaluator, design: Design, key: str, estimate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Row indices and pseudo-values of the rows of one key, by row."""
    indices, values = [], []
    for stratum in design.strata:
        if stratum.key != key or stratum.n_units < 2:
            continue
        left = np.concatenate([evaluator.values(node, w) for w in design.left_out(stratum)])
        n = stratum.n_units
        # Written around the estimate: the plain form loses digits to cancellation.
        indices.append(np.flatnonzero(stratum.unit >= 0))
        values.append(estimate + (n - 1) * (estimate - left))
    if not indices:
        return np.zeros(0, dtype=int), np.zeros(0)
    rows, found = np.concatenate(indices), np.concatenate(values)
    order = np.argsort(rows, kind="stable")
    return rows[order], found[order]


def _against(value: float, rule: Rule) -> float:
    match rule.asks:
        case "above":
            return -value
        case "below":
            return value
        case "around":
            return abs(value - rule.threshold)
        case unknown:
            assert_never(unknown)
