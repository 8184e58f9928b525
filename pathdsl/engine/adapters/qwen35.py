"""Qwen 3.5 without DeltaNets: Llama's block whose heads gate what they mix.

A head's output is multiplied by the sigmoid of a gate, entry by entry, which is a second half of
the query's projection: it reads the stream that the query reads, at the query's position. So a
gate is part of the input `q` here, and a query is a vector of twice the width of a head, its gate
last: an edge into `q` carries both, and where an intervention makes the query 0 the gate is a half.

Layers of type `linear_attention`, three of four in the published models, are refused by their
config: a DeltaNet carries a state from token to token, and no head of it reads one token.

Source: Qiu et al. 2025 (arXiv:2505.06708); `transformers/models/qwen3_5/modeling_qwen3_5.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.adapters.norms import Scales
from pathdsl.engine.adapters.turning import Rotation

__all__ = ["Qwen35Adapter"]


class Qwen35Adapter(LlamaAdapter):
    """The parts of one Qwen 3.5 with attention in every layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
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
