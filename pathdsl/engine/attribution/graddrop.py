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
from pathdsl.engine.attribution.sweep import Sweep, swept
from pathdsl.engine.attribution.tape import LayerGradients, Tape

__all__ = ["averaged", "by_dropping", "by_dropping_neurons", "dropped"]


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
        del found  # before the next is there


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
    sweep = Sweep(backward=dropped, estimates=fixed_nodes, of_input=_input, combined=averaged)
    return swept(chunks, sweep)


def by_dropping_neurons(*chunks: Chunk) -> Tensor:
    """The same of every hidden unit."""
    sweep = Sweep(backward=dropped, estimates=_neurons, of_input=None, combined=averaged)
    return swept(chunks, sweep)


def _input(chunk: Chunk, side: Side, first: LayerGradients) -> Tensor:
    """`input`, from the gradients of the first layer: behind it stands the one that drops it."""
    stack = torch.cat((first.before, first.after[:1]))
    return dot(side.input - chunk.tape.embedded, stack).unsqueeze(-3)


def _neurons(chunk: Chunk, side: Side, found: LayerGradients) -> Tensor:
    layer = chunk.tape.layers[found.layer]
    changed = side.hidden[found.layer] - layer.hidden()
    return (changed * layer.at_neurons(found.after)).movedim(-1, -3)
