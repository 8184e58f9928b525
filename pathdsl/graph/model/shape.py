"""The shape of a model: how many layers and heads, what reads what; from its config alone.

Everything the language needs to know of a model before its weights are loaded. No torch.

Source of the counts: a residual transformer block reads the sum of all earlier writers, so each
component has an edge from each earlier one (Wang et al. 2022; Conmy et al. 2023 for the number of
edges).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pathdsl.graph.model.builds import BUILDS, Build, check_lists, in_one_chunk, windows_of
from pathdsl.graph.model.fields import (
    UnsupportedConfig,
    divided,
    integer,
    rotary_positions,
    rotations,
)
from pathdsl.graph.model.mixtures import Mixture
from pathdsl.graph.model.toy import TOY, toy_spec

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
    `d_mlp`: hidden units of an MLP that is no mixture. `mixture`: the MLPs that are mixtures.
    `sinks`: every head has a constant in the denominator of its softmax, so that its weights add up
    to less than one. `gated_heads`: what a head mixes is multiplied by a gate that reads what its
    query reads.
    `normed_hidden`: a norm stands between an MLP's activation and its output projection.
    `mixed_hidden`: the activation makes each hidden unit of all of them, by a softmax or a norm.
    `d_vocab_out`: how many logits there are, where these are of something else than of the
    vocabulary; 0 for one of each token.
    `bent_pattern`: what attention reads values by is no softmax but one with a constant added.
    `groups`: for each layer how many key/value groups, where layers differ; `n_kv_heads` are then
    the most.
    `rescaled`: a layer multiplies the stream as it leaves it, so that one vector is not the same in
    two layers.
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
    groups: tuple[int, ...] = ()
    rescaled: bool = False
    causal: bool = True
    normed_stream: bool = False
    prediction_head: bool = False
    mixture: Mixture | None = field(default=None, metadata={"later": True})
    sinks: bool = field(default=False, metadata={"later": True})
    gated_heads: bool = field(default=False, metadata={"later": True})
    normed_hidden: bool = False
    mixed_hidden: bool = False
    d_vocab_out: int = 0
    bent_pattern: bool = False

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
    def n_logits(self) -> int:
        """How many logits there are."""
        return self.d_vocab_out or self.d_vocab

    @property
    def no_neurons(self) -> str:
        """Why no neuron is a node of its own; "" where neurons are."""
        if not self.has_mlp:
            return "it has no MLPs"
        if self.normed_mlp:
            return "a norm stands between the MLP and the residual stream"
        return "a norm stands between neurons and what they write" if self.normed_hidden else ""

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
        """Key/value groups of a layer, at most: heads of one share their keys and values."""
        return self.n_kv_heads or self.n_heads

    def groups_of(self, layer: int) -> int:
        """Key/value groups of `layer`."""
        return self.groups[layer] if self.groups else self.n_groups

    def heads_of_group(self, group: int, layer: int = 0) -> range:
        """The query heads of one key/value group of a layer, as many neighbours in each group."""
        size = self.n_heads // self.groups_of(layer)
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
    return _modernbert(config, causal=False)


def modernbert_decoder_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of its decoder: `local_attention // 2` positions are seen, the own one included."""
    return _modernbert(config, causal=True)


def _modernbert(config: Mapping[str, object], *, causal: bool) -> ModelShape:
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
    window = integer(config, "local_attention", 128) // 2 + int(not causal)
    if window < 1:
        raise ValueError("`local_attention` is too small for a window")
    return ModelShape(
        family=str(config.get("model_type")),
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
        causal=causal,
        prediction_head=True,
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


def gemma4_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a Gemma 4 that reads text; heads of its full layers may be wider, and fewer
    keys and values. `d_head` is the widest."""
    config = {**_GEMMA4, **config}
    for key, why in _GEMMA4_NOT.items():
        if config.get(key):
            raise UnsupportedConfig(f"{why} (`{key}: {config[key]}`)")
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
    return ModelShape(
        family="gemma4_text",
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=integer(config, "hidden_size"),
        d_head=max(sizes),
        d_mlp=integer(config, "intermediate_size"),
        d_vocab=integer(config, "vocab_size"),
        n_positions=rotary_positions(config),
        windows=windows if any(windows) else (),
        n_kv_heads=max(groups),
        normed_mlp=True,
        gated_mlp=True,
        groups=groups if len(set(groups)) > 1 else (),
        rescaled=True,
    )


_GEMMA4: Mapping[str, object] = {  # what an absent field means
    "head_dim": 256, "num_key_value_heads": 4, "sliding_window": 512,
    "hidden_size_per_layer_input": 256, "global_head_dim": 512,
}  # fmt: skip
_GEMMA4_NOT = {
    "enable_moe_block": "its layers have experts beside their MLPs",
    "num_kv_shared_layers": "its last layers read keys and values of earlier ones, so that a "
    "head's keys and values have other senders than its query",
    "hidden_size_per_layer_input": "a gate at the end of each layer reads the stream and a second "
    "embedding, and no node stands for it",
}


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


def _either(config: Mapping[str, object], key: str, other: str) -> int:
    """An integer that has two names, the first one before the other."""
    return integer(config, other if config.get(key) is None else key)


def _given(config: Mapping[str, object], key: str, default: object) -> object:
    """A field, or what its absence and null mean."""
    value = config.get(key)
    return default if value is None else value


def toy_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a toy model, of the project's own reference module."""
    spec = toy_spec(config)
    return ModelShape(
        family=TOY,
        n_layers=spec.n_layers,
        n_heads=spec.n_heads,
        d_model=spec.d_model,
        d_head=spec.d_head,
        d_mlp=spec.d_mlp,
        d_vocab=spec.d_vocab,
        n_positions=spec.n_ctx,
        has_mlp=spec.d_mlp > 0,
        parallel=spec.parallel and spec.d_mlp > 0,
        windows=spec.windows if any(spec.windows) else (),
        n_kv_heads=spec.n_kv_heads,
        gated_mlp=spec.gated_mlp,
        normed_hidden=spec.act_fn == "solu_ln",
        mixed_hidden=spec.act_fn in ("solu", "solu_ln"),
        d_vocab_out=0 if spec.d_out == spec.d_vocab else spec.d_out,
        bent_pattern=spec.attn_coeff != 1.0,
        causal=spec.causal,
    )


# model types of which `per_layer_config` is read
BY_LAYER = ("gemma4_text",)

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
    "gemma4_text": gemma4_shape,
    "bert": bert_shape,
    "roberta": roberta_shape,
    "modernbert": modernbert_shape,
    "modernbert-decoder": modernbert_decoder_shape,
    TOY: toy_shape,
    **dict.fromkeys(BUILDS, built_shape),
}
