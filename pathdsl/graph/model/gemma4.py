"""The shape of a Gemma 4, whose layers differ in heads and key/value groups.

Functions take a config as a plain mapping (`config.json`). Each raises ValueError for a missing
field and for counts that cannot be, UnsupportedConfig for what no decomposition exists of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pathdsl.graph.model.fields import (
    UnsupportedConfig,
    integer,
    rotary_positions,
)
from pathdsl.graph.model.mixtures import Mixture
from pathdsl.graph.model.shape import ModelShape


def gemma4_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a Gemma 4 that reads text; heads of its full layers may be wider, and fewer
    keys and values. `d_head` is the widest."""
    config = {**_GEMMA4, **config}
    if config.get("use_bidirectional_attention") == "all":
        raise UnsupportedConfig("the heads see later positions (`use_bidirectional_attention`)")
    n_layers, n_heads = integer(config, "num_hidden_layers"), integer(config, "num_attention_heads")
    kinds = _gemma4_kinds(config, n_layers)
    own = [_gemma4_own(config, layer, kind) for layer, kind in enumerate(kinds)]
    sizes = [integer({**config, **given}, "head_dim") for given in own]
    groups = tuple(integer({**config, **given}, "num_key_value_heads") for given in own)
    if any(n < 1 or n_heads % n for n in groups):
        raise ValueError(f"{n_heads} query heads do not share out {min(groups)} key/value heads")
    window = integer(config, "sliding_window")
    if window < 1:
        raise ValueError("config has sliding layers and no `sliding_window`")
    windows = tuple(window if kind == "sliding_attention" else None for kind in kinds)
    keys_from = _keys_from(config, kinds)
    for layer, source in enumerate(keys_from):
        if (sizes[layer], groups[layer]) != (sizes[source], groups[source]):
            raise ValueError(f"layer {layer} cannot read the keys of layer {source}: other heads")
    given = integer(config, "hidden_size_per_layer_input", 0)
    if given and integer(config, "vocab_size_per_layer_input") < integer(config, "vocab_size"):
        raise ValueError("some tokens have no second embedding (`vocab_size_per_layer_input`)")
    width = integer(config, "intermediate_size")
    doubled = bool(config.get("use_double_wide_mlp")) and bool(keys_from)
    units = tuple(width * (1 + (doubled and source != i)) for i, source in enumerate(keys_from))
    return ModelShape(
        family="gemma4_text",
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=integer(config, "hidden_size"),
        d_head=max(sizes),
        d_mlp=max(units, default=width),
        d_vocab=integer(config, "vocab_size"),
        n_positions=rotary_positions(config),
        windows=windows if any(windows) else (),
        n_kv_heads=max(groups),
        normed_mlp=True,
        gated_mlp=True,
        groups=groups if len(set(groups)) > 1 else (),
        rescaled=True,
        mixture=_mixture(config, n_layers),
        keys_from=keys_from,
        units=units if doubled else (),
        per_layer_input=given,
    )


_GEMMA4: Mapping[str, object] = {  # what an absent field means
    "head_dim": 256, "num_key_value_heads": 4, "sliding_window": 512,
    "hidden_size_per_layer_input": 256, "global_head_dim": 512, "num_kv_shared_layers": 0,
    "vocab_size_per_layer_input": 262_144,
}  # fmt: skip


def _mixture(config: Mapping[str, object], n_layers: int) -> Mixture | None:
    """Experts beside the MLP of every layer, which every token uses."""
    if not config.get("enable_moe_block"):
        return None
    found = Mixture(
        layers=(True,) * n_layers,
        n_experts=integer(config, "num_experts"),
        top=integer(config, "top_k_experts"),
        width=integer(config, "moe_intermediate_size"),
        shared=integer(config, "intermediate_size"),
    )
    if not 1 <= found.top <= found.n_experts:
        raise ValueError(f"a token uses {found.top} of {found.n_experts} experts")
    return found


def _gemma4_kinds(config: Mapping[str, object], n_layers: int) -> list[str]:
    """The kind of each layer; `transformers` makes the last one full."""
    kinds = config.get("layer_types")
    if kinds is None:
        kinds = ["full_attention" if (i + 1) % 6 == 0 else "sliding_attention"
                 for i in range(n_layers)]  # fmt: skip
    if not isinstance(kinds, list | tuple) or len(kinds) != n_layers:
        raise ValueError(f"`layer_types` does not name {n_layers} layers")
    if strange := sorted(set(map(str, kinds)) - {"full_attention", "sliding_attention"}):
        raise UnsupportedConfig(f"the config has layers of type `{strange[0]}`")
    return [*map(str, kinds[:-1]), "full_attention"]


def _keys_from(config: Mapping[str, object], kinds: Sequence[str]) -> tuple[int, ...]:
    """Of each layer the one whose keys and values it reads: the last of its kind that has any."""
    shared = integer(config, "num_kv_shared_layers", 0)
    own = len(kinds) - shared
    if not shared:
        return ()
    if not 0 < own < len(kinds) or set(kinds[:own]) != set(kinds):
        raise ValueError(
            f"`num_kv_shared_layers: {shared}` leaves no layer with keys for some kind of layer"
        )
    last = {kind: layer for layer, kind in enumerate(kinds[:own])}
    return (*range(own), *(last[kind] for kind in kinds[own:]))


def _gemma4_own(config: Mapping[str, object], layer: int, kind: str) -> Mapping[str, object]:
    """What one layer has otherwise than the others."""
    by_layer = config.get("per_layer_config")
    if by_layer is None:
        if kind != "full_attention":
            return {}
        few = config.get("num_global_key_value_heads") if config.get("attention_k_eq_v") else None
        own = {"head_dim": config["global_head_dim"], "num_key_value_heads": few}
        return {key: value for key, value in own.items() if value is not None}
    if not isinstance(by_layer, Mapping):
        raise ValueError("`per_layer_config` is no object")
    given = by_layer.get(str(layer), by_layer.get(layer, {}))
    if not isinstance(given, Mapping):
        raise ValueError("`per_layer_config` is no object of objects")
    numbers = [key for key in by_layer if not str(key).isdecimal()]
    if strange := [*numbers, *sorted({*given} - {"head_dim", "num_key_value_heads"})]:
        raise UnsupportedConfig(f"`per_layer_config` has `{strange[0]}`, which is not computed")
    return given
