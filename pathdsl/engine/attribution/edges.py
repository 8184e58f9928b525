"""Scores of edges: gradient at what a reader reads times what treating one sender changes of it.

    score(u -> v) = (change of what u writes) . dm/d(what v reads)       at the reference run

Syed, Rager and Conmy 2023 (arXiv:2310.10348). It is the derivative, at 0, of the metric as the
share of u's treated value grows that v alone reads. Where a norm stands between a layer's heads and
the stream each reader applies it to the sum that it reads, so that a head's change is what the
norm's derivative at the reference sum makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS
from pathdsl.engine.adapters.norms import moved
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import LayerGradients, Tape, norm_of

__all__ = ["EdgeScores", "by_gradient", "written_changes"]


def by_gradient(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every edge, or summed over positions (units, rows, 1)."""
    writes = written_changes(chunk.tape, chunk.mean_side())
    scores = EdgeScores(chunk, writes)
    scores.add(chunk.tape, chunk.tape.backward(chunk.gradient()))
    return scores.values


def written_changes(tape: Tape, side: Side) -> Tensor:
    """(senders, rows, pos, d): by how much each sender's write changes, in component order."""
    shape, adapter = tape.adapter.shape, tape.adapter
    rows, pos, d = tape.embedded.shape
    found = tape.embedded.new_empty((shape.n_senders, rows, pos, d))
    found[0] = side.input - tape.embedded
    place = 1
    with torch.no_grad():
        for layer in tape.layers:
            change = adapter.write_each(layer.layer, side.z[layer.layer] - layer.z)
            if shape.norm_after_attention:
                change = _through_norm(layer.layer, tape, change)
            found[place : place + shape.n_heads] = change.permute(2, 0, 1, 3)
            place += shape.n_heads
            out = side.out[layer.layer]
            if out is not None and layer.out is not None:
                found[place] = out - layer.out
                place += 1
    return found


def _through_norm(layer: int, tape: Tape, change: Tensor) -> Tensor:
    """Changes (rows, pos, n_heads, d) of the heads' sum as changes of its norm, each by itself."""
    z = tape.layers[layer].z
    norm = norm_of(lambda applied: tape.adapter.attention_write(layer, z, applied))
    if norm is None:
        return change
    module, summed = norm
    return moved(module, summed.unsqueeze(-2), change, held=tape.rules.held)


class EdgeScores:
    """Scores of all edges on one chunk, in the order of `edge_units`."""

    def __init__(self, chunk: Chunk, writes: Tensor) -> None:
        """`writes`: (senders, rows, pos, d), as `written_changes` gives it."""
        shape = chunk.adapter.shape
        self.shape, self.writes, self.by_position = shape, writes, chunk.asked.by_position
        n_rows, n_pos = writes.shape[1:3]
        self._first: dict[int, int] = {}
        count, below = 0, 1
        for layer in range(shape.n_layers):
            self._first[layer] = count
            count += shape.n_heads * len(SLOTS) * below
            count += self._of_mlp(below) if shape.has_mlp else 0
            below += shape.n_heads + int(shape.has_mlp)
        self._first[shape.n_layers] = count
        pos = n_pos if self.by_position else 1
        self.values = torch.zeros((count + below, n_rows, pos), dtype=torch.float64)

    def _of_mlp(self, below: int) -> int:
        return below if self.shape.parallel else below + self.shape.n_heads

    def add(self, tape: Tape, gradients: Iterable[LayerGradients], share: float = 1.0) -> None:
        """Add the scores of all readers, `share` times."""
        shape = self.shape
        for found in gradients:
            layer = tape.layers[found.layer]
            below = 1 + found.layer * (shape.n_heads + int(shape.has_mlp))
            if found.layer == shape.n_layers - 1:
                self._put(self._first[shape.n_layers], found.after.unsqueeze(0), shape.n_senders,
                          share)  # fmt: skip
            first = self._first[found.layer]
            by_slot = [self._products(layer.at_reader(slot, found.slot(slot)), below)
                       for slot in SLOTS]  # fmt: skip
            together = torch.stack(by_slot, dim=1).flatten(0, 2)  # heads, slots, senders
            self.values[first : first + len(together)] += share * together.double().cpu()
            if found.read is not None:
                first += len(together)
                self._put(first, found.read.unsqueeze(0), self._of_mlp(below), share)

    def _put(self, first: int, gradients: Tensor, senders: int, share: float) -> None:
        found = self._products(gradients, senders).flatten(0, 1)
        self.values[first : first + len(found)] += share * found.double().cpu()

    def _products(self, gradients: Tensor, senders: int) -> Tensor:
        """(readers, rows, pos, d) with what the first senders write: (readers, senders, rows, pos)
        by position, else (readers, senders, rows, 1)."""
        writes = self.writes[:senders]
        if self.by_position:
            shape = gradients.shape[1:3]
            left = gradients.flatten(1, 2).transpose(0, 1)  # (rows * pos, readers, d)
            right = writes.flatten(1, 2).permute(1, 2, 0)
            return torch.bmm(left, right).permute(1, 2, 0).unflatten(-1, shape)
        left = gradients.flatten(2).transpose(0, 1)  # (rows, readers, pos * d)
        right = writes.flatten(2).permute(1, 2, 0)
        return torch.bmm(left, right).permute(1, 2, 0).unsqueeze(-1)
