"""The shape of a model: how many layers and heads, what reads what; from its config alone.

Everything the language needs to know of a model before its weights are loaded. No torch.

Source of the counts: a residual transformer block reads the sum of all earlier writers, so each
component has an edge from each earlier one (Wang et al. 2022; Conmy et al. 2023 for the number of
edges).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Layers, heads and which edges exist.

    `parallel`: attention and MLP of a layer read the same residual stream (no edge between them).
    `windows`: for each layer how many positions a head sees, its own included; None: all before.
    `normed_mlp`: a norm stands between an MLP and the residual stream, so that its neurons do not
    write to the stream each by itself.
    `gated_mlp`: an MLP has a third matrix, whose output gates its hidden units.
    `d_mlp`: hidden units of an MLP that is no mixture. `mixture`: the MLPs that are mixtures.
    `sinks`: every head has a constant in the denominator of its softmax, so that its weights add up
    to less than one.
    """

    family: str
    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_positions: int
    has_mlp: bool = True
    parallel: bool = False
    windows: tuple[int | None, ...] = ()
    n_kv_heads: int = 0
    normed_mlp: bool = False
    gated_mlp: bool = False
    mixture: Mixture | None = field(default=None, metadata={"later": True})
    sinks: bool = field(default=False, metadata={"later": True})

    def routes(self, layer: int) -> bool:
        """Whether the MLP of a layer is a mixture of experts."""
        return self.mixture is not None and self.mixture.layers[layer]

    def used_units(self, layer: int) -> int:
        """Hidden units of a layer's MLP that one token uses."""
        if self.mixture is None or not self.mixture.layers[layer]:
            return self.d_mlp
        return self.mixture.top * self.mixture.width + self.mixture.shared

    @property
    def mean_units(self) -> int:
        """The mean of `used_units` over layers."""
        return sum(map(self.used_units, range(self.n_layers))) // max(self.n_layers, 1)

    @property
    def n_experts(self) -> int:
        """Experts of a mixture, 0 where there is none."""
        return 0 if self.mixture is None else self.mixture.n_experts

    @property
    def norm_after_attention(self) -> bool:
        """Whether a norm stands between a layer's heads and the residual stream.

        The families that have one there have one behind the MLP, too.
        """
        return self.normed_mlp

    @property
    def n_senders(self) -> int:
        """`input`, every head and every MLP."""
        return 1 + self.n_layers * (self.n_heads + int(self.has_mlp))

    @property
    def n_groups(self) -> int:
        """Key/value groups of a layer: heads of one group share their keys and values."""
        return self.n_kv_heads or self.n_heads

    def heads_of_group(self, group: int) -> range:
        """The query heads of one key/value group, `n_heads / n_groups` neighbours."""
        size = self.n_heads // self.n_groups
        return range(group * size, (group + 1) * size)

    def window(self, layer: int) -> int | None:
        """How many positions heads of `layer` see, or None for all up to their own."""
        return self.windows[layer] if self.windows else None


# -------------------------------------------------------------------------------------------------
# From a config given as a plain mapping (`config.json`). Each raises ValueError for a missing field
# and for counts that cannot be, UnsupportedConfig for what no decomposition exists of.


class UnsupportedConfig(ValueError):
    """An option that no adapter computes (PD612)."""


def integer(config: Mapping[str, object], key: str, default: int | None = None) -> int:
    """An integer of a config; absent and null fields take the default."""
    value = config.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"config has no integer `{key}`")
    return value


def divided(d_model: int, n_heads: int) -> int:
    """The width of a head where heads share out the residual stream."""
    if n_heads < 1 or d_model % n_heads:
        raise ValueError(f"{n_heads} heads do not share out d_model {d_model}")
    return d_model // n_heads


def gpt2_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a GPT-2."""
    d_model, n_heads = integer(config, "n_embd"), integer(config, "n_head")
    d_mlp = config.get("n_inner") or 4 * d_model
    return ModelShape(
        family="gpt2",
        n_layers=integer(config, "n_layer"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=int(d_mlp),  # type: ignore[call-overload]
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "n_positions", 1024),
        n_kv_heads=n_heads,
    )


Slides = Callable[[Mapping[str, object], int, object], list[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What tells a family with gated MLPs from the others, its config apart.

    `absent`: what an absent field of a config means, as in `transformers`; every other one is None
    or has to be given. (`usual_experts`: how many experts there are where no field says it.)
    `normed_mlp`, `sinks`: as of the shape. `slides(config, n_layers, window)`: which layers see a
    window alone; None for no layer. `listed`: whether `layer_types` says so instead. `switched`:
    whether there is a window only where `use_sliding_window` says so. `yarn_is_long`: whether
    `yarn` changes with the length of a batch, as `longrope` does. `mixture(config, n_layers)`:
    which MLPs are mixtures. `dense`: the field that says how wide an MLP is that is none.
    """

    absent: Mapping[str, object]
    normed_mlp: bool
    slides: Slides | None
    listed: bool = True
    switched: bool = False
    yarn_is_long: bool = False
    mixture: Callable[[Mapping[str, object], int], Mixture | None] = lambda config, n_layers: None
    sinks: bool = False
    dense: str = "intermediate_size"


