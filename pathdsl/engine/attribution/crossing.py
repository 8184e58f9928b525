"""Position-aware scores of edges: exact up to what the head writes, whichever token reads.

Haklay et al. 2025 (arXiv:2502.04577). With u at token i and a head that reads at token j,

    score(u@i -[s]-> h@j) = (z~ - z) . dm/dz        z what the head writes at j, z~ with this edge
                                                    alone patched, computed through norm, projection
                                                    and softmax

and scores of other edges are those of EAP, at the token where both ends stand. A query is read
where its head stands, i = j; a key or value at every later token, so that the score is one of two
tokens: `Attribution.reader` says which j count, their sum without it.

The key swapped at one token is the key fix of AtP* (`pathdsl.engine.attribution.saturation`) with
the change that one edge makes of the key.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS
from pathdsl.engine.adapters.norms import Given, Noted
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.edges import EdgeScores
from pathdsl.engine.attribution.nodes import dot
from pathdsl.engine.attribution.saturation import fixed
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import TapeLayer, behind_zeros

__all__ = ["by_crossing"]


def by_crossing(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every edge, or summed over positions (units, rows, 1)."""
    scores, tape = EdgeScores(chunk), chunk.tape
    final = chunk.gradient()
    read = chunk.reading()
    at_heads: list[Tensor] = []  # (n_heads, rows, pos, d_head), the last layer first
    at_mlps: list[Tensor | None] = []
    for found in tape.backward(final):
        at_heads.append(_read_at(found.z, read).permute(2, 0, 1, 3))
        at_mlps.append(None if found.read is None else _read_at(found.read, read))
        del found  # before the next is there
    gradients = list(zip(tape.layers, at_heads[::-1], at_mlps[::-1], strict=True))
    for side in chunk.sides():
        scores.of_changes([layer.z for layer in tape.layers], side)
        scores.put_final(_read_at(final, read) / chunk.draws)
        changes = _exact_changes(chunk, side, scores.changes(), scores)
        for layer, at_z, at_mlp in gradients:
            readers = scores.readers(layer)
            if at_mlp is not None:
                readers.add_mlp(at_mlp, 1 / chunk.draws)
                scores.put(readers)
            head = _Head(layer, at_z / chunk.draws)
            for sender in range(scores.below(layer.layer)):
                scores.put_sender(layer.layer, sender, head.of(changes[sender]))
    return scores.values


def _read_at(gradient: Tensor, read: Tensor | None) -> Tensor:
    """A gradient (rows, pos, …), of the last positions, at the tokens that count as readers."""
    if read is None:
        return gradient
    read = read[:, -gradient.shape[1] :]
    return gradient * read.view(*read.shape, *[1] * (gradient.dim() - 2))


class _Head:
    """The heads of one layer, for any change of what one sender writes."""

    def __init__(self, layer: TapeLayer, at_z: Tensor) -> None:
        """`at_z`: the gradient at heads' outputs, (n_heads, rows, pos, d_head)."""
        self.layer, self.at_z = layer, at_z
        at_v = torch.matmul(layer.pattern.transpose(-1, -2), at_z)
        self.at_v = at_v[:, :, layer.since :]
        self.scales = None
        if layer.rules.held:
            noted = Noted()
            layer.adapter.attention_input(layer.layer, layer.resid, noted)
            self.scales = Given(scales=noted.found)

    def of(self, change: Tensor) -> Tensor:
        """(3, n_heads, rows, pos) by slot, of a change (rows, pos, d) of what is read."""
        q, k, v = self._inputs(self.layer.resid + change)
        fix = fixed(self.layer, q, k)
        found = fix.q(self.at_z), fix.k(self.at_z), dot(v - self.layer.v, self.at_v)
        return torch.stack([behind_zeros(one, change.shape[1], -1) for one in found])

    @torch.no_grad()
    def _inputs(self, stream: Tensor) -> list[Tensor]:
        layer = self.layer
        normed = layer.adapter.attention_input(layer.layer, stream, self.scales)
        found = (
            layer.adapter.project(layer.layer, slot, normed, positions=layer.places)
            for slot in SLOTS
        )
        return [
            one.permute(2, 0, 1, 3)[:, :, -layer.slot(slot).shape[2] :]
            for slot, one in zip(SLOTS, found, strict=True)
        ]


@torch.no_grad()
def _exact_changes(chunk: Chunk, side: Side, changes: Tensor, scores: EdgeScores) -> Tensor:
    """The changes (senders, rows, pos, d) with those of heads as the norm behind their sum makes
    them, and not as its derivative does; with a constant scale they are equal."""
    adapter = chunk.adapter
    if not adapter.shape.norm_after_attention or chunk.rules.held:
        return changes
    changes = changes.clone()
    for layer in chunk.tape.layers[:-1]:  # no head reads those of the last
        z, treated = layer.z, side.z[layer.layer]
        own = adapter.attention_write(layer.layer, z)
        for head in range(adapter.shape.n_heads):
            other = z.clone()
            other[:, :, head] = treated[:, :, head]
            place = scores.below(layer.layer) + head
            changes[place] = adapter.attention_write(layer.layer, other) - own
    return changes
