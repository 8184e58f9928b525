r"""Intervals of counts: shares of prompts, where a bootstrap of few hits or misses says too little.

- A share of independent prompts, each counted once, has the exact interval of Clopper and Pearson
  (Biometrika 26:404, 1934). So has a share *among* some prompts, k of those m that a condition
  selects: given m, k is binomial (agreement among the prompts that the model gets wrong). Two
  accuracies of which one has no hit beside the other's in this sample are no such share: their
  quotient may be above 1.
- A share that is 0 or 1 in every one of n clusters has that of 0 or n of n: a cluster holds nothing
  but hits with a probability of at most the share itself. Of crossed rows n is the largest number
  of cells of which no two share a cluster.
- Another quantity of counts that no resample moves is no more certain than a share that is 0: with
  confidence 1 - alpha/2 at most r = 1 - (alpha/2)^(1/n) of the prompts differ from those seen. The
  interval is what the quantity becomes when a share r of the prompts takes the extreme values that
  its counts can have. For a mean of 0/1 values this is the interval of Clopper and Pearson.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Op,
    RowExpr,
    RowMetric,
    RowNumber,
    RowOp,
    RowScored,
    Scalar,
    aggregates,
    rebuilt,
    remade,
    row_reads,
)  # fmt: skip
from pathdsl.score.statistics.alike import alike, clusters_of
from pathdsl.score.statistics.crossed import Table
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = ["clopper_pearson", "hits", "of_counts", "unseen"]

CORNERS = 256


def clopper_pearson(hits: int, n: int, level: float) -> tuple[float, float]:
    """The exact interval of a share from `hits` of `n`."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1 - tail))
    return low, high


def hits(node: Scalar, evaluator: Evaluator) -> tuple[int, int] | None:
    """Hits and their number of trials where a quantity is a share with an exact interval."""
    match node:
        case Aggregate():
            return _counted(node, evaluator, evaluator.mask(node), [node])
        case Op(op="/", args=(Aggregate() as above, Aggregate() as below)):
            among = evaluator.mask(below)
            alike = above.task == below.task and above.part == below.part
            if not alike or not _selected(above.rows, below.rows):
                return None
            if _binary(below, evaluator, among) is None:
                return None
            among = among & (evaluator.vector(below) == 1.0)
            return _counted(above, evaluator, among, [above, below]) if among.any() else None
        case _:
            return None


def _selected(rows: RowExpr, by: RowExpr) -> bool:
    """Whether row values are 0 wherever `by` is, on any prompt and not only on those seen."""
    if isinstance(rows, RowOp) and rows.op == "*":
        return any(_selected(arg, by) for arg in rows.args)
    return rows == by


def _binary(node: Aggregate, evaluator: Evaluator, inside: np.ndarray) -> np.ndarray | None:
    """The values on some rows where they are hits and misses, whatever the rows."""
    x = evaluator.vector(node)[inside]
    # A metric that happens to be 0 or 1 everywhere is no count of hits.
    counts = node.kind == "mean" and of_counts(node)
    return x if counts and np.isin(x, (0.0, 1.0)).all() else None


def _counted(
    node: Aggregate, evaluator: Evaluator, inside: np.ndarray, read: Sequence[Aggregate]
) -> tuple[int, int] | None:
    """Hits and trials on some rows, where these are as many as independent units; `read`: all that
    the share is made of."""
    x = _binary(node, evaluator, inside)
    if x is None or not len(x):
        return None
    tasks = evaluator.session.tasks
    clusters, crossed = clusters_of(tasks[node.task], alike(read, tasks))
    if crossed is not None:
        n = Table(clusters[inside], crossed[inside]).units
    else:
        n = len(np.unique(clusters[inside]))
    if n == len(x):
        return int(x.sum()), n
    return (int(x[0]) * n, n) if np.ptp(x) == 0 else None


def of_counts(node: Scalar) -> bool:
    """True where all that is measured are ranks, hits and tokens, which rounding does not move."""
    return all(
        isinstance(f, RowMetric) and f.metric.discrete
        for a in aggregates(node)
        for f in row_reads(a.rows)
    )


def unseen(
    node: Scalar, evaluator: Evaluator, units: int, level: float
) -> tuple[float, float] | None:
    """The interval of a quantity of counts that is the same in all resamples of `units` clusters.

    None where it is not of means of counts whose range is known.
    """
    means = list(dict.fromkeys(aggregates(node)))
    ranges = [_range(a.rows) if a.kind == "mean" else None for a in means]
    known = [r for r in ranges if r is not None]
    if len(known) < len(means) or 2 ** len(means) > CORNERS:
        return None
    # The parts of the level add up over tasks whose rows are drawn independently of each other.
    tail = (1 - level) / 2 / len({a.task for a in means})
    share = 1 - tail ** (1 / units)
    seen = [evaluator.estimate(a) for a in means]
    ends = [evaluator.estimate(node)]
    for corner in product(*known):
        moved = {
            a: Constant(value=(1 - share) * old + share * new)
            for a, old, new in zip(means, seen, corner, strict=True)
        }
        ends.append(evaluator.estimate(_replaced(node, moved)))
    return (min(ends), max(ends)) if np.isfinite(ends).all() else None


def _replaced(node: Scalar, by: dict[Aggregate, Constant]) -> Scalar:
    return remade(
        node, lambda one, args: by[one] if isinstance(one, Aggregate) else rebuilt(one, args)
    )


def _range(rows: RowExpr) -> tuple[float, float] | None:
    """The least and largest value that a row expression of hits can have; None if unknown."""
    match rows:
        case RowNumber(value=value):
            return value, value
        case RowMetric(metric=metric):
            n = len(metric.measures)
            if any(m.record.values != "hits" for m in metric.measures) or 2**n > CORNERS:
                return None
            corners = np.array(list(product((0.0, 1.0), repeat=n)))
            values = metric.evaluate(dict(zip(metric.measures, corners.T, strict=True)))
            return float(values.min()), float(values.max())
        case RowScored():
            return None
    if rows.op == "same":
        return 0.0, 1.0
    found = [_range(arg) for arg in rows.args]
    ranges = [r for r in found if r is not None]
    if len(ranges) < len(found):
        return None
    match rows.op:
        case "neg":
            ends = [-x for x in ranges[0]]
        case "abs":
            ends = [abs(x) for x in ranges[0]] + [0.0] * (ranges[0][0] <= 0 <= ranges[0][1])
        case "+" | "-" | "*":
            sign = -1.0 if rows.op == "-" else 1.0
            pairs = [(x, y) for x in ranges[0] for y in ranges[1]]
            ends = [x * y if rows.op == "*" else x + sign * y for x, y in pairs]
        case _:
            return None
    return min(ends), max(ends)
