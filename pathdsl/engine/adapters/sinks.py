"""GPT-OSS and Granite SWA: heads with a sink, a constant in the denominator of their softmax.

What a query does not give to keys it gives to the sink, which writes nothing::

    weight[j] = exp(score[j]) / (exp(sink) + sum over keys i of exp(score[i]))

So a head's weights add up to less than one. `transformers` gives out just these weights for
GPT-OSS. For Granite SWA it gives out weights that add up to one and multiplies what the head mixes
by `sigmoid(logsumexp(scores) - sink)`, which is the same function; here a pattern is in both what
values are multiplied by.

GPT-OSS is a mixture of experts with biases and a clamped gate; its router takes the softmax over
the chosen experts alone. Granite SWA has one MLP in each layer, layers without rotation or with
bases of their own.

Source: OpenAI 2025 (arXiv:2508.10925), Xiao et al. 2023 (arXiv:2309.17453);
`transformers/models/gpt_oss/modeling_gpt_oss.py`, `granite_swa/modeling_granite_swa.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.adapters.llama_parts import class_of
from pathdsl.engine.adapters.mixtures import MixtureAdapter
from pathdsl.engine.adapters.turning import Rotation

__all__ = ["GptOssAdapter", "GraniteSwaAdapter"]


class _Sinks(LlamaAdapter):
    """Heads with sinks."""

    def sinks(self, layer: int, heads: Sequence[int] | None = None) -> Tensor | None:
        """The sink of each head, (n_heads_selected,)."""
        every: Tensor = self.blocks[layer].self_attn.sinks
        return every if heads is None else every[self._index(heads)]


class GptOssAdapter(_Sinks, MixtureAdapter):
    """The parts of one GPT-OSS."""

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """Weights of keys beside the sink (..., 1, 1), in the dtype of the scores."""
        assert sinks is not None
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        beside = sinks.expand(*scores.shape[:-1], 1).to(scores.dtype)
        whole = torch.cat((scores, beside), dim=-1)
        whole = whole - whole.max(dim=-1, keepdim=True).values
        return functional.softmax(whole, dim=-1)[..., :-1].to(self._dtype)

    def _expert(self, experts: Any, number: int, x: Tensor) -> Tensor:
        """Stacked weights lie the other way round, with biases."""
        both = x @ experts.gate_up_proj[number] + experts.gate_up_proj_bias[number]
        hidden = experts._apply_gate(both)
        out: Tensor = hidden @ experts.down_proj[number] + experts.down_proj_bias[number]
        return out


class GraniteSwaAdapter(_Sinks):
    """The parts of one Granite with sliding windows."""

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """Weights of keys beside the sink (..., 1, 1), by way of float32."""
        assert sinks is not None
        hidden = max(torch.finfo(kind).min for kind in (scores.dtype, torch.float32))
        scores = scores.masked_fill(~mask, hidden)
        own = functional.softmax(scores, dim=-1, dtype=torch.float32).to(self._dtype)
        lse = torch.logsumexp(scores, dim=-1, keepdim=True)
        return own * (lse - sinks).to(torch.float32).sigmoid().to(self._dtype)

    def _also(self, model: nn.Module) -> dict[str, type[nn.Module]]:
        """A rotation for each base."""
        whole: Any = model
        bases = {base for base in whole.config.layer_rope_theta if base}
        rotary = class_of(self.build, self.build.rotary)
        paths = {f"model.rotary_embs.{place}": rotary for place in range(len(bases))}
        return {"model.rotary_embs": nn.ModuleList, **paths}

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """Queries and keys rotated where the layer has a base, values as they are."""
        base = self.model.config.layer_rope_theta[layer]
        if slot == "v" or not base:
            return x
        return self._by_base(base).turn(layer, slot, x, positions.to(x.device))

    def _by_base(self, base: float) -> Rotation:
        module = next(
            one
            for one in self.model.model.rotary_embs
            if one.config.rope_parameters["rope_theta"] == base
        )
        return Rotation(self.build, {}, self.shape, module)
