"""How queries and keys of a family of the table depend on their position.

Angles come from the model's own rotary module; which entries of a vector they turn against each
other, in which layers and in which dtype, is said by the family's
`pathdsl.graph.model.builds.Build`.

    rotation = Rotation(build, config, shape, model.model.rotary_emb)
    rotation.turn(0, "q", x, positions)     # x (..., heads, d_head), positions (...)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Slot
from pathdsl.graph.model.builds import Build
from pathdsl.graph.model.shape import ModelShape

__all__ = ["Rotation"]


class Rotation:
    """The rotation of one model, and what else its queries are multiplied by at a position."""

    def __init__(
        self, build: Build, config: dict[str, Any], shape: ModelShape, module: Any
    ) -> None:
        """`module`: gives cosines and sines of positions."""
        self._build = build
        self._module = module
        windows = [shape.window(layer) for layer in range(shape.n_layers)]
        self._rotates = None if build.rotates is None else build.rotates(config, windows)
        self._kinds: list[str] | None = config["layer_types"] if build.by_kind else None
        rope = config.get("rope_parameters") or {}
        self._growth = (
            (rope["llama_4_scaling_beta"], rope["original_max_position_embeddings"])
            if build.query_scale
            else None
        )

    def turn(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """Queries or keys (..., heads, d_head) as scores read them, at their positions (...)."""
        if self._rotates is None or self._rotates[layer]:
            x = self._rotated(layer, x, positions)
        if slot == "q" and self._growth is not None:
            beta, original = self._growth
            scale = 1 + beta * torch.log(1 + torch.floor(positions / original))
            x = x * scale[..., None, None].to(x.dtype)
        return x

    def _rotated(self, layer: int, x: Tensor, positions: Tensor) -> Tensor:
        build = self._build
        kind = () if self._kinds is None else (self._kinds[layer],)
        tables = self._module(x, positions, *kind)
        cos, sin = (part.to(x.device).unsqueeze(-2) for part in tables)
        if build.half_tables:
            cos, sin = torch.cat((cos, cos), dim=-1), torch.cat((sin, sin), dim=-1)
        size = cos.shape[-1]
        if build.table_of_halves:
            cos, sin = (part[..., : size // 2].repeat_interleave(2, -1) for part in (cos, sin))
        turned, rest = x[..., :size], x[..., size:]
        if build.rotates_in_float32:
            turned = turned.float()
        out = (turned * cos) + (_against(turned, build.neighbours) * sin)
        return torch.cat((out.to(x.dtype), rest), dim=-1) if rest.shape[-1] else out.to(x.dtype)


def _against(x: Tensor, neighbours: bool) -> Tensor:
    """Each entry's partner in the rotation, negative for the first of a pair."""
    if neighbours:
        return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return torch.cat((-second, first), dim=-1)
