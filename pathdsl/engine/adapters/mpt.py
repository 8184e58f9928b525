"""MPT: no positions in the stream, scores that fall with distance (ALiBi), no biases.

Takes a `transformers.MptForCausalLM` apart along the residual stream::

    r = wte(ids)
    for layer: r += out_proj(z(norm_1(r)));  r += down_proj(gelu(up_proj(norm_2(r))))
    logits = lm_head(norm_f(r))

The MLP's module gets the stream and returns it with its own part added, so its output is no
component's; the parts here are computed from the weights. q, k and v come from one projection, one
behind the other, clipped to `clip_qkv` where it is set. ALiBi is minus slope times distance, with
slopes of MPT's own (Press et al. 2022, arXiv:2108.12409). The softmax is in float32 whatever the
dtype of the model.

`transformers` reads options that it computes nothing of (`alibi: false`, `qk_ln`, `logit_scale`,
and so on); a model that was trained with one is refused.

Source of the architecture: MosaicML 2023 (MPT-7B); `transformers/models/mpt/modeling_mpt.py`.

    >>> from transformers import MptConfig, MptForCausalLM
    >>> small = MptConfig(vocab_size=7, d_model=8, n_layers=1, n_heads=2)
    >>> adapter = MptAdapter(MptForCausalLM(small).eval())
    >>> places = torch.arange(3).expand(1, 3)
    >>> adapter.position_bias(0, [0], places[:, 2:], places).flatten().tolist()
    [-0.125, -0.0625, 0.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MptForCausalLM
from transformers.models.mpt.modeling_mpt import (
    MptAttention,
    MptBlock,
    MptMLP,
    MptModel,
    build_mpt_alibi_tensor,
)

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import BlockAdapter, activate
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import mpt_shape
from pathdsl.graph.model.fields import UnsupportedConfig

__all__ = ["MptAdapter"]

_SLOTS = {"q": 0, "k": 1, "v": 2}
_MODEL_PARTS: dict[str, type[nn.Module]] = {
    "transformer": MptModel,
    "transformer.wte": nn.Embedding,
    "transformer.blocks": nn.ModuleList,
    "transformer.norm_f": nn.LayerNorm,
    "lm_head": nn.Linear,
}
_BLOCK_PARTS: dict[str, type[nn.Module]] = {
    "": MptBlock,
    ".norm_1": nn.LayerNorm,
    ".attn": MptAttention,
    ".attn.Wqkv": nn.Linear,
    ".attn.out_proj": nn.Linear,
    ".norm_2": nn.LayerNorm,
    ".ffn": MptMLP,
    ".ffn.up_proj": nn.Linear,
    ".ffn.down_proj": nn.Linear,
    ".resid_attn_dropout": nn.Dropout,
}


class MptAdapter(BlockAdapter):
    """The parts of one MPT; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights and options that are not computed, PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        whole: Any = model
        n_layers = int(getattr(getattr(model, "config", None), "n_layers", 0))
        parts = parts_of(_MODEL_PARTS, "transformer.blocks", n_layers, _BLOCK_PARTS)
        check_parts(model, MptForCausalLM, "MPT", parts, ("act",))
        try:
            shape = mpt_shape(whole.config.to_dict())
        except UnsupportedConfig as error:
            raise refuse("PD612", str(error)) from error
        parts = whole.transformer
        super().__init__(model, shape, blocks=parts.blocks, final=parts.norm_f, head=whole.lm_head)
        self._tokens = parts.wte
        self._slopes = -build_mpt_alibi_tensor(shape.n_heads, 2, device=self._device)[:, 0, 0]

    def embed(self, ids: Tensor) -> Tensor:
        """Token embedding, (rows, pos) ids -> (rows, pos, d); positions enter in scores."""
        embedded: Tensor = self._tokens(ids.to(self._device))
        return embedded

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        return apply(self.blocks[layer].norm_1, resid, scales, "scale_attention")

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v, clipped, (..., d) -> (..., n_heads_selected, d_head)."""
        out = super().project(layer, slot, normed, heads, positions, scales)
        most = self.blocks[layer].attn.clip_qkv
        return out.clamp(min=-most, max=most) if most else out

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by head; None where it is clipped."""
        return None if self.blocks[layer].attn.clip_qkv else super().input_weight(layer, slot)

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        n_heads, d_head, part = self.shape.n_heads, self.shape.d_head, _SLOTS[slot]
        fused = self.blocks[layer].attn.Wqkv
        weight = fused.weight.view(3, n_heads, d_head, -1)[part]
        return weight, None if fused.bias is None else fused.bias.view(3, n_heads, d_head)[part]

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].attn.out_proj
        return part

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q, k.transpose(-1, -2)) * self.blocks[layer].attn.softmax_scale

    def position_bias(
        self, layer: int, heads: Sequence[int], queries: Tensor, keys: Tensor
    ) -> Tensor | None:
        """ALiBi: minus slope times distance, (n, rows, nq, nk)."""
        slopes = self._slopes.to(keys.device)[list(heads)]
        return slopes[:, None, None, None] * (keys.unsqueeze(-2) - queries.unsqueeze(-1))

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads with the norm before it, (..., d) -> (..., d_mlp); no gate."""
        block = self.blocks[layer]
        before: Tensor = block.ffn.up_proj(apply(block.norm_2, resid, scales, "scale_mlp"))
        return before, None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].ffn.act, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].ffn.down_proj
        return part
