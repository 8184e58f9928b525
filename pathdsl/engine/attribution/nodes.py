"""Scores of nodes: gradient at a value times what treating it changes of it.

    score(node) = (treated value - reference value) . dm/d value      at the reference run

Kramár et al. 2024 (arXiv:2403.00745), section 2. Of an input of a head the value is the query, key
or value vector itself; of a mark of the residual stream it is the stream there, whose treated value
is the sum of what all components below write when treated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import LayerGradients, behind_zeros
from pathdsl.engine.attribution.units import NodeScores

__all__ = ["add_writes", "by_gradient", "by_mark", "by_neuron", "dot"]


def dot(left: Tensor, right: Tensor) -> Tensor:
    """The sum of products over the last axis."""
    return (left * right).sum(-1)


def by_gradient(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every node."""
    gradients = list(chunk.tape.backward(chunk.gradient()))
    scores = NodeScores(chunk.adapter.shape, chunk.n_rows, chunk.n_pos)
    for side in chunk.sides():
        for found in gradients:
            layer = chunk.tape.layers[found.layer]
            for slot, own in zip(SLOTS, (layer.q, layer.k, layer.v), strict=True):
                changed = side.slot(found.layer, slot) - own
                scores.add_heads(found.layer, slot, dot(changed, found.slot(slot)))
        add_writes(chunk, side, gradients, scores)
    scores.values /= chunk.draws
    return scores.values


def add_writes(
    chunk: Chunk, side: Side, gradients: list[LayerGradients], scores: NodeScores
) -> None:
    """Add the scores of `input`, heads' outputs and MLPs for one draw."""
    for found in gradients:
        layer = chunk.tape.layers[found.layer]
        changed = dot(side.z[found.layer] - layer.z, found.z)
        scores.add_heads(found.layer, None, changed.permute(2, 0, 1))
        out = side.out[found.layer]
        if out is not None and layer.out is not None:
            scores.add_mlp(found.layer, dot(out - layer.out, found.after))
    scores.add_input(dot(side.input - chunk.tape.embedded, gradients[-1].before))


@torch.no_grad()
def by_mark(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every mark, from the stream that enters layer 0 to the final one."""
    final, tape = chunk.gradient(), chunk.tape
    gradients = [final, *(found.before for found in tape.backward(final))][::-1]
    own = [*(layer.resid for layer in tape.layers), tape.final]
    scores = torch.zeros((len(own), chunk.n_rows, chunk.n_pos), dtype=torch.float64)
    for side in chunk.sides():
        changed = (one - other for one, other in zip(side.streams, own, strict=True))
        found = (dot(one, at) for one, at in zip(changed, gradients, strict=True))
        placed = [behind_zeros(one, chunk.n_pos, -1) for one in found]
        scores += torch.stack(placed).double().cpu() / chunk.draws
    return scores


def by_neuron(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every hidden unit."""
    side = chunk.mean_side()
    found: list[Tensor] = []
    for one in chunk.tape.backward(chunk.gradient()):
        layer = chunk.tape.layers[one.layer]
        changed = side.hidden[one.layer] - layer.hidden()
        scores = (changed * layer.at_neurons(one.after)).permute(2, 0, 1)
        found.append(behind_zeros(scores, chunk.n_pos, -1).double().cpu())
    return torch.cat(found[::-1])
