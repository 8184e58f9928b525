"""Experts beside the MLP of a Gemma 4: both together are the layer's MLP, one node.

::

    out = norm(mlp(norm(r))) + norm(sum over e of weight[e] * expert[e](norm(r)))

Three norms are of the same stream with the same epsilon, that of the router without a gain: they
have one scale. The norms of either sum are inside the node.

Source: `transformers/models/gemma4/modeling_gemma4.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.gemma4.modeling_gemma4 import (
    Gemma4RMSNorm,
    Gemma4TextExperts,
    Gemma4TextRouter,
)

from pathdsl.engine.adapters.mixtures import mixed
from pathdsl.engine.adapters.norms import Scales, apply, routed_by

__all__ = ["BEFORE_EXPERTS", "beside", "expert_parts", "expert_weights"]

BEFORE_EXPERTS = "pre_feedforward_layernorm_2"
_AFTER = ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2")


def expert_parts(block: str) -> dict[str, type[nn.Module]]:
    """The modules of one layer's experts by path, with the class of each."""
    return {
        f"{block}.router": Gemma4TextRouter,
        f"{block}.router.norm": Gemma4RMSNorm,
        f"{block}.router.proj": nn.Linear,
        f"{block}.experts": Gemma4TextExperts,
        **{f"{block}.{name}": Gemma4RMSNorm for name in (BEFORE_EXPERTS, *_AFTER)},
    }


def expert_weights(block: str) -> tuple[str, ...]:
    """Weights of one layer's experts that no module has alone."""
    return (
        f"{block}.router.scale", f"{block}.router.per_expert_scale",
        f"{block}.experts.gate_up_proj", f"{block}.experts.down_proj",
    )  # fmt: skip


def beside(
    block: Any, mlp: Tensor, resid: Tensor, norms: tuple[nn.Module, nn.Module],
    scales: Scales | None,
) -> Tensor:  # fmt: skip
    """What the MLP and the experts of a layer give together, (..., d), before the norm behind it.

    Args:
        mlp: (..., d) what the MLP alone gives.
        resid: (..., d) the stream.
        norms: of the stream, as the router and as the experts read it.
    """
    shape, d = resid.shape[:-1], resid.shape[-1]
    router, experts = block.router, block.experts
    asked, read = (apply(norm, resid, scales, "scale_mlp").reshape(-1, d) for norm in norms)

    def route() -> tuple[Tensor, Tensor]:
        scores = router.proj(asked * router.scale * router.scalar_root_size)
        chances = functional.softmax(scores, dim=-1, dtype=torch.float32)
        weights, chosen = torch.topk(chances, router.config.top_k_experts, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights * router.per_expert_scale[chosen], chosen

    def expert(number: int, x: Tensor) -> Tensor:
        gate, up = functional.linear(x, experts.gate_up_proj[number]).chunk(2, dim=-1)
        return functional.linear(experts.act_fn(gate) * up, experts.down_proj[number])

    weights, chosen = routed_by(route, experts.num_experts, shape, scales)
    total = mixed(read, weights, chosen, experts.num_experts, expert, inward=False)
    one, other = (getattr(block, name) for name in _AFTER)
    found: Tensor = one(mlp) + other(total.view(*shape, d))
    return found
