"""What every adapter does alike: dtype and device, causal masks, attention put together.

Families differ in how q, k and v come about and in the dtype of scores and softmax; what is done
with them is here, once.

Attention has two implementations. `eager` holds the scores and the pattern of every head copy,
(copies x rows x queries x keys); `fused` is torch's `scaled_dot_product_attention`, which holds one
mask for all copies and gives no pattern out. Both are the same function up to rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pathdsl.engine.adapters.base import visible
from pathdsl.graph.shape import ModelShape

__all__ = ["CausalAdapter", "scaled_bias"]


def scaled_bias(part: nn.Linear, x: Tensor, bias: Tensor) -> Tensor:
    """A linear map whose bias, where it has one, is multiplied by `bias` (..., 1)."""
    out = functional.linear(x, part.weight)
    return out if part.bias is None else out + bias * part.bias


class CausalAdapter(ABC):
    """The common parts of one decoder; see `pathdsl.engine.adapters.base.Adapter` for each call."""

    shape: ModelShape
    _dtype: torch.dtype
    _device: torch.device
    fused: bool = False

    @abstractmethod
    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""

    @abstractmethod
    def softmax(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The pattern in the model's dtype; keys where `mask` is False get exactly 0."""

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by, or None where they are more than a scaled product."""
        return None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and residual stream."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._device

    def mask(
        self, layer: int, query_positions: Tensor, n_keys: int, valid: Tensor | None = None
    ) -> Tensor:
        """(rows, nq, n_keys) bool: True where a query of this layer may read a key."""
        return visible(query_positions, n_keys, valid, self.shape.window(layer))

    def mix(self, pattern: Tensor, v: Tensor) -> Tensor:
        """Values weighted by the pattern, -> (..., nq, d_head)."""
        return torch.matmul(pattern, v)

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        query_positions: Tensor,
        valid: Tensor | None = None,
        *,
        want_pattern: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(n, rows, nq, d_head) and keys and values (n, rows, nk, d_head) -> outputs, patterns."""
        seen = self.mask(layer, query_positions.to(q.device), k.shape[-2], valid)
        return self.attend_masked(layer, q, k, v, seen, want_pattern=want_pattern)

    def attend_masked(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor,
        *,
        want_pattern: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The same with the keys that each query may read as a mask (rows, nq, nk)."""
        if self.fused and not want_pattern:
            # A query that sees nothing (padding) would be nan, which spreads through 0 * nan.
            seen = mask | ~mask.any(dim=-1, keepdim=True)
            z = functional.scaled_dot_product_attention(
                q, k, v, attn_mask=seen.unsqueeze(0), scale=self.scaling(layer)
            )  # a mask of three axes would fall back to an implementation that holds the scores
            return z, None
        pattern = self.softmax(self.scores(layer, q, k), mask)  # (n, rows, nq, nk)
        return self.mix(pattern, v), (pattern if want_pattern else None)

    def _index(self, heads: Sequence[int]) -> slice | Tensor:
        """Heads as an index: a slice where they are neighbours in order, so nothing is copied.

        Otherwise on the CPU, from where it may index weights of any device.
        """
        first = heads[0] if heads else 0
        if list(heads) == list(range(first, first + len(heads))):
            return slice(first, first + len(heads))
        return torch.tensor(list(heads))
