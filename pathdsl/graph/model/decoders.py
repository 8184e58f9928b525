"""The shapes of decoders from their configs: GPT-2 to MPT, and the families of the table.

Functions take a config as a plain mapping (`config.json`). Each raises ValueError for a missing
field and for counts that cannot be, UnsupportedConfig for what no decomposition exists of.
"""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.graph.model.builds import BUILDS, Build, check_lists, in_one_chunk, windows_of
from pathdsl.graph.model.fields import (
    UnsupportedConfig,
    divided,
    integer,
    rotary_positions,
    rotations,
)
from pathdsl.graph.model.shape import ModelShape


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
        raise UnsupportedConfig(
            "the heads see later positions (`use_bidirectional_attention`)",
            notes=(
                "such a model, EmbeddingGemma for one, makes a vector of a text: it was not taught "
                "to predict a token, so that its logits, which metrics are read at, mean nothing",
            ),
            advice="a masked language model, whose heads see both ways: BERT, RoBERTa, ModernBERT",
        )
    d_model, n_heads = integer(config, "hidden_size"), integer(config, "num_attention_heads")
    n_kv_heads = integer(config, "num_key_value_heads", n_heads)
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise ValueError(f"{n_heads} query heads do not share out {n_kv_heads} key/value heads")
    n_layers = integer(config, "num_hidden_layers")
    check_lists(config, n_layers)
    windows = windows_of(build, config, n_layers)
    d_head = _d_head(build, config, d_model, n_heads)
    _check_rotation(build, config, d_head)
    for key in build.scales:
        if key in config and not isinstance(config[key], int | float):
            raise ValueError(f"config has no number `{key}`")
    return ModelShape(
        family=name,
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=d_head,
        d_mlp=integer(config, build.dense),
        d_vocab=integer(config, "vocab_size"),
        n_positions=min(
            rotary_positions(config, build.yarn_is_long), in_one_chunk(build, config, n_layers)
        ),
        parallel=build.is_parallel(config),
        windows=windows if any(windows) else (),
        n_kv_heads=n_kv_heads,
        normed_mlp=bool(build.after_mlp),
        gated_mlp=build.gated,
        mixture=None if build.mixture is None else build.mixture(config, n_layers),
        sinks=build.sinks,
        gated_heads=build.gated_heads,
        recurrence=None if build.recurrence is None else build.recurrence(config, n_layers),
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


def _check_rotation(build: Build, config: Mapping[str, object], d_head: int) -> None:
    """Raise for parameters of the rotation with which `transformers` cannot run a model."""
    for part in rotations(config):
        share = part.get("partial_rotary_factor", config.get("partial_rotary_factor"))
        turned = int(d_head * share) if isinstance(share, int | float) else d_head
        if build.partial and (turned % 2 or turned > d_head):
            raise UnsupportedConfig(
                f"`partial_rotary_factor: {share}` turns {turned} entries of heads of width "
                f"{d_head}, wanted an even number of them; `transformers` cannot run it"
            )
        growth = ("llama_4_scaling_beta", "original_max_position_embeddings")
        for key in growth if build.query_scale and part else ():
            if not isinstance(part.get(key), int | float):
                raise ValueError(f"`rope_parameters` has no number `{key}`")


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


def falcon_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a Falcon: one key and value for all heads (7B), by group (40B), or by head."""
    d_model = _either(config, "n_embed", "hidden_size")
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
    d_model = _either(config, "n_embed", "hidden_size")
    n_heads = _either(config, "n_head", "num_attention_heads")
    return ModelShape(
        family="bloom",
        n_layers=_either(config, "n_layer", "num_hidden_layers"),
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
    "qk_gn": (False,),
    "qk_ln": (False,),
    "rope": (False,),
    "sliding_window_size": (-1,),
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
    d_model = _either(config, "d_model", "hidden_size")
    n_heads = _either(config, "n_heads", "num_attention_heads")
    return ModelShape(
        family="mpt",
        n_layers=_either(config, "n_layers", "num_hidden_layers"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=4 * d_model,
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "max_seq_len", 2048),
        n_kv_heads=n_heads,
    )


def _either(config: Mapping[str, object], key: str, other: str) -> int:
    """An integer that has two names, the first one before the other."""
    return integer(config, other if config.get(key) is None else key)


def _given(config: Mapping[str, object], key: str, default: object) -> object:
    """A field, or what its absence and null mean."""
    value = config.get(key)
    return default if value is None else value
