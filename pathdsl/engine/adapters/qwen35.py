"""Qwen 3.5: Llama's block whose heads gate what they mix, or with a DeltaNet in their place.

A head's output is multiplied by the sigmoid of a gate, entry by entry, which is a second half of
the query's projection: it reads the stream that the query reads, at the query's position. So a
gate is part of the input `q` here, and a query is a vector of twice the width of a head, its gate
last: an edge into `q` carries both, and where an intervention makes the query 0 the gate is a half.

Layers of type `linear_attention`, three of four in the published models, are gated DeltaNets. Each
is one component, head 0 of its layer, and what it writes is as wide as the stream. A token is
projected by itself; a convolution over tokens, the recurrence and the gated norm follow, by the
functions of `transformers` that the model itself calls.

Source: Qiu et al. 2025 (arXiv:2505.06708), Yang et al. 2024 (arXiv:2412.06464);
`transformers/models/qwen3_5/modeling_qwen3_5.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen3_5.modeling_qwen3_5 import (
    causal_conv1d_fn,
    torch_chunk_gated_delta_rule,
)

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.adapters.mixtures import MixtureAdapter
from pathdsl.engine.adapters.norms import Scales
from pathdsl.engine.adapters.turning import Rotation

__all__ = ["Qwen3NextAdapter", "Qwen35Adapter", "Qwen35MoeAdapter"]


class Qwen35Adapter(LlamaAdapter):
    """The parts of one Qwen 3.5."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        # What could be installed to go faster is told at every start, and is for other devices.
        logging.getLogger("transformers.integrations.hub_kernels").setLevel(logging.ERROR)
        whole: Any = model
        listed = whole.model.rotary_emb

        def tables(x: Tensor, positions: Tensor) -> tuple[Tensor, ...]:
            """The model's own of positions of any shape; it takes them by row."""
            found = listed(x, positions.reshape(1, -1))
            return tuple(part.view(*positions.shape, -1) for part in found)

        self._rotation = Rotation(self.build, whole.config.to_dict(), self.shape, tables)

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v of query heads, (..., d) -> (..., n_heads_selected, d_head); q and its gate."""
        out = super().project(layer, slot, normed, heads, positions, scales)
        if slot != "q":
            return out
        weight, bias = self._half(layer, 1, heads)
        gate = functional.linear(normed, weight, bias).unflatten(-1, (-1, self.shape.d_head))
        return torch.cat((out, gate), dim=-1)

    def _weights(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        """Weight (n_stored_heads * d_head, d) and bias of one projection."""
        return self._half(layer, 0) if slot == "q" else super()._weights(layer, slot)

    def _half(
        self, layer: int, which: int, heads: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Of each head's rows of the query's projection the first or second half."""
        part, d_head = self.blocks[layer].self_attn.q_proj, self.shape.d_head
        chosen = slice(None) if heads is None else self._index(heads)
        weight = part.weight.view(-1, 2, d_head, part.weight.shape[-1])[chosen, which]
        if part.bias is None:
            return weight.flatten(0, 1), None
        return weight.flatten(0, 1), part.bias.view(-1, 2, d_head)[chosen, which].flatten()

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, 2 d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return super().scores(layer, q[..., : self.shape.d_head], k)

    def gated(self, layer: int, q: Tensor, z: Tensor) -> Tensor:
        """Heads' outputs behind their gates, (..., nq, 2 d_head), (..., nq, d_head)."""
        return z * torch.sigmoid(q[..., self.shape.d_head :])

    # ---------------------------------------------------------------- DeltaNets

    def recurrent_input(self, layer: int, normed: Tensor) -> Tensor:
        """Queries, keys and values, gates, rates and decays side by side, (..., d) -> (..., w)."""
        part = self.blocks[layer].linear_attn
        return torch.cat([getattr(part, name)(normed) for name in self.build.delta_inputs], dim=-1)

    def recurrent(self, layer: int, x: Tensor, at: Tensor | None = None) -> Tensor:
        """What a DeltaNet writes, (rows, pos, w) -> (rows, pos, d), or (rows, n, d) `at` some."""
        part = self.blocks[layer].linear_attn
        values, states = part.value_dim, part.num_v_heads
        sizes = [2 * part.key_dim + values, values, states, states]
        mixed, gates, rates, decays = x.split(sizes, dim=-1)
        kernel = part.conv1d
        mixed = causal_conv1d_fn(
            mixed.transpose(1, 2), kernel.weight.squeeze(1), kernel.bias,
            activation=part.activation,
        ).transpose(1, 2)  # fmt: skip
        q, k, v = mixed.split([part.key_dim, part.key_dim, part.value_dim], dim=-1)
        out, _ = torch_chunk_gated_delta_rule(
            q.unflatten(-1, (-1, part.head_k_dim)),
            k.unflatten(-1, (-1, part.head_k_dim)),
            v.unflatten(-1, (-1, part.head_v_dim)),
            g=-part.A_log.float().exp() * functional.softplus(decays.float() + part.dt_bias),
            beta=rates.sigmoid(),
            use_qk_l2norm_in_kernel=True,
            **self._chunks(x),
        )
        gates = gates.unflatten(-1, (-1, part.head_v_dim))  # (rows, pos, states, d_value)
        if at is not None:
            rows = torch.arange(len(at), device=at.device).unsqueeze(-1)
            out, gates = out[rows, at], gates[rows, at]
        normed = part.norm(out.reshape(-1, part.head_v_dim), gates.reshape(-1, part.head_v_dim))
        written: Tensor = part.out_proj(normed.view(*out.shape[:2], -1))
        return written

    def _chunks(self, x: Tensor) -> dict[str, int]:
        """How many tokens go together, where the function is that of `transformers`: few prompts
        are as long as its 64, to which it fills them up."""
        if x.device.type != "cpu":
            return {}
        return {"chunk_size": next((n for n in (16, 32) if x.shape[1] <= n), 64)}

    def write(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """The summed write of heads; a DeltaNet's is its value."""
        return z.sum(-2) if self.shape.recurs(layer) else super().write(layer, z, heads)

    def write_each(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """Each head's own write; a DeltaNet's is its value."""
        return z if self.shape.recurs(layer) else super().write_each(layer, z, heads)

    def write_bias(self, layer: int) -> Tensor:
        """The bias of attention's output projection; a DeltaNet has none."""
        if self.shape.recurs(layer):
            found: Tensor = self.final.weight.new_zeros(self.shape.d_model)
            return found
        return super().write_bias(layer)

    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that heads, or a DeltaNet, add to the stream, (..., n_heads, width) -> (..., d)."""
        return z.sum(-2) if self.shape.recurs(layer) else super().attention_write(layer, z, scales)


class Qwen35MoeAdapter(Qwen35Adapter, MixtureAdapter):
    """The parts of one Qwen 3.5 whose MLPs are mixtures of experts."""


class Qwen3NextAdapter(Qwen35MoeAdapter):
    """The parts of one Qwen3-Next, whose DeltaNets have all of a key's inputs side by side."""

    def recurrent_input(self, layer: int, normed: Tensor) -> Tensor:
        """Queries, keys and values, gates, rates and decays side by side, (..., d) -> (..., w)."""
        part = self.blocks[layer].linear_attn
        both, rest = (getattr(part, name)(normed) for name in self.build.delta_inputs)
        keys, wide = part.num_k_heads, part.value_dim // part.num_k_heads
        sizes = [part.head_k_dim, part.head_k_dim, wide, wide]
        found = [x.flatten(-2) for x in both.unflatten(-1, (keys, -1)).split(sizes, dim=-1)]
        found += [x.flatten(-2) for x in rest.unflatten(-1, (keys, -1)).chunk(2, dim=-1)]
        return torch.cat(found, dim=-1)
