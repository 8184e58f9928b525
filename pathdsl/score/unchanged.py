"""Prompts on which a quantity is what it is by construction: nothing is there to treat.

A row whose treated prompt is its reference prompt, or that is alone in the group of its mean, has
an effect of exactly 0. Such rows say nothing about the model, and their number stands beside n.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pathdsl.plan.taskdata import TaskData
from pathdsl.score.quantity import Aggregate, Scalar, aggregates, row_reads
from pathdsl.score.statistics.alike import alike, different
from pathdsl.score.statistics.design import part_mask, row_key

__all__ = ["unchanged_prompts"]


def unchanged_prompts(node: Scalar, tasks: Mapping[str, TaskData]) -> int:
    """Of the distinct prompts behind a quantity, those with the reference's own as treated value.

    Where tasks of different rows enter, the number of the one that has most.
    """
    found: dict[str, np.ndarray] = {}
    read: dict[str, list[Aggregate]] = {}
    for aggregate in aggregates(node):
        task = tasks[aggregate.task]
        read.setdefault(row_key(task), []).append(aggregate)
        for item in row_reads(aggregate.rows):
            rows = task.unchanged.get(item.run.treated)
            if not item.run.treats or rows is None or item.run.of_treated is not None:
                continue
            key = row_key(task)
            none: np.ndarray = np.zeros(task.n_rows, dtype=bool)
            found[key] = found.get(key, none) | (rows & part_mask(task, aggregate.part))
    counts = (different(alike(read[key], tasks), rows) for key, rows in found.items())
    return max(counts, default=0)
