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

import math

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS, Adapter, Slot
from pathdsl.engine.adapters.norms import centred, offset, scale_of, spread
from pathdsl.engine.attribution.tape import InnerGradients, TapeLayer

__all__ = ["LayerReaders", "ReaderWeights"]


class ReaderWeights:
    """What spreads gradients at heads' inputs over the stream, made once for all chunks."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._weights: dict[tuple[int, Slot], Tensor | None] = {}
        self._offsets: dict[tuple[int, Slot, int], Tensor] = {}
        self._room: dict[str, Tensor] = {}

    def room(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of one name, which serves again: fresh memory costs as much as what fills it."""
        n = math.prod(shape)
        if name not in self._room or self._room[name].numel() < n:
            self._room[name] = like.new_empty(n)
        return self._room[name][:n].view(shape)

    def weight(self, layer: TapeLayer, slot: Slot) -> Tensor | None:
        """(n_heads, d_head, d): a head's input weight as it reads the stream without its mean,
        times the norm's scale; None where the input is not affine."""
        key = layer.layer, slot
        if key not in self._weights:
            weight = self.adapter.input_weight(layer.layer, slot)
            if weight is not None and layer.norm is not None:
                weight = spread(layer.norm[0], weight)
            self._weights[key] = None if weight is None else weight.detach().contiguous()
        return self._weights[key]

    def offset(self, layer: TapeLayer, slot: Slot) -> Tensor:
        """(n_heads, 1, pos, d_head): what the biases of norm and projection give of an input."""
        like = layer.resid[:1]
        key = layer.layer, slot, like.shape[1]
        if key not in self._offsets:
            bias = torch.zeros_like(like) if layer.norm is None else offset(layer.norm[0], like)
            with torch.no_grad():
                found = self.adapter.project(
                    layer.layer, slot, bias.expand_as(like), positions=layer.places[:1]
                )
            self._offsets[key] = found.permute(2, 0, 1, 3)
        return self._offsets[key]


class LayerReaders:
    """The readers of one layer, at positions from `since` on: there are n of them.

    `mlp`: (rows, n, d), None without one.
    """

    def __init__(self, weights: ReaderWeights, layer: TapeLayer, since: int) -> None:
        self.layer, self.since = layer.layer, since
        self.mlp: Tensor | None = None
        self._of = weights
        self._weights = {slot: weights.weight(layer, slot) for slot in SLOTS}
        rows, pos, d = layer.resid.shape
        self._shape = (len(SLOTS), layer.q.shape[0], rows, pos - since, d)
        self._narrow: dict[Slot, Tensor] = {}  # (n_heads, rows, n, d_head)
        self._wide: dict[Slot, Tensor] = {}  # (n_heads, rows, n, d), where a slot is not affine
        self._turned: list[tuple[dict[Slot, Tensor], Tensor]] = []

    def add(self, layer: TapeLayer, found: InnerGradients, share: float) -> None:
        """Add the gradients of one run, `share` times."""
        if found.read is not None:
            self.add_mlp(found.read, share)
        since = self.since
        scale = centre = None
        if layer.norm is not None:
            module, x = layer.norm[0], layer.norm[1][:, since:]
            scale, centre = scale_of(module, x).to(x.dtype), centred(module, x)
        turned: dict[Slot, Tensor] = {}
        for slot in SLOTS:
            if self._weights[slot] is None:
                wide = share * layer.at_reader(slot, found.slot(slot))[:, :, since:]
                self._wide[slot] = self._wide[slot] + wide if slot in self._wide else wide
                continue
            gradient = found.slot(slot)[:, :, since:]
            if scale is not None and not layer.rules.held:
                own = layer.slot(slot)[:, :, since:] - self._of.offset(layer, slot)[:, :, since:]
                by = scale.squeeze(-1).square() * (share / self._shape[-1])
                turned[slot] = (own * gradient).sum(-1) * by
            narrow = layer.unplaced(slot, gradient) * (share if scale is None else share * scale)
            self._narrow[slot] = self._narrow[slot] + narrow if slot in self._narrow else narrow
        if turned and centre is not None:
            self._turned.append((turned, centre))

    def add_mlp(self, read: Tensor, share: float) -> None:
        """Add the gradient at what the MLP reads, (rows, pos, d)."""
        own = share * read[:, self.since :]
        self.mlp = own if self.mlp is None else self.mlp + own

    def heads(self) -> Tensor | None:
        """(3, n_heads, rows, n, d): what each head's q, k and v passes down; None where nothing was
        added of heads. Valid until the next layer's."""
        like = next(iter((*self._narrow.values(), *self._wide.values())), None)
        if like is None:
            return None
        found = self._of.room("heads", self._shape, like)
        for of_slot, slot in zip(found, SLOTS, strict=True):
            if slot in self._wide:
                of_slot.copy_(self._wide[slot])
                continue
            weight = self._weights[slot]
            assert weight is not None
            torch.bmm(self._narrow[slot].flatten(1, 2), weight, out=of_slot.flatten(1, 2))
            for numbers, centre in self._turned:
                of_slot.addcmul_(numbers[slot].unsqueeze(-1), centre, value=-1.0)
        return found
