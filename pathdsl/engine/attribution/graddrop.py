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

from collections.abc import Iterator

import torch
from torch import Tensor

from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.nodes import dot
from pathdsl.engine.attribution.saturation import fixed_nodes
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.sweep import Found, OfFound, Sweep, swept
from pathdsl.engine.attribution.tape import Tape, behind_zeros

__all__ = ["averaged", "by_dropping", "by_dropping_neurons", "dropped"]

TOGETHER = 4
"""Gradients of a stack that go down a layer together: what is between fits beside the tape."""


def dropped(tape: Tape, final: Tensor, forget: bool) -> Iterator[Found]:
    """The gradients of every layer, the last first, as the parts of a stack.

    Of layer l first the whole gradient, then those with a layer above it dropped, the last layer
    first: L - l in all. Below the first layer, `before` holds L, and the one with the first layer
    dropped is the whole `after`'s first.

    Args:
        final: (rows, pos, d), the gradient at the final stream.
        forget: whether layers are let go of.
    """
    stack = final.unsqueeze(0)
    for layer in reversed(tape.layers):
        below = []
        for number, part in enumerate(stack.split(TOGETHER)):
            found = layer.back(part)
            below.append(found.before)
            yield Found(gradients=found, first=number * TOGETHER)
            del found  # before the next is there
        stack = torch.cat((*below, behind_zeros(stack[:1], below[0].shape[-2])))
        if forget:
            tape.forget(layer.layer)


def averaged(estimates: Tensor, first: int, layer: int, n_layers: int) -> Tensor:
    """What a part of a stack of signed estimates adds to equation 11's mean, (n, …) -> (…).

    `first`: the place of the part in its stack. `layer`: that of the units, -1 of `input`.
    """
    total = estimates.abs().sum(0)
    if first == 0 and layer >= 0:
        # The whole gradient stands for every layer below, whose gradient is no loss to the unit,
        # and for none if there is none.
        total = total + (layer - 1) * estimates[0].abs()
    return total / (n_layers - 1 if layer >= 0 else n_layers)


def by_dropping(*chunks: Chunk) -> Tensor:
    """(units, rows, pos) of every node, or pooled (units, rows, 1): the branches of some rows."""
    sweep = Sweep(backward=dropped, estimates=fixed_nodes, of_input=_input, combined=averaged)
    return swept(chunks, sweep)


def by_dropping_neurons(*chunks: Chunk) -> Tensor:
    """The same of every hidden unit."""
    sweep = Sweep(backward=dropped, estimates=_neurons, of_input=None, combined=averaged)
    return swept(chunks, sweep)


def _input(chunk: Chunk, side: Side, number: int) -> OfFound:
    """Of `input`, which has no layer of its own: in the place of the whole gradient stands the one
    with the first layer dropped."""
    change = side.input - chunk.tape.embedded

    def of(found: Found) -> Tensor:
        stack = found.gradients.before
        if found.first == 0:
            after = behind_zeros(found.gradients.after[:1], stack.shape[-2])
            stack = torch.cat((after, stack[1:]))
        return dot(change, stack).unsqueeze(-3)

    return of


def _neurons(chunk: Chunk, side: Side, number: int) -> OfFound:
    layer = chunk.tape.layers[number]
    change = side.hidden[number] - layer.hidden()
    return lambda found: (change * layer.at_neurons(found.gradients.after)).movedim(-1, -3)
