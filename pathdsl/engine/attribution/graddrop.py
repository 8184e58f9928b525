"""AtP*: the fixes of saturated attention, and GradDrop against effects that hide by cancelling.

A unit may act for the metric through some layers above and against it through others, and its
gradient sums both. Kramár et al. 2024 (arXiv:2403.00745, section 3.1.2, equation 11) therefore take
the estimate once for each layer l with the gradient through l's additions to the residual stream
dropped (all that its attention and its MLP add; the skip stays), and average the absolute values:

    1 / (L - 1) * sum over layers l of |estimate with l dropped|

Queries and keys are estimated by `pathdsl.engine.attribution.saturation` under every gradient.
The score is a size, never negative. Its absolute values are those of one unit on one prompt and one
draw. By position the unit is a component at one position. Pooled it is the component at all of
them: the estimates of its positions add up before the absolute value is taken, for what positions
do to each other when all are treated is no accident of the estimate, which cancelling through
layers is. So a pooled score is at most the sum of those by position.

Dropping a unit's own layer leaves nothing, so L - 1 layers count (`input` has no layer of its own:
all L). Dropping one below leaves the estimate as it is. Only the layers above a unit give numbers
of their own, so one sweep downwards will do: below layer l the gradients with each of l, l + 1, …
dropped are a stack that grows by one a layer, and what lies above l is shared by all of them. That
is L (L + 1) / 2 layers of backward instead of L^2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional

from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.nodes import dot
from pathdsl.engine.attribution.saturation import fixed_slots
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import LayerGradients, Tape
from pathdsl.engine.attribution.units import of_layer

__all__ = ["averaged", "by_dropping", "by_dropping_neurons", "dropped"]

DRAWS_TOGETHER = 4
"""Draws of the treated value that share a sweep; their values are in memory at once."""

Signed = Callable[[Chunk, Side, LayerGradients], Tensor]
"""Estimates of some units under each gradient of a stack, (n, units, rows, pos)."""


def dropped(tape: Tape, final: Tensor) -> Iterator[LayerGradients]:
    """The gradients of every layer, the last first, as stacks.

    Of layer l first the whole gradient, then those with a layer above it dropped, the last layer
    first: L - l in all. Below the first layer, `before` holds L, and the one with the first layer
    dropped is the whole `after`'s first.

    Args:
        final: (rows, pos, d), the gradient at the final stream.
    """
    stack = final.unsqueeze(0)
    for layer in reversed(tape.layers):
        found = layer.back(stack)
        yield found
        stack = torch.cat((found.before, stack[:1]))


def averaged(estimates: Tensor, layer: int, n_layers: int) -> Tensor:
    """The average of equation 11 over a stack of signed estimates, (n, …) -> (…).

    `layer`: that of the units, -1 of `input`, whose stack ends with the first layer dropped.
    """
    sizes = estimates.abs()
    below = max(layer, 0)  # layers whose gradient dropped is no loss to the unit
    total = sizes[1:].sum(0)
    if below:
        total = total + below * sizes[0]
    return total / (n_layers - 1 if layer >= 0 else n_layers)


def by_dropping(*chunks: Chunk) -> Tensor:
    """(units, rows, pos) of every node, or pooled (units, rows, 1): the branches of some rows."""
    return _swept(chunks, _nodes, _input)


def by_dropping_neurons(*chunks: Chunk) -> Tensor:
    """The same of every hidden unit."""
    return _swept(chunks, _neurons, None)


def _nodes(chunk: Chunk, side: Side, found: LayerGradients) -> Tensor:
    layer = chunk.tape.layers[found.layer]
    slots = fixed_slots(layer, side, found)
    z = dot(side.z[found.layer] - layer.z, found.z).movedim(-1, -3)
    out, mlp = side.out[found.layer], None
    if out is not None and layer.out is not None:
        mlp = dot(out - layer.out, found.after)
    return of_layer((*slots, z), mlp)


def _input(chunk: Chunk, side: Side, first: LayerGradients) -> Tensor:
    """`input`, from the gradients of the first layer: behind it stands the one that drops it."""
    stack = torch.cat((first.before, first.after[:1]))
    return dot(side.input - chunk.tape.embedded, stack).unsqueeze(1)


def _neurons(chunk: Chunk, side: Side, found: LayerGradients) -> Tensor:
    layer = chunk.tape.layers[found.layer]
    changed = side.hidden[found.layer] - layer.hidden()
    return (changed * layer.at_neurons(found.after)).movedim(-1, 1)


def _swept(chunks: Sequence[Chunk], signed: Signed, of_input: Signed | None) -> Tensor:
    """(units, rows, pos or 1): one sweep for each few draws of the treated value."""
    one = chunks[0]
    n_layers, pooled = one.adapter.shape.n_layers, not one.asked.by_position
    n_pos = 1 if pooled else max(chunk.n_pos for chunk in chunks)
    found: dict[int, Tensor] = {}

    def add(layer: int, of: Signed, parts: list[tuple[Chunk, Side, LayerGradients]]) -> None:
        stack: Tensor | None = None
        for part in parts:
            here = of(*part)
            here = here.sum(-1, keepdim=True) if pooled else here
            here = functional.pad(here, (0, n_pos - here.shape[-1]))
            stack = here if stack is None else stack + here
        assert stack is not None
        scores = averaged(stack, layer, n_layers).double().cpu() / one.draws
        found[layer] = found[layer] + scores if layer in found else scores

    sides = zip(*(chunk.sides() for chunk in chunks), strict=True)
    while some := list(islice(sides, DRAWS_TOGETHER)):
        sweeps = (dropped(chunk.tape, chunk.gradient()) for chunk in chunks)
        for gradients in zip(*sweeps, strict=True):
            for draw in some:
                parts = list(zip(chunks, draw, gradients, strict=True))
                add(gradients[0].layer, signed, parts)
                if of_input is not None and gradients[0].layer == 0:
                    add(-1, of_input, parts)
    return torch.cat([found[layer] for layer in sorted(found)])
