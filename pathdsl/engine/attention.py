"""Attention of head copies whose keys and values may differ by distance.

A relation (`-[k: prev]->`) makes a head read one version of its keys at one distance and another
elsewhere. Every (query, key) pair belongs to exactly one *distance class*; the versions are laid
side by side along the key axis, and a mask shows each query the right version of each key. One
softmax over the side-by-side axis is then the exact softmax over the keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.sites import Sites
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.steps import HeadCopy, Plan

MAX_SCORES = 1 << 25
"""Entries of the score matrices that are in memory at once (128 MiB in float32)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClass:
    """One distance class of a group: the distances, and the keys' mask."""

    distances: int
    mask: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadGroup:
    """Copies of one layer with equal needs and distance classes: one batched attention.

    `reads[i]`: for copy i its query step and, for each class, (key step, value step).
    """

    numbers: tuple[int, ...]
    heads: tuple[int, ...]
    need: int
    classes: tuple[KeyClass, ...]
    reads: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    want_pattern: bool

    def projections(self) -> Iterator[tuple[str, int, int, int]]:
        """(slot, residual step, head, mask) of every projection that the group uses."""
        for head, (query, pairs) in zip(self.heads, self.reads, strict=True):
            yield "q", query, head, self.need
            for part, (key, value) in zip(self.classes, pairs, strict=True):
                yield "k", key, head, part.mask
                yield "v", value, head, part.mask

    def chunks(self, sites: Sites) -> Iterator[HeadGroup]:
        """The group cut so that its scores fit into the working memory."""
        n_keys = sum(sites.padded(part.mask).index.shape[1] for part in self.classes)
        rectangle = sites.padded(self.need).index
        each = max(rectangle.numel() * n_keys, 1)
        size = max(MAX_SCORES // each, 1)
        for start in range(0, len(self.numbers), size):
            part = slice(start, start + size)
            yield replace(
                self, numbers=self.numbers[part], heads=self.heads[part], reads=self.reads[part]
            )


def group_heads(
    plan: Plan, numbers: Sequence[int], patterns: Mapping[int, int], sites: Sites
) -> list[HeadGroup]:
    """Copies of one layer gathered into groups that one batched attention serves.

    Distance classes in which no query of this batch has a key are left out: their keys are not
    there. Every query keeps the class of its own position.
    """
    masks = plan.masks
    found: dict[tuple[int, tuple[KeyClass, ...], bool], list[tuple[int, int, object]]] = {}
    for number in numbers:
        step, need = plan.steps[number], plan.need[number]
        assert isinstance(step, HeadCopy)
        classes, pairs = [], []
        for key_set, key_step in step.keys:
            for value_set, value_step in step.values:
                shared = masks.distances(key_set) & masks.distances(value_set)
                if not shared.any():
                    continue
                distances = masks.distance_set(shared)
                mask = masks.looked_at_by(need, distances)
                if not sites.count(mask):
                    continue
                classes.append(KeyClass(distances=distances, mask=mask))
                pairs.append((key_step, value_step))
        key = (need, tuple(classes), number in patterns)
        found.setdefault(key, []).append((number, step.head, (step.query, tuple(pairs))))
    return [
        HeadGroup(
            numbers=tuple(n for n, _, _ in members),
            heads=tuple(h for _, h, _ in members),
            need=need,
            classes=classes,
            reads=tuple(r for _, _, r in members),  # type: ignore[misc]
            want_pattern=wanted,
        )
        for (need, classes, wanted), members in found.items()
    ]


def attend_group(
    adapter: Adapter,
    layer: int,
    group: HeadGroup,
    projected: Mapping[tuple[str, int, int, int], Tensor],
    sites: Sites,
    masks: MaskTable,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]:
    """Outputs (copies, tokens of need, d_head) and, if wanted, patterns.

    A pattern is (weights (copies, rows, queries, keys), query positions (rows, queries) with -1
    where there is none, key positions (rows, keys) with -1 where there is none).
    """
    asked = sites.padded(group.need)
    q = torch.stack(
        [projected["q", query, head, group.need] for head, (query, _) in _members(group)]
    )[:, asked.index]  # (copies, rows, queries, d_head)
    keys, values, seen, places = [], [], [], []
    for number, part in enumerate(group.classes):
        have = sites.padded(part.mask)
        keys.append(
            torch.stack(
                [projected["k", r[number][0], h, part.mask] for h, (_, r) in _members(group)]
            )[:, have.index]
        )
        values.append(
            torch.stack(
                [projected["v", r[number][1], h, part.mask] for h, (_, r) in _members(group)]
            )[:, have.index]
        )
        distance = asked.positions.unsqueeze(-1) - have.positions.unsqueeze(1)
        allowed = torch.from_numpy(np.asarray(masks.distances(part.distances))).to(distance.device)
        ok = (distance >= 0) & allowed[distance.clamp(min=0)] & have.real.unsqueeze(1)
        seen.append(ok)  # (rows, queries, keys)
        places.append(have.positions.masked_fill(~have.real, -1))
    k, v, mask = torch.cat(keys, dim=2), torch.cat(values, dim=2), torch.cat(seen, dim=-1)
    z, pattern = adapter.attend_masked(layer, q, k, v, mask, want_pattern=group.want_pattern)
    flat = z.flatten(1, 2).index_select(1, asked.back)  # z (copies, rows, queries, d_head)
    if pattern is None:
        return flat, None
    queries = asked.positions.masked_fill(~asked.real, -1)
    return flat, (pattern, queries, torch.cat(places, dim=-1))


def _members(
    group: HeadGroup,
) -> Iterator[tuple[int, tuple[int, tuple[tuple[int, int], ...]]]]:
    return iter(zip(group.heads, group.reads, strict=True))
