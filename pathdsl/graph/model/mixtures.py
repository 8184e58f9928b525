"""Which MLPs of a model are mixtures of experts, from its config alone. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pathdsl.graph.model.fields import Config, integer

__all__ = ["Mixture", "Mixtures", "all_mixed", "interleaved", "stepped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """The MLPs that are mixtures of experts.

    `layers`: for each layer whether its MLP is one. Of `n_experts` a token uses `top`, each of
    `width` hidden units; `shared` hidden units are used by every token.
    """

    layers: tuple[bool, ...]
    n_experts: int
    top: int
    width: int
    shared: int


Mixtures = Callable[[Config, int], Mixture | None]
"""Those of a config with so many layers; None where no MLP is one."""


def _experts(config: Config, layers: list[bool], width: str, shared: str = "") -> Mixture | None:
    """Experts as wide as the field `width` says, and what every token uses as `shared` says."""
    counts = {  # one is another name of the other
        integer(config, key)
        for key in ("num_local_experts", "num_experts")
        if config.get(key) is not None
    }
    if len(counts) > 1:
        raise ValueError("`num_experts` and `num_local_experts` are two numbers")
    n_experts = counts.pop() if counts else integer(config, "usual_experts")
    if not any(layers) or not n_experts:
        return None
    found = Mixture(
        layers=tuple(layers),
        n_experts=n_experts,
        top=integer(config, "num_experts_per_tok"),
        width=integer(config, width),
        shared=integer(config, shared) if shared else 0,
    )
    if not 1 <= found.top <= found.n_experts:
        raise ValueError(f"a token uses {found.top} of {found.n_experts} experts")
    return found


def all_mixed(config: Config, n_layers: int) -> Mixture | None:
    """Every MLP."""
    return _experts(config, [True] * n_layers, "intermediate_size")


def stepped(shared: str) -> Mixtures:
    """Those of every `decoder_sparse_step`-th layer but of `mlp_only_layers`; `shared`: the field
    that says how wide a shared expert is, "" where there is none."""

    def mixture(config: Config, n_layers: int) -> Mixture | None:
        step, dense = integer(config, "decoder_sparse_step"), config.get("mlp_only_layers") or ()
        if step < 1 or not isinstance(dense, list | tuple):
            raise ValueError("`decoder_sparse_step` and `mlp_only_layers` name no layers")
        layers = [k not in dense and (k + 1) % step == 0 for k in range(n_layers)]
        return _experts(config, layers, "moe_intermediate_size", shared)

    return mixture


def interleaved(config: Config, n_layers: int) -> Mixture | None:
    """Those of the layers that `moe_layers` lists, else of every so many."""
    listed = config.get("moe_layers")
    if listed is None:
        step = integer(config, "interleave_moe_layer_step")
        if step < 1:
            raise ValueError("`interleave_moe_layer_step` names no layers")
        listed = range(step - 1, n_layers, step)
    if not isinstance(listed, list | tuple | range):
        raise ValueError("`moe_layers` is no list")
    layers = [layer in listed for layer in range(n_layers)]
    return _experts(config, layers, "intermediate_size", "intermediate_size")
