"""Mixtures of experts: an MLP with its router as one function of the stream that it reads.

Takes Mixtral, Qwen2-MoE, Qwen3-MoE, OLMoE and, with what is their own beside it, GPT-OSS and
Llama 4 (`sinks.py`, `llama4.py`) apart. A *router* gives every token weights of the experts; the
MLP adds the weighted sum of the few with the greatest, and what an expert that all tokens share
adds::

    out = sum over e of weight[e] * expert[e](x)  + shared(x)

Each token is computed by itself: which tokens are put together changes nothing but rounding. Only
the experts that a token uses are computed, each in one product for all of its tokens.

The *routing* of a token is the weights of all experts, 0 of those that it does not use. Calls that
take `scales` note it as `routing` beside the scales of norms, and route by it where it is given
(`pathdsl.engine.adapters.norms`).

Source: Shazeer et al. 2017 (arXiv:1701.06538), Jiang et al. 2024 (arXiv:2401.04088), Muennighoff
et al. 2024 (arXiv:2409.02060); the modelling files of `transformers`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.adapters.norms import Scales, routed_by
from pathdsl.graph.model.builds import Routed

__all__ = ["MixtureAdapter", "RoutedAdapter", "mixed"]

Expert = Callable[[int, Tensor], Tensor]


def mixed(
    x: Tensor, weights: Tensor, chosen: Tensor, n_experts: int, expert: Expert, *, inward: bool
) -> Tensor:
    """The weighted sum of what each token's experts make of it, (tokens, d) -> (tokens, d).

    Args:
        weights, chosen: (tokens, k) weights and numbers of experts.
        expert: its number and (n, d) -> (n, d).
        inward: the weight multiplies what an expert reads, not what it gives.
    """
    order = torch.argsort(chosen.flatten(), stable=True)  # by expert
    tokens = order // chosen.shape[-1]
    share = weights.flatten()[order].unsqueeze(-1)
    counts = torch.bincount(chosen.flatten(), minlength=n_experts).tolist()
    total, start = torch.zeros_like(x), 0
    for number, count in enumerate(counts):
        if not count:
            continue
        own = slice(start, start := start + count)
        read = x.index_select(0, tokens[own])
        part = expert(number, read * share[own] if inward else read)
        part = part if inward else part * share[own]
        total.index_add_(0, tokens[own], part.to(x.dtype))  # in the order of `transformers`
    return total


class RoutedAdapter(LlamaAdapter):
    """The parts of a decoder some of whose MLPs are mixtures; a family says how they route."""

    _inward = False
    """Whether a token's weight multiplies what an expert reads."""

    @abstractmethod
    def _route(self, router: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and numbers of each token's experts, (tokens, d) -> two of (tokens, k)."""

    @abstractmethod
    def _expert(self, experts: Any, number: int, x: Tensor) -> Tensor:
        """What one expert makes of its tokens, (n, d) -> (n, d)."""

    def _shared(self, mlp: Any, x: Tensor) -> Tensor | None:
        """What every token is given besides, (tokens, d); None where there is no such thing."""
        return None

    def _routed(self) -> Routed:
        routed = self.build.routed
        assert routed is not None
        return routed

    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP with the norm before it, (..., d) -> (..., d)."""
        if not self.shape.routes(layer):
            return super().mlp(layer, resid, scales)
        normed, part = self._mlp_input(layer, resid, scales), self._mlp_of(layer)
        x, n_experts = normed.reshape(-1, normed.shape[-1]), self.shape.n_experts

        def route() -> tuple[Tensor, Tensor]:
            return self._route(getattr(part, self._routed().router), x)

        weights, chosen = routed_by(route, n_experts, normed.shape[:-1], scales)
        total = mixed(
            x, weights, chosen, n_experts,
            lambda number, read: self._expert(part.experts, number, read),
            inward=self._inward,
        )  # fmt: skip
        shared = self._shared(part, x)
        total = total if shared is None else total + shared
        return self._mlp_written(layer, total.view(normed.shape), scales)

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads, and what multiplies its result; of MLPs that do not route."""
        if self.shape.routes(layer):
            raise ValueError("a mixture of experts has no hidden units of its own")
        return super().mlp_before(layer, resid, scales)


class MixtureAdapter(RoutedAdapter):
    """The parts of one Mixtral, Qwen2-MoE, Qwen3-MoE or OLMoE."""

    def _route(self, router: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """The model's own router."""
        _, weights, chosen = router(x)
        return weights, chosen

    def _expert(self, experts: Any, number: int, x: Tensor) -> Tensor:
        """A gated MLP whose weights are slices of the stacked ones."""
        gate, up = functional.linear(x, experts.gate_up_proj[number]).chunk(2, dim=-1)
        return functional.linear(experts.act_fn(gate) * up, experts.down_proj[number])

    def _shared(self, mlp: Any, x: Tensor) -> Tensor | None:
        """An MLP behind a gate of its own."""
        routed = self._routed()
        if not routed.shared:
            return None
        gate = torch.sigmoid(getattr(mlp, routed.shared_gate)(x))
        shared: Tensor = gate * getattr(mlp, routed.shared)(x)
        return shared
