"""Queries, keys and values of one layer's head copies, projected together.

Many copies read few streams, and many streams go through the same weights: what copies want is
gathered first, then every product is done once for all streams that need the same heads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter, Slot
from pathdsl.engine.adapters.norms import Given
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.outputs import Plan
from pathdsl.plan.steps import PlainResid

CHUNK_ENTRIES = {"cpu": 3 << 19}
OTHER_ENTRIES = 3 << 21
"""Entries of the streams that go through one matrix product at a time, by the kind of device: 2,048
tokens of GPT-2, whose queries, keys and values are then 19 MB; bounds the working memory."""


class Wanted(NamedTuple):
    """One input of one head on a residual step, at the tokens of a mask."""

    slot: Slot
    step: int
    mask: int
    head: int


class Projected:
    """What was projected: by slot, step and mask, (tokens, heads, d_head)."""

    def __init__(self, plan: Plan, sites: Sites) -> None:
        self.plan = plan
        self.sites = sites
        self._unions: dict[tuple[Slot, int], int] = {}
        self._values: dict[tuple[Slot, int, int], tuple[Tensor, dict[int, int]]] = {}

    def at(self, slot: Slot, step: int, mask: int, head: int) -> Tensor:
        """(tokens of the mask, d_head)."""
        stored = self._unions.get((slot, step), mask)
        values, places = self._values[slot, step, stored]
        return self.sites.take(values[:, places[head]], stored, mask)

    def keep_shared(self) -> None:
        """Forget what only the copies of one portion read."""
        self._values = {
            key: value for key, value in self._values.items() if (key[0], key[1]) in self._unions
        }

    def missing(self, wanted: Iterable[Wanted]) -> dict[tuple[Slot, int, int], list[int]]:
        """(slot, step, mask) to the heads that have to be projected there.

        Streams of plain runs are projected once, at all tokens where some copy reads them.
        """
        heads: dict[tuple[Slot, int, int], set[int]] = defaultdict(set)
        for slot, step, mask, head in wanted:
            if isinstance(self.plan.steps[step], PlainResid):
                self._unions.setdefault((slot, step), self.plan.need[step])
                mask = self.plan.need[step]
            if head not in self._values.get((slot, step, mask), (None, {}))[1]:
                heads[slot, step, mask].add(head)
        return {key: sorted(found) for key, found in heads.items()}

    def put(self, key: tuple[Slot, int, int], values: Tensor, heads: Sequence[int]) -> None:
        """Add heads to what is known."""
        known = self._values.get(key)
        places = {head: place for place, head in enumerate(heads)}
        if known is not None:
            shift = known[0].shape[1]
            places = {**known[1], **{head: shift + place for head, place in places.items()}}
            values = torch.cat([known[0], values], dim=1)
        self._values[key] = values, places


def project_all(
    adapter: Adapter,
    layer: int,
    wanted: Iterable[Wanted],
    values: Mapping[int, Tensor],
    into: Projected,
    scales: Callable[[Sequence[int]], Given | None],
) -> None:
    """Project what is wanted and not there yet; `values` are the residual steps' own.

    `scales`: what the norm before attention is given on some steps, None: its own scales.
    """
    plan, sites = into.plan, into.sites
    missing = into.missing(wanted)
    by_step: dict[int, list[tuple[Slot, int]]] = defaultdict(list)
    for slot, step, mask in missing:
        by_step[step].append((slot, mask))
    most = chunk_tokens(adapter)
    for steps in portions(list(by_step), lambda step: sites.count(plan.need[step]), most):
        inputs = [values[step] for step in steps]
        normed = adapter.attention_input(layer, torch.cat(inputs), scales(steps))
        pieces = dict(zip(steps, normed.split([len(x) for x in inputs]), strict=True))
        together: dict[tuple[Slot, tuple[int, ...]], list[tuple[int, int]]] = defaultdict(list)
        for step in steps:
            for slot, mask in by_step[step]:
                together[slot, tuple(missing[slot, step, mask])].append((step, mask))
        for (slot, heads), reads in together.items():
            parts = [sites.take(pieces[step], plan.need[step], mask) for step, mask in reads]
            places = torch.cat([torch.from_numpy(sites.positions_of(mask)) for _, mask in reads])
            out = adapter.project(
                layer,
                slot,
                torch.cat(parts) if len(parts) > 1 else parts[0],
                heads if len(heads) < plan.shape.n_heads else None,
                positions=places.to(adapter.device, non_blocking=True),
            )  # (tokens, heads, d_head)
            for (step, mask), piece in zip(
                reads, out.split([len(part) for part in parts]), strict=True
            ):
                into.put((slot, step, mask), piece, heads)


def chunk_tokens(adapter: Adapter) -> int:
    """Tokens that go through one matrix product at a time."""
    entries = CHUNK_ENTRIES.get(adapter.device.type, OTHER_ENTRIES)
    return max(entries // adapter.shape.d_model, 1)


def portions(numbers: Sequence[int], size: Callable[[int], int], most: int) -> Iterator[list[int]]:
    """Steps in groups of so many tokens together at most, at least one step each."""
    batch: list[int] = []
    total = 0
    for number in numbers:
        if batch and total + size(number) > most:
            yield batch
            batch, total = [], 0
        batch.append(number)
        total += size(number)
    if batch:
        yield batch
