"""Scores of edges: gradient at what a reader reads times what treating one sender changes of it.

    score(u -> v) = (change of what u writes) . dm/d(what v reads)       at the reference run

Syed, Rager and Conmy 2023 (arXiv:2310.10348). It is the derivative, at 0, of the metric as the
share of u's treated value grows that v alone reads. Where a norm stands between a layer's heads and
the stream each reader applies it to the sum that it reads, so that a head's change is what the
norm's derivative at that sum makes of it.

Averages over several runs (integrated gradients; Hanna, Pezzelle and Belinkov 2024,
arXiv:2403.17806) are taken of gradients at heads' inputs, before these are carried to the stream:

    rule `right`    k = 1 … m of    input(treated) + k/m (input(reference) - input(treated))
    rule `left`     k = 0 … m - 1, as in the authors' code
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS
from pathdsl.engine.adapters.norms import moved
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.readers import LayerReaders, ReaderWeights
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import Tape, TapeLayer, norm_of

LAYERS_TOGETHER = 2
"""Layers whose readers share one product with what senders write: reading that costs more than the
arithmetic, of which a few per cent are for edges that there are not."""

__all__ = ["EdgeScores", "at_both_ends", "by_gradient", "by_inputs", "written_changes"]


def by_gradient(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every edge, or summed over positions (units, rows, 1)."""
    scores = EdgeScores(chunk)
    scores.of_changes([layer.z for layer in chunk.tape.layers], chunk.mean_side())
    scores.forget_side()
    gradient = chunk.gradient()
    scores.put_final(gradient)
    for layer in reversed(chunk.tape.layers):
        found = layer.inner(gradient)
        readers = scores.readers(layer)
        readers.add(layer, found, 1.0)
        gradient = layer.past(found)
        chunk.tape.forget_rest(layer.layer)
        gradient = scores.put(readers) + gradient
    return scores.values


def at_both_ends(chunk: Chunk) -> Tensor:
    """The mean of the gradients at the reference run and at the treated run, times the change."""
    scores = EdgeScores(chunk)
    for side in chunk.sides():
        scores.along(side, _ends(chunk, side.input, 0.5 / chunk.draws))
    return scores.values


def _ends(chunk: Chunk, treated: Tensor, share: float) -> Iterator[tuple[Tape, float]]:
    yield chunk.reference(), share
    yield chunk.tape_of(treated), share


def by_inputs(chunk: Chunk) -> Tensor:
    """The mean gradient along the straight way between the inputs, times the change."""
    scores, steps = EdgeScores(chunk), chunk.asked.steps
    for side in chunk.sides():
        scores.along(side, _between(chunk, side.input, 1 / (steps * chunk.draws)))
    return scores.values


def _between(chunk: Chunk, treated: Tensor, share: float) -> Iterator[tuple[Tape, float]]:
    """The runs of the integral, each with its share, the reference run first where it is one."""
    steps = chunk.asked.steps
    reference = chunk.tape.embedded
    for k in reversed(chunk.points()):
        if k == steps:
            yield chunk.reference(), share
        else:
            yield chunk.tape_of(treated + k / steps * (reference - treated)), share


def written_changes(heads: Sequence[Tensor], side: Side, weights: ReaderWeights) -> Tensor:
    """(senders, rows, pos, d): by how much each sender's write changes, in component order. Valid
    until the next call.

    `heads`: all heads' outputs by layer, of the run whose norms after attention are meant.
    """
    reference = side.tape
    adapter, shape = reference.adapter, reference.adapter.shape
    rows, pos, d = reference.embedded.shape
    found = weights.room("changes", (shape.n_senders, rows, pos, d), reference.embedded)
    torch.sub(side.input, reference.embedded, out=found[0])
    place = 1
    with torch.no_grad():
        for layer, z in zip(reference.layers, heads, strict=True):
            here = found[place : place + shape.n_heads + int(shape.has_mlp)]
            late = pos - layer.z.shape[1]
            here[:, :, :late], here = 0.0, here[:, :, late:]
            change, into = side.z[layer.layer] - layer.z, here[: shape.n_heads]
            if shape.norm_after_attention:
                change = _through_norm(layer, z, adapter.write_each(layer.layer, change))
                into.copy_(change.permute(2, 0, 1, 3))
            elif late:
                into.copy_(adapter.write_each(layer.layer, change).permute(2, 0, 1, 3))
            else:  # written where it belongs: a copy would cost as much as the product
                by_head = change.flatten(0, 1).transpose(0, 1)
                torch.bmm(by_head, adapter.output_weight(layer.layer), out=into.flatten(1, 2))
            out = side.out[layer.layer]
            if out is not None and layer.out is not None:
                torch.sub(out, layer.out, out=here[-1])
            place += shape.n_heads + int(shape.has_mlp)
    return found


