"""GPT-Neo: learned positions, separate q, k and v without bias, unscaled scores, local layers.

Takes a `transformers.GPTNeoForCausalLM` apart along the residual stream::

    r = wte(ids) + wpe(positions)
    for layer: r += out_proj(z);  r += mlp(ln_2(r))
    logits = lm_head(ln_f(r))

Layers alternate between `global` attention and `local`, in which a head sees the last `window_size`
positions, its own included. Scores are not divided by the root of the head's width, and scores and
softmax are in float32 whatever the dtype of the model.

Source of the architecture: Black et al. 2021 (GPT-Neo); `transformers/models/gpt_neo/
modeling_gpt_neo.py`.

    >>> from transformers import GPTNeoConfig, GPTNeoForCausalLM
    >>> small = GPTNeoConfig(vocab_size=7, max_position_embeddings=8, hidden_size=8, num_layers=2,
    ...                      num_heads=2, attention_types=[[["global", "local"], 1]], window_size=2)
    >>> adapter = GptNeoAdapter(GPTNeoForCausalLM(small).eval())
    >>> adapter.shape.windows
    (None, 2)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPTNeoForCausalLM
from transformers.models.gpt_neo.modeling_gpt_neo import (
    GPTNeoAttention,
    GPTNeoBlock,
    GPTNeoMLP,
    GPTNeoModel,
    GPTNeoSelfAttention,
)

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import BlockAdapter, activate
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import gpt_neo_shape
from pathdsl.graph.model.fields import UnsupportedConfig
from pathdsl.graph.model.shape import ModelShape

__all__ = ["GptNeoAdapter"]

_MODEL_PARTS = {
    "transformer": GPTNeoModel,
    "transformer.wte": nn.Embedding,
    "transformer.wpe": nn.Embedding,
    "transformer.drop": nn.Dropout,
    "transformer.h": nn.ModuleList,
    "transformer.ln_f": nn.LayerNorm,
    "lm_head": nn.Linear,
}
_BLOCK_PARTS = {
    "": GPTNeoBlock,
    ".ln_1": nn.LayerNorm,
    ".attn": GPTNeoAttention,
    ".attn.attention": GPTNeoSelfAttention,
    ".attn.attention.attn_dropout": nn.Dropout,
    ".attn.attention.resid_dropout": nn.Dropout,
    ".attn.attention.q_proj": nn.Linear,
    ".attn.attention.k_proj": nn.Linear,
    ".attn.attention.v_proj": nn.Linear,
    ".attn.attention.out_proj": nn.Linear,
    ".ln_2": nn.LayerNorm,
    ".mlp": GPTNeoMLP,
    ".mlp.c_fc": nn.Linear,
    ".mlp.c_proj": nn.Linear,
    ".mlp.dropout": nn.Dropout,
}


class GptNeoAdapter(BlockAdapter):
    """The parts of one GPT-Neo; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules (flash
    attention is one), mixed weights and layers that do not attend as the config says, PD608 for
    quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        n_layers = int(getattr(getattr(model, "config", None), "num_layers", 0))
        parts = parts_of(_MODEL_PARTS, "transformer.h", n_layers, _BLOCK_PARTS)
        check_parts(model, GPTNeoForCausalLM, "GPT-Neo", parts, ("act",))
        whole: Any = model
        parts = whole.transformer
        super().__init__(model, _shape(whole), blocks=parts.h, final=parts.ln_f, head=whole.lm_head)
        self._tokens, self._places = parts.wte, parts.wpe

    def embed(self, ids: Tensor) -> Tensor:
        """Token plus position embedding, (rows, pos) ids -> (rows, pos, d)."""
        places = torch.arange(ids.shape[-1], device=self._device)
        embedded: Tensor = self._tokens(ids.to(self._device)) + self._places(places)
        return embedded

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        return apply(self.blocks[layer].ln_1, resid, scales, "scale_attention")

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        attention = self.blocks[layer].attn.attention
        return self._by_head(getattr(attention, f"{slot}_proj"))

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].attn.attention.out_proj
        return part

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Unscaled scores in float32, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q.float(), k.float().transpose(-1, -2))

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads with the norm before it, (..., d) -> (..., d_mlp); no gate."""
        block = self.blocks[layer]
        before: Tensor = block.mlp.c_fc(apply(block.ln_2, resid, scales, "scale_mlp"))
        return before, None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].mlp.act, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].mlp.c_proj
        return part


def _shape(model: Any) -> ModelShape:
    """The shape; raises where a layer of the model does not see as far as its config says."""
    try:
        shape = gpt_neo_shape(model.config.to_dict())
    except UnsupportedConfig as error:
        raise refuse("PD612", str(error)) from error
    n_positions = shape.n_positions
    for layer, block in enumerate(model.transformer.h):
        window = shape.window(layer)
        reach = n_positions if window is None else min(window, n_positions)
        seen = block.attn.attention.bias[0, 0, -1]  # the keys that the last position may read
        if int(seen.sum()) != reach:
            raise refuse(
                "PD612",
                f"heads of layer {layer} see {int(seen.sum())} positions, the config says {reach}",
                advice="make the model from its config (`attention_types`, `window_size`)",
            )
    return shape
