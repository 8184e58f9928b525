"""GPT-NeoX and Pythia: attention and MLP side by side, each with its norm; partial rotary.

Takes a `transformers.GPTNeoXForCausalLM` apart along the residual stream::

    r = embed_in(ids)
    for layer: r = r + dense(z(input_layernorm(r))) + mlp(post_attention_layernorm(r))
    logits = embed_out(final_layer_norm(r))

With `use_parallel_residual` (all Pythia models) both halves of a block read the same stream, so no
edge leads from a layer's heads to its MLP; without it the MLP reads the stream after attention, as
in GPT-2. q, k and v come from one projection laid out head by head. A part of each head's q and k
is turned by position, first half against second, with what the model's own `rotary_emb` says.
Under eager attention the softmax is in float32 whatever the dtype of the model.

Source of the architecture: Black et al. 2022 (arXiv:2204.06745); Biderman et al. 2023
(arXiv:2304.01373); `transformers/models/gpt_neox/modeling_gpt_neox.py`.

    >>> from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
    >>> small = GPTNeoXConfig(vocab_size=7, max_position_embeddings=8, hidden_size=8,
    ...                       num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> adapter = NeoxAdapter(GPTNeoXForCausalLM(small).eval())
    >>> adapter.shape.parallel
    True
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPTNeoXForCausalLM
from transformers.models.gpt_neox.modeling_gpt_neox import (
    GPTNeoXAttention,
    GPTNeoXLayer,
    GPTNeoXMLP,
    GPTNeoXModel,
    GPTNeoXRotaryEmbedding,
)

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import BlockAdapter, activate
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import gpt_neox_shape

__all__ = ["NeoxAdapter"]

_SLOTS = {"q": 0, "k": 1, "v": 2}
_MODEL_PARTS = {
    "gpt_neox": GPTNeoXModel,
    "gpt_neox.embed_in": nn.Embedding,
    "gpt_neox.emb_dropout": nn.Dropout,
    "gpt_neox.layers": nn.ModuleList,
    "gpt_neox.final_layer_norm": nn.LayerNorm,
    "gpt_neox.rotary_emb": GPTNeoXRotaryEmbedding,
    "lm_head": nn.Linear,
}
_BLOCK_PARTS = {
    "": GPTNeoXLayer,
    ".input_layernorm": nn.LayerNorm,
    ".post_attention_layernorm": nn.LayerNorm,
    ".post_attention_dropout": nn.Dropout,
    ".post_mlp_dropout": nn.Dropout,
    ".attention": GPTNeoXAttention,
    ".attention.query_key_value": nn.Linear,
    ".attention.dense": nn.Linear,
    ".mlp": GPTNeoXMLP,
    ".mlp.dense_h_to_4h": nn.Linear,
    ".mlp.dense_4h_to_h": nn.Linear,
}


class NeoxAdapter(BlockAdapter):
    """The parts of one GPT-NeoX; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights, rotary embeddings wider than a head and layers of another kind (parallel, sequential)
    than the config says, PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        n_layers = int(getattr(getattr(model, "config", None), "num_hidden_layers", 0))
        parts = parts_of(_MODEL_PARTS, "gpt_neox.layers", n_layers, _BLOCK_PARTS)
        check_parts(model, GPTNeoXForCausalLM, "GPT-NeoX", parts, ("act",))
        whole: Any = model
        config, parts = whole.config, whole.gpt_neox
        super().__init__(
            model, gpt_neox_shape(config.to_dict()), blocks=parts.layers,
            final=parts.final_layer_norm, head=whole.lm_head,
        )  # fmt: skip
        if config._attn_implementation != "eager" and self._dtype == torch.float64:
            self._narrowest = torch.float64
        self._tokens, self._rotary = parts.embed_in, parts.rotary_emb
        self._refuse_options()

    def _refuse_options(self) -> None:
        if (width := 2 * self._rotary.inv_freq.numel()) > self.shape.d_head:
            raise refuse(
                "PD612",
                f"the rotary embedding turns {width} entries of heads of width "
                f"{self.shape.d_head}, and `transformers` cannot run it",
            )
        for layer, block in enumerate(self.blocks):
            if bool(block.use_parallel_residual) != self.shape.parallel:
                raise refuse(
                    "PD612",
                    f"layer {layer} differs from the config in `use_parallel_residual`",
                    advice="make the model from its config",
                )

    def embed(self, ids: Tensor) -> Tensor:
        """Token embedding, (rows, pos) ids -> (rows, pos, d); positions enter in q and k."""
        embedded: Tensor = self._tokens(ids.to(self._device))
        return embedded

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        return apply(self.blocks[layer].input_layernorm, resid, scales, "scale_attention")

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        fused = self.blocks[layer].attention.query_key_value
        n_heads, d_head, part = self.shape.n_heads, self.shape.d_head, _SLOTS[slot]
        weight = fused.weight.view(n_heads, 3, d_head, -1)[:, part]
        return weight, None if fused.bias is None else fused.bias.view(n_heads, 3, d_head)[:, part]

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].attention.dense
        return part

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """q and k with halves of their first entries turned by their position."""
        if slot == "v":
            return x
        cos, sin = (part.to(x.device).unsqueeze(-2) for part in self._rotary(x, positions))
        width = cos.shape[-1]
        turned, rest = x[..., :width], x[..., width:]
        first, second = turned[..., : width // 2], turned[..., width // 2 :]
        swapped = torch.cat((-second, first), dim=-1)
        return torch.cat((turned * cos + swapped * sin, rest), dim=-1)

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by."""
        return float(self.blocks[layer].attention.scaling)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q, k.transpose(-1, -2)) * self.blocks[layer].attention.scaling

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
        """The activation."""
        return activate(self.blocks[layer].mlp.act, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].mlp.dense_4h_to_h
        return part