def _through_norm(layer: TapeLayer, z: Tensor, change: Tensor) -> Tensor:
    """Changes (rows, pos, n_heads, d) of the heads' sum as changes of its norm, each by itself."""
    norm = norm_of(lambda applied: layer.adapter.attention_write(layer.layer, z, applied))
    if norm is None:
        return change
    module, summed = norm
    return moved(module, summed.unsqueeze(-2), change, held=layer.rules.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """Readers whose products with what senders write are still to be taken: the place of their
    first score, how many senders they read, and the slots of a layer's heads, 1 for an MLP."""

    first: int
    senders: int
    slots: int


class EdgeScores:
    """Scores of all edges on one chunk, in the order of `edge_units`."""

    def __init__(self, chunk: Chunk) -> None:
        shape = chunk.adapter.shape
        self.chunk, self.shape, self.by_position = chunk, shape, chunk.asked.by_position
        self._first: dict[int, int] = {}
        self._below: dict[int, int] = {}
        count, below = 0, 1
        for layer in range(shape.n_layers):
            self._first[layer], self._below[layer] = count, below
            count += shape.n_heads * len(SLOTS) * below
            count += self._of_mlp(layer) if shape.has_mlp else 0
            below += shape.n_heads + int(shape.has_mlp)
        self._first[shape.n_layers], self._below[shape.n_layers] = count, below
        pos = chunk.n_pos if self.by_position else 1
        self._values = torch.zeros((count + below, chunk.n_rows, pos), dtype=torch.float64)
        self._writes: Tensor | None = None
        self._side: Side | None = None
        self._waiting: list[_Waiting] = []
        self._filled = 0  # readers that wait

    @property
    def values(self) -> Tensor:
        """(edges, rows, pos) float64, or (edges, rows, 1)."""
        self._settle()
        return self._values

    def _of_mlp(self, layer: int) -> int:
        below = self._below[layer]
        return below if self.shape.parallel else below + self.shape.n_heads

    def of_changes(self, heads: Sequence[Tensor], side: Side) -> None:
        """Score these changes of what senders write from here on; as `written_changes`."""
        if self._writes is None or self._side is not side or self.shape.norm_after_attention:
            self._settle()
            self._writes, self._side = written_changes(heads, side, self.chunk.weights), side

    def changes(self) -> Tensor:
        """The changes of what senders write that are scored, as `written_changes`."""
        assert self._writes is not None
        return self._writes

    def below(self, layer: int) -> int:
        """How many senders a layer's heads read: in component order its first head is the next."""
        return self._below[layer]

    def put_sender(self, layer: int, sender: int, found: Tensor) -> None:
        """Add scores (3, n_heads, rows, n) of one sender's edges into the slots of a layer."""
        found = found.transpose(0, 1).flatten(0, 1)  # heads, slots
        found = found if self.by_position else found.sum(-1, keepdim=True)
        first, below = self._first[layer], self._below[layer]
        into = self._values[first + sender : first + len(found) * below : below]
        into[..., -found.shape[-1] :] += found.double().cpu()

    def forget_side(self) -> None:
        """Let go of what the changes are made of: there are no others of this reference run."""
        self._side = None
        for layer in self.chunk.tape.layers:
            layer.forget_written()

    def along(self, side: Side, runs: Iterable[tuple[Tape, float]]) -> None:
        """Add the scores of gradients that are averaged over runs, each with its share."""
        if self.shape.norm_after_attention:  # the change is another one in each run
            for tape, share in runs:
                self._along([(tape, share)], side, [layer.z for layer in tape.layers])
            return
        self._along(runs, side, [layer.z for layer in side.tape.layers])

    def _along(
        self, runs: Iterable[tuple[Tape, float]], side: Side, heads: Sequence[Tensor]
    ) -> None:
        final: Tensor | None = None
        layers: list[LayerReaders] = []
        for tape, share in runs:
            gradient = self.chunk.metric.gradient(tape.final)
            final = share * gradient if final is None else final + share * gradient
            layers = layers or [self.readers(one) for one in tape.layers]
            for layer, readers in zip(reversed(tape.layers), reversed(layers), strict=True):
                found = layer.inner(gradient)
                readers.add(layer, found, share)
                if layer.layer:  # nothing reads the gradient below the first
                    gradient = layer.before(found)
            if not self.shape.norm_after_attention:
                tape.forget_rest()
            del tape, layer, found  # before the next one is made
        self.of_changes(heads, side)  # in memory after the tapes, not beside them
        if final is not None:
            self.put_final(final)
        for readers in layers:
            self.put(readers)

    def readers(self, layer: TapeLayer) -> LayerReaders:
        """The readers of one layer, without gradients yet."""
        return LayerReaders(self.chunk.weights, layer)

    def put_final(self, gradient: Tensor) -> None:
        """Add the scores of edges into `logits`, from the gradient at the final stream."""
        last = self.shape.n_layers
        self._put(self._first[last], self._products(gradient.unsqueeze(0), self._below[last]))

    def put(self, readers: LayerReaders) -> Tensor:
        """Add the scores of edges into one layer; the gradient of its heads' inputs together."""
        layer, n_heads = readers.layer, self.shape.n_heads
        first, below = self._first[layer], self._below[layer]
        if readers.mlp is not None:
            last, senders = first + n_heads * len(SLOTS) * below, self._of_mlp(layer)
            if readers.mlp.shape == readers.shape[2:]:
                self._room(readers, 1).copy_(readers.mlp)
                self._waiting.append(_Waiting(first=last, senders=senders, slots=1))
            else:  # few positions
                self._put(last, self._products(readers.mlp.unsqueeze(0), senders))
        if not readers.has_heads:
            return self.chunk.tape.embedded.new_zeros(())
        heads = self._room(readers, len(SLOTS) * n_heads)
        readers.heads(heads.unflatten(0, readers.shape[:2]))
        self._waiting.append(_Waiting(first=first, senders=below, slots=len(SLOTS)))
        total = heads.sum(0)
        if self._filled > (LAYERS_TOGETHER - 1) * (len(heads) + 1):
            self._settle()
        return total

    def _room(self, readers: LayerReaders, count: int) -> Tensor:
        """Memory for what so many readers pass to the stream, (count, rows, pos, d)."""
        most = LAYERS_TOGETHER * (len(SLOTS) * self.shape.n_heads + 1)
        if self._filled + count > most:
            self._settle()
        shape = (most, *readers.shape[2:])
        room = self.chunk.weights.room("readers", shape, self.chunk.tape.embedded)
        self._filled += count
        return room[self._filled - count : self._filled]

    def _settle(self) -> None:
        """Add the scores of the readers that wait."""
        if not self._waiting:
            return
        tape = self.chunk.tape
        shape = (self._filled, *tape.embedded.shape)
        room = self.chunk.weights.room("readers", shape, tape.embedded)
        found = self._products(room, max(one.senders for one in self._waiting))
        start = 0
        for one in self._waiting:
            count = one.slots * (1 if one.slots == 1 else self.shape.n_heads)
            own = found[start : start + count, : one.senders]
            by_slot = own.unflatten(0, (one.slots, -1)).transpose(0, 1)  # heads, slots, senders
            self._put(one.first, by_slot.flatten(0, 1))
            start += count
        self._waiting, self._filled = [], 0

    def _put(self, first: int, products: Tensor) -> None:
        found = products.flatten(0, 1)
        into = self._values[first : first + len(found), :, -found.shape[-1] :]
        into += found.double().cpu()

    def _products(self, gradients: Tensor, senders: int) -> Tensor:
        """(readers, rows, n, d) with what the first senders write: (readers, senders, rows, n) by
        position, else (readers, senders, rows, 1)."""
        assert self._writes is not None
        writes = self._writes[:senders, :, -gradients.shape[2] :]
        if self.by_position:
            shape = gradients.shape[1:3]
            left = gradients.flatten(1, 2).transpose(0, 1)  # (rows * pos, readers, d)
            right = writes.flatten(1, 2).permute(1, 2, 0)
            return torch.bmm(left, right).permute(1, 2, 0).unflatten(-1, shape)
        left = gradients.flatten(2).transpose(0, 1)  # (rows, readers, pos * d)
        right = writes.flatten(2).permute(1, 2, 0)
        return torch.bmm(left, right).permute(1, 2, 0).unsqueeze(-1)
