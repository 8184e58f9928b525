"""What adapters of LayerNorm decoders have in common: linear maps per head, causal attention.

GPT-Neo, GPT-J, GPT-NeoX and OPT differ in how positions enter, in what the MLP reads and in the
dtype of scores; the rest is here. A family names its parts (`_final`, `_tokens`, `_head`), gives
the weight of each input of attention by head (`_input_weight`), its output projection (`_output`),
and overrides what is its own.

An adapter verifies the class of every module before it trusts a weight
(`pathdsl.engine.adapters.parts`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

from pathdsl.engine.adapters.base import Slot, check_weights
from pathdsl.engine.adapters.common import CausalAdapter, scaled_bias
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.graph.model.shape import ModelShape

__all__ = ["BlockAdapter", "activate"]


class BlockAdapter(CausalAdapter):
    """The parts of one decoder; see `pathdsl.engine.adapters.base.Adapter` for each call.

    A subclass verifies the model first; this raises what `check_weights` raises.
    """

    _final: nn.Module | None  # the norm before the unembedding
    _tokens: nn.Embedding
    _head: nn.Linear
    _last_block: nn.Module

    def __init__(self, model: nn.Module, shape: ModelShape) -> None:
        self._dtype, self._device = check_weights(model)
        self.model = model
        self.shape = shape
        self._softmax_dtype = torch.float32

    @property
    def precision(self) -> torch.dtype:
        """The dtype whose rounding two ways to one number may differ by."""
        return self._softmax_dtype if self._dtype == torch.float64 else self._dtype

    # ---------------------------------------------------------------- what a family gives

    @abstractmethod
    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        """One input of attention by head: weight (n_heads, d_head, d), bias (n_heads, d_head)."""

    @abstractmethod
    def _output(self, layer: int) -> nn.Linear:
        """Attention's output projection, (n_heads * d_head) -> d."""

    def _placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """q, k or v (..., n_heads_selected, d_head) as attention uses it: rotated, scaled."""
        return x

    @abstractmethod
    def mlp_hidden(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP's hidden units with the norm before them, (..., d) -> (..., d_mlp)."""

    @abstractmethod
    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""

    # ---------------------------------------------------------------- MLP

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP with its norm and output bias, (..., d) -> (..., d)."""
        written: Tensor = self._mlp_out(layer)(self.mlp_hidden(layer, resid, scales))
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
    ) -> Tensor:
        """q, k or v with bias at its position, (..., d) -> (..., n_heads_selected, d_head)."""
        weight, bias = self._input_weight(layer, slot)
        if heads is not None:
            chosen = self._index(heads)
            weight, bias = weight[chosen], None if bias is None else bias[chosen]
        n_selected = weight.shape[0]
        out = torch.matmul(normed, weight.reshape(-1, self.shape.d_model).t())
        if bias is not None:
            out = out + bias.reshape(-1)
        if positions is None:
            positions = torch.arange(normed.shape[-2], device=normed.device)
        out = out.view(*normed.shape[:-1], n_selected, self.shape.d_head)
        return self._placed(layer, slot, out, positions.to(normed.device))

    def softmax(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The pattern in the model's dtype; keys where `mask` is False get exactly 0."""
        scores = scores.to(self._softmax_dtype)
        hidden = torch.finfo(scores.dtype).min
        return torch.softmax(scores.masked_fill(~mask, hidden), dim=-1).to(self._dtype)

    def write(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """The summed write without bias, (..., n_heads_selected, d_head) -> (..., d)."""
        weight = self._output_weight(layer, heads)  # (n_heads_selected, d_head, d)
        return torch.matmul(z.flatten(-2), weight.reshape(-1, self.shape.d_model))

    def write_each(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """Each head's own write, (..., n_heads_selected, d_head) -> (..., n_heads_selected, d)."""
        return torch.einsum("...hd,hdm->...hm", z, self._output_weight(layer, heads))

    def write_bias(self, layer: int) -> Tensor:
        """The bias of attention's output projection, (d,): belongs to no sender; 0 without one."""
        projection = self._output(layer)
        if projection.bias is None:
            return projection.weight.new_zeros(self.shape.d_model)
        return projection.bias

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that attention adds to the stream: every head's write and the bias."""
        return self._output(layer)(z.flatten(-2))

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

    # ---------------------------------------------------------------- logits

    def final_norm(self, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before the unembedding, (..., d) -> (..., d)."""
        if self._final is None:
            return resid
        return apply(self._final, resid, scales, "scale_final")

    def unembed(self, normed: Tensor) -> Tensor:
        """Logits over the vocabulary, (..., d) -> (..., d_vocab)."""
        return self._head(normed)

    # ---------------------------------------------------------------- the whole model

    def final_stream(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(rows, pos, d): what enters the model's final norm, or leaves its last block."""
        if self._final is not None:
            return super().final_stream(ids, lengths)
        caught: list[Tensor] = []
        handle = self._last_block.register_forward_hook(
            lambda _module, _inputs, out: caught.append(out[0] if isinstance(out, tuple) else out)
        )
        try:
            self.plain_forward(ids, lengths)
        finally:
            handle.remove()
        return caught[0]


def activate(module: nn.Module, x: Tensor) -> Tensor:
    """An MLP's activation module on x; GPT-2's GELU in one kernel instead of five passes."""
    if isinstance(module, NewGELUActivation):
        return torch.nn.functional.gelu(x, approximate="tanh")
    return module(x)
