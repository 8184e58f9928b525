"""Metrics that say nothing: one number on every prompt and in every run (PD527).

`logit(a) - logit(a)` is 0, and so is `logit(a) - logit(b)` where both columns hold the same tokens
on every row. Every effect of such a metric is 0 and every ratio 1, whatever is treated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathdsl.errors import Diagnostic
from pathdsl.lang.program import Program
from pathdsl.score.faults import warning
from pathdsl.score.quantity import RowMetric, Scalar, aggregates, row_metrics
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = ["constant_metrics"]


def constant_metrics(
    program: Program, nodes: Sequence[Scalar], evaluator: Evaluator
) -> list[Diagnostic]:
    """A warning for each metric of the program that is constant in all that was measured of it."""
    items: dict[str, dict[RowMetric, None]] = {}
    for node in nodes:
        for one in aggregates(node):
            for item in row_metrics(one.rows):
                items.setdefault(item.metric.name, {})[item] = None
    found = []
    for name, decl in program.metrics.items():
        value = _constant(list(items.get(name, ())), evaluator)
        if value is not None:
            found.append(
                warning(
                    "PD527",
                    f"`{name}` is {value:g} on every prompt and in every run",
                    decl.name,
                    label="measures nothing",
                    help="look at its columns: two that hold the same tokens cancel",
                )
            )
    return found


def _constant(items: Sequence[RowMetric], evaluator: Evaluator) -> float | None:
    """The one value that a metric has, where that says something of the metric."""
    if not items:
        return None
    first = float(evaluator.rows(items[0]).flat[0])
    for item in items:
        values = evaluator.rows(item)
        if values.shape[-1] < 2 or not bool(np.all(values == first)):
            return None
    metric = items[0].metric
    if (first == 0 or not metric.expression.free_symbols) and not metric.discrete:
        return first
    return _everywhere(items, evaluator, first)


def _everywhere(items: Sequence[RowMetric], evaluator: Evaluator, value: float) -> float | None:
    """The value where it was met in the model and where all is treated: hits may be 1 in a few."""
    kinds = {evaluator.session.identity(item.run).kind for item in items}
    return value if {"reference", "treated"} <= kinds else None
