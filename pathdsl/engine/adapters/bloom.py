"""BLOOM: no positions in the stream, scores that rise with the position of the key (ALiBi).

Takes a `transformers.BloomForCausalLM` apart along the residual stream::

    r = word_embeddings_layernorm(word_embeddings(ids))
    for layer: r += dense(z(input_layernorm(r)));  r += mlp(post_attention_layernorm(r))
    logits = lm_head(ln_f(r))

The norm of the embedding belongs to `input`. The modules of attention and MLP get the stream and
return it with their own part added, so their outputs are no component's; the parts here are
computed from the weights. q, k and v come from one projection laid out head by head. ALiBi is
slope times position of the key, one slope for each head, which no softmax can tell from minus slope
times distance (Press et al. 2022, arXiv:2108.12409). The model counts positions along its mask of
padding; rows are padded on the right, where that is the position in the prompt. The softmax is in
float32 whatever the dtype of the model.

With `apply_residual_connection_post_layernorm` the residual stream goes through the norms, and with
`slow_but_exact` biases are left out; both are refused.

Source of the architecture: Le Scao et al. 2022 (arXiv:2211.05100); `transformers/models/bloom/
modeling_bloom.py`.

    >>> from transformers import BloomConfig, BloomForCausalLM
    >>> small = BloomConfig(vocab_size=7, hidden_size=8, n_layer=1, n_head=2)
    >>> adapter = BloomAdapter(BloomForCausalLM(small).eval())
    >>> places = torch.arange(3).expand(1, 3)
    >>> adapter.position_bias(0, [1], places, places).flatten().tolist()
    [0.0, 0.00390625, 0.0078125]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BloomForCausalLM
from transformers.models.bloom.modeling_bloom import (
    BloomAttention,
    BloomBlock,
    BloomGelu,
    BloomMLP,
    BloomModel,
    bloom_gelu_forward,
    build_alibi_tensor,
)

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import BlockAdapter, activate
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import bloom_shape
from pathdsl.graph.model.fields import UnsupportedConfig

__all__ = ["BloomAdapter"]

_SLOTS = {"q": 0, "k": 1, "v": 2}
_MODEL_PARTS: dict[str, type[nn.Module]] = {
    "transformer": BloomModel,
    "transformer.word_embeddings": nn.Embedding,
    "transformer.word_embeddings_layernorm": nn.LayerNorm,
    "transformer.h": nn.ModuleList,
    "transformer.ln_f": nn.LayerNorm,
    "lm_head": nn.Linear,
}
_BLOCK_PARTS: dict[str, type[nn.Module]] = {
    "": BloomBlock,
    ".input_layernorm": nn.LayerNorm,
    ".self_attention": BloomAttention,
    ".self_attention.query_key_value": nn.Linear,
    ".self_attention.dense": nn.Linear,
    ".self_attention.attention_dropout": nn.Dropout,
    ".post_attention_layernorm": nn.LayerNorm,
    ".mlp": BloomMLP,
    ".mlp.dense_h_to_4h": nn.Linear,
    ".mlp.dense_4h_to_h": nn.Linear,
}


class BloomAdapter(BlockAdapter):
    """The parts of one BLOOM; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights and options that are not computed, PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        whole: Any = model
        n_layers = int(getattr(getattr(model, "config", None), "n_layer", 0))
        parts = parts_of(_MODEL_PARTS, "transformer.h", n_layers, _BLOCK_PARTS)
        check_parts(model, BloomForCausalLM, "BLOOM", parts, ("gelu_impl",))
        try:
            shape = bloom_shape(whole.config.to_dict())
        except UnsupportedConfig as error:
            raise refuse("PD612", str(error)) from error
        parts = whole.transformer
        if any(block.apply_residual_connection_post_layernorm for block in parts.h):
            raise refuse(
                "PD612",
                "a layer differs from the config in `apply_residual_connection_post_layernorm`",
            )
        super().__init__(model, shape, blocks=parts.h, final=parts.ln_f, head=whole.lm_head)
        self._tokens, self._norm = parts.word_embeddings, parts.word_embeddings_layernorm
        real = torch.ones(1, 2, dtype=torch.long, device=self._device)
        self._slopes = build_alibi_tensor(real, shape.n_heads, torch.float32)[:, 0, 1]

    def embed(self, ids: Tensor) -> Tensor:
        """The normed token embedding, (rows, pos) ids -> (rows, pos, d)."""
        embedded: Tensor = self._norm(self._tokens(ids.to(self._device)))
        return embedded

    def _embedding(self, ids: Tensor) -> Tensor:
        """Rows of the token embedding matrix as they enter the stream, (n,) ids -> (n, d)."""
        normed: Tensor = self._norm(super()._embedding(ids))
        return normed

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        return apply(self.blocks[layer].input_layernorm, resid, scales, "scale_attention")

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        fused = self.blocks[layer].self_attention.query_key_value
        n_heads, d_head, part = self.shape.n_heads, self.shape.d_head, _SLOTS[slot]
        weight = fused.weight.view(n_heads, 3, d_head, -1)[:, part]
        return weight, fused.bias.view(n_heads, 3, d_head)[:, part]

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].self_attention.dense
        return part

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        factor = self.blocks[layer].self_attention.inv_norm_factor
        return torch.matmul(q, k.transpose(-1, -2)) * factor

    def position_bias(
        self, layer: int, heads: Sequence[int], queries: Tensor, keys: Tensor
    ) -> Tensor | None:
        """ALiBi: slope times position of the key, (n, rows, 1, nk)."""
        slopes = self._slopes.to(keys.device)[list(heads)]
        return (slopes[:, None, None] * keys).to(self._dtype).unsqueeze(-2)

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads with the norm before it, (..., d) -> (..., d_mlp); no gate."""
        block = self.blocks[layer]
        before: Tensor = block.mlp.dense_h_to_4h(
            apply(block.post_attention_layernorm, resid, scales, "scale_mlp")
        )
        return before, None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation; BLOOM's GELU as the function that its module calls."""
        module = self.blocks[layer].mlp.gelu_impl
        if type(module) is not BloomGelu:
            return activate(module, before)
        activated: Tensor = bloom_gelu_forward(before)
        return activated

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].mlp.dense_4h_to_h
        return part
