"""The shape of a model: how many layers and heads, what reads what; from its config alone.

Everything the language needs to know of a model before its weights are loaded. No torch.

Source of the counts: a residual transformer block reads the sum of all earlier writers, so each
component has an edge from each earlier one (Wang et al. 2022; Conmy et al. 2023 for the number of
edges).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pathdsl.graph.model.builds import BUILDS, Build, windows_of
from pathdsl.graph.model.fields import UnsupportedConfig, divided, integer, rotary_positions

__all__ = ["SHAPES", "ModelShape", "UnsupportedConfig", "divided", "integer"]


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


def built_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a family of `pathdsl.graph.model.builds.BUILDS`."""
    name = str(config.get("model_type"))
    build = BUILDS[name]
    config = {**build.absent, **config}
    if config.get("use_bidirectional_attention"):
        raise UnsupportedConfig("the heads see later positions (`use_bidirectional_attention`)")
    d_model, n_heads = integer(config, "hidden_size"), integer(config, "num_attention_heads")
    n_kv_heads = integer(config, "num_key_value_heads", n_heads)
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise ValueError(f"{n_heads} query heads do not share out {n_kv_heads} key/value heads")
    n_layers = integer(config, "num_hidden_layers")
    windows = windows_of(build, config, n_layers)
    return ModelShape(
        family=name,
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=_d_head(build, config, d_model, n_heads),
        d_mlp=integer(config, "intermediate_size"),
        d_vocab=integer(config, "vocab_size"),
        n_positions=rotary_positions(config, build.yarn_is_long),
        parallel=build.is_parallel(config),
        windows=windows if any(windows) else (),
        n_kv_heads=n_kv_heads,
        normed_mlp=bool(build.after_mlp),
        gated_mlp=build.gated,
    )


def _d_head(build: Build, config: Mapping[str, object], d_model: int, n_heads: int) -> int:
    """The width of a head."""
    given = config.get("head_dim")
    if given is not None and build.reads_head_dim:
        return integer(config, "head_dim")
    size = divided(d_model, n_heads)
    if given not in (None, size):
        raise UnsupportedConfig(
            f"heads of this family are {size} wide, and `head_dim: {given}` is not read"
        )
    return size


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
        n_positions=rotary_positions(config),
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


def bert_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a BERT or RoBERTa; RoBERTa's positions begin behind its padding token's."""
    kind = str(config.get("model_type"))
    if config.get("is_decoder"):
        raise UnsupportedConfig("an encoder that is run as a decoder (`is_decoder`)")
    positions = config.get("position_embedding_type") or "absolute"
    if positions != "absolute":
        raise UnsupportedConfig(f"positions of type `{positions}` (`position_embedding_type`)")
    d_model, n_heads = (
        integer(config, "hidden_size", 768),
        integer(config, "num_attention_heads", 12),
    )
    n_positions = integer(config, "max_position_embeddings", 512)
    if kind == "roberta":
        n_positions -= integer(config, "pad_token_id", 1) + 1
    return ModelShape(
        family=kind,
        n_layers=integer(config, "num_hidden_layers", 12),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "intermediate_size", 3072),
        d_vocab=integer(config, "vocab_size", 50265 if kind == "roberta" else 30522),
        n_positions=n_positions,
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
        n_positions=rotary_positions({"max_position_embeddings": 8192, **config}),
        windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
        n_kv_heads=n_heads,
        gated_mlp=True,
        causal=False,
        prediction_head=True,
    )


def falcon_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a Falcon: one key and value for all heads (7B), by group (40B), or by head."""
    d_model = integer(config, "n_embed", integer(config, "hidden_size"))
    n_heads = integer(config, "num_attention_heads")
    grouped = bool(config.get("new_decoder_architecture"))
    parallel = bool(_given(config, "parallel_attn", True))
    n_kv_heads = integer(config, "num_kv_heads", n_heads)
    if not grouped:
        n_kv_heads = 1 if _given(config, "multi_query", True) else n_kv_heads
        if n_kv_heads not in (1, n_heads):
            raise UnsupportedConfig(
                f"{n_kv_heads} `num_kv_heads` for {n_heads} heads without "
                "`new_decoder_architecture`, which `transformers` cannot run"
            )
    elif not parallel:
        raise UnsupportedConfig(
            "`parallel_attn: false` with `new_decoder_architecture`, which `transformers` cannot "
            "run"
        )
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise ValueError(f"{n_heads} query heads do not share out {n_kv_heads} key/value heads")
    norms = config.get("num_ln_in_parallel_attn")
    if norms not in ((None, 1, 2) if grouped or not parallel else (None, 1)):
        raise UnsupportedConfig(
            f"`num_ln_in_parallel_attn: {norms}`, which `transformers` cannot run"
        )
    context = integer(config, "max_position_embeddings", 2048)
    if not config.get("alibi"):
        context = rotary_positions({**config, "max_position_embeddings": context})
    return ModelShape(
        family="falcon",
        n_layers=integer(config, "num_hidden_layers"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "ffn_hidden_size", 4 * d_model),
        d_vocab=integer(config, "vocab_size"),
        n_positions=context,
        parallel=parallel,
        n_kv_heads=n_kv_heads,
    )


