"""Llama 4 without images: experts that read scaled tokens, one of them shared; unrotated layers.

Neighbours are rotated, and queries and keys are normed by head *after* that, in layers that rotate;
in the others queries may grow with their position. A router's weights are sigmoids, and multiply
what an expert reads. Layers in between may have one wide MLP.

Layers that rotate attend within chunks of `attention_chunk_size` positions. The model's context
ends with the first (`ModelShape.n_positions`), in which such a layer sees all that stands before.

Source: `transformers/models/llama4/modeling_llama4.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.llama_parts import class_of
from pathdsl.engine.adapters.mixtures import RoutedAdapter
from pathdsl.engine.adapters.norms import Scales, apply

__all__ = ["Llama4Adapter"]


class Llama4Adapter(RoutedAdapter):
    """The parts of one Llama 4 that reads text."""

    _inward = True

    def _also(self, model: nn.Module) -> dict[str, type[nn.Module]]:
        """Norms of queries and keys, in layers that rotate."""
        whole: Any = model
        norm = class_of(self.build, "L2Norm")
        config = whole.config
        return {
            f"model.layers.{layer}.self_attn.qk_norm": norm
            for layer in range(config.num_hidden_layers)
            if config.use_qk_norm and config.no_rope_layers[layer]
        }

    # ---------------------------------------------------------------- attention

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by query head; None where queries and keys are normed."""
        normed = slot != "v" and hasattr(self.blocks[layer].self_attn, "qk_norm")
        return None if normed else super().input_weight(layer, slot)

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v of query heads, rotated and then normed, (..., d) -> (..., n, d_head)."""
        out = super().project(layer, slot, normed, heads, positions, scales)
        norm = getattr(self.blocks[layer].self_attn, "qk_norm", None)
        return out if norm is None or slot == "v" else apply(norm, out, scales, f"scale_{slot}")

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """Queries and keys rotated, or queries scaled by position; values as they are."""
        attention = self.blocks[layer].self_attn
        if slot == "v":
            return x
        if attention.use_rope:
            return self._rotated(layer, x, positions.to(x.device))
        if slot == "k" or not attention.attn_temperature_tuning:
            return x
        chunks = torch.floor((positions.to(x.device).float() + 1.0) / attention.floor_scale)
        scale = torch.log1p(chunks) * attention.attn_scale + 1.0
        return (x * scale[..., None, None]).to(x.dtype)

    def _rotated(self, layer: int, x: Tensor, positions: Tensor) -> Tensor:
        """Neighbours of queries or keys (..., heads, d_head) rotated by their positions (...)."""
        turns = self.model.model.rotary_emb(x, positions).to(x.device).unsqueeze(-2)
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern, in the dtype of the scores; keys where `mask` is False get exactly 0."""
        hidden = torch.finfo(scores.dtype).min
        return torch.softmax(scores.masked_fill(~mask, hidden), dim=-1).to(self._dtype)

    # ---------------------------------------------------------------- MLP

    def _route(self, router: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """The model's own router, whose weights of all other experts are 0."""
        weights, scores = router(x)
        chosen = scores.topk(router.top_k, dim=-1).indices
        return weights.gather(-1, chosen), chosen

    def _expert(self, experts: Any, number: int, x: Tensor) -> Tensor:
        """A gated MLP whose weights are slices of the stacked ones."""
        gate, up = (x @ experts.gate_up_proj[number]).chunk(2, dim=-1)
        out: Tensor = (up * experts.act_fn(gate)) @ experts.down_proj[number]
        return out

    def _shared(self, mlp: Any, x: Tensor) -> Tensor | None:
        """An MLP."""
        shared: Tensor = mlp.shared_expert(x)
        return shared
