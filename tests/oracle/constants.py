"""Treated values that are no activation of any input, from plain forward passes of the oracle."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from .tree import Constants, forward_of, plain_values


def mean_constants(
    model: Any,
    rows: Sequence[Sequence[int]],
    groups: Sequence[Hashable],
    neurons: frozenset[tuple[int, int]] = frozenset(),
) -> list[Constants]:
    """For each row the mean value per token index over the rows of its group and its length."""
    parts = forward_of(model)
    values = [plain_values(parts, ids, neurons) for ids in rows]
    found: list[Constants] = []
    for ids, group in zip(rows, groups, strict=True):
        peers = [
            other
            for other, other_ids, other_group in zip(values, rows, groups, strict=True)
            if other_group == group and len(other_ids) == len(ids)
        ]
        found.append({node: np.mean([p[node] for p in peers], axis=0) for node in peers[0]})
    return found


def zero_constants(
    model: Any, length: int, neurons: frozenset[tuple[int, int]] = frozenset()
) -> Constants:
    """Zero for every component, `input` included, at every position."""
    plain = plain_values(model, [0] * length, neurons)
    return {node: np.zeros_like(value) for node, value in plain.items()}
