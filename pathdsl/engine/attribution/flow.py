"""Information flow routes: how much of what a reader reads each sender's write makes up.

Ferrando and Voita 2024 (arXiv:2403.00824). With x what a reader reads at a token, before its norm,
and a what a sender writes there,

    proximity(a, x) = max(0, |x| - |a - x|)        |…| the sum of absolute entries
    score(u -> v)   = proximity of u's write / sum of the proximities of all senders that v reads

on the reference run alone: no metric, no treated value, no gradient. The paper takes the parts of
each sum of the stream in turn, head and token by head and token; its form for edges, with all
senders below as the parts, is that of the authors of EAP-IG (arXiv:2403.17806, and of MIB,
arXiv:2504.13151). Queries, keys and values of a layer's heads read the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS, Adapter, LayerValues, layers
from pathdsl.engine.adapters.norms import moved
from pathdsl.engine.attribution.cost import rows_per_chunk
from pathdsl.engine.attribution.tape import norm_of
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.attribution import Attribution

__all__ = ["PlainChunk", "PlainChunks", "by_flow"]


class PlainChunk:
    """Some reference prompts: `ids` (rows, pos), `lengths` (rows,); `rows`: from and to."""

    def __init__(
        self, adapter: Adapter, task: TaskData, asked: Attribution, rows: tuple[int, int]
    ) -> None:
        self.adapter, self.asked, self.rows = adapter, asked, rows
        lengths = task.lengths[slice(*rows)]
        ids = task.prompts[task.reference][slice(*rows), : int(lengths.max())]
        self.ids = torch.from_numpy(np.ascontiguousarray(ids)).to(adapter.device)
        self.lengths = torch.from_numpy(lengths).to(adapter.device)

    @property
    def valid(self) -> Tensor:
        """(rows, pos) bool, True where a token stands."""
        places = torch.arange(self.ids.shape[1], device=self.ids.device)
        return places < self.lengths.unsqueeze(-1)


class PlainChunks:
    """A task's reference prompts, as many together as for every method."""

    def __init__(
        self,
        adapter: Adapter,
        task: TaskData,
        asked: Attribution,
        rows: int | None,
        memory: int | None,
    ) -> None:
        """`rows`: how many of the first rows are wanted, None for all. `memory`: as of
        `rows_per_chunk`."""
        self.adapter, self.task, self.asked = adapter, task, asked
        self.n_rows = task.n_rows if rows is None else min(rows, task.n_rows)
        self.n_pos = task.n_pos
        size = adapter.dtype.itemsize
        self.step = rows_per_chunk(asked, adapter.shape, self.n_pos, size, memory)

    def __iter__(self) -> Iterator[tuple[PlainChunk]]:
        """One chunk after another."""
        for start in range(0, self.n_rows, self.step):
            rows = (start, min(start + self.step, self.n_rows))
            yield (PlainChunk(self.adapter, self.task, self.asked, rows),)


@torch.no_grad()
def by_flow(chunk: PlainChunk) -> Tensor:
    """(units, rows, pos) of every edge, or their means over positions (units, rows, 1)."""
    adapter, shape = chunk.adapter, chunk.adapter.shape
    embedded = adapter.embed(chunk.ids)
    writes, stream, found = [embedded], embedded, []
    for layer in layers(adapter, embedded, chunk.lengths):
        into_heads = _shares(writes, stream)
        found += [into_heads] * (shape.n_heads * len(SLOTS))
        heads = [*writes, *_parts(adapter, layer)]
        if layer.out is not None and layer.read is not None:
            found.append(_shares(writes if shape.parallel else heads, layer.read))
            heads.append(layer.out)
        writes, stream = heads, layer.after
    found.append(_shares(writes, stream))
    shares = torch.cat(found).masked_fill(~chunk.valid, 0.0)
    if not chunk.asked.by_position:
        shares = shares.sum(-1, keepdim=True) / chunk.lengths.unsqueeze(-1)
    return shares.cpu()


def _parts(adapter: Adapter, layer: LayerValues) -> Iterator[Tensor]:
    """What each head adds to the stream, (rows, pos, d): parts of the norm of their sum, with that
    norm's scale, where one stands behind them."""
    each = adapter.write_each(layer.layer, layer.z)
    norm = norm_of(lambda applied: adapter.attention_write(layer.layer, layer.z, applied))
    if norm is not None:
        each = moved(norm[0], norm[1].unsqueeze(-2), each, held=True)
    return iter(each.unbind(-2))


def _shares(parts: list[Tensor], whole: Tensor) -> Tensor:
    """(parts, rows, pos) float64: their proximities to the whole, as shares of their sum.

    All are 0 where no part is near the whole.
    """
    whole = whole.double()
    size = whole.abs().sum(-1)
    near = torch.stack([size - (part.double() - whole).abs().sum(-1) for part in parts]).clamp(0.0)
    total = near.sum(0)
    return torch.where(total > 0, near / total, 0.0)
