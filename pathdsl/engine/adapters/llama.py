"""Llama and the families built like it: rotary positions, grouped queries, MLPs after attention.

Takes every family of `pathdsl.graph.model.builds.BUILDS` apart along the residual stream::

    r = embed(ids)
    for layer: r += attention_write(z);  r += mlp(r)
    logits = unembed(final_norm(r))

What differs between them is said by their entry of that table: norms before and after each part, of
queries and keys, fused projections, gates, windows, rotations, scales, caps. The rest comes from
the model's own modules, such as rotations of any type that is a fixed function of position.

Heads are query heads: with grouped queries the key of a head is the key as that head reads it, one
of a group's equal copies. Where a norm stands behind attention, a head's value is its slice of the
output projection before that norm, and each reader applies the norm to the sum of the head copies
that it reads; an MLP's value is after its own. Where what a layer writes is scaled on its way into
the stream (Granite), that is what its heads and its MLP write.

Rounding is that of eager attention in `transformers`: softmax and most norms in float32 whatever
the dtype, so float64 runs of these families are exact to about 1e-7 only.

Source of the architecture: Touvron et al. 2023 (arXiv:2302.13971); the modelling files of
`transformers`.

    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> small = LlamaConfig(vocab_size=7, hidden_size=8, intermediate_size=12,
    ...     num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
    >>> adapter = LlamaAdapter(LlamaForCausalLM(small).eval())
    >>> adapter.decomposed_forward(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.common import CausalAdapter, bias_of, scaled_bias
from pathdsl.engine.adapters.llama_parts import check_modules, shape_of_model
from pathdsl.engine.adapters.norms import PerHead, Scales, apply
from pathdsl.engine.adapters.turning import Rotation
from pathdsl.graph.model.builds import BUILDS

__all__ = ["LlamaAdapter"]


class LlamaAdapter(CausalAdapter):
    """The parts of one model of the table; see `pathdsl.engine.adapters.base.Adapter`.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights and options that are not computed, PD608 for quantised weights, PD618 in training mode.
    """

    _narrowest = torch.float32

    def __init__(self, model: nn.Module) -> None:
        shape = shape_of_model(model)
        self.build = build = BUILDS[shape.family]
        check_modules(model, build, shape, self._also(model))
        whole: Any = model
        parts = whole.model
        super().__init__(
            model, shape, blocks=parts.layers, final=getattr(parts, build.final),
            head=whole.lm_head,
        )  # fmt: skip
        config = whole.config.to_dict()
        self._before_mlp = build.before_mlp_in(config)
        self._norms_heads = build.norms_heads(config)
        self._rotation = Rotation(build, config, shape, parts.rotary_emb)
        self._clip = _field(config, build.clip)
        self._score_cap = _field(config, build.score_cap)
        self._logit_cap = _field(config, build.logit_cap)
        self._embedding_scale = _field(config, build.embedding_scale)
        self._residual_scale = _field(config, build.residual_scale)
        self._logit_factor = _field(config, build.logit_factor)
        self._logit_divisor = _field(config, build.logit_divisor)

    def _also(self, model: nn.Module) -> dict[str, type[nn.Module]]:
        """Modules that only some configs of the family have, by path."""
        return {}

    def embed(self, ids: Tensor) -> Tensor:
        """The token embedding as it enters the stream, (rows, pos) ids -> (rows, pos, d)."""
        embedded: Tensor = self.model.model.embed_tokens(ids.to(self._device))
        return _times(embedded, self._embedding_scale)

    def embedding_std(self) -> float:
        """The standard deviation of the token embedding matrix, scaled as it enters the stream."""
        scale = float(getattr(self.model.model.embed_tokens, "embed_scale", 1.0))
        scale *= 1.0 if self._embedding_scale is None else self._embedding_scale
        return super().embedding_std() * abs(scale)

    # ---------------------------------------------------------------- attention

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, where there is one, (..., d) -> (..., d)."""
        return self._normed(layer, self.build.before_attention, resid, scales, "scale_attention")

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v of query heads, (..., d) -> (..., n_heads_selected, d_head), rotated."""
        shape = self.shape
        width = shape.n_heads if slot == "q" else shape.n_kv_heads
        asked = list(range(shape.n_heads)) if heads is None else list(heads)
        stored = asked if slot == "q" else [head * width // shape.n_heads for head in asked]
        chosen = sorted(set(stored))
        whole = None if len(chosen) == width else chosen
        out = self._projected(layer, slot, normed, whole, scales)
        if positions is None:
            positions = torch.arange(normed.shape[-2], device=normed.device)
        out = self.placed(layer, slot, out, positions)
        norms = self.build.head_norms
        if norms is not None and norms.rotated and self._norms_heads and slot != "v":
            out = apply(self._head_norm(layer, slot), out, scales, f"scale_{slot}")
        if stored == chosen:
            return out
        return out[..., self._picked([chosen.index(head) for head in stored], out.device), :]

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by query head; None where it is normed or clipped."""
        if self._clip is not None or (self._norms_heads and slot != "v"):
            return None
        weight = self._weights(layer, slot)[0].unflatten(0, (-1, self.shape.d_head))
        times = self.shape.n_heads // weight.shape[0]
        return weight if times == 1 else weight.repeat_interleave(times, 0)

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """Queries and keys rotated where the layer does so, values as they are."""
        return x if slot == "v" else self._rotation.turn(layer, slot, x, positions.to(x.device))

    def _projected(
        self, layer: int, slot: Slot, normed: Tensor, heads: Sequence[int] | None,
        scales: Scales | None,
    ) -> Tensor:  # fmt: skip
        """(..., n_stored_heads_selected, d_head), normed and clipped where the family does so."""
        d_head = self.shape.d_head
        weight, bias = self._weights(layer, slot)  # (n_stored_heads * d_head, d)
        norms = self.build.head_norms if self._norms_heads and slot != "v" else None
        norms = None if norms is None or norms.rotated else norms
        if norms is not None and norms.over != "head":  # of all heads, whichever are wanted
            out = functional.linear(normed, weight, bias)
            out = out if norms.over == "all" else out.unflatten(-1, (-1, d_head))
            out = apply(self._head_norm(layer, slot), out, scales, f"scale_{slot}")
            by_head = out.unflatten(-1, (-1, d_head)) if norms.over == "all" else out
            out = by_head if heads is None else by_head[..., self._index(heads), :]
            return self._clipped(out)
        if heads is not None:
            chosen = self._index(heads)
            weight = weight.view(-1, d_head, weight.shape[-1])[chosen].flatten(0, 1)
            bias = None if bias is None else bias.view(-1, d_head)[chosen].flatten()
        out = functional.linear(normed, weight, bias).unflatten(-1, (-1, d_head))
        if norms is not None:
            out = apply(self._head_norm(layer, slot), out, scales, f"scale_{slot}")
        return self._clipped(out)

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self._clip is None else x.clamp(min=-self._clip, max=self._clip)

    def _head_norm(self, layer: int, slot: Slot) -> nn.Module:
        """The norm of queries or keys."""
        norms = self.build.head_norms
        assert norms is not None
        attention = self.blocks[layer].self_attn
        module: Any = getattr(attention, norms.names[0 if slot == "q" else 1])
        return PerHead(module.norms) if norms.over == "list" else module

    def _weights(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        """Weight (n_stored_heads * d_head, d) and bias of one projection."""
        attention, build = self.blocks[layer].self_attn, self.build
        if not build.fused:
            names = {"q": build.query, "k": build.key, "v": build.value}
            part = getattr(attention, names[slot])
            return part.weight, part.bias
        queries = self.shape.n_heads * self.shape.d_head
        stored = self.shape.n_kv_heads * self.shape.d_head
        begin = {"q": 0, "k": queries, "v": queries + stored}[slot]
        rows = slice(begin, begin + (queries if slot == "q" else stored))
        fused = getattr(attention, build.fused)
        return fused.weight[rows], None if fused.bias is None else fused.bias[rows]

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by; None where they are soft-capped."""
        capped = self._score_cap is not None
        return None if capped else float(self.blocks[layer].self_attn.scaling)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled and soft-capped scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        scores = torch.matmul(q, k.transpose(-1, -2)) * self.blocks[layer].self_attn.scaling
        return _softcapped(scores, self._score_cap)

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern, by way of float32; keys where `mask` is False get exactly 0."""
        hidden = max(torch.finfo(kind).min for kind in (scores.dtype, torch.float32))
        scores = scores.masked_fill(~mask, hidden)
        return functional.softmax(scores, dim=-1, dtype=torch.float32).to(self._dtype)

    def write(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """The summed write without bias, (..., n_heads_selected, d_head) -> (..., d)."""
        written = functional.linear(z.flatten(-2), self._output_weight(layer, heads).flatten(1))
        return _times(written, self._residual_scale)

    def write_each(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """Each head's own write, (..., n_heads_selected, d_head) -> (..., n_heads_selected, d)."""
        written = torch.einsum("...hd,mhd->...hm", z, self._output_weight(layer, heads))
        return _times(written, self._residual_scale)

    def output_weight(self, layer: int) -> Tensor:
        """The output projection by head, (n_heads, d_head, d)."""
        weight = self._output_weight(layer, None).permute(1, 2, 0)
        return _times(weight, self._residual_scale)

    def write_bias(self, layer: int) -> Tensor:
        """The bias of attention's output projection, (d,): belongs to no sender."""
        return _times(bias_of(self._out(layer)), self._residual_scale)

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that attention adds to the stream, (..., n_heads, d_head) -> (..., d)."""
        part = self._out(layer)
        written = functional.linear(z.flatten(-2), part.weight, part.bias)
        after = self.build.after_attention
        written = self._normed(layer, after, written, scales, "scale_after_attention")
        return _times(written, self._residual_scale)

    def _out(self, layer: int) -> nn.Linear:
        part: nn.Linear = getattr(self.blocks[layer].self_attn, self.build.out)
        return part

    def _output_weight(self, layer: int, heads: Sequence[int] | None) -> Tensor:
        """The output projection by head, (d, n_heads_selected, d_head)."""
        weight = self._out(layer).weight
        by_head = weight.view(self.shape.d_model, self.shape.n_heads, self.shape.d_head)
        return by_head if heads is None else by_head[:, self._index(heads)]

    # ---------------------------------------------------------------- MLP

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP with the norms before and after it, (..., d) -> (..., d)."""
        out = self._mlp_of(layer)(self._mlp_input(layer, resid, scales))
        return self._mlp_written(layer, out, scales)

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads, and what multiplies its result, (..., d) -> (..., d_mlp)."""
        return self._gates(layer, self._mlp_input(layer, resid, scales))

    def _mlp_of(self, layer: int) -> Any:
        """The module of a layer's MLP."""
        return getattr(self.blocks[layer], self.build.mlp)

    def _mlp_input(self, layer: int, resid: Tensor, scales: Scales | None) -> Tensor:
        """The norm before the MLP, where there is one, (..., d) -> (..., d)."""
        return self._normed(layer, self._before_mlp, resid, scales, "scale_mlp")

    def _mlp_written(self, layer: int, out: Tensor, scales: Scales | None) -> Tensor:
        """What of the MLP's output is added to the stream, (..., d) -> (..., d)."""
        out = self._normed(layer, self.build.after_mlp, out, scales, "scale_after_mlp")
        return _times(out, self._residual_scale)

    def _gates(self, layer: int, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """What is activated, and what is multiplied with the result."""
        part, build = self._mlp_of(layer), self.build
        if build.gate_up:
            gate, up = getattr(part, build.gate_up)(x).chunk(2, dim=-1)
            return gate, up
        up = getattr(part, build.up)(x)
        return (getattr(part, build.gate)(x), up) if build.gate else (up, None)

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        activated: Tensor = getattr(self._mlp_of(layer), self.build.activation)(before)
        return activated

    def mlp_after(self, layer: int, hidden: Tensor, scales: Scales | None = None) -> Tensor:
        """The output projection with its bias and the norm after it, (..., d_mlp) -> (..., d)."""
        return self._mlp_written(layer, self._down(layer)(hidden), scales)

    def mlp_write(self, layer: int, hidden: Tensor, bias: Tensor) -> Tensor:
        """What hidden units add, (..., d_mlp) -> (..., d); `bias` (..., 1) scales the bias."""
        return _times(scaled_bias(self._down(layer), hidden, bias), self._residual_scale)

    def _down(self, layer: int) -> nn.Linear:
        part: nn.Linear = getattr(self._mlp_of(layer), self.build.down)
        return part

    # ---------------------------------------------------------------- norms, unembedding

    def _normed(self, layer: int, name: str, x: Tensor, scales: Scales | None, kind: str) -> Tensor:
        """The norm of that name in a layer, x itself where the family has none there."""
        return apply(getattr(self.blocks[layer], name), x, scales, kind) if name else x

    def unembed_part(self, normed: Tensor, ids: Tensor) -> Tensor:
        """What it adds to the logits of chosen tokens, (n, d) with ids (n, c) -> (n, c)."""
        return self._scaled(super().unembed_part(normed, ids))

    def _scaled(self, logits: Tensor) -> Tensor:
        """Logits multiplied as the model does it."""
        if self._logit_divisor is not None:
            logits = logits / self._logit_divisor
        return _times(logits, self._logit_factor)

    def _capped(self, logits: Tensor) -> Tensor:
        return _softcapped(self._scaled(logits), self._logit_cap)

    # ---------------------------------------------------------------- the whole model

    def plain_forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (rows, pos, d_vocab) of the unmodified model.

        Padding stands on the right, where no earlier position sees it, so it is not masked: in
        float64 `transformers` makes nan of queries whose whole window is masked.
        """
        ids = ids.to(self._device)
        return self.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
        ).logits


def _field(config: dict[str, Any], name: str) -> float | None:
    """A number of the config; None where the family or the model has none."""
    found: float | None = config[name] if name else None
    return found


def _times(x: Tensor, scale: float | None) -> Tensor:
    """x times a scale, x itself without one."""
    return x if scale is None else x * scale


def _softcapped(x: Tensor, cap: float | None) -> Tensor:
    """`cap * tanh(x / cap)`, in the order of `transformers`."""
    return x if cap is None else torch.tanh(x / cap) * cap