def _everywhere(config: Mapping[str, object], n_layers: int, window: object) -> list[bool]:
    return [window is not None] * n_layers


def _above(config: Mapping[str, object], n_layers: int, window: object) -> list[bool]:
    first = n_layers if window is None else integer(config, "max_window_layers")
    return [layer >= first for layer in range(n_layers)]


def _unrotated(config: Mapping[str, object], n_layers: int, window: object) -> list[bool]:
    some = bool(config.get("use_sliding_window")) and window is not None
    return [some and not rotates for rotates in rotary_layers(config, n_layers)]


def _in_turn(config: Mapping[str, object], n_layers: int, window: object) -> list[bool]:
    return [layer % 2 == 0 for layer in range(n_layers)]


def _but_every(config: Mapping[str, object], n_layers: int, window: object) -> list[bool]:
    every = config.get("_sliding_window_pattern", config["sliding_window_pattern"])
    if not isinstance(every, int) or every < 1:
        raise ValueError("config has no integer `sliding_window_pattern`")
    return [bool((layer + 1) % every) for layer in range(n_layers)]


def _first_of_two(config: Mapping[str, object], n_layers: int, window: object) -> list[bool]:
    """Every other layer below `max_window_layers`, and only with `use_sliding_window`."""
    below = integer(config, "max_window_layers") if config.get("use_sliding_window") else 0
    return [layer % 2 == 0 and layer < below for layer in range(n_layers)]


def _but_fourths(config: Mapping[str, object], n_layers: int, window: object) -> list[bool]:
    return [layer % 4 != 0 for layer in range(n_layers)]


def _experts(
    config: Mapping[str, object], layers: list[bool], width: str, shared: str = ""
) -> Mixture | None:
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


def _all_mixed(config: Mapping[str, object], n_layers: int) -> Mixture | None:
    return _experts(config, [True] * n_layers, "intermediate_size")


def _stepped(shared: str) -> Callable[[Mapping[str, object], int], Mixture | None]:
    """Mixtures in every `decoder_sparse_step`-th layer but in those of `mlp_only_layers`."""

    def mixture(config: Mapping[str, object], n_layers: int) -> Mixture | None:
        step, dense = integer(config, "decoder_sparse_step"), config.get("mlp_only_layers") or ()
        if step < 1 or not isinstance(dense, list | tuple):
            raise ValueError("`decoder_sparse_step` and `mlp_only_layers` name no layers")
        layers = [k not in dense and (k + 1) % step == 0 for k in range(n_layers)]
        return _experts(config, layers, "moe_intermediate_size", shared)

    return mixture


def _interleaved(config: Mapping[str, object], n_layers: int) -> Mixture | None:
    """Mixtures in the layers that `moe_layers` lists, else in every so many."""
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


