"""ModernBERT: an encoder with norms before its parts, rotary positions and symmetric windows.

Takes a `transformers.ModernBertForMaskedLM` apart along the residual stream::

    r = norm(tok_embeddings(ids))
    for layer: r += Wo(z(attn_norm(r)));  r += mlp.Wo(act(a) * g),  a, g = halves of Wi(mlp_norm(r))
    logits = decoder(norm(act(dense(final_norm(r)))))

The first layer has no norm before its attention. q, k and v come from one projection, each with all
its heads; halves of q and k are turned by position with what the model's own `rotary_emb` says, by
kind of layer and in float32 whatever the dtype. `sliding_attention` layers see `local_attention //
2` positions before and behind their own. Under eager attention the softmax is in float32. What
stands between the final norm and the unembedding belongs to `logits`.

Source of the architecture: Warner et al. 2024 (arXiv:2412.13663);
`transformers/models/modernbert/modeling_modernbert.py`.

    >>> from transformers import ModernBertConfig, ModernBertForMaskedLM
    >>> small = ModernBertConfig(vocab_size=7, hidden_size=8, intermediate_size=12, pad_token_id=0,
    ...                          num_hidden_layers=2, num_attention_heads=2, local_attention=4)
    >>> adapter = ModernBertAdapter(ModernBertForMaskedLM(small).eval())
    >>> adapter.shape.causal, adapter.shape.windows
    (False, (None, 3))
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import ModernBertForMaskedLM
from transformers.models.modernbert.modeling_modernbert import (
    ModernBertAttention,
    ModernBertEmbeddings,
    ModernBertEncoderLayer,
    ModernBertMLP,
    ModernBertModel,
    ModernBertPredictionHead,
    ModernBertRotaryEmbedding,
)

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.blocks import activate
from pathdsl.engine.adapters.encoders import EncoderAdapter
from pathdsl.engine.adapters.llama_parts import shape_of_model
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of

__all__ = ["ModernBertAdapter"]

_SLOTS = {"q": 0, "k": 1, "v": 2}
_MODEL_PARTS: dict[str, type[nn.Module]] = {
    "model": ModernBertModel,
    "model.embeddings": ModernBertEmbeddings,
    "model.embeddings.tok_embeddings": nn.Embedding,
    "model.embeddings.norm": nn.LayerNorm,
    "model.embeddings.drop": nn.Dropout,
    "model.layers": nn.ModuleList,
    "model.final_norm": nn.LayerNorm,
    "model.rotary_emb": ModernBertRotaryEmbedding,
    "head": ModernBertPredictionHead,
    "head.dense": nn.Linear,
    "head.norm": nn.LayerNorm,
    "decoder": nn.Linear,
}
_BLOCK_PARTS: dict[str, type[nn.Module]] = {
    "": ModernBertEncoderLayer,
    ".attn_norm": nn.LayerNorm,
    ".attn": ModernBertAttention,
    ".attn.Wqkv": nn.Linear,
    ".attn.Wo": nn.Linear,
    ".attn.out_drop": nn.Dropout,
    ".mlp_norm": nn.LayerNorm,
    ".mlp": ModernBertMLP,
    ".mlp.Wi": nn.Linear,
    ".mlp.drop": nn.Dropout,
    ".mlp.Wo": nn.Linear,
}


class ModernBertAdapter(EncoderAdapter):
    """The parts of one ModernBERT; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights and options that are not computed, PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        n_layers = int(getattr(getattr(model, "config", None), "num_hidden_layers", 0))
        parts = parts_of(_MODEL_PARTS, "model.layers", n_layers, _BLOCK_PARTS)
        parts.pop("model.layers.0.attn_norm", None)
        check_parts(model, ModernBertForMaskedLM, "ModernBERT", parts, ("act",))
        whole: Any = model
        inner = whole.model
        super().__init__(
            model, shape_of_model(model), blocks=inner.layers, final=inner.final_norm,
            head=whole.decoder,
        )  # fmt: skip

    def embed(self, ids: Tensor) -> Tensor:
        """The normed token embedding, (rows, pos) ids -> (rows, pos, d)."""
        embedded: Tensor = self.model.model.embeddings(input_ids=ids.to(self._device))
        return embedded

    def _embedding(self, ids: Tensor) -> Tensor:
        """Rows of the token embedding matrix as the stream gets it, (n,) ids -> (n, d)."""
        normed: Tensor = self.model.model.embeddings.norm(super()._embedding(ids))
        return normed

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d); none in the first layer."""
        norm = self.blocks[layer].attn_norm
        return resid if layer == 0 else apply(norm, resid, scales, "scale_attention")

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        fused, shape = self.blocks[layer].attn.Wqkv, self.shape
        by_slot = fused.weight.view(3, shape.n_heads, shape.d_head, shape.d_model)
        bias = fused.bias
        if bias is not None:
            bias = bias.view(3, shape.n_heads, shape.d_head)[_SLOTS[slot]]
        return by_slot[_SLOTS[slot]], bias

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].attn.Wo
        return part

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """Queries and keys turned by their positions, in float32."""
        if slot == "v":
            return x
        kind = self.model.config.layer_types[layer]
        tables = self.model.model.rotary_emb(x, positions.to(x.device), kind)
        cos, sin = (part.to(x.device).unsqueeze(-2) for part in tables)
        wide = x.float()
        first, second = wide.split(wide.shape[-1] // 2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        return (wide * cos + turned * sin).to(x.dtype)

    def scaling(self, layer: int) -> float | None:
        """The root of the head's width, by which scores are divided."""
        return float(self.shape.d_head**-0.5)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q, k.transpose(-1, -2)) * self.shape.d_head**-0.5

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads, and what multiplies its result, (..., d) -> (..., d_mlp)."""
        block = self.blocks[layer]
        both: Tensor = block.mlp.Wi(apply(block.mlp_norm, resid, scales, "scale_mlp"))
        before, gate = both.chunk(2, dim=-1)
        return before, gate

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].mlp.act, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].mlp.Wo
        return part

    def transformed(self, normed: Tensor) -> Tensor:
        """The prediction head's own layers, (..., d) -> (..., d)."""
        out: Tensor = self.model.head(normed)
        return out
