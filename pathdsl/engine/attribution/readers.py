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
from pathdsl.engine.attribution.tape import InnerGradients, TapeLayer, behind_zeros

__all__ = ["LayerReaders", "ReaderWeights"]


class ReaderWeights:
    """What serves the readers of all chunks: offsets of heads' inputs, and memory."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self._offsets: dict[tuple[int, Slot, int, int], Tensor] = {}
        self._room: dict[str, Tensor] = {}

    def room(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of one name, which serves again: fresh memory costs as much as what fills it."""
        n = math.prod(shape)
        if name not in self._room or self._room[name].numel() < n:
            self._room[name] = like.new_empty(n)
        return self._room[name][:n].view(shape)

    def offset(self, layer: TapeLayer, slot: Slot) -> Tensor:
        """(n_heads, 1, pos, d_head): what the biases of norm and projection give of an input."""
        like = layer.resid[:1]
        key = layer.layer, slot, layer.since, like.shape[1]
        if key not in self._offsets:
            bias = torch.zeros_like(like) if layer.norm is None else offset(layer.norm[0], like)
            with torch.no_grad():
                found = self.adapter.project(
                    layer.layer, slot, bias.expand_as(like), positions=layer.places[:1]
                )
            self._offsets[key] = found.permute(2, 0, 1, 3)
        return self._offsets[key]


class LayerReaders:
    """The readers of one layer.

    `mlp`: (rows, pos, d), None without one. `shape`: that of heads, (3, n_heads, rows, pos, d).
    """

    def __init__(self, weights: ReaderWeights, layer: TapeLayer) -> None:
        self.layer = layer.layer
        self.mlp: Tensor | None = None
        self._of = weights
        self._norm = None if layer.norm is None else layer.norm[0]
        self._affine = {
            slot: weights.adapter.input_weight(layer.layer, slot) is not None for slot in SLOTS
        }
        rows, pos, d = layer.resid.shape
        self.shape = (len(SLOTS), layer.k.shape[0], rows, pos, d)
        self._narrow: dict[Slot, Tensor] = {}  # (n_heads, rows, pos, d_head)
        self._wide: dict[Slot, Tensor] = {}  # (n_heads, rows, pos, d), where a slot is not affine
        self._turned: dict[Slot, list[Tensor]] = {}  # (n_heads, rows, pos) of each run
        self._centres: list[Tensor] = []  # (rows, pos, d) of each run

    def add(self, layer: TapeLayer, found: InnerGradients, share: float) -> None:
        """Add the gradients of one run, `share` times."""
        if found.read is not None:
            self.add_mlp(found.read, share)
        pos = self.shape[3]
        scale: Tensor | None = None
        turns = layer.norm is not None and not layer.rules.held
        if layer.norm is not None:
            module, x = layer.norm
            scale = scale_of(module, x).to(x.dtype)
            if turns:
                self._centres.append(centred(module, x))
        for slot in SLOTS:
            gradient = behind_zeros(found.slot(slot), pos)
            if not self._affine[slot]:
                wide = layer.at_reader(slot, gradient).mul_(share)
                self._wide[slot] = self._wide[slot].add_(wide) if slot in self._wide else wide
                continue
            if turns and scale is not None:
                own = behind_zeros(layer.slot(slot), pos) - self._of.offset(layer, slot)
                by = scale.squeeze(-1).square() * (share / self.shape[-1])
                self._turned.setdefault(slot, []).append(own.mul_(gradient).sum(-1).mul_(by))
            narrow = layer.unplaced(slot, gradient) * (share if scale is None else share * scale)
            self._narrow[slot] = self._narrow[slot].add_(narrow) if slot in self._narrow else narrow

    def add_mlp(self, read: Tensor, share: float) -> None:
        """Add the gradient at what the MLP reads, (rows, pos, d)."""
        if self.mlp is None:
            self.mlp = share * read
        else:
            self.mlp.add_(read, alpha=share)

    @property
    def has_heads(self) -> bool:
        """Whether anything was added of heads."""
        return bool(self._narrow or self._wide)

    def heads(self, into: Tensor) -> None:
        """Write what each head's q, k and v passes down, (3, n_heads, rows, pos, d)."""
        for of_slot, slot in zip(into, SLOTS, strict=True):
            if slot in self._wide:
                of_slot.copy_(self._wide[slot])
                continue
            weight = self._weight(slot)
            torch.bmm(self._narrow[slot].flatten(1, 2), weight, out=of_slot.flatten(1, 2))
        if len(self._turned) == len(SLOTS):
            by_run = zip(*(self._turned[slot] for slot in SLOTS), strict=True)
            self._turn(into.flatten(0, 1), [torch.cat(one) for one in by_run])
            return
        for of_slot, slot in zip(into, SLOTS, strict=True):
            if slot in self._turned:
                self._turn(of_slot, self._turned[slot])

    def _weight(self, slot: Slot) -> Tensor:
        """(n_heads, d_head, d): a head's input weight as it reads the stream without its mean,
        times the norm's scale. Made each time: that takes less time than memory."""
        weight = self._of.adapter.input_weight(self.layer, slot)
        assert weight is not None
        return weight.detach() if self._norm is None else spread(self._norm, weight)

    def _turn(self, into: Tensor, numbers: list[Tensor]) -> None:
        """Take each run's stream off, as often as its numbers say: from (heads, rows, pos, d) by
        (heads, rows, pos)."""
        if len(numbers) == 1:
            into.addcmul_(numbers[0].unsqueeze(-1), self._centres[0], value=-1.0)
            return
        by_token = torch.stack(numbers, -1).flatten(1, 2).transpose(0, 1)  # (tokens, heads, runs)
        centres = torch.stack(self._centres, -2).flatten(0, 1)  # (tokens, runs, d)
        into.flatten(1, 2).transpose(0, 1).baddbmm_(by_token, centres, alpha=-1.0)