def bloom_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a BLOOM. Its positions have no end; its training had `seq_length` of them."""
    if config.get("apply_residual_connection_post_layernorm"):
        raise UnsupportedConfig(
            "the residual stream goes through the norms (`apply_residual_connection_post_layernorm`"
            "), so it is no sum of what components write"
        )
    if config.get("slow_but_exact") and integer(config, "pretraining_tp", 1) > 1:
        raise UnsupportedConfig(
            "`slow_but_exact` with `pretraining_tp` above 1, with which `transformers` leaves out "
            "the biases of output projections"
        )
    d_model = integer(config, "n_embed", integer(config, "hidden_size"))
    n_heads = integer(config, "num_attention_heads" if "n_head" not in config else "n_head")
    return ModelShape(
        family="bloom",
        n_layers=integer(config, "num_hidden_layers" if "n_layer" not in config else "n_layer"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=4 * d_model,
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "seq_length", 2048),
        n_kv_heads=n_heads,
    )


# What `transformers` reads of an MPT's config and computes nothing of: field -> the values with
# which that is the model that was trained.
_MPT: Mapping[str, tuple[object, ...]] = {
    "expansion_ratio": (4,),
    "logit_scale": (None, 1.0),
    "no_bias": (True,),
    "norm_type": ("layernorm", "low_precision_layernorm"),
}
_MPT_ATTENTION: Mapping[str, tuple[object, ...]] = {
    "alibi": (True,),
    "alibi_bias_max": (8,),
    "attn_type": ("multihead_attention",),
    "prefix_lm": (False,),
    "qk_ln": (False,),
}


def mpt_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of an MPT."""
    inside = config.get("attn_config") or {}
    if not isinstance(inside, Mapping):
        raise ValueError("`attn_config` is no object")
    for known, given, where in ((_MPT, config, ""), (_MPT_ATTENTION, inside, "attn_config.")):
        for key, wanted in known.items():
            if key in given and given[key] not in wanted:
                raise UnsupportedConfig(
                    f"`{where}{key}: {given[key]}`, which `transformers` reads and does not compute"
                )
    d_model = integer(config, "d_model" if "hidden_size" not in config else "hidden_size")
    n_heads = integer(
        config, "n_heads" if "num_attention_heads" not in config else "num_attention_heads"
    )
    return ModelShape(
        family="mpt",
        n_layers=integer(
            config, "n_layers" if "num_hidden_layers" not in config else "num_hidden_layers"
        ),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=4 * d_model,
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "max_seq_len", 2048),
        n_kv_heads=n_heads,
    )


def _given(config: Mapping[str, object], key: str, default: object) -> object:
    """A field, or what its absence and null mean."""
    value = config.get(key)
    return default if value is None else value


# model_type of a config -> its shape. Keys are those of `pathdsl.engine.adapters.FAMILIES`.
SHAPES: dict[str, Callable[[Mapping[str, object]], ModelShape]] = {
    "gpt2": gpt2_shape,
    "gpt_neo": gpt_neo_shape,
    "gptj": gptj_shape,
    "gpt_neox": gpt_neox_shape,
    "opt": opt_shape,
    "falcon": falcon_shape,
    "bloom": bloom_shape,
    "mpt": mpt_shape,
    "bert": bert_shape,
    "roberta": bert_shape,
    "modernbert": modernbert_shape,
    **dict.fromkeys(BUILDS, built_shape),
}
