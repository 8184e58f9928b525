"""Copies of recurrences: what one writes at a token, of the streams of all tokens up to there.

Where a copy reads one stream whatever the distance, a prompt is one sequence, whose every position
is wanted or not. Where paths tell distances apart, each token that is wanted has a sequence of its
own: at every position before it the stream that it reads from so far away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.adapters.norms import Given
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.steps import Frozen, RecurrentCopy

__all__ = ["recur"]


class Execution(Protocol):
    """What a batch knows; see `pathdsl.engine.run.execute.BatchExecution`."""

    adapter: Adapter
    sites: Sites
    masks: MaskTable
    most: int

    def at(self, number: int, mask: int) -> Tensor:
        """The value of a step at the tokens of a mask."""
        ...

    def scales(self, kinds: list[str], layer: int, masks: list[int], to: Frozen) -> Given:
        """The scales that norms are frozen to."""
        ...


def recur(batch: Execution, step: RecurrentCopy, need: int) -> Tensor:
    """(tokens of `need`, d): what the recurrence writes there."""
    sites, adapter, layer = batch.sites, batch.adapter, step.layer
    reads = [(batch.masks.looked_at_by(need, far), far, read) for far, read in step.values]
    reads = [one for one in reads if sites.count(one[0])]
    x = torch.cat([_projected(batch, step, mask, read) for mask, _, read in reads])
    index = _whole(sites, reads[0][0]) if len(reads) == 1 else _told_apart(batch, need, reads)
    if len(reads) == 1:
        asked = sites.padded(need)
        at = asked.positions
    else:
        at = torch.from_numpy(sites.positions_of(need)).to(x.device).unsqueeze(-1)
    parts = []
    for some in _portions(len(index), batch.most // max(index.shape[1], 1)):
        grid = x[index[some].to(x.device, non_blocking=True)]
        parts.append(adapter.recurrent(layer, grid, at[some]))
    out = torch.cat(parts).flatten(0, 1)
    return out if len(reads) > 1 or asked.whole else out.index_select(0, asked.back)


def _projected(batch: Execution, step: RecurrentCopy, mask: int, read: int) -> Tensor:
    """(tokens of the mask, width) of one stream."""
    given = (
        batch.scales(["scale_attention"], step.layer, [mask], step.frozen) if step.frozen else None
    )
    adapter, stream = batch.adapter, batch.at(read, mask)
    return torch.cat(
        [
            adapter.recurrent_input(
                step.layer,
                adapter.attention_input(
                    step.layer, part, given and given.part(place * batch.most, batch.most)
                ),
            )
            for place, part in enumerate(stream.split(batch.most))
        ]
    )


def _whole(sites: Sites, mask: int) -> Tensor:
    """(rows, pos): which token stands where, of a mask that has all tokens up to its last."""
    return sites.padded(mask).index


def _told_apart(batch: Execution, need: int, reads: list[tuple[int, int, int]]) -> Tensor:
    """(tokens of `need`, pos): at each position before one the token of the stream that it reads
    from there, all streams one behind the other; behind it any."""
    sites, masks = batch.sites, batch.masks
    rows, own = sites.rows_of(need), sites.positions_of(need)
    n_pos = int(own.max()) + 1
    away = own[:, None] - np.arange(n_pos)[None]  # (tokens, pos)
    index = np.zeros(away.shape, np.int64)
    start = 0
    for mask, far, _ in reads:
        place = np.zeros((sites.stop - sites.start, masks.n_pos), np.int64)
        count = sites.count(mask)
        place[sites.rows_of(mask), sites.positions_of(mask)] = start + np.arange(count)
        read = masks.distances(far)[np.clip(away - masks.first_distance, 0, None)] & (away >= 0)
        index = np.where(read, place[rows, :n_pos], index)
        start += count
    return torch.from_numpy(index)


def _portions(count: int, most: int) -> Iterator[slice]:
    size = max(most, 1)
    yield from (slice(start, start + size) for start in range(0, count, size))
