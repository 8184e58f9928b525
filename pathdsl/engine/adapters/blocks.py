"""What adapters of LayerNorm decoders have in common: linear maps per head, causal attention.

GPT-Neo, GPT-J, GPT-NeoX, OPT, Falcon, BLOOM and MPT differ in how positions enter, in what the MLP
reads and in the dtype of scores; the rest is here. A family gives the weight of each input of
attention by head (`_input_weight`), its output projection (`_output`) and those of the MLP, and
overrides what is its own.

An adapter verifies the class of every module before it trusts a weight
(`pathdsl.engine.adapters.parts`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.common import CausalAdapter, bias_of, scaled_bias
from pathdsl.engine.adapters.norms import Scales

__all__ = ["BlockAdapter", "activate"]


class BlockAdapter(CausalAdapter):
    """The parts of one decoder; see `pathdsl.engine.adapters.base.Adapter` for each call.

    A subclass verifies the model first.
    """

    _narrowest = torch.float32
    """The dtype of scores in softmax, too."""

    # ---------------------------------------------------------------- what a family gives

    @abstractmethod
    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        """One input of attention by stored head: weight (n_stored, d_head, d), bias (n_stored,
        d_head); query heads beside each other share a stored one where there are fewer."""

    @abstractmethod
    def _output(self, layer: int) -> nn.Linear:
        """Attention's output projection, (n_heads * d_head) -> d."""

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by query head, (n_heads, d_head, d)."""
        weight = self._input_weight(layer, slot)[0]
        times = self.shape.n_heads // weight.shape[0]
        return weight if times == 1 else weight.repeat_interleave(times, 0)

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """q, k or v (..., n_heads_selected, d_head) as attention uses it: rotated, scaled."""
        return x

    @abstractmethod
    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""

    # ---------------------------------------------------------------- MLP

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP with its norm and output bias, (..., d) -> (..., d)."""
        return self.mlp_after(layer, self.mlp_hidden(layer, resid, scales))

    def mlp_after(self, layer: int, hidden: Tensor, scales: Scales | None = None) -> Tensor:
        """The output projection with its bias, (..., d_mlp) -> (..., d)."""
        written: Tensor = self._mlp_out(layer)(hidden)
        return written

    def mlp_write(self, layer: int, hidden: Tensor, bias: Tensor) -> Tensor:
        """What hidden units add, (..., d_mlp) -> (..., d); `bias` (..., 1) scales the bias."""
        return scaled_bias(self._mlp_out(layer), hidden, bias)

    # ---------------------------------------------------------------- attention

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v with bias at its position, (..., d) -> (..., n_heads_selected, d_head)."""
        weight, bias = self._input_weight(layer, slot)
        times = self.shape.n_heads // weight.shape[0]  # query heads that share a stored one
        asked = list(range(self.shape.n_heads) if heads is None else heads)
        stored = [head // times for head in asked]
        kept = sorted(set(stored)) if times > 1 else stored
        if heads is not None:
            chosen = self._index(kept)
            weight, bias = weight[chosen], None if bias is None else bias[chosen]
        n_selected = weight.shape[0]
        out = torch.matmul(normed, weight.reshape(-1, self.shape.d_model).t())
        if bias is not None:
            out = out + bias.reshape(-1)
        if positions is None:
            positions = torch.arange(normed.shape[-2], device=normed.device)
        out = out.view(*normed.shape[:-1], n_selected, self.shape.d_head)
        out = self.placed(layer, slot, out, positions.to(normed.device))
        return out if stored == kept else out[..., [kept.index(head) for head in stored], :]

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern in the model's dtype; keys where `mask` is False get exactly 0."""
        scores = scores.to(self._narrowest)
        hidden = torch.finfo(scores.dtype).min
        return torch.softmax(scores.masked_fill(~mask, hidden), dim=-1).to(self._dtype)

    def write_bias(self, layer: int) -> Tensor:
        """The bias of attention's output projection, (d,): belongs to no sender; 0 without one."""
        return bias_of(self._output(layer))

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that attention adds to the stream: every head's write and the bias."""
        written: Tensor = self._output(layer)(z.flatten(-2))
        return written

    def _output_weight(self, layer: int, heads: Sequence[int] | None) -> Tensor:
        """The output projection by head, (n_heads_selected, d_head, d)."""
        weight = self._output(layer).weight.t()
        by_head = weight.view(self.shape.n_heads, self.shape.d_head, self.shape.d_model)
        return by_head if heads is None else by_head[self._index(heads)]

    def _by_head(self, linear: nn.Linear) -> tuple[Tensor, Tensor | None]:
        """A projection of its own by head: weight (n_heads, d_head, d), bias (n_heads, d_head)."""
        n_heads, d_head = self.shape.n_heads, self.shape.d_head
        bias = linear.bias
        return (
            linear.weight.view(n_heads, d_head, -1),
            None if bias is None else bias.view(n_heads, d_head),
        )


def activate(module: nn.Module, x: Tensor, *, over: bool = False) -> Tensor:
    """An MLP's activation module on x; GPT-2's GELU in one kernel instead of five passes.

    `over`: x may be written over.
    """
    if isinstance(module, NewGELUActivation):
        if over:
            return cast(Tensor, torch.ops.aten.gelu_(x, approximate="tanh"))
        return torch.nn.functional.gelu(x, approximate="tanh")
    activated: Tensor = module(x)
    return activated
