"""What the readers of one layer pass to the stream, each by itself, averaged over runs.

With x' the stream without its mean, s the norm's scale and W a head's input weight with the norm's
gain in it, the gradient g at a query passes to the stream

    s W^T g - (s^2 / d) c x'        c = s (W x') . g

without its mean where the norm centres, and without the second term where the scale is held. W x'
is known: s W x' is the query itself but for what the norm's bias and its own bias give. So sums
over runs are taken of s g, which is as narrow as a head, and of one number a run, and each head's
gradient is spread over the width of the stream once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS, Slot
from pathdsl.engine.adapters.norms import centred, scale_of
from pathdsl.engine.attribution.tape import InnerGradients, TapeLayer

__all__ = ["LayerReaders"]


class LayerReaders:
    """The readers of one layer. `mlp`: (rows, pos, d), None without one."""

    def __init__(self, layer: TapeLayer) -> None:
        self.layer = layer.layer
        self.mlp: Tensor | None = None
        self._first = layer
        self._weights = {slot: layer.weight(slot) for slot in SLOTS}
        self._narrow: dict[Slot, Tensor] = {}  # (n_heads, rows, pos, d_head)
        self._wide: dict[Slot, Tensor] = {}  # (n_heads, rows, pos, d), where a slot is not affine
        self._turned: list[tuple[dict[Slot, Tensor], Tensor]] = []

    def add(self, layer: TapeLayer, found: InnerGradients, share: float) -> None:
        """Add the gradients of one run, `share` times."""
        if found.read is not None:
            own = share * found.read
            self.mlp = own if self.mlp is None else self.mlp + own
        norm = layer.norm
        scale = centre = None
        if norm is not None:
            module, x = norm
            scale = scale_of(module, x).to(x.dtype)
            centre = centred(module, x)
        turned: dict[Slot, Tensor] = {}
        for slot in SLOTS:
            gradient = found.slot(slot)
            if self._weights[slot] is None:
                wide = share * layer.at_reader(slot, gradient)
                self._wide[slot] = self._wide[slot] + wide if slot in self._wide else wide
                continue
            if scale is not None and not layer.rules.held:
                own = layer.slot(slot) - layer.offset(slot)
                turned[slot] = (own * gradient).sum(-1) * (share / centre.shape[-1])  # type: ignore[union-attr]
                turned[slot] = turned[slot] * scale.squeeze(-1).square()
            narrow = layer.unplaced(slot, gradient) * (share if scale is None else share * scale)
            self._narrow[slot] = self._narrow[slot] + narrow if slot in self._narrow else narrow
        if turned and centre is not None:
            self._turned.append((turned, centre))

    def heads(self) -> Tensor:
        """(n_heads, 3, rows, pos, d): the gradients of each head's q, k and v at the stream."""
        like = self._first.resid
        n_heads = self._first.q.shape[0]
        found = like.new_empty((n_heads, len(SLOTS), *like.shape))
        for place, slot in enumerate(SLOTS):
            if slot in self._wide:
                found[:, place] = self._wide[slot]
                continue
            weight = self._weights[slot]
            assert weight is not None
            narrow = self._narrow[slot].flatten(1, 2)
            found[:, place] = torch.bmm(narrow, weight).unflatten(1, like.shape[:2])
            for turned, centre in self._turned:
                found[:, place].addcmul_(turned[slot].unsqueeze(-1), centre, value=-1)
        return found
