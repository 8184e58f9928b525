"""Falcon: attention and MLP side by side or in a row, shared keys and values, rotary or ALiBi.

Takes a `transformers.FalconForCausalLM` apart along the residual stream::

    r = word_embeddings(ids)
    for layer: r = r + dense(z(norm(r))) + mlp(norm(r))     side by side (7B, 40B)
               r += dense(z(norm(r)));  r += mlp(norm(r))   in a row (RW 1B and 7B)
    logits = lm_head(ln_f(r))

Queries, keys and values come from one projection: all queries, then one key and value for all heads
(`multi_query`, 7B); by group its queries, key and value (`new_decoder_architecture`, 40B); by head.
Side by side there is one norm for both halves, or `ln_attn` and `ln_mlp`. The module adds what
attention wrote *into* the MLP's output, in place, so the output that a hook on `mlp` keeps holds
both later; the parts here are computed from the weights.

With `alibi` the slopes and their products with positions are rounded to bfloat16, as in the model,
whatever its dtype. `transformers` 5.23 adds them twice under eager attention, once to the scores
and once with the mask, and once under `sdpa`, so that is how such a model is loaded; see `sdpa` of
`pathdsl.engine.adapters.Family`.

Source of the architecture: Almazrouei et al. 2023 (arXiv:2311.16867); `transformers/models/falcon/
modeling_falcon.py`.

    >>> from transformers import FalconConfig, FalconForCausalLM
    >>> small = FalconConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1,
    ...                      num_attention_heads=2)
    >>> adapter = FalconAdapter(FalconForCausalLM(small).eval())
    >>> adapter.shape.parallel, adapter.shape.n_groups
    (True, 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from transformers import FalconForCausalLM
from transformers.models.falcon.modeling_falcon import (
    FalconAttention,
    FalconDecoderLayer,
    FalconLinear,
    FalconMLP,
    FalconModel,
    FalconRotaryEmbedding,
    build_alibi_tensor,
)

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import BlockAdapter, activate
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import falcon_shape
from pathdsl.graph.model.fields import UnsupportedConfig

__all__ = ["FalconAdapter"]

_MODEL_PARTS: dict[str, type[nn.Module]] = {
    "transformer": FalconModel,
    "transformer.word_embeddings": nn.Embedding,
    "transformer.h": nn.ModuleList,
    "transformer.ln_f": nn.LayerNorm,
    "transformer.rotary_emb": FalconRotaryEmbedding,
    "lm_head": nn.Linear,
}
_BLOCK_PARTS: dict[str, type[nn.Module]] = {
    "": FalconDecoderLayer,
    ".self_attention": FalconAttention,
    ".self_attention.query_key_value": FalconLinear,
    ".self_attention.dense": FalconLinear,
    ".self_attention.attention_dropout": nn.Dropout,
    ".mlp": FalconMLP,
    ".mlp.dense_h_to_4h": FalconLinear,
    ".mlp.dense_4h_to_h": FalconLinear,
}


class FalconAdapter(BlockAdapter):
    """The parts of one Falcon; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules (flash
    attention is one), mixed weights, options that `transformers` itself cannot run and ALiBi under
    eager attention, PD608 for quantised weights, PD618 in training mode.
    """

    _narrowest = torch.float64

    def __init__(self, model: nn.Module) -> None:
        whole: Any = model
        config = getattr(model, "config", None)
        self._norms = _norms(config)
        block = {**_BLOCK_PARTS, **{f".{name}": nn.LayerNorm for name in set(self._norms)}}
        n_layers = int(getattr(config, "num_hidden_layers", 0))
        parts = parts_of(_MODEL_PARTS, "transformer.h", n_layers, block)
        check_parts(model, FalconForCausalLM, "Falcon", parts, ("act",))
        try:
            shape = falcon_shape(whole.config.to_dict())
        except UnsupportedConfig as error:
            raise refuse("PD612", str(error)) from error
        parts = whole.transformer
        super().__init__(model, shape, blocks=parts.h, final=parts.ln_f, head=whole.lm_head)
        self._tokens, self._rotary = parts.word_embeddings, parts.rotary_emb
        self._grouped = bool(whole.config.new_decoder_architecture)
        self._slopes: Tensor | None = None
        if whole.config.alibi:
            if whole.config._attn_implementation != "sdpa":
                raise refuse(
                    "PD612",
                    "eager attention of `transformers` adds ALiBi to a Falcon's scores twice",
                    advice='load it with `attn_implementation="sdpa"`, which adds it once',
                )
            real = torch.ones(1, 2, dtype=torch.long, device=self._device)
            slopes = build_alibi_tensor(real, shape.n_heads, torch.float32)[:, 0, 1]
            self._slopes = slopes.bfloat16()

    def embed(self, ids: Tensor) -> Tensor:
        """Token embedding, (rows, pos) ids -> (rows, pos, d); positions enter in attention."""
        embedded: Tensor = self._tokens(ids.to(self._device))
        return embedded

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        norm = getattr(self.blocks[layer], self._norms[0])
        return apply(norm, resid, scales, "scale_attention")

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        fused = self.blocks[layer].self_attention.query_key_value
        weight = self._of_slot(fused.weight, slot)
        return weight, None if fused.bias is None else self._of_slot(fused.bias, slot)

    def _of_slot(self, fused: Tensor, slot: Slot) -> Tensor:
        """Rows of the fused projection by stored head: (n_stored, d_head, …)."""
        n_stored, d_head = self.shape.n_kv_heads, self.shape.d_head
        each = self.shape.n_heads // n_stored  # by group its queries, then its key, its value
        rows = fused.view(n_stored, each + 2, d_head, *fused.shape[1:])
        if slot == "q":
            return rows[:, :each].flatten(0, 1)
        return rows[:, each if slot == "k" else each + 1]

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].self_attention.dense
        return part

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """q and k with halves of their entries turned by their position, without ALiBi."""
        if slot == "v" or self._slopes is not None:
            return x
        cos, sin = (part.to(x.device).unsqueeze(-2) for part in self._rotary(x, positions))
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-second, first), dim=-1) * sin

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by."""
        return 1 / sqrt(self.shape.d_head)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q, k.transpose(-1, -2)) / sqrt(self.shape.d_head)

    def position_bias(
        self, layer: int, heads: Sequence[int], queries: Tensor, keys: Tensor
    ) -> Tensor | None:
        """ALiBi where the model has it: slope times position of the key, (n, rows, 1, nk)."""
        if self._slopes is None:
            return None
        slopes = self._slopes.to(keys.device)[list(heads)]
        bias = (slopes[:, None, None] * keys).to(self._dtype)
        return (bias / sqrt(self.shape.d_head)).unsqueeze(-2)

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern in the model's dtype; keys where `mask` is False get exactly 0."""
        hidden = torch.finfo(scores.dtype).min
        return torch.softmax(scores.masked_fill(~mask, hidden), dim=-1)

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads with the norm before it, (..., d) -> (..., d_mlp); no gate."""
        block = self.blocks[layer]
        norm = getattr(block, self._norms[1])
        before: Tensor = block.mlp.dense_h_to_4h(apply(norm, resid, scales, "scale_mlp"))
        return before, None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].mlp.act, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].mlp.dense_4h_to_h
        return part


def _norms(config: Any) -> tuple[str, str]:
    """The names of a block's norms, before attention and before the MLP."""
    if not getattr(config, "parallel_attn", True):
        return "input_layernorm", "post_attention_layernorm"
    if getattr(config, "num_ln_in_parallel_attn", None) == 2:
        return "ln_attn", "ln_mlp"
    return "input_layernorm", "input_layernorm"
