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

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS
from pathdsl.engine.adapters.norms import moved
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.readers import LayerReaders, ReaderWeights
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import Tape, TapeLayer, norm_of

__all__ = ["EdgeScores", "at_both_ends", "by_gradient", "by_inputs", "written_changes"]


def by_gradient(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every edge, or summed over positions (units, rows, 1)."""
    scores = EdgeScores(chunk)
    scores.of_changes([layer.z for layer in chunk.tape.layers], chunk.mean_side())
    gradient = chunk.gradient()
    scores.put_final(gradient)
    for layer in reversed(chunk.tape.layers):
        found = layer.inner(gradient)
        readers = scores.readers(layer)
        readers.add(layer, found, 1.0)
        gradient = scores.put(readers) + layer.past(found)
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
            change = adapter.write_each(layer.layer, side.z[layer.layer] - layer.z)
            if shape.norm_after_attention:
                change = _through_norm(layer, z, change)
            here[: shape.n_heads] = change.permute(2, 0, 1, 3)
            out = side.out[layer.layer]
            if out is not None and layer.out is not None:
                here[-1] = out - layer.out
            place += shape.n_heads + int(shape.has_mlp)
    return found


def _through_norm(layer: TapeLayer, z: Tensor, change: Tensor) -> Tensor:
    """Changes (rows, pos, n_heads, d) of the heads' sum as changes of its norm, each by itself."""
    norm = norm_of(lambda applied: layer.adapter.attention_write(layer.layer, z, applied))
    if norm is None:
        return change
    module, summed = norm
    return moved(module, summed.unsqueeze(-2), change, held=layer.rules.held)


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
        self.values = torch.zeros((count + below, chunk.n_rows, pos), dtype=torch.float64)
        self._writes: Tensor | None = None
        self._side: Side | None = None

    def _of_mlp(self, layer: int) -> int:
        below = self._below[layer]
        return below if self.shape.parallel else below + self.shape.n_heads

    def of_changes(self, heads: Sequence[Tensor], side: Side) -> None:
        """Score these changes of what senders write from here on; as `written_changes`."""
        if self._writes is None or self._side is not side or self.shape.norm_after_attention:
            self._writes, self._side = written_changes(heads, side, self.chunk.weights), side

    def along(self, side: Side, runs: Iterable[tuple[Tape, float]]) -> None:
        """Add the scores of gradients that are averaged over runs, each with its share."""
        if self.shape.norm_after_attention:  # the change is another one in each run
            for tape, share in runs:
                self.of_changes([layer.z for layer in tape.layers], side)
                self._along([(tape, share)])
            return
        self.of_changes([layer.z for layer in side.tape.layers], side)
        self._along(runs)

    def _along(self, runs: Iterable[tuple[Tape, float]]) -> None:
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
            tape.forget()  # before the next one is made
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
        layer, heads = readers.layer, readers.heads()
        first, below = self._first[layer], self._below[layer]
        if readers.mlp is not None:
            last = first + self.shape.n_heads * len(SLOTS) * below
            self._put(last, self._products(readers.mlp.unsqueeze(0), self._of_mlp(layer)))
        if heads is None:
            return self.chunk.tape.embedded.new_zeros(())
        by_slot = self._products(heads.flatten(0, 1), below).unflatten(0, heads.shape[:2])
        self._put(first, by_slot.transpose(0, 1).flatten(0, 1))  # heads, slots, senders
        return heads.sum((0, 1))

    def _put(self, first: int, products: Tensor) -> None:
        found = products.flatten(0, 1)
        into = self.values[first : first + len(found), :, -found.shape[-1] :]
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
