"""Two parts of a task's rows: one finds a circuit, the other judges it.

Rows that share a cluster of the task, a reference prompt or both prompts stay together, since the
one would tell what the other says. These groups are shuffled by the seed, and are given to the
first part until it has its share of the rows.

    finding, judging = split_rows(("a", "a", "b"), ("x", "y", "z"), (0, 1, 2), share=0.5, seed=0)
"""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.draws import Draws

__all__ = ["groups_of", "split_rows"]


def groups_of(
    references: Sequence[str], pairs: Sequence[str], clusters: Sequence[int]
) -> list[list[int]]:
    """Rows that stay together, by their places, in order of first appearance."""
    parent = list(range(len(references)))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, object], int] = {}
    for row, (one, both, cluster) in enumerate(zip(references, pairs, clusters, strict=True)):
        for mark in (("reference", one), ("pair", both), ("cluster", cluster)):
            a, b = find(first.setdefault(mark, row)), find(row)
            parent[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for row in range(len(references)):
        groups.setdefault(find(row), []).append(row)
    return list(groups.values())


def split_rows(
    references: Sequence[str],
    pairs: Sequence[str],
    clusters: Sequence[int],
    *,
    share: float,
    seed: int,
) -> tuple[list[int], list[int]]:
    """The places of the rows that find, and of those that judge, each in order.

    ValueError where one of the parts would be empty.
    """
    groups = groups_of(references, pairs, clusters)
    order = Draws(seed, "discover", "rows").shuffled(range(len(groups)))
    finding: list[int] = []
    for place in order[:-1]:  # at least one group judges
        if len(finding) >= share * len(references):
            break
        finding += groups[place]
    if not finding:
        raise ValueError("all of them stay together")
    found = set(finding)
    return sorted(found), [row for row in range(len(references)) if row not in found]
