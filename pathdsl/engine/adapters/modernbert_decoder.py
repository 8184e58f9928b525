"""The decoder of ModernBERT: its block with causal attention, and the prediction head behind it.

Takes a `transformers.ModernBertDecoderForCausalLM` apart as
`pathdsl.engine.adapters.modernbert.ModernBertAdapter` does an encoder. q, k and v have projections
of their own; `sliding_attention` layers see `local_attention // 2` positions, their own included.

Source of the architecture: Weller et al. 2025 (arXiv:2507.11412);
`transformers/models/modernbert_decoder/modeling_modernbert_decoder.py`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import ModernBertDecoderForCausalLM
from transformers.models.modernbert_decoder.modeling_modernbert_decoder import (
    ModernBertDecoderAttention,
    ModernBertDecoderEmbeddings,
    ModernBertDecoderLayer,
    ModernBertDecoderMLP,
    ModernBertDecoderModel,
    ModernBertDecoderPredictionHead,
    ModernBertDecoderRotaryEmbedding,
)

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.encoders import EncoderAdapter
from pathdsl.engine.adapters.llama_parts import shape_of_model
from pathdsl.engine.adapters.modernbert import ModernBertAdapter
from pathdsl.engine.adapters.parts import check_parts, parts_of

__all__ = ["ModernBertDecoderAdapter"]

_MODEL_PARTS: dict[str, type[nn.Module]] = {
    "model": ModernBertDecoderModel,
    "model.embeddings": ModernBertDecoderEmbeddings,
    "model.embeddings.tok_embeddings": nn.Embedding,
    "model.embeddings.norm": nn.LayerNorm,
    "model.embeddings.drop": nn.Dropout,
    "model.layers": nn.ModuleList,
    "model.final_norm": nn.LayerNorm,
    "model.rotary_emb": ModernBertDecoderRotaryEmbedding,
    "lm_head": ModernBertDecoderPredictionHead,
    "lm_head.dense": nn.Linear,
    "lm_head.norm": nn.LayerNorm,
    "decoder": nn.Linear,
}
_BLOCK_PARTS: dict[str, type[nn.Module]] = {
    "": ModernBertDecoderLayer,
    ".attn_norm": nn.LayerNorm,
    ".attn": ModernBertDecoderAttention,
    ".attn.q_proj": nn.Linear,
    ".attn.k_proj": nn.Linear,
    ".attn.v_proj": nn.Linear,
    ".attn.Wo": nn.Linear,
    ".attn.out_drop": nn.Dropout,
    ".mlp_norm": nn.LayerNorm,
    ".mlp": ModernBertDecoderMLP,
    ".mlp.Wi": nn.Linear,
    ".mlp.drop": nn.Dropout,
    ".mlp.Wo": nn.Linear,
}


class ModernBertDecoderAdapter(ModernBertAdapter):
    """The parts of one decoder; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights and options that are not computed, PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        n_layers = int(getattr(getattr(model, "config", None), "num_hidden_layers", 0))
        parts = parts_of(_MODEL_PARTS, "model.layers", n_layers, _BLOCK_PARTS)
        parts.pop("model.layers.0.attn_norm", None)
        check_parts(model, ModernBertDecoderForCausalLM, "ModernBERT's decoder", parts, ("act",))
        whole: Any = model
        inner = whole.model
        EncoderAdapter.__init__(
            self, model, shape_of_model(model), blocks=inner.layers, final=inner.final_norm,
            head=whole.decoder,
        )  # fmt: skip

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        return self._by_head(getattr(self.blocks[layer].attn, f"{slot}_proj"))

    def transformed(self, normed: Tensor) -> Tensor:
        """The prediction head's own layers, (..., d) -> (..., d)."""
        out: Tensor = self.model.lm_head(normed)
        return out
