"""The shape of a model: how many layers and heads, what reads what; from its config alone.

Everything the language needs to know of a model before its weights are loaded. No torch.

Source of the counts: a residual transformer block reads the sum of all earlier writers, so each
component has an edge from each earlier one (Wang et al. 2022; Conmy et al. 2023 for the number of
edges).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Layers, heads and which edges exist.

    `parallel`: attention and MLP of a layer read the same residual stream (no edge between them).
    `windows`: for each layer how many positions a head sees, its own included; None: all before.
    `causal`: whether a head sees no position behind its own. Where it does, a window reaches as far
    on as back, and None is all positions of the prompt.
    `normed_stream`: a norm stands behind each sum of the stream (post-norm), so that what a node
    reads is a norm of sums of norms, over the copies that it is sent.
    `prediction_head`: layers of the model stand between the last stream and the unembedding, so
    that a logit is no sum of what components write.
    `normed_mlp`: a norm stands between an MLP and the residual stream, so that its neurons do not
    write to the stream each by itself.
    `gated_mlp`: an MLP has a third matrix, whose output gates its hidden units.
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
    causal: bool = True
    normed_stream: bool = False
    prediction_head: bool = False

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

    def sees(self, layer: int, distance: int) -> bool:
        """Whether heads of `layer` see the position that many before their own, < 0 for behind."""
        if distance < 0 and self.causal:
            return False
        window = self.window(layer)
        return window is None or abs(distance) < window


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
    or has to be given. `normed_mlp`: as of the shape. `slides(config, n_layers, window)`: which
    layers see a window alone; None for no layer. `listed`: whether `layer_types` says so instead.
    `switched`: whether there is a window only where `use_sliding_window` says so. `yarn_is_long`:
    whether `yarn` changes with the length of a batch, as `longrope` does.
    """

    absent: Mapping[str, object]
    normed_mlp: bool
    slides: Slides | None
    listed: bool = True
    switched: bool = False
    yarn_is_long: bool = False


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
}  # fmt: skip
_ROTARY = ("default", "linear", "dynamic", "yarn", "llama3", "longrope", "su")


def gated_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a Llama, Mistral, Qwen, OLMo, SmolLM3, Phi-3 or Gemma."""
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
        d_mlp=integer(config, "intermediate_size"),
        d_vocab=integer(config, "vocab_size"),
        n_positions=_rotary_positions(config, family.yarn_is_long),
        windows=windows if any(windows) else (),
        n_kv_heads=n_kv_heads,
        normed_mlp=family.normed_mlp,
        gated_mlp=True,
    )


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
    """For each layer of a SmolLM3 whether queries and keys are rotated by position."""
    listed = config.get("no_rope_layers")  # 1 where a layer *has* rotary embeddings
    if isinstance(listed, list | tuple):
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
    """The shape of an OPT; with `do_layer_norm_before: false` its norms stand behind each sum."""
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
        normed_stream=not config.get("do_layer_norm_before", True),
    )


_LEARNED = ("absolute",)
"""Kinds of positions of a BERT that `transformers` computes."""


def bert_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a BERT."""
    return _post_norm_encoder(config, "bert", 30522, 0)


def roberta_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a RoBERTa, whose positions begin behind the number of its padding token."""
    return _post_norm_encoder(config, "roberta", 50265, integer(config, "pad_token_id", 1) + 1)


def _post_norm_encoder(
    config: Mapping[str, object], family: str, d_vocab: int, first: int
) -> ModelShape:
    """`first`: the row of the position table that is the first position's."""
    if config.get("is_decoder"):
        raise UnsupportedConfig("an encoder that is run as a decoder (`is_decoder`)")
    positions = config.get("position_embedding_type") or "absolute"
    if positions not in _LEARNED:
        raise UnsupportedConfig(f"positions of type `{positions}` (`position_embedding_type`)")
    d_model, n_heads = (
        integer(config, "hidden_size", 768),
        integer(config, "num_attention_heads", 12),
    )
    n_positions = integer(config, "max_position_embeddings", 512)
    return ModelShape(
        family=family,
        n_layers=integer(config, "num_hidden_layers", 12),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "intermediate_size", 3072),
        d_vocab=integer(config, "vocab_size", d_vocab),
        n_positions=n_positions - first,
        n_kv_heads=n_heads,
        causal=False,
        normed_stream=True,
        prediction_head=True,
    )


def modernbert_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a ModernBERT: `local_attention // 2` positions before and behind are seen."""
    d_model, n_heads = (
        integer(config, "hidden_size", 768),
        integer(config, "num_attention_heads", 12),
    )
    n_layers, every = (
        integer(config, "num_hidden_layers", 22),
        config.get("global_attn_every_n_layers"),
    )
    if every is None:
        every = 3
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ValueError("config has no integer `global_attn_every_n_layers`")
    kinds = config.get("layer_types")
    if kinds is None:
        kinds = [f"{'sliding' if layer % every else 'full'}_attention" for layer in range(n_layers)]
    if not isinstance(kinds, list | tuple) or len(kinds) != n_layers:
        raise ValueError(f"`layer_types` does not describe {n_layers} layers")
    if strange := sorted(set(map(str, kinds)) - {"full_attention", "sliding_attention"}):
        raise UnsupportedConfig(f"the config has layers of type `{strange[0]}`")
    window = integer(config, "local_attention", 128) // 2 + 1
    if window < 1:
        raise ValueError("`local_attention` is below 0")
    return ModelShape(
        family="modernbert",
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "intermediate_size", 1152),
        d_vocab=integer(config, "vocab_size", 50368),
        n_positions=_rotary_positions({"max_position_embeddings": 8192, **config}),
        windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
        n_kv_heads=n_heads,
        gated_mlp=True,
        causal=False,
        prediction_head=True,
    )


# model_type of a config -> its shape. Keys are those of `pathdsl.engine.adapters.FAMILIES`.
SHAPES: dict[str, Callable[[Mapping[str, object]], ModelShape]] = {
    "gpt2": gpt2_shape,
    "gpt_neo": gpt_neo_shape,
    "gptj": gptj_shape,
    "gpt_neox": gpt_neox_shape,
    "opt": opt_shape,
    "bert": bert_shape,
    "roberta": roberta_shape,
    "modernbert": modernbert_shape,
    **dict.fromkeys(GATED, gated_shape),
}
