"""One sweep down the layers for all units, under one gradient or a stack of them.

A method gives the backward, the estimates of the units of one layer, and what becomes of a stack.
Of the branches of some rows the sweeps go down together, for an estimate is the sum over branches,
and not every method is linear in it. A layer is let go of when the last draw has passed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional

from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import LayerGradients, Tape

__all__ = ["Estimates", "Sweep", "swept"]

DRAWS_TOGETHER = 4
"""Draws of the treated value that share a sweep; their values are in memory at once."""

Estimates = Callable[[Chunk, Side, LayerGradients], Tensor]
"""Signed estimates of some units, (..., units, rows, pos), a stack's axis in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One method.

    `backward`: from a tape and the gradient at its final stream to those of each layer, the last
    first. `estimates`: of a layer's units, `of_input` of `input` from the first layer's gradients,
    None without it. `combined`: from estimates on one prompt and draw, the number of their layer
    (-1 of `input`) and of all layers to scores (units, rows, pos).
    """

    backward: Callable[[Tape, Tensor], Iterator[LayerGradients]]
    estimates: Estimates
    of_input: Estimates | None
    combined: Callable[[Tensor, int, int], Tensor]


def swept(chunks: Sequence[Chunk], sweep: Sweep) -> Tensor:
    """The scores of all units, the means over draws, from the branches of some rows.

    (units, rows, pos) float64; pooled, estimates are summed over positions first: (units, rows, 1).
    """
    one = chunks[0]
    n_layers, pooled = one.adapter.shape.n_layers, not one.asked.by_position
    n_pos = 1 if pooled else max(chunk.n_pos for chunk in chunks)
    found: dict[int, Tensor] = {}

    def add(layer: int, of: Estimates, parts: list[tuple[Chunk, Side, LayerGradients]]) -> None:
        total: Tensor | None = None
        for part in parts:
            here = of(*part)
            here = here.sum(-1, keepdim=True) if pooled else here
            here = functional.pad(here, (0, n_pos - here.shape[-1]))
            total = here if total is None else total + here
        assert total is not None
        scores = sweep.combined(total, layer, n_layers).double().cpu() / one.draws
        found[layer] = found[layer] + scores if layer in found else scores

    sides = zip(*(chunk.sides() for chunk in chunks), strict=True)
    for start in range(0, one.draws, DRAWS_TOGETHER):
        some = list(islice(sides, DRAWS_TOGETHER))
        last = start + len(some) == one.draws
        backward = (sweep.backward(chunk.tape, chunk.gradient()) for chunk in chunks)
        for gradients in zip(*backward, strict=True):
            layer = gradients[0].layer
            for draw in some:
                parts = list(zip(chunks, draw, gradients, strict=True))
                add(layer, sweep.estimates, parts)
                if layer == 0 and sweep.of_input is not None:
                    add(-1, sweep.of_input, parts)
                del parts
            del gradients  # before those of the next layer are there
            if last:
                for chunk in chunks:
                    chunk.tape.forget(layer)
    return torch.cat([found[layer] for layer in sorted(found)])