_QWEN2 = Gated(
    absent={"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28},
    normed_mlp=False, slides=_above, switched=True,
)  # fmt: skip
_GEMMA2 = Gated(
    absent={"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096},
    normed_mlp=True, slides=_in_turn,
)  # fmt: skip
GATED: dict[str, Gated] = {
    "llama": Gated(absent={}, normed_mlp=False, slides=None),
    "mistral": Gated(
        absent={"num_key_value_heads": 8, "sliding_window": 4096},
        normed_mlp=False, slides=_everywhere, listed=False,
    ),
    "qwen2": _QWEN2,
    "qwen3": replace(_QWEN2, absent={**_QWEN2.absent, "head_dim": 128}),
    "olmo": Gated(absent={}, normed_mlp=False, slides=None),
    "olmo2": Gated(absent={}, normed_mlp=True, slides=None),
    "smollm3": Gated(
        absent={"num_key_value_heads": 4, "no_rope_layer_interval": 4},
        normed_mlp=False, slides=_unrotated,
    ),
    "phi3": Gated(
        absent={"original_max_position_embeddings": 4096},
        normed_mlp=False, slides=_everywhere, listed=False, yarn_is_long=True,
    ),
    "gemma": Gated(
        absent={"num_key_value_heads": 16, "head_dim": 256}, normed_mlp=False, slides=None
    ),
    "gemma2": _GEMMA2,
    "gemma3_text": replace(
        _GEMMA2, absent={**_GEMMA2.absent, "sliding_window_pattern": 6}, slides=_but_every
    ),
    "mixtral": Gated(
        absent={"num_key_value_heads": 8, "usual_experts": 8, "num_experts_per_tok": 2},
        normed_mlp=False, slides=_everywhere, listed=False, mixture=_all_mixed,
    ),
    "qwen2_moe": Gated(
        absent={"num_key_value_heads": 16, "sliding_window": 4096, "max_window_layers": 28,
                "usual_experts": 60, "num_experts_per_tok": 4, "decoder_sparse_step": 1,
                "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
        normed_mlp=False, slides=_first_of_two,
        mixture=_stepped("shared_expert_intermediate_size"),
    ),
    "qwen3_moe": Gated(
        absent={"num_key_value_heads": 4, "sliding_window": 4096, "usual_experts": 128,
                "num_experts_per_tok": 8, "decoder_sparse_step": 1, "moe_intermediate_size": 768},
        normed_mlp=False, slides=_everywhere, listed=False, switched=True, mixture=_stepped(""),
    ),
    "olmoe": Gated(
        absent={"usual_experts": 64, "num_experts_per_tok": 8},
        normed_mlp=False, slides=None, mixture=_all_mixed,
    ),
    "gpt_oss": Gated(
        absent={"num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128,
                "usual_experts": 128, "num_experts_per_tok": 4},
        normed_mlp=False, slides=_in_turn, mixture=_all_mixed, sinks=True,
    ),
    "granite_swa": Gated(
        absent={"num_key_value_heads": 4, "sliding_window": 128},
        normed_mlp=False, slides=_but_fourths, sinks=True,
    ),
    "llama4_text": Gated(
        absent={"num_key_value_heads": 8, "head_dim": 128, "usual_experts": 16,
                "num_experts_per_tok": 1, "interleave_moe_layer_step": 1,
                "no_rope_layer_interval": 4, "attention_chunk_size": 8192,
                "intermediate_size_mlp": 16384, "intermediate_size": 8192},
        normed_mlp=False, slides=None, mixture=_interleaved, dense="intermediate_size_mlp",
    ),
}  # fmt: skip
MIXTURES = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "llama4_text")
"""Model types whose MLPs may be mixtures of experts."""
_ROTARY = ("default", "linear", "dynamic", "yarn", "llama3", "longrope", "su")


def gated_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a Llama, Mistral, Qwen, OLMo, SmolLM3, Phi-3, Gemma or of a mixture of them."""
    name = str(config.get("model_type"))
    family = GATED[name]
    config = {**family.absent, **config}
    if config.get("use_bidirectional_attention"):
        raise UnsupportedConfig("the heads see later positions (`use_bidirectional_attention`)")
    d_model, n_heads = integer(config, "hidden_size"), integer(config, "num_attention_heads")
    n_kv_heads = integer(config, "num_key_value_heads", n_heads)
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise ValueError(f"{n_heads} query heads do not share out {n_kv_heads} key/value heads")
    d_head = config.get("head_dim")
    n_layers = integer(config, "num_hidden_layers")
    windows = _windows(family, config, n_layers)
    return ModelShape(
        family=name,
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads) if d_head is None else integer(config, "head_dim"),
        d_mlp=integer(config, family.dense),
        d_vocab=integer(config, "vocab_size"),
        n_positions=min(
            _rotary_positions(config, family.yarn_is_long), _in_one_chunk(config, n_layers)
        ),
        windows=windows if any(windows) else (),
        n_kv_heads=n_kv_heads,
        normed_mlp=family.normed_mlp,
        gated_mlp=True,
        mixture=family.mixture(config, n_layers),
        sinks=family.sinks,
    )


def _in_one_chunk(config: Mapping[str, object], n_layers: int) -> int:
    """How many positions lie in one chunk, where layers attend within chunks (Llama 4).

    Within the first chunk such a layer sees all that stands before, as others do.
    """
    chunk = config.get("attention_chunk_size")
    kinds = config.get("layer_types")
    if isinstance(kinds, list | tuple):
        chunked = "chunked_attention" in kinds
    else:
        chunked = chunk is not None and any(rotary_layers(config, n_layers))
    if not chunked:
        return sys.maxsize
    return integer(config, "attention_chunk_size")


def _windows(family: Gated, config: Mapping[str, object], n_layers: int) -> tuple[int | None, ...]:
    """For each layer how many positions a head sees, None for all."""
    if family.slides is None:
        return (None,) * n_layers
    sliding = config.get("sliding_window")
    if family.switched and not config.get("use_sliding_window"):
        sliding = None
    slides = family.slides(config, n_layers, sliding)
    kinds = config.get("layer_types")
    if isinstance(kinds, list | tuple) and family.listed:
        if strange := sorted(set(map(str, kinds)) - {"full_attention", "sliding_attention"}):
            raise UnsupportedConfig(f"the config has layers of type `{strange[0]}`")
        if len(kinds) != n_layers:
            raise ValueError(f"{len(kinds)} `layer_types` for {n_layers} layers")
        slides = [kind == "sliding_attention" for kind in kinds]
    if any(slides) and (not isinstance(sliding, int) or sliding < 1):
        raise ValueError("config has sliding layers and no `sliding_window`")
    return tuple(integer(config, "sliding_window") if slide else None for slide in slides)


def rotary_layers(config: Mapping[str, object], n_layers: int) -> list[bool]:
    """For each layer of a SmolLM3 or Llama 4 whether queries and keys are rotated by position."""
    listed = config.get("no_rope_layers")  # 1 where a layer *has* rotary embeddings
    if isinstance(listed, list | tuple) and listed:
        return [bool(rotates) for rotates in listed]
    every = integer(config, "no_rope_layer_interval", 4)
    return [bool((layer + 1) % every) for layer in range(n_layers)]


def _rotary_positions(config: Mapping[str, object], yarn_is_long: bool = False) -> int:
    """How many positions the rotation is one fixed function of position for.

    `longrope` uses other frequencies for all positions once a batch is longer than the original
    context; `dynamic` beyond `max_position_embeddings`. So the context ends there.
    """
    most = integer(config, "max_position_embeddings")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise ValueError("`rope_parameters` is no object")
    nested = [part for part in rope.values() if isinstance(part, Mapping)]
    for part in nested or [rope]:
        kind = part.get("rope_type") or part.get("type") or "default"
        if kind not in _ROTARY:
            raise UnsupportedConfig(f"rotary embeddings of type `{kind}` are not known")
        original = config.get("original_max_position_embeddings")
        original = original or part.get("original_max_position_embeddings")
        changes = kind in ("longrope", "su") or (kind == "yarn" and yarn_is_long)
        if changes and isinstance(original, int):
            most = min(most, original)
    return most


def gpt_neo_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a GPT-Neo: `local` layers see `window_size` positions."""
    d_model, n_heads = integer(config, "hidden_size"), integer(config, "num_heads")
    n_layers, window = integer(config, "num_layers"), integer(config, "window_size", 256)
    kinds = config.get("attention_layers")
    if kinds is None:
        kinds = []
        for names, times in config.get("attention_types") or [[["global", "local"], 12]]:  # type: ignore[attr-defined]
            kinds += list(names) * times
    if not isinstance(kinds, list) or len(kinds) != n_layers:
        raise ValueError("`attention_types` does not describe every layer once")
    if odd := [kind for kind in kinds if kind not in ("global", "local")]:
        raise UnsupportedConfig(f"the config has layers that attend by `{odd[0]}`")
    if "local" in kinds and window < 1:
        raise UnsupportedConfig(f"local attention over `window_size: {window}` positions")
    return ModelShape(
        family="gpt_neo",
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "intermediate_size", 4 * d_model),
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "max_position_embeddings", 2048),
        windows=tuple(window if kind == "local" else None for kind in kinds),
        n_kv_heads=n_heads,
    )


