"""Clusters of rows as a quantity sees them: rows in which all that it reads is equal are one.

A claim about the reference run depends on the reference prompts alone, one about an effect on pairs
of a reference and a treated prompt. A prompt that stands in two rows is one piece of evidence,
whatever ids, answers or labels these have. Where a task declares clusters, those that hold one
prompt are joined; of crossed rows in both fields, so that nothing is left that two clusters share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from pathdsl.plan.taskdata import TaskData
from pathdsl.score.quantity import Aggregate, row_reads

__all__ = ["alike", "clusters_of", "different", "joined", "task_clusters"]


def alike(found: Iterable[Aggregate], tasks: Mapping[str, TaskData]) -> np.ndarray | None:
    """(rows,) int64, equal where all that some aggregates read is; None where no two rows are.

    The aggregates are of tasks that share their rows.
    """
    read: dict[int, np.ndarray] = {}
    for aggregate in found:
        whole = tasks[aggregate.task].repeats
        if whole is None:
            return None
        read[id(whole.reference)] = whole.reference
        for item in row_reads(aggregate.rows):
            own = tasks[item.run.task].repeats if item.run.task in tasks else whole
            if own is None:
                return None
            numbers = own.of(item.run.treated) if item.run.treats else own.reference
            read[id(numbers)] = numbers
    if not read:
        return None
    _, numbers = np.unique(np.stack(list(read.values())), axis=1, return_inverse=True)
    numbers = numbers.ravel()
    return numbers if int(numbers.max()) + 1 < len(numbers) else None


def different(numbers: np.ndarray | None, inside: np.ndarray) -> int:
    """How many prompts stand in some rows, (rows,) bool; `numbers` as `alike` gives them."""
    return int(inside.sum()) if numbers is None else len(np.unique(numbers[inside]))


def joined(clusters: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
    """(rows,) int64 clusters of which no two hold rows of one number, by first appearance.

    The clusters as they are where `numbers` is None.
    """
    if numbers is None:
        return clusters
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, own = np.unique(clusters, return_inverse=True)
    _, first, place = np.unique(numbers, return_index=True, return_inverse=True)
    size = int(own.max()) + 1
    links = coo_array((np.ones(len(own)), (own, own[first][place])), shape=(size, size))
    found = connected_components(links, directed=False)[1][own]
    _, seen, again = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(seen))[again]


def clusters_of(data: TaskData, numbers: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The clusters of a task and, of crossed rows, those of the second field, joined by numbers."""
    crossed = joined(data.crossed, numbers) if data.crossed is not None else None
    return joined(data.clusters, numbers), crossed


def task_clusters(data: TaskData, *, pairs: bool = True) -> tuple[np.ndarray, np.ndarray | None]:
    """The clusters of a task on its own: by pairs of prompts, or by reference prompts alone."""
    if data.repeats is None:
        return data.clusters, data.crossed
    return clusters_of(data, data.repeats.of(None) if pairs else data.repeats.reference)
