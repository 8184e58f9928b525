"""Llama and the families built like it: rotary positions, grouped queries, gated MLPs, RMSNorm.

Takes Llama, Mistral, Qwen2, Qwen3 and SmolLM3 apart along the residual stream::

    r = embed(ids)
    for layer: r += attention_write(z);  r += mlp(r)
    logits = unembed(final_norm(r))

and is the base of OLMo, Phi-3 and Gemma, which override a part each. What may differ: norms of
queries and keys by head (Qwen3), layers without rotation (SmolLM3), biases, head width, sliding
windows by layer, rotations of any type that is a fixed function of position; they come from the
model's own rotary module.

Heads are query heads: with grouped queries the key of a head is the key as that head reads it, one
of a group's equal copies.

Rounding is that of eager attention in `transformers`: norms and softmax in float32 whatever the
dtype, so float64 runs of these families are exact to about 1e-7 only.

Source of the architecture: Touvron et al. 2023 (arXiv:2302.13971);
`transformers/models/llama/modeling_llama.py`.

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
from pathdsl.engine.adapters.llama_parts import BUILDS, check_modules, shape_of_model
from pathdsl.engine.adapters.norms import Scales, apply

__all__ = ["LlamaAdapter"]


class LlamaAdapter(CausalAdapter):
    """The parts of one Llama-like model; see `pathdsl.engine.adapters.base.Adapter`.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights and options that are not computed, PD608 for quantised weights, PD618 in training mode.
    """

    _narrowest = torch.float32

    def __init__(self, model: nn.Module) -> None:
        shape = shape_of_model(model)
        check_modules(model, BUILDS[shape.family], shape, self._also(model))
        whole: Any = model
        parts = whole.model
        super().__init__(model, shape, blocks=parts.layers, final=parts.norm, head=whole.lm_head)

    def _also(self, model: nn.Module) -> dict[str, type[nn.Module]]:
        """Modules that only some configs of the family have, by path."""
        return {}

    def embed(self, ids: Tensor) -> Tensor:
        """The token embedding as it enters the stream, (rows, pos) ids -> (rows, pos, d)."""
        embedded: Tensor = self.model.model.embed_tokens(ids.to(self._device))
        return embedded

    # ---------------------------------------------------------------- attention

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        return apply(self.blocks[layer].input_layernorm, resid, scales, "scale_attention")

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
        if stored == chosen:
            return out
        return out[..., [chosen.index(head) for head in stored], :]

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by query head; None where queries or keys are normed by head."""
        if getattr(self.blocks[layer].self_attn, f"{slot}_norm", None) is not None:
            return None
        weight = self._weights(layer, slot)[0].unflatten(0, (-1, self.shape.d_head))
        times = self.shape.n_heads // weight.shape[0]
        return weight if times == 1 else weight.repeat_interleave(times, 0)

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """Queries and keys rotated where the layer does so, values as they are."""
        if slot == "v" or not getattr(self.blocks[layer].self_attn, "use_rope", True):
            return x
        return self._rotated(layer, x, positions.to(x.device))

    def _projected(
        self, layer: int, slot: Slot, normed: Tensor, heads: Sequence[int] | None,
        scales: Scales | None,
    ) -> Tensor:  # fmt: skip
        """(..., n_stored_heads_selected, d_head), normed by head where the family does so."""
        d_head = self.shape.d_head
        weight, bias = self._weights(layer, slot)  # (n_stored_heads * d_head, d)
        if heads is not None:
            chosen = self._index(heads)
            weight = weight.view(-1, d_head, weight.shape[-1])[chosen].flatten(0, 1)
            bias = None if bias is None else bias.view(-1, d_head)[chosen].flatten()
        out = functional.linear(normed, weight, bias).unflatten(-1, (-1, d_head))
        norm = getattr(self.blocks[layer].self_attn, f"{slot}_norm", None)
        return out if norm is None else apply(norm, out, scales, f"scale_{slot}")

    def _weights(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        """Weight (n_stored_heads * d_head, d) and bias of one projection."""
        part = getattr(self.blocks[layer].self_attn, f"{slot}_proj")
        return part.weight, part.bias

    def _rotary(self, layer: int, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of positions (...), each (..., n_rotated)."""
        cos, sin = self.model.model.rotary_emb(x, positions)
        return cos, sin

    def _rotated(self, layer: int, x: Tensor, positions: Tensor) -> Tensor:
        """Queries or keys (..., heads, d_head) rotated by their positions (...)."""
        tables = self._rotary(layer, x, positions)
        cos, sin = (part.to(x.device).unsqueeze(-2) for part in tables)
        size = cos.shape[-1]
        turned, rest = x[..., :size], x[..., size:]
        first, second = turned.split(size // 2, dim=-1)
        out = (turned * cos) + (torch.cat((-second, first), dim=-1) * sin)
        return torch.cat((out.to(x.dtype), rest), dim=-1) if rest.shape[-1] else out.to(x.dtype)

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by."""
        return float(self.blocks[layer].self_attn.scaling)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q, k.transpose(-1, -2)) * self.blocks[layer].self_attn.scaling

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern, by way of float32; keys where `mask` is False get exactly 0."""
        hidden = max(torch.finfo(kind).min for kind in (scores.dtype, torch.float32))
        scores = scores.masked_fill(~mask, hidden)
        return functional.softmax(scores, dim=-1, dtype=torch.float32).to(self._dtype)

    def write(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """The summed write without bias, (..., n_heads_selected, d_head) -> (..., d)."""
        return functional.linear(z.flatten(-2), self._output_weight(layer, heads).flatten(1))

    def write_each(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """Each head's own write, (..., n_heads_selected, d_head) -> (..., n_heads_selected, d)."""
        return torch.einsum("...hd,mhd->...hm", z, self._output_weight(layer, heads))

    def output_weight(self, layer: int) -> Tensor:
        """The output projection by head, (n_heads, d_head, d)."""
        return self._output_weight(layer, None).permute(1, 2, 0)

    def write_bias(self, layer: int) -> Tensor:
        """The bias of attention's output projection, (d,): belongs to no sender."""
        return bias_of(self.blocks[layer].self_attn.o_proj)

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that attention adds to the stream, (..., n_heads, d_head) -> (..., d)."""
        part = self.blocks[layer].self_attn.o_proj
        return functional.linear(z.flatten(-2), part.weight, part.bias)

    def _output_weight(self, layer: int, heads: Sequence[int] | None) -> Tensor:
        """The output projection by head, (d, n_heads_selected, d_head)."""
        weight = self.blocks[layer].self_attn.o_proj.weight
        by_head = weight.view(self.shape.d_model, self.shape.n_heads, self.shape.d_head)
        return by_head if heads is None else by_head[:, self._index(heads)]

    # ---------------------------------------------------------------- MLP

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP with the norm before it, (..., d) -> (..., d)."""
        block = self.blocks[layer]
        out: Tensor = block.mlp(apply(block.post_attention_layernorm, resid, scales, "scale_mlp"))
        return out

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads, and what multiplies its result, (..., d) -> (..., d_mlp)."""
        return self._gates(layer, self._mlp_input(layer, resid, scales))

    def _mlp_input(self, layer: int, resid: Tensor, scales: Scales | None) -> Tensor:
        """The norm before the MLP, (..., d) -> (..., d)."""
        norm = self.blocks[layer].post_attention_layernorm
        return apply(norm, resid, scales, "scale_mlp")

    def _gates(self, layer: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two products that are multiplied, the activated one first."""
        part = self.blocks[layer].mlp
        return part.gate_proj(x), part.up_proj(x)

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        activated: Tensor = self.blocks[layer].mlp.act_fn(before)
        return activated

    def mlp_after(self, layer: int, hidden: Tensor, scales: Scales | None = None) -> Tensor:
        """The output projection with its bias, (..., d_mlp) -> (..., d)."""
        written: Tensor = self.blocks[layer].mlp.down_proj(hidden)
        return written

    def mlp_write(self, layer: int, hidden: Tensor, bias: Tensor) -> Tensor:
        """What hidden units add, (..., d_mlp) -> (..., d); `bias` (..., 1) scales the bias."""
        return scaled_bias(self.blocks[layer].mlp.down_proj, hidden, bias)

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
