"""Mixtures of experts in float64 numpy, one token and one expert after another.

Source: the modelling files of `transformers` 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .tree import Array, _array

Mixture = Callable[..., Array]


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softmax(x: Array) -> Array:
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def _best(scores: Array, k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda e: -scores[e])[:k]


def routing(config: Any, module: Any, x: Array) -> dict[int, float]:
    """The experts of a token by number, with their weights."""
    kind, k = config.model_type, config.num_experts_per_tok
    router = module.router if hasattr(module, "router") else module.gate
    scores = _array(router.weight) @ x
    if kind == "gpt_oss":
        scores = scores + _array(router.bias)
    chosen = _best(scores, k)
    if kind == "llama4_text":
        return {e: float(_sigmoid(scores[e])) for e in chosen}
    if kind in ("mixtral", "gpt_oss", "qwen3_5_moe_text") or config.norm_topk_prob:
        return dict(zip(chosen, map(float, _softmax(scores[chosen])), strict=True))
    return {e: float(_softmax(scores)[e]) for e in chosen}


def expert(config: Any, module: Any, number: int, x: Array) -> Array:
    """What one expert makes of a vector."""
    both, down = _array(module.gate_up_proj)[number], _array(module.down_proj)[number]
    match config.model_type:
        case "gpt_oss":
            mixed = x @ both + _array(module.gate_up_proj_bias)[number]
            gate = np.minimum(mixed[0::2], config.swiglu_limit)
            up = np.clip(mixed[1::2], -config.swiglu_limit, config.swiglu_limit)
            hidden = (up + 1) * gate * _sigmoid(gate * config.swiglu_alpha)
            return hidden @ down + _array(module.down_proj_bias)[number]
        case "llama4_text":
            gate, up = np.split(x @ both, 2)
            return (up * _silu(gate)) @ down
        case _:
            gate, up = np.split(both @ x, 2)
            return down @ (_silu(gate) * up)


def mixture(config: Any, module: Any, shared: Callable[[Any], Mixture]) -> Mixture:
    """The MLP, of a normed vector; `like`: routed as that one is. `shared` reads an MLP."""

    def run(x: Array, like: Array | None = None) -> Array:
        total = np.zeros_like(x)
        for number, weight in routing(config, module, x if like is None else like).items():
            if config.model_type == "llama4_text":
                total = total + expert(config, module.experts, number, weight * x)
            else:
                total = total + weight * expert(config, module.experts, number, x)
        if hasattr(module, "shared_expert"):
            common = shared(module.shared_expert)(x)
            if hasattr(module, "shared_expert_gate"):
                common = _sigmoid(_array(module.shared_expert_gate.weight)[0] @ x) * common
            total = total + common
        return total

    return run
