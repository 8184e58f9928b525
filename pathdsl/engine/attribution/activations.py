"""Integrated gradients on activations: what one place writes goes from treated to reference.

Hanna, Pezzelle and Belinkov 2024 (arXiv:2403.17806), the variant that needs no way between inputs.
The places are `input`, what the heads of a layer write and what an MLP writes, 2 L + 1 of them. In
a run of place s and point k, s has the value `treated + k/m (reference - treated)`, held there;
what lies below is the reference run's, what lies above is computed from it. An edge's score is the
sender's change times the mean, over all places and points, of the gradient at what the receiver
reads.

Below a place all its runs are the reference run, so that their gradients go down as one sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.edges import EdgeScores
from pathdsl.engine.attribution.readers import LayerReaders
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import Part, TapeLayer, behind_zeros

__all__ = ["by_activations"]


def by_activations(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every edge, or summed over positions (units, rows, 1)."""
    scores = EdgeScores(chunk)
    for side in chunk.sides():
        _of_side(chunk, side, scores)
    return scores.values


def _of_side(chunk: Chunk, side: Side, scores: EdgeScores) -> None:
    shape, tape = chunk.adapter.shape, chunk.tape
    places = 1 + shape.n_layers * (1 + int(shape.has_mlp))
    runs = _Runs(chunk, side, scores, 1 / (places * chunk.asked.steps * chunk.draws))
    reference = [layer.z for layer in tape.layers]
    gradient = torch.zeros_like(tape.final)  # at the stream behind a layer, of all places above
    pos = tape.embedded.shape[1]
    for layer in reversed(tape.layers):
        between = None if layer.out is None else runs.of_mlp(layer)
        past = runs.of_heads(layer)
        scores.of_changes(reference, side)
        readers = scores.readers(layer)
        found = layer.inner(gradient, between)
        readers.add(layer, found, 1.0)
        gradient = scores.put(readers) + layer.past(found) + behind_zeros(past, pos)
    runs.of_input()


@dataclass(slots=True, kw_only=True)
class _Start:
    """Where the run of one point begins: the first layer that is computed, with its stream.

    `mlp`: of a place that is heads, the MLP of their layer, which reads them. `heads`: the outputs
    of the layers below, the place itself included.
    """

    first: int
    stream: Tensor
    mlp: Part | None = None
    heads: list[Tensor] = field(default_factory=list)


class _Runs:
    """The runs of one place after another; each is done with before the next."""

    def __init__(self, chunk: Chunk, side: Side, scores: EdgeScores, share: float) -> None:
        self.chunk, self.side, self.scores, self.share = chunk, side, scores, share
        self.below = [layer.z for layer in chunk.tape.layers]

    def _way(self, treated: Tensor, reference: Tensor) -> Iterator[Tensor]:
        """The values of one place at all points."""
        steps = self.chunk.asked.steps
        return (treated + k / steps * (reference - treated) for k in self.chunk.points())

    def of_input(self) -> None:
        """The runs of `input`."""
        way = self._way(self.side.input, self.chunk.tape.embedded)
        self._done(-1, (_Start(first=0, stream=stream) for stream in way))

    def of_mlp(self, layer: TapeLayer) -> Tensor:
        """The runs of a layer's MLP; the sum of the gradients at the stream that leaves it."""
        treated = self.side.out[layer.layer]
        assert treated is not None and layer.out is not None
        middle, first = layer.after - layer.out, layer.layer + 1
        way = self._way(treated, layer.out)
        heads = self.below[:first]
        return self._done(
            layer.layer, (_Start(first=first, stream=middle + out, heads=heads) for out in way)
        )

    def of_heads(self, layer: TapeLayer) -> Tensor:
        """The runs of a layer's heads; the sum of the gradients at the stream that enters the
        layer, past the heads."""
        way = self._way(self.side.z[layer.layer], layer.z)
        return self._done(layer.layer, (self._from_heads(layer, z) for z in way))

    def _from_heads(self, layer: TapeLayer, z: Tensor) -> _Start:
        adapter, scales = self.chunk.adapter, layer.rules.scales
        with torch.no_grad():
            entered = layer.resid[:, -z.shape[1] :]
            stream = entered + adapter.attention_write(layer.layer, z, scales)
        mlp = None
        if layer.out is not None:
            read = entered if adapter.shape.parallel else stream
            mlp = Part(lambda x: adapter.mlp(layer.layer, x, scales), read)
            stream = stream + mlp.output
        heads = [*self.below[: layer.layer], z]
        return _Start(first=layer.layer + 1, stream=stream, mlp=mlp, heads=heads)

    def _done(self, place: int, starts: Iterator[_Start]) -> Tensor:
        """Add the scores of the runs; the sum of their gradients where they begin."""
        chunk, scores = self.chunk, self.scores
        apart = chunk.adapter.shape.norm_after_attention  # a change is another one in each run
        total: Tensor | None = None
        final = torch.zeros_like(chunk.tape.final)
        readers: dict[int, LayerReaders] = {}
        if not apart:
            scores.of_changes(self.below, self.side)
        for start in starts:
            layers = chunk.tape.layers_from(start.first, start.stream)
            gradient = chunk.metric.gradient(layers[-1].after if layers else start.stream)
            final += self.share * gradient
            for layer in reversed(layers):
                found = layer.back(gradient)
                if layer.layer not in readers:
                    readers[layer.layer] = scores.readers(layer)
                readers[layer.layer].add(layer, found, self.share)
                gradient = found.before
            if start.mlp is not None:
                read = start.mlp.back(gradient)[0]
                if place not in readers:
                    readers[place] = scores.readers(chunk.tape.layers[place])
                readers[place].add_mlp(read, self.share)
                gradient = gradient + read
            gradient = self.share * gradient
            total = gradient if total is None else total + gradient
            if apart:
                scores.of_changes([*start.heads, *(layer.z for layer in layers)], self.side)
                self._put(final, readers)
                final, readers = torch.zeros_like(final), {}
        if not apart:
            self._put(final, readers)
        assert total is not None  # an integral has a point at least
        return total

    def _put(self, final: Tensor, readers: dict[int, LayerReaders]) -> None:
        self.scores.put_final(final)
        for one in readers.values():
            self.scores.put(one)
