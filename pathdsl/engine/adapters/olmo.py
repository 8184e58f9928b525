"""OLMo and OLMo 2: Llama's block with clipped projections, or with norms after each part.

OLMo clips queries, keys and values to `clip_qkv` and has norms without weights. OLMo 2 reads the
residual stream as it is, norms queries and keys over *all* heads at once, and norms what attention
and MLP write. A head's value is then its slice of the output projection before that norm, and each
reader applies the norm to the sum of the head copies that it reads; the MLP's value is after it.

Source: Groeneveld et al. 2024 (arXiv:2402.00838), OLMo 2 2025 (arXiv:2501.00656);
`transformers/models/olmo/modeling_olmo.py`, `olmo2/modeling_olmo2.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.adapters.norms import Scales, apply

__all__ = ["Olmo2Adapter", "OlmoAdapter"]


class OlmoAdapter(LlamaAdapter):
    """The parts of one OLMo."""

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by query head; None where it is clipped."""
        return None if self.model.config.clip_qkv is not None else super().input_weight(layer, slot)

    def _projected(
        self, layer: int, slot: Slot, normed: Tensor, heads: Sequence[int] | None,
        scales: Scales | None,
    ) -> Tensor:  # fmt: skip
        """(..., n_stored_heads_selected, d_head), clipped."""
        out = super()._projected(layer, slot, normed, heads, scales)
        most = self.model.config.clip_qkv
        return out if most is None else out.clamp(min=-most, max=most)


class Olmo2Adapter(LlamaAdapter):
    """The parts of one OLMo 2."""

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The residual stream itself: there is no norm before attention."""
        return resid

    def _projected(
        self, layer: int, slot: Slot, normed: Tensor, heads: Sequence[int] | None,
        scales: Scales | None,
    ) -> Tensor:  # fmt: skip
        """(..., n_stored_heads_selected, d_head); queries and keys are normed over all heads."""
        out = functional.linear(normed, *self._weights(layer, slot))
        if slot != "v":
            norm = getattr(self.blocks[layer].self_attn, f"{slot}_norm")
            out = apply(norm, out, scales, f"scale_{slot}")
        by_head = out.unflatten(-1, (-1, self.shape.d_head))
        return by_head if heads is None else by_head[..., self._index(heads), :]

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm of all heads' summed writes, (..., n_heads, d_head) -> (..., d)."""
        norm = self.blocks[layer].post_attention_layernorm
        return apply(norm, super().attention_write(layer, z), scales, "scale_after_attention")

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP on the stream itself, with the norm after it, (..., d) -> (..., d)."""
        block = self.blocks[layer]
        out = block.mlp(resid)
        return apply(block.post_feedforward_layernorm, out, scales, "scale_after_mlp")

    def _mlp_input(self, layer: int, resid: Tensor, scales: Scales | None) -> Tensor:
        """The residual stream itself."""
        return resid

    def mlp_after(self, layer: int, hidden: Tensor, scales: Scales | None = None) -> Tensor:
        """The output projection and the norm after it, (..., d_mlp) -> (..., d)."""
        norm = self.blocks[layer].post_feedforward_layernorm
        return apply(norm, super().mlp_after(layer, hidden), scales, "scale_after_mlp")
