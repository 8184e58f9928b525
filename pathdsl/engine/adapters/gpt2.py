"""GPT-2: learned positions, one fused q/k/v projection, LayerNorm before each part, sequential.

Takes a `transformers.GPT2LMHeadModel` apart along the residual stream::

    r = embed(ids)
    for layer: r += write(z) + write_bias;  r += mlp(r)
    logits = unembed(final_norm(r))

and honours every option of `GPT2Config` that changes the forward pass of a decoder:
`scale_attn_weights`, `scale_attn_by_inverse_layer_idx`, `reorder_and_upcast_attn` (scores and
softmax in float32; `transformers` does so only under eager attention, and so does this adapter),
`activation_function`, `n_inner`, `layer_norm_epsilon`, tied or untied unembedding.

Source of the architecture: Radford et al. 2019; `transformers/models/gpt2/modeling_gpt2.py`.

    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> small = GPT2Config(vocab_size=7, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    >>> adapter = Gpt2Adapter(GPT2LMHeadModel(small).eval())
    >>> adapter.decomposed_forward(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model
from transformers.pytorch_utils import Conv1D

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import activate
from pathdsl.engine.adapters.common import CausalAdapter
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import gpt2_shape

__all__ = ["Gpt2Adapter"]

_SLOTS = {"q": 0, "k": 1, "v": 2}

# The modules of an unmodified model by path, with the class each must be.
_MODEL_PARTS = {
    "transformer": GPT2Model,
    "transformer.wte": nn.Embedding,
    "transformer.wpe": nn.Embedding,
    "transformer.drop": nn.Dropout,
    "transformer.h": nn.ModuleList,
    "transformer.ln_f": nn.LayerNorm,
    "lm_head": nn.Linear,
}
_BLOCK_PARTS = {
    "": GPT2Block,
    ".ln_1": nn.LayerNorm,
    ".attn": GPT2Attention,
    ".attn.c_attn": Conv1D,
    ".attn.c_proj": Conv1D,
    ".attn.attn_dropout": nn.Dropout,
    ".attn.resid_dropout": nn.Dropout,
    ".ln_2": nn.LayerNorm,
    ".mlp": GPT2MLP,
    ".mlp.c_fc": Conv1D,
    ".mlp.c_proj": Conv1D,
    ".mlp.dropout": nn.Dropout,
}


class Gpt2Adapter(CausalAdapter):
    """The parts of one GPT-2; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for cross-attention, added, replaced or
    missing modules, mixed weights and `reorder_and_upcast_attn` in float64 (which `transformers`
    itself cannot run), PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        _refuse_other_models(model)
        whole: Any = model
        config, parts = whole.config, whole.transformer
        super().__init__(
            model, gpt2_shape(config.to_dict()), blocks=parts.h, final=parts.ln_f,
            head=whole.lm_head,
        )  # fmt: skip
        self._upcast = bool(config.reorder_and_upcast_attn) and (
            config._attn_implementation == "eager"
        )
        if self._upcast and self._dtype == torch.float64:
            raise refuse(
                "PD612",
                "`transformers` cannot run `reorder_and_upcast_attn` in float64",
                advice="dtype: float32",
            )

    # ---------------------------------------------------------------- input

    def embed(self, ids: Tensor) -> Tensor:
        """Token plus position embedding, (rows, pos) ids -> (rows, pos, d)."""
        places = torch.arange(ids.shape[-1], device=self._device)
        parts = self.model.transformer
        embedded: Tensor = parts.wte(ids.to(self._device)) + parts.wpe(places)
        return embedded

    # ---------------------------------------------------------------- attention

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        return apply(self.blocks[layer].ln_1, resid, scales, "scale_attention")

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v with bias, (..., d) -> (..., n_heads_selected, d_head); no rotation here."""
        d_model, d_head = self.shape.d_model, self.shape.d_head
        fused = self.blocks[layer].attn.c_attn
        part = slice(_SLOTS[slot] * d_model, (_SLOTS[slot] + 1) * d_model)
        weight, bias = fused.weight[:, part], fused.bias[part]  # (d, n_heads * d_head)
        n_selected = self.shape.n_heads
        if heads is not None:
            n_selected = len(heads)
            chosen = self._index(heads)
            weight = weight.view(d_model, -1, d_head)[:, chosen].reshape(d_model, -1)
            bias = bias.view(-1, d_head)[chosen].reshape(-1)
        out = torch.matmul(normed, weight) + bias
        return out.view(*normed.shape[:-1], n_selected, d_head)

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by head, (n_heads, d_head, d)."""
        d_model, d_head = self.shape.d_model, self.shape.d_head
        part = slice(_SLOTS[slot] * d_model, (_SLOTS[slot] + 1) * d_model)
        weight: Tensor = self.blocks[layer].attn.c_attn.weight[:, part]
        return weight.t().unflatten(0, (-1, d_head))

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """The same: positions are in the embedding."""
        return x

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by; None where they are upcast to float32 on the way."""
        return None if self._upcast else float(self.blocks[layer].attn.scaling)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        if self._upcast:
            q, k = q.float(), k.float()
        return torch.matmul(q, k.transpose(-1, -2)) * self.blocks[layer].attn.scaling

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern in the model's dtype; keys where `mask` is False get exactly 0."""
        hidden = torch.finfo(scores.dtype).min
        return torch.softmax(scores.masked_fill(~mask, hidden), dim=-1).to(self._dtype)

    def write_bias(self, layer: int) -> Tensor:
        """The bias of attention's output projection, (d,): belongs to no sender."""
        bias: Tensor = self.blocks[layer].attn.c_proj.bias
        return bias

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that attention adds to the stream: every head's write and the bias."""
        return self.write(layer, z).add_(self.write_bias(layer))

    def _output_weight(self, layer: int, heads: Sequence[int] | None) -> Tensor:
        """The output projection by head, (n_heads_selected, d_head, d)."""
        weight: Tensor = self.blocks[layer].attn.c_proj.weight
        by_head = weight.view(self.shape.n_heads, self.shape.d_head, self.shape.d_model)
        return by_head if heads is None else by_head[self._index(heads)]

    # ---------------------------------------------------------------- MLP

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP with its norm and output bias, (..., d) -> (..., d)."""
        return self.mlp_after(layer, self.mlp_hidden(layer, resid, scales))

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads, (..., d) -> (..., d_mlp); no gate."""
        block = self.blocks[layer]
        return block.mlp.c_fc(apply(block.ln_2, resid, scales, "scale_mlp").contiguous()), None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].mlp.act, before)

    def _activated_over(self, layer: int, before: Tensor) -> Tensor:
        return activate(self.blocks[layer].mlp.act, before, over=True)

    def mlp_after(self, layer: int, hidden: Tensor, scales: Scales | None = None) -> Tensor:
        """The output projection with its bias, (..., d_mlp) -> (..., d)."""
        written: Tensor = self.blocks[layer].mlp.c_proj(hidden)
        return written

    def mlp_write(self, layer: int, hidden: Tensor, bias: Tensor) -> Tensor:
        """What hidden units add, (..., d_mlp) -> (..., d); `bias` (..., 1) scales the bias."""
        part = self.blocks[layer].mlp.c_proj
        written: Tensor = torch.matmul(hidden, part.weight) + bias * part.bias
        return written


def _refuse_other_models(model: nn.Module) -> None:
    """Raise where the model is not an unmodified GPT-2 with a language-modelling head."""
    config = getattr(model, "config", None)
    if type(model) is GPT2LMHeadModel and getattr(config, "add_cross_attention", False):
        raise refuse(
            "PD612",
            "the model has cross-attention (`add_cross_attention`), which no node stands for",
            advice="use the decoder-only model, `add_cross_attention: false`",
        )
    n_layers = int(getattr(config, "n_layer", 0))
    parts = parts_of(_MODEL_PARTS, "transformer.h", n_layers, _BLOCK_PARTS)
    check_parts(model, GPT2LMHeadModel, "GPT-2", parts, ("act",))
