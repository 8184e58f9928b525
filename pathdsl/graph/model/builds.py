"""The families that are built alike, each as one table of names and switches.

A decoder with rotary positions whose layers add what attention writes to the residual stream and
then what an MLP writes. Families of `transformers` differ in which norms there are and where, in
the names of modules and of config fields, in windows, rotations, scales and caps. All of that is
said here, once for a family, and read by `pathdsl.graph.model.decoders` and by
`pathdsl.engine.adapters.llama`. A family that needs no more than that is one entry of `BUILDS`:
what Llama is, and what differs. No torch.

    >>> BUILDS["qwen3"].file, BUILDS["qwen3"].head_norms is None
    ('qwen3', False)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pathdsl.graph.model.fields import Config, UnsupportedConfig, integer
from pathdsl.graph.model.mixtures import Mixtures, all_mixed, interleaved, stepped
from pathdsl.graph.model.recurrence import Recurrences, delta_nets
from pathdsl.record import record

__all__ = [
    "BUILDS",
    "MIXTURES",
    "Build",
    "HeadNorms",
    "Routed",
    "check_lists",
    "in_one_chunk",
    "rotary_layers",
    "windows_of",
]

Slides = Callable[[Config, int, object], list[bool]]
Windows = Sequence[int | None]
Switch = bool | str
"""Always so or never, or the field of the config that says it."""


@record
class HeadNorms:
    """Norms of queries and keys.

    `names`: the two modules of attention. `norm`: their class, as in `Build.norm`. `over`: what one
    norm sees, `head` each head with one gain for all, `all` all heads at once, `own` each head with
    a gain of its own, `list` the same as a list of norms. `switch`: whether they are there.
    `rotated`: whether they stand behind the rotation.
    """

    names: tuple[str, str]
    norm: str
    over: Literal["head", "all", "own", "list"]
    switch: Switch
    rotated: bool


@record
class Routed:
    """The modules of an MLP that routes; names of classes are without the prefix.

    `block`: its class. `router`: name of the module that routes, and `router_class` its class, with
    a prefix of its own. `shared`: the MLP that every token uses, and `shared_gate` the linear map
    whose sigmoid gates it, empty where there is none. `stacked`: parameters of the experts.
    """

    block: str
    router: str
    router_class: str
    shared: str
    shared_gate: str
    stacked: tuple[str, ...]


@record
class Build:
    """How one family is built. Empty names stand for what there is not.

    Of its config:

    - `absent`: what an absent field means, as in `transformers`; every other one is None or has to
      be given; `reads_head_dim`: whether `head_dim` is read.
    - `slides(config, n_layers, window)`: which layers see a window alone, None for no layer;
      `listed`: whether `layer_types` says so instead; `switched`: whether there is a window only
      where `use_sliding_window` says so.
    - `rotates(config, windows)`: in which layers queries and keys are rotated, None for all;
      `yarn_is_long`: whether `yarn` changes with the length of a batch, as `longrope` does.
    - `parallel`: attention and MLP read the same stream, and where they do, `shares_norm` says that
      they read it through one norm.

    Of its modules, `file` and `prefix` being where their classes are and what these begin with:

    - `model`, `norm` and `embedding` are classes without that prefix, or `nn.` and one of torch;
      `final`: the norm before the unembedding.
    - norms of a layer `before_attention`, `after_attention`, `before_mlp` and `after_mlp`.
    - projections `query`, `key`, `value`, or `fused` of all three in this order, and `out`;
      `gate` and `up`, or `gate_up` of both in this order, and `down`; `up` alone where the MLP has
      no gate. Whatever module is named `activation` may be any of `transformers`.

    Of what is computed:

    - `clip`: field of the bound of queries, keys and values; `score_cap`, `logit_cap`: fields of
      the soft caps of scores and logits.
    - `neighbours`: a rotation turns pairs of neighbours, not of halves; `table_of_halves`: though
      its angles are listed by halves; `rotates_in_float32`: whatever the dtype; `by_kind`: kinds of
      layers have rotations of their own; `partial`: what of a head is rotated is a whole number of
      pairs, or `transformers` cannot run it.
    - `mixture(config, n_layers)`: which MLPs are mixtures of experts, None for none; `routed`: what
      they are made of; `dense`: the field that says how wide the others are; `mlp`: the name of
      either; `whole`: the prefix of the whole model's class, where it is another.
    - `sinks`: heads have a constant in their softmax, the parameter `sinks` of attention;
      `half_tables`: angles are listed once for both halves; `rotary`: the class that lists them.
    - `gated_heads`: each head has a gate behind its query in one projection.
    - `recurrence(config, n_layers)`: in which layers a recurrence stands in the place of heads,
      None for none; `delta_inputs`: the linear maps that lead into one.
    - `query_scale`: queries grow with their position, as in Llama 4.
    - `embedding_scale`, `residual_scale`, `logit_factor`, `logit_divisor`: fields of what
      embeddings, all that is written to the stream, and logits are multiplied or divided by.
    """

    file: str
    prefix: str
    model: str
    norm: str
    embedding: str
    final: str

    absent: Mapping[str, object]
    reads_head_dim: bool
    slides: Slides | None
    listed: bool
    switched: bool
    rotates: Callable[[Config, Windows], list[bool]] | None
    yarn_is_long: bool
    parallel: Switch
    shares_norm: bool

    before_attention: str
    after_attention: str
    before_mlp: str
    after_mlp: str
    query: str
    key: str
    value: str
    fused: str
    out: str
    head_norms: HeadNorms | None
    gate: str
    up: str
    gate_up: str
    down: str
    activation: str

    clip: str
    score_cap: str
    logit_cap: str
    neighbours: bool
    table_of_halves: bool
    rotates_in_float32: bool
    by_kind: bool
    partial: bool
    query_scale: bool
    embedding_scale: str
    residual_scale: str
    logit_factor: str
    logit_divisor: str

    mixture: Mixtures | None
    routed: Routed | None
    dense: str
    mlp: str
    whole: str
    sinks: bool
    half_tables: bool
    gated_heads: bool
    rotary: str
    recurrence: Recurrences | None
    delta_inputs: tuple[str, ...]

    @property
    def gated(self) -> bool:
        """Whether an MLP has a gate."""
        return bool(self.gate or self.gate_up)

    @property
    def scales(self) -> tuple[str, ...]:
        """The fields of a config that multiply or divide something."""
        every = self.embedding_scale, self.residual_scale, self.logit_factor, self.logit_divisor
        return tuple(name for name in every if name)

    def is_parallel(self, config: Config) -> bool:
        """Whether attention and MLP of this model read the same stream."""
        return on(self.parallel, config)

    def before_mlp_in(self, config: Config) -> str:
        """The norm through which an MLP of this model reads the stream, empty for none."""
        shared = self.shares_norm and self.is_parallel(config)
        return self.before_attention if shared else self.before_mlp

    def norms_in(self, config: Config) -> tuple[str, ...]:
        """The norms of a layer of this model."""
        every = (
            self.before_attention, self.after_attention, self.before_mlp_in(config), self.after_mlp
        )  # fmt: skip
        return tuple(dict.fromkeys(name for name in every if name))

    def norms_heads(self, config: Config) -> bool:
        """Whether queries and keys of this model are normed."""
        return self.head_norms is not None and on(self.head_norms.switch, config)


def on(switch: Switch, config: Config) -> bool:
    """What a switch says of a model."""
    return bool(config.get(switch)) if isinstance(switch, str) else switch


# -------------------------------------------------------------------------------------------------
# Which layers have a window, which are rotated.


def _everywhere(config: Config, n_layers: int, window: object) -> list[bool]:
    return [window is not None] * n_layers


def _above(config: Config, n_layers: int, window: object) -> list[bool]:
    first = n_layers if window is None else integer(config, "max_window_layers")
    return [layer >= first for layer in range(n_layers)]


def _unrotated(config: Config, n_layers: int, window: object) -> list[bool]:
    some = bool(config.get("use_sliding_window")) and window is not None
    return [some and not rotates for rotates in rotary_layers(config, n_layers)]


def _in_turn(config: Config, n_layers: int, window: object) -> list[bool]:
    return [layer % 2 == 0 for layer in range(n_layers)]


def _but_every(config: Config, n_layers: int, window: object) -> list[bool]:
    every = config.get("_sliding_window_pattern", config["sliding_window_pattern"])
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        if isinstance(config.get("layer_types"), list | tuple):
            return [False] * n_layers  # they say it, and this is not read
        raise ValueError("config has no integer `sliding_window_pattern`")
    return [bool((layer + 1) % every) for layer in range(n_layers)]


def _first_of_two(config: Config, n_layers: int, window: object) -> list[bool]:
    """Every other layer below `max_window_layers`, and only with `use_sliding_window`."""
    below = integer(config, "max_window_layers") if config.get("use_sliding_window") else 0
    return [layer % 2 == 0 and layer < below for layer in range(n_layers)]


def _but_fourths(config: Config, n_layers: int, window: object) -> list[bool]:
    return [layer % 4 != 0 for layer in range(n_layers)]


def _but_every_unlisted(config: Config, n_layers: int, window: object) -> list[bool]:
    """EXAONE 4: `sliding_window_pattern` may be a word where `layer_types` says it."""
    if isinstance(config.get("layer_types"), list | tuple):
        return [False] * n_layers
    every = config["sliding_window_pattern"]
    if window is None or not isinstance(every, int) or every < 1:
        raise ValueError(
            "it has no `layer_types`, without which `transformers` wants a `sliding_window` and an "
            "integer `sliding_window_pattern`"
        )
    return _but_every(config, n_layers, window)


def rotary_layers(config: Config, n_layers: int) -> list[bool]:
    """For each layer of a SmolLM3 or Llama 4 whether queries and keys are rotated by position."""
    listed = config.get("no_rope_layers")  # 1 where a layer *has* rotary embeddings
    if isinstance(listed, list | tuple) and listed:
        return [bool(rotates) for rotates in listed]
    every = integer(config, "no_rope_layer_interval", 4)
    return [bool((layer + 1) % every) for layer in range(n_layers)]


def windows_of(build: Build, config: Config, n_layers: int) -> tuple[int | None, ...]:
    """For each layer how many positions a head sees, None for all."""
    if build.slides is None:
        return (None,) * n_layers
    sliding = config.get("sliding_window")
    if build.switched and not config.get("use_sliding_window"):
        sliding = None
    slides = build.slides(config, n_layers, sliding)
    kinds = config.get("layer_types")
    if isinstance(kinds, list | tuple) and build.listed:
        if strange := sorted(set(map(str, kinds)) - {"full_attention", "sliding_attention"}):
            raise UnsupportedConfig(f"the config has layers of type `{strange[0]}`")
        if len(kinds) != n_layers:
            raise ValueError(f"{len(kinds)} `layer_types` for {n_layers} layers")
        slides = [kind == "sliding_attention" for kind in kinds]
    if any(slides) and (not isinstance(sliding, int) or sliding < 1):
        raise ValueError("config has sliding layers and no `sliding_window`")
    return tuple(integer(config, "sliding_window") if slide else None for slide in slides)


def check_lists(config: Config, n_layers: int) -> None:
    """Raise for lists of something of each layer that are too short for the layers."""
    for key in ("layer_rope_theta", "no_rope_layers"):
        listed = config.get(key)
        if isinstance(listed, list | tuple) and 0 < len(listed) < n_layers:
            raise ValueError(f"{len(listed)} `{key}` for {n_layers} layers")


def in_one_chunk(build: Build, config: Config, n_layers: int) -> int:
    """How many positions lie in one chunk, where layers attend within chunks (Llama 4).

    Within the first chunk such a layer sees all that stands before, as others do.
    """
    if "attention_chunk_size" not in build.absent:
        return sys.maxsize
    kinds = config.get("layer_types")
    if isinstance(kinds, list | tuple):
        if strange := sorted(set(map(str, kinds)) - {"full_attention", "chunked_attention"}):
            raise UnsupportedConfig(f"the config has layers of type `{strange[0]}`")
        if len(kinds) != n_layers:
            raise ValueError(f"{len(kinds)} `layer_types` for {n_layers} layers")
        if "chunked_attention" not in kinds:
            return sys.maxsize
    return integer(config, "attention_chunk_size")


# -------------------------------------------------------------------------------------------------
# The table.

_LLAMA = Build(
    file="llama", prefix="Llama", model="Model", norm="RMSNorm", embedding="nn.Embedding",
    final="norm",
    absent={}, reads_head_dim=True, slides=None, listed=True, switched=False, rotates=None,
    yarn_is_long=False, parallel=False, shares_norm=False,
    before_attention="input_layernorm", after_attention="",
    before_mlp="post_attention_layernorm", after_mlp="",
    query="q_proj", key="k_proj", value="v_proj", fused="", out="o_proj", head_norms=None,
    gate="gate_proj", up="up_proj", gate_up="", down="down_proj", activation="act_fn",
    clip="", score_cap="", logit_cap="",
    neighbours=False, table_of_halves=False, rotates_in_float32=False, by_kind=False,
    partial=False, query_scale=False,
    embedding_scale="", residual_scale="", logit_factor="", logit_divisor="",
    mixture=None, routed=None, dense="intermediate_size", mlp="mlp", whole="", sinks=False,
    half_tables=False, gated_heads=False, rotary="RotaryEmbedding", recurrence=None,
    delta_inputs=(),
)  # fmt: skip
_HEAD_NORMS = HeadNorms(
    names=("q_norm", "k_norm"), norm="RMSNorm", over="head", switch=True, rotated=False
)
_QWEN2 = replace(
    _LLAMA, file="qwen2", prefix="Qwen2", slides=_above, switched=True,
    absent={"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28},
)  # fmt: skip
_OLMO2 = replace(
    _LLAMA, file="olmo2", prefix="Olmo2", head_norms=replace(_HEAD_NORMS, over="all"),
    before_attention="", after_attention="post_attention_layernorm",
    before_mlp="", after_mlp="post_feedforward_layernorm",
)  # fmt: skip
_GEMMA = replace(
    _LLAMA, file="gemma", prefix="Gemma", embedding="TextScaledWordEmbedding",
    absent={"num_key_value_heads": 16, "head_dim": 256},
)  # fmt: skip
_GEMMA2 = replace(
    _GEMMA, file="gemma2", prefix="Gemma2", slides=_in_turn,
    absent={"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096},
    after_attention="post_attention_layernorm", before_mlp="pre_feedforward_layernorm",
    after_mlp="post_feedforward_layernorm",
    score_cap="attn_logit_softcapping", logit_cap="final_logit_softcapping",
)  # fmt: skip

_ROUTED = Routed(
    block="SparseMoeBlock", router="gate", router_class="TopKRouter", shared="", shared_gate="",
    stacked=("gate_up_proj", "down_proj"),
)  # fmt: skip
_SHARING = replace(_ROUTED, shared="shared_expert", shared_gate="shared_expert_gate")
_DELTA_SIZES: Mapping[str, object] = {
    "head_dim": 256, "full_attention_interval": 4, "linear_num_value_heads": 32,
    "linear_num_key_heads": 16, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
}  # fmt: skip
_QWEN35 = replace(
    _LLAMA, file="qwen3_5", prefix="Qwen3_5", model="TextModel", rotary="TextRotaryEmbedding",
    absent={**_DELTA_SIZES, "num_key_value_heads": 4}, head_norms=_HEAD_NORMS, gated_heads=True,
    recurrence=delta_nets, delta_inputs=("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"),
)  # fmt: skip
_MIXTRAL = replace(
    _LLAMA, file="mixtral", prefix="Mixtral", slides=_everywhere, listed=False,
    absent={"num_key_value_heads": 8, "usual_experts": 8, "num_experts_per_tok": 2},
    mixture=all_mixed, routed=replace(_ROUTED, router_class="MixtralTopKRouter"),
)  # fmt: skip
_PHI = replace(
    _LLAMA, file="phi", prefix="Phi", norm="nn.LayerNorm", final="final_layernorm",
    absent={"partial_rotary_factor": 0.5}, partial=True,
    parallel=True, shares_norm=True, before_mlp="", out="dense",
    head_norms=HeadNorms(
        names=("q_layernorm", "k_layernorm"), norm="nn.LayerNorm", over="head",
        switch="qk_layernorm", rotated=False,
    ),
    gate="", up="fc1", down="fc2", activation="activation_fn",
)  # fmt: skip
_COHERE2 = replace(
    _LLAMA, file="cohere2", prefix="Cohere2", norm="LayerNorm", slides=_but_every,
    absent={"sliding_window": 4096, "sliding_window_pattern": 4}, reads_head_dim=False,
    rotates=lambda config, windows: [window is not None for window in windows],
    parallel=True, shares_norm=True, before_mlp="",
    neighbours=True, rotates_in_float32=True, logit_factor="logit_scale",
)  # fmt: skip
_GLM = replace(
    _LLAMA, file="glm", prefix="Glm", absent={"num_key_value_heads": 2, "head_dim": 128},
    gate="", up="", gate_up="gate_up_proj", activation="activation_fn",
    neighbours=True, table_of_halves=True,
)  # fmt: skip

# model_type of a config -> how it is built
BUILDS: dict[str, Build] = {
    "llama": _LLAMA,
    "mistral": replace(
        _LLAMA, file="mistral", prefix="Mistral", slides=_everywhere, listed=False,
        absent={"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "qwen2": _QWEN2,
    "qwen3": replace(
        _QWEN2, file="qwen3", prefix="Qwen3", absent={**_QWEN2.absent, "head_dim": 128},
        head_norms=_HEAD_NORMS,
    ),
    "smollm3": replace(
        _LLAMA, file="smollm3", prefix="SmolLM3", slides=_unrotated,
        absent={"num_key_value_heads": 4, "no_rope_layer_interval": 4},
        rotates=lambda config, windows: rotary_layers(config, len(windows)),
    ),
    "olmo": replace(_LLAMA, file="olmo", prefix="Olmo", norm="LayerNorm", clip="clip_qkv"),
    "olmo2": _OLMO2,
    "phi3": replace(
        _LLAMA, file="phi3", prefix="Phi3", slides=_everywhere, listed=False, yarn_is_long=True,
        absent={"original_max_position_embeddings": 4096},
        query="", key="", value="", fused="qkv_proj",
        gate="", up="", gate_up="gate_up_proj", activation="activation_fn",
    ),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    # `transformers` takes `attn_logit_softcapping` and applies it nowhere.
    "gemma3_text": replace(
        _GEMMA2, file="gemma3", prefix="Gemma3", model="TextModel", slides=_but_every,
        absent={**_GEMMA2.absent, "sliding_window_pattern": 6}, head_norms=_HEAD_NORMS,
        by_kind=True, score_cap="",
    ),
    "mixtral": _MIXTRAL,
    "qwen2_moe": replace(
        _LLAMA, file="qwen2_moe", prefix="Qwen2Moe", slides=_first_of_two,
        absent={"num_key_value_heads": 16, "sliding_window": 4096, "max_window_layers": 28,
                "usual_experts": 60, "num_experts_per_tok": 4, "decoder_sparse_step": 1,
                "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
        mixture=stepped("shared_expert_intermediate_size"),
        routed=replace(_SHARING, router_class="Qwen2MoeTopKRouter"),
    ),
    "qwen3_moe": replace(
        _LLAMA, file="qwen3_moe", prefix="Qwen3Moe", slides=_everywhere, listed=False,
        switched=True, head_norms=_HEAD_NORMS,
        absent={"num_key_value_heads": 4, "sliding_window": 4096, "usual_experts": 128,
                "num_experts_per_tok": 8, "decoder_sparse_step": 1, "moe_intermediate_size": 768},
        mixture=stepped(""), routed=replace(_ROUTED, router_class="Qwen3MoeTopKRouter"),
    ),
    "olmoe": replace(
        _LLAMA, file="olmoe", prefix="Olmoe", reads_head_dim=False, clip="clip_qkv",
        head_norms=replace(_HEAD_NORMS, over="all"),
        absent={"usual_experts": 64, "num_experts_per_tok": 8},
        mixture=all_mixed, routed=replace(_ROUTED, router_class="OlmoeTopKRouter"),
    ),
    "gpt_oss": replace(
        _LLAMA, file="gpt_oss", prefix="GptOss", slides=_in_turn,
        absent={"num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128,
                "usual_experts": 128, "num_experts_per_tok": 4},
        mixture=all_mixed, sinks=True, half_tables=True,
        routed=replace(
            _ROUTED, block="MLP", router="router", router_class="GptOssTopKRouter",
            stacked=("gate_up_proj", "gate_up_proj_bias", "down_proj", "down_proj_bias"),
        ),
    ),
    "granite_swa": replace(
        _LLAMA, file="granite_swa", prefix="GraniteSWA", slides=_but_fourths, sinks=True,
        absent={"num_key_value_heads": 4, "sliding_window": 128},
        embedding_scale="embedding_multiplier", residual_scale="residual_multiplier",
        logit_divisor="logits_scaling",
    ),
    "qwen3_5_text": _QWEN35,
    "qwen3_5_moe_text": replace(
        _QWEN35, file="qwen3_5_moe", prefix="Qwen3_5Moe",
        mixture=stepped("shared_expert_intermediate_size"),
        absent={**_DELTA_SIZES, "num_key_value_heads": 2, "usual_experts": 256,
                "num_experts_per_tok": 8, "decoder_sparse_step": 1, "moe_intermediate_size": 512,
                "shared_expert_intermediate_size": 512},
        routed=replace(_SHARING, router_class="Qwen3_5MoeTopKRouter"),
        dense="moe_intermediate_size",
    ),
    "qwen3_next": replace(
        _QWEN35, file="qwen3_next", prefix="Qwen3Next", model="Model", rotary="RotaryEmbedding",
        delta_inputs=("in_proj_qkvz", "in_proj_ba"),
        mixture=stepped("shared_expert_intermediate_size"),
        absent={**_DELTA_SIZES, "num_key_value_heads": 2, "usual_experts": 512,
                "num_experts_per_tok": 10, "decoder_sparse_step": 1, "moe_intermediate_size": 512,
                "shared_expert_intermediate_size": 512},
        routed=replace(_SHARING, router_class="Qwen3NextTopKRouter"),
    ),
    "llama4_text": replace(
        _LLAMA, file="llama4", prefix="Llama4Text", whole="Llama4", mlp="feed_forward",
        activation="activation_fn", dense="intermediate_size_mlp",
        absent={"num_key_value_heads": 8, "head_dim": 128, "usual_experts": 16,
                "num_experts_per_tok": 1, "interleave_moe_layer_step": 1,
                "no_rope_layer_interval": 4, "attention_chunk_size": 8192,
                "intermediate_size_mlp": 16384, "intermediate_size": 8192},
        mixture=interleaved,
        routed=replace(
            _ROUTED, block="Moe", router="router", router_class="Llama4Router",
            shared="shared_expert",
        ),
    ),
    "olmo3": replace(
        _OLMO2, file="olmo3", prefix="Olmo3", slides=_but_every, by_kind=True,
        absent={"sliding_window": 4096, "sliding_window_pattern": 4},
    ),
    "starcoder2": replace(
        _LLAMA, file="starcoder2", prefix="Starcoder2", norm="nn.LayerNorm", slides=_everywhere,
        listed=False, absent={"num_key_value_heads": 2},
        gate="", up="c_fc", down="c_proj", activation="act",
    ),
    "granite": replace(
        _LLAMA, file="granite", prefix="Granite",
        embedding_scale="embedding_multiplier", residual_scale="residual_multiplier",
        logit_divisor="logits_scaling",
    ),
    "phi": _PHI,
    "ministral": replace(
        _LLAMA, file="ministral", prefix="Ministral", slides=_everywhere,
        absent={"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "ministral3": replace(
        _LLAMA, file="ministral3", prefix="Ministral3", slides=_everywhere, listed=False,
        absent={"num_key_value_heads": 8, "head_dim": 128}, query_scale=True,
    ),
    "stablelm": replace(
        _LLAMA, file="stablelm", prefix="StableLm", norm="nn.LayerNorm",
        absent={"num_key_value_heads": 32, "partial_rotary_factor": 0.25}, partial=True,
        reads_head_dim=False, parallel="use_parallel_residual", shares_norm=True,
        head_norms=HeadNorms(
            names=("q_layernorm", "k_layernorm"), norm="LayerNormPerHead", over="list",
            switch="qk_layernorm", rotated=False,
        ),
    ),
    "cohere": replace(
        _COHERE2, file="cohere", prefix="Cohere", slides=None, rotates=None, absent={},
        reads_head_dim=True,
        head_norms=HeadNorms(
            names=("q_norm", "k_norm"), norm="LayerNorm", over="own", switch="use_qk_norm",
            rotated=False,
        ),
    ),
    "cohere2": _COHERE2,
    "glm": _GLM,
    "glm4": replace(
        _GLM, file="glm4", prefix="Glm4",
        after_attention="post_self_attn_layernorm", after_mlp="post_mlp_layernorm",
    ),
    "seed_oss": replace(
        _LLAMA, file="seed_oss", prefix="SeedOss",
        absent={"num_key_value_heads": 8, "head_dim": 128},
    ),
    "arcee": replace(_LLAMA, file="arcee", prefix="Arcee", gate=""),
    "exaone4": replace(
        _OLMO2, file="exaone4", prefix="Exaone4", slides=_but_every_unlisted,
        absent={"num_key_value_heads": 32, "sliding_window": 4096, "sliding_window_pattern": 4},
        # Layers without a window are not rotated where others have one.
        rotates=lambda config, windows: [
            config.get("sliding_window") is None or window is not None for window in windows
        ],
        head_norms=_HEAD_NORMS,
    ),
    "nemotron": replace(
        _LLAMA, file="nemotron", prefix="Nemotron", norm="LayerNorm1P", gate="",
        absent={"partial_rotary_factor": 0.5},
    ),
    "hunyuan_v1_dense": replace(
        _LLAMA, file="hunyuan_v1_dense", prefix="HunYuanDenseV1",
        head_norms=replace(
            _HEAD_NORMS, names=("query_layernorm", "key_layernorm"), rotated=True
        ),
    ),
    "ernie4_5": replace(
        _LLAMA, file="ernie4_5", prefix="Ernie4_5",
        absent={"num_key_value_heads": 2, "head_dim": 128},
        neighbours=True, table_of_halves=True, rotates_in_float32=True,
    ),
}  # fmt: skip

MIXTURES = tuple(name for name, build in BUILDS.items() if build.mixture is not None)
"""Model types whose MLPs may be mixtures of experts."""
