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
from pathdsl.engine.attribution.tape import LayerGradients, Tape, behind_zeros

__all__ = ["Estimates", "Found", "OfFound", "Sweep", "once", "swept"]

DRAWS_TOGETHER = 4
"""Draws of the treated value that share a sweep; their values are in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The gradients of one layer, or a part of a stack of them, whose first is number `first`."""

    gradients: LayerGradients
    first: int

    @property
    def layer(self) -> int:
        """The number of the layer."""
        return self.gradients.layer


OfFound = Callable[[Found], Tensor]
"""Signed estimates of some units, (..., units, rows, pos), a stack's axis in front."""

Estimates = Callable[[Chunk, Side, int], OfFound]
"""From a layer by number to the estimates of its units: what no gradient changes is done once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One method.

    `backward`: from a tape, the gradient at its final stream and whether it is for the last time
    to those of each layer, the last first. `estimates`: of a layer's units, `of_input` of `input`
    from what is found of the first layer, None without it. `combined`: from estimates on one prompt
    and draw, their place in a stack, the number of their layer (-1 of `input`) and of all layers to
    what they add to the scores, (units, rows, pos).
    """

    backward: Callable[[Tape, Tensor, bool], Iterator[Found]]
    estimates: Estimates
    of_input: Estimates | None
    combined: Callable[[Tensor, int, int, int], Tensor]


def once(tape: Tape, final: Tensor, forget: bool) -> Iterator[Found]:
    """The gradients of every layer, the last first; `forget`: whether layers are let go of."""
    gradient = final
    for layer in reversed(tape.layers):
        found = layer.back(gradient)
        gradient = found.before
        yield Found(gradients=found, first=0)
        del found  # before the next is there
        if forget:
            tape.forget(layer.layer)


def swept(chunks: Sequence[Chunk], sweep: Sweep) -> Tensor:
    """The scores of all units, the means over draws, from the branches of some rows.

    (units, rows, pos) float64; pooled, estimates are summed over positions first: (units, rows, 1).
    """
    one = chunks[0]
    n_layers, pooled = one.adapter.shape.n_layers, not one.asked.by_position
    n_pos = 1 if pooled else max(chunk.n_pos for chunk in chunks)
    scored: dict[int, Tensor] = {}

    def add(layer: int, found: Sequence[Found], functions: Sequence[OfFound]) -> None:
        total: Tensor | None = None
        for chunk, part, function in zip(chunks, found, functions, strict=True):
            here = function(part)
            if pooled:
                here = here.sum(-1, keepdim=True)
            else:  # the last positions of a chunk, which another branch's may be longer than
                here = behind_zeros(here, chunk.n_pos, -1)
                here = functional.pad(here, (0, n_pos - chunk.n_pos))
            total = here if total is None else total + here
        assert total is not None
        scores = sweep.combined(total, found[0].first, layer, n_layers).double().cpu() / one.draws
        scored[layer] = scored[layer] + scores if layer in scored else scores

    def of(estimates: Estimates, draw: Sequence[Side], layer: int) -> list[OfFound]:
        return [estimates(chunk, side, layer) for chunk, side in zip(chunks, draw, strict=True)]

    sides = zip(*(chunk.sides() for chunk in chunks), strict=True)
    for start in range(0, one.draws, DRAWS_TOGETHER):
        some = list(islice(sides, DRAWS_TOGETHER))
        last = start + len(some) == one.draws
        backward = (sweep.backward(chunk.tape, chunk.gradient(), last) for chunk in chunks)
        by_draw: list[list[OfFound]] = []
        for found in zip(*backward, strict=True):
            layer = found[0].layer
            if found[0].first == 0:
                by_draw = [of(sweep.estimates, draw, layer) for draw in some]
            for draw, functions in zip(some, by_draw, strict=True):
                add(layer, found, functions)
                if layer == 0 and sweep.of_input is not None:
                    add(-1, found, of(sweep.of_input, draw, 0))
            del found  # before what comes next is there
    return torch.cat([scored[layer] for layer in sorted(scored)])