def gptj_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a GPT-J: attention and MLP in parallel."""
    d_model, n_heads = integer(config, "n_embd"), integer(config, "n_head")
    return ModelShape(
        family="gptj",
        n_layers=integer(config, "n_layer"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "n_inner", 4 * d_model),
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "n_positions", 2048),
        parallel=True,
        n_kv_heads=n_heads,
    )


def gpt_neox_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a GPT-NeoX or Pythia: parallel unless the config says otherwise."""
    d_model, n_heads = integer(config, "hidden_size"), integer(config, "num_attention_heads")
    return ModelShape(
        family="gpt_neox",
        n_layers=integer(config, "num_hidden_layers"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "intermediate_size"),
        d_vocab=integer(config, "vocab_size"),
        n_positions=_rotary_positions(config),
        parallel=bool(config.get("use_parallel_residual", True)),
        n_kv_heads=n_heads,
    )


def opt_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of an OPT with its norms before attention and MLP."""
    if not config.get("do_layer_norm_before", True):
        raise UnsupportedConfig(
            "the model's norms come after attention and MLP (`do_layer_norm_before: false`), so "
            "its residual stream is no sum of what components write"
        )
    d_model, n_heads = integer(config, "hidden_size"), integer(config, "num_attention_heads")
    return ModelShape(
        family="opt",
        n_layers=integer(config, "num_hidden_layers"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "ffn_dim"),
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "max_position_embeddings", 2048),
        n_kv_heads=n_heads,
    )


# model_type of a config -> its shape. Keys are those of `pathdsl.engine.adapters.FAMILIES`.
SHAPES: dict[str, Callable[[Mapping[str, object]], ModelShape]] = {
    "gpt2": gpt2_shape,
    "gpt_neo": gpt_neo_shape,
    "gptj": gptj_shape,
    "gpt_neox": gpt_neox_shape,
    "opt": opt_shape,
    **dict.fromkeys(GATED, gated_shape),
}
