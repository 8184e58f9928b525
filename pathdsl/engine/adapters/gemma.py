"""Gemma 1, 2 and 3: Llama's block with scaled embeddings, norms around each part, capped logits.

Gemma 2 and 3 norm what attention and MLP write. A head's value is its slice of the output
projection before that norm, and each reader applies the norm to the sum of the head copies that it
reads; the MLP's value is after its own. Gemma 2 caps attention scores, `cap * tanh(score / cap)`,
and both cap the logits. Layers with a sliding window alternate with full ones; in Gemma 3 the two
kinds have rotations of their own, and queries and keys are normed by head.

`transformers` does not apply `attn_logit_softcapping` in Gemma 3, and neither does this adapter.

Source: Gemma Team 2024 (arXiv:2403.08295, 2408.00118), 2025 (arXiv:2503.19786);
`transformers/models/gemma2/modeling_gemma2.py`, `gemma3/modeling_gemma3.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.adapters.norms import Scales, apply

__all__ = ["Gemma2Adapter", "Gemma3Adapter", "GemmaAdapter"]


class GemmaAdapter(LlamaAdapter):
    """The parts of one Gemma 1."""

    def embedding_std(self) -> float:
        """The standard deviation of the token embedding matrix, scaled as it enters the stream."""
        return super().embedding_std() * float(self.model.model.embed_tokens.embed_scale)


class Gemma2Adapter(GemmaAdapter):
    """The parts of one Gemma 2."""

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by; None where they are soft-capped."""
        capped = self.model.config.attn_logit_softcapping is not None
        return None if capped else super().scaling(layer)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled and soft-capped scores, -> (..., nq, nk)."""
        return _softcapped(super().scores(layer, q, k), self.model.config.attn_logit_softcapping)

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm of all heads' summed writes, (..., n_heads, d_head) -> (..., d)."""
        norm = self.blocks[layer].post_attention_layernorm
        return apply(norm, super().attention_write(layer, z), scales, "scale_after_attention")

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP with the norms before and after it, (..., d) -> (..., d)."""
        block = self.blocks[layer]
        out = block.mlp(self._mlp_input(layer, resid, scales))
        return apply(block.post_feedforward_layernorm, out, scales, "scale_after_mlp")

    def _mlp_input(self, layer: int, resid: Tensor, scales: Scales | None) -> Tensor:
        norm = self.blocks[layer].pre_feedforward_layernorm
        return apply(norm, resid, scales, "scale_mlp")

    def mlp_after(self, layer: int, hidden: Tensor, scales: Scales | None = None) -> Tensor:
        """The output projection and the norm after it, (..., d_mlp) -> (..., d)."""
        norm = self.blocks[layer].post_feedforward_layernorm
        return apply(norm, super().mlp_after(layer, hidden), scales, "scale_after_mlp")

    def _capped(self, logits: Tensor) -> Tensor:
        return _softcapped(logits, self.model.config.final_logit_softcapping)


class Gemma3Adapter(Gemma2Adapter):
    """The parts of one Gemma 3 that reads text."""

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by."""
        return LlamaAdapter.scaling(self, layer)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, -> (..., nq, nk)."""
        return LlamaAdapter.scores(self, layer, q, k)

    def _rotary(self, layer: int, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the layer's kind: sliding and full layers rotate apart."""
        kind = self.model.config.layer_types[layer]
        cos, sin = self.model.model.rotary_emb(x, positions, kind)
        return cos, sin


def _softcapped(x: Tensor, cap: float | None) -> Tensor:
    """`cap * tanh(x / cap)`, in the order of `transformers`."""
    return x if cap is None else torch.tanh(x / cap) * cap
