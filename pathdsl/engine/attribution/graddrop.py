"""GradDrop of AtP*: estimates that two opposite effects of one unit cannot hide by cancelling.

A unit may act through a head and against it through the layers above, and its gradient sums both.
Kramár et al. 2024 (arXiv:2403.00745, section 3.1.2, equation 11) therefore take the estimate once
for each layer l with the gradient through l's additions to the residual stream dropped (what its
attention and its MLP add; the skip stays), and average the absolute values:

    1 / (L - 1) * sum over layers l of |estimate with l dropped|

Dropping a unit's own layer leaves nothing, so L - 1 layers count; dropping one below leaves the
estimate as it is. Only the layers above a unit give numbers of their own, so one sweep downwards
will do: below layer l the gradients with l, l + 1, … dropped are a stack that grows by one a layer,
and what lies above l is shared by all of them. That is L (L + 1) / 2 layers of a backward instead
of L^2.

`input` has no layer of its own: the mean is over all L.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pathdsl.engine.attribution.tape import LayerGradients, Tape

__all__ = ["averaged", "dropped"]


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
