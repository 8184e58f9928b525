"""Phi-3: Llama's block with one fused q/k/v projection, one fused gate and up projection.

Of the head only the first part is rotated where `partial_rotary_factor` says so. With `longrope`
the frequencies of a whole batch change once it is longer than the original context; the model's
context ends there (`ModelShape.n_positions`).

Source: Abdin et al. 2024 (arXiv:2404.14219); `transformers/models/phi3/modeling_phi3.py`.
"""

from __future__ import annotations

from torch import Tensor

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.llama import LlamaAdapter

__all__ = ["Phi3Adapter"]


class Phi3Adapter(LlamaAdapter):
    """The parts of one Phi-3."""

    def _weights(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        """Rows of the fused projection: queries, then keys, then values."""
        queries = self.shape.n_heads * self.shape.d_head
        stored = self.shape.n_kv_heads * self.shape.d_head
        begin = {"q": 0, "k": queries, "v": queries + stored}[slot]
        part = slice(begin, begin + (queries if slot == "q" else stored))
        fused = self.blocks[layer].self_attn.qkv_proj
        return fused.weight[part], None if fused.bias is None else fused.bias[part]

    def _gates(self, layer: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Gate and up, halves of one projection."""
        gate, up = self.blocks[layer].mlp.gate_up_proj(x).chunk(2, dim=-1)
        return gate, up

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        activated: Tensor = self.blocks[layer].mlp.activation_fn(before)
        return activated
