"""Gemma 4 that reads text: heads wider in full layers, a stream that each layer multiplies.

Takes a `transformers.Gemma4ForCausalLM` apart along the residual stream::

    r = embed_tokens(ids)
    for layer: r += norm(attention(norm(r)));  r += norm(mlp(norm(r)));  r *= layer_scalar
    logits = lm_head(norm(r))

What is written before a layer's end is multiplied by all `layer_scalar` from there on, which is one
number for each layer. Here the stream, and what every component writes, is counted as it *arrives*
at the last norm, multiplied by that number: so it is a sum as in other families. A norm of the
stream is then the same norm with another epsilon, and a norm behind attention or MLP the same with
another gain (`ScaledNorm`), neither an approximation.

Heads of full layers may be wider than those of layers with a window. All values of heads are as
wide as the widest, filled up with zeros, which no score, no value and no write can tell. Values are
normed by head, without a gain; with `attention_k_eq_v` full layers take them from the projection of
their keys. The last `num_kv_shared_layers` layers have queries only: their keys and values are
those of the last layer before them of the same kind (`ModelShape.keys_from`), made of the stream
that enters that layer, with its norms and weights. In other respects a layer is one of Gemma 3
without a scale of scores.

With `hidden_size_per_layer_input` a layer ends with `r += norm(projection(act(gate(r)) * given))`,
where `given` is a second embedding of the token, of this layer, plus a projection of its first. The
gate belongs to the layer's MLP, which so writes `mlp(r) + gate(r + mlp(r), given)`; `given` belongs
to `input`, whose value is the first embedding and behind it what it gives each MLP.

Experts are in `gemma4_experts.py`.

Source: `transformers/models/gemma4/modeling_gemma4.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Gemma4ForCausalLM
from transformers.models.gemma4.modeling_gemma4 import (
    Gemma4RMSNorm,
    Gemma4TextAttention,
    Gemma4TextDecoderLayer,
    Gemma4TextMLP,
    Gemma4TextModel,
    Gemma4TextRotaryEmbedding,
    Gemma4TextScaledWordEmbedding,
)

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.common import CausalAdapter
from pathdsl.engine.adapters.gemma4_experts import (
    BEFORE_EXPERTS,
    beside,
    expert_parts,
    expert_weights,
)
from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.adapters.llama_parts import shape_of_model
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts
from pathdsl.engine.adapters.turning import Rotation
from pathdsl.graph.model.builds import BUILDS
from pathdsl.graph.model.shape import ModelShape

__all__ = ["Gemma4Adapter", "ScaledNorm"]

_BUILD = replace(BUILDS["gemma3_text"], file="gemma4")
_BEFORE = (_BUILD.before_attention, _BUILD.before_mlp)
_AFTER = (_BUILD.after_attention, _BUILD.after_mlp)
_AFTER_GATE = "post_per_layer_input_norm"


class ScaledNorm(nn.Module):
    """A norm of Gemma 4 of a stream that is multiplied: `arrives` times what the norm expects.

    `gain`: multiplies the result. Computes in float32, as the norm itself.
    """

    def __init__(self, norm: Any, *, arrives: float = 1.0, gain: float = 1.0) -> None:
        super().__init__()
        self.eps = norm.eps * arrives**2
        self._norm, self._gain = norm, gain

    @property
    def weight(self) -> Tensor | None:
        """The gain of each entry, (d,); None for a norm without."""
        weight: Tensor | None = getattr(self._norm, "weight", None)
        return weight if weight is None or self._gain == 1.0 else weight.float() * self._gain

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        wide = x.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        weight = self.weight
        return (normed if weight is None else normed * weight.float()).type_as(x)


class Gemma4Adapter(LlamaAdapter):
    """The parts of one Gemma 4; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights, options that are not computed and a `layer_scalar` that is not above 0, PD608 for
    quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        whole: Any = model
        shape = shape_of_model(model)
        own = [name for layer in range(shape.n_layers) if shape.routes(layer)
               for name in expert_weights(f"model.layers.{layer}")]  # fmt: skip
        check_parts(model, Gemma4ForCausalLM, "Gemma 4", _parts(whole, shape), ("act_fn",), own)
        body, config = whole.model, whole.config.to_dict()
        CausalAdapter.__init__(
            self, model, shape, blocks=body.layers, final=body.norm, head=whole.lm_head
        )
        self.build = _BUILD
        self._before_mlp = _BUILD.before_mlp
        self._norms_heads = True
        self._rotation = Rotation(_BUILD, config, shape, body.rotary_emb)
        self._clip = self._score_cap = None
        self._logit_cap = config.get(_BUILD.logit_cap)
        self._residual_scale = self._logit_factor = self._logit_divisor = None
        self._widths = [int(block.self_attn.head_dim) for block in body.layers]
        scalars = [float(block.layer_scalar) for block in body.layers]
        if any(not 0 < scalar < float("inf") for scalar in scalars):
            layer = next(i for i, scalar in enumerate(scalars) if not 0 < scalar < float("inf"))
            raise refuse(
                "PD612",
                f"`layer_scalar` of layer {layer} is {scalars[layer]:g}, wanted a number above 0",
                notes=("what is written before that layer would not arrive",),
            )
        # By what a value of each layer is multiplied on its way to the last norm.
        arrives = [*accumulate(reversed(scalars), lambda x, y: x * y)][::-1]
        self._embedding_scale = None if arrives[0] == 1.0 else arrives[0]
        self._arrives = arrives
        after = (*_AFTER, _AFTER_GATE) if shape.per_layer_input else _AFTER
        self._norms: list[dict[str, nn.Module]] = [
            {
                **{name: _scaled(getattr(block, name), arrives=here) for name in _BEFORE},
                **{name: _scaled(getattr(block, name), gain=here) for name in after},
            }
            for block, here in zip(body.layers, arrives, strict=True)
        ]

        self._of_experts: list[tuple[nn.Module, nn.Module] | None] = [
            (
                _scaled(block.router.norm, arrives=here),
                _scaled(getattr(block, BEFORE_EXPERTS), arrives=here),
            )
            if shape.routes(layer)
            else None
            for layer, (block, here) in enumerate(zip(body.layers, arrives, strict=True))
        ]

    # ---------------------------------------------------------------- embedding, MLP

    def embed(self, ids: Tensor) -> Tensor:
        """The token embedding as it arrives, and what each MLP is given of it: (rows, pos) ids ->
        (rows, pos, input_width)."""
        return self._input(ids, self.model.model.embed_tokens(ids.to(self._device)))

    def noised(self, ids: Tensor, added: Tensor) -> Tensor:
        """The same of an embedding to which something is added as it arrives."""
        embedded = self.model.model.embed_tokens(ids.to(self._device))
        scale = self._embedding_scale
        return self._input(ids, embedded + (added if scale is None else added / scale))

    def _input(self, ids: Tensor, embedded: Tensor) -> Tensor:
        scale = self._embedding_scale
        arrives = embedded if scale is None else embedded * scale
        if not self.shape.per_layer_input:
            return arrives
        body = self.model.model
        of_tokens = body.get_per_layer_inputs(ids.to(self._device))
        given = body.project_per_layer_inputs(embedded, of_tokens)  # (rows, pos, n_layers, numbers)
        return torch.cat((arrives, given.flatten(-2)), dim=-1)

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP, with the experts beside it where there are any, (..., d) -> (..., d); with a
        second embedding behind the stream also the gate that reads the stream behind it."""
        width = self.shape.per_layer_input
        if not width:
            return self._mlp(layer, resid, scales)
        stream, given = resid.split((self.shape.d_model, width), dim=-1)
        written = self._mlp(layer, stream, scales)
        block, arrives = self.blocks[layer], self._arrives[layer]
        behind = stream + written
        behind = behind if arrives == 1 else behind / arrives
        gate = block.act_fn(block.per_layer_input_gate(behind))
        added = block.per_layer_projection(gate * given)
        return written + self._normed(layer, _AFTER_GATE, added, scales, "scale_after_gate")

    def _mlp(self, layer: int, resid: Tensor, scales: Scales | None) -> Tensor:
        norms = self._of_experts[layer]
        if norms is None:
            return super().mlp(layer, resid, scales)
        out = self._mlp_of(layer)(self._mlp_input(layer, resid, scales))
        out = beside(self.blocks[layer], out, resid, norms, scales)
        return self._mlp_written(layer, out, scales)

    # ---------------------------------------------------------------- attention

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v of query heads, (..., d) -> (..., n_heads_selected, d_head), normed, rotated,
        and filled up with zeros."""
        shape, attention, width = self.shape, self.blocks[layer].self_attn, self._widths[layer]
        if slot != "q" and shape.shares(layer):
            raise ValueError(f"keys and values of layer {layer} are made by another layer")
        part = getattr(attention, f"{slot}_proj")
        part = attention.k_proj if part is None else part
        n_stored = part.out_features // width
        asked = list(range(shape.n_heads)) if heads is None else list(heads)
        stored = [head * n_stored // shape.n_heads for head in asked]
        chosen = sorted(set(stored))
        weight, bias = part.weight, part.bias
        if len(chosen) < n_stored:
            rows = self._index(chosen)
            weight = weight.view(n_stored, width, -1)[rows].flatten(0, 1)
            bias = None if bias is None else bias.view(n_stored, width)[rows].flatten()
        out = functional.linear(normed, weight, bias).unflatten(-1, (-1, width))
        out = apply(getattr(attention, f"{slot}_norm"), out, scales, f"scale_{slot}")
        out = functional.pad(out, (0, shape.d_head - width))
        if positions is None:
            positions = torch.arange(normed.shape[-2], device=normed.device)
        out = self.placed(layer, slot, out, positions)
        return out if stored == chosen else out[..., [chosen.index(head) for head in stored], :]

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """None: queries, keys and values are normed."""
        return None

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that attention adds to the stream, (..., n_heads, d_head) -> (..., d)."""
        part = self._out(layer)
        written = functional.linear(
            z[..., : self._widths[layer]].flatten(-2), part.weight, part.bias
        )
        return self._normed(layer, _BUILD.after_attention, written, scales, "scale_after_attention")

    def _output_weight(self, layer: int, heads: Sequence[int] | None) -> Tensor:
        """The output projection by head, (d, n_heads_selected, d_head)."""
        width = self._widths[layer]
        by_head = self._out(layer).weight.view(self.shape.d_model, self.shape.n_heads, width)
        by_head = by_head if heads is None else by_head[:, self._index(heads)]
        return functional.pad(by_head, (0, self.shape.d_head - width))

    # ---------------------------------------------------------------- norms, the whole model

    def plain_forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (rows, pos, d_vocab) of the unmodified model."""
        if not self.shape.keys_from or self.model.config.hidden_size_per_layer_input:
            return super().plain_forward(ids, lengths)
        # Asked for a number of logits, `transformers` (5.23) cuts a second embedding here.
        ids, every = ids.to(self._device), torch.arange(ids.shape[-1], device=self._device)
        real = torch.ones_like(ids)
        logits: Tensor = self.model(
            input_ids=ids, attention_mask=real, use_cache=False, logits_to_keep=every
        ).logits
        return logits

    def _normed(self, layer: int, name: str, x: Tensor, scales: Scales | None, kind: str) -> Tensor:
        """A norm of the layer, of the stream as it arrives at the last one."""
        return apply(self._norms[layer][name], x, scales, kind)


def _scaled(norm: nn.Module, *, arrives: float = 1.0, gain: float = 1.0) -> nn.Module:
    """The norm itself where nothing is multiplied."""
    return norm if arrives == gain == 1.0 else ScaledNorm(norm, arrives=arrives, gain=gain)


def _parts(model: Any, shape: ModelShape) -> dict[str, type[nn.Module]]:
    """Every module of a Gemma 4 of this config, with its class."""
    config = model.config
    parts: dict[str, type[nn.Module]] = {
        "model": Gemma4TextModel,
        "model.embed_tokens": Gemma4TextScaledWordEmbedding,
        "model.layers": nn.ModuleList,
        "model.norm": Gemma4RMSNorm,
        "model.rotary_emb": Gemma4TextRotaryEmbedding,
        "lm_head": nn.Linear,
    }
    for layer, kind in enumerate(config.layer_types):
        block, attention = f"model.layers.{layer}", f"model.layers.{layer}.self_attn"
        same = config.attention_k_eq_v and kind == "full_attention"  # keys and values
        parts |= {block: Gemma4TextDecoderLayer, attention: Gemma4TextAttention}
        parts |= {f"{block}.mlp": Gemma4TextMLP}
        parts |= {f"{block}.{name}": Gemma4RMSNorm for name in (*_BEFORE, *_AFTER)}
        if config.enable_moe_block:
            parts |= expert_parts(block)
        given = shape.shares(layer)  # its keys and values are another layer's
        parts |= {f"{attention}.{slot}_norm": Gemma4RMSNorm for slot in ("q" if given else "qkv")}
        slots = "qo" if given else "qko" if same else "qkvo"
        linear = [f"{attention}.{slot}_proj" for slot in slots]
        linear += [f"{block}.mlp.{name}_proj" for name in ("gate", "up", "down")]
        if shape.per_layer_input:
            parts[f"{block}.{_AFTER_GATE}"] = Gemma4RMSNorm
            linear += [f"{block}.per_layer_input_gate", f"{block}.per_layer_projection"]
        parts |= dict.fromkeys(linear, nn.Linear)
    if shape.per_layer_input:
        parts["model.embed_tokens_per_layer"] = Gemma4TextScaledWordEmbedding
        parts["model.per_layer_model_projection"] = nn.Linear
        parts["model.per_layer_projection_norm"] = Gemma4RMSNorm
    return parts
