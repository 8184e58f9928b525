"""The families built like Llama as parts for the tree, in float64 numpy, apart from the adapters.

Knows rotations of type `default` of neighbours and of halves, grouped queries, sliding windows,
norms of queries and keys, norms after attention and MLP, parallel blocks on one norm, MLPs without
a gate, soft-capping, clipping, scales of embeddings, writes and logits, fused projections, sinks
and mixtures of experts (`mixtures.py`).

Source: the modelling files of `transformers` 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import INPUT, Environment, PlaceNode
from .mixtures import mixture
from .recurrent import DeltaNet, delta_net
from .tree import Array, Norm, _array

Function = Callable[..., Array]


def _same(x: Array, like: Array | None = None) -> Array:
    return x


def _rms(module: Any, offset: float = 0.0) -> Function:
    """An RMSNorm over the last axis; Gemma's weights are counted from one."""
    gain = offset + _array(module.weight)
    epsilon = getattr(module, "variance_epsilon", None) or module.eps

    def norm(x: Array, like: Array | None = None) -> Array:
        square = (x if like is None else like) ** 2
        return x / np.sqrt(square.mean(axis=-1, keepdims=True) + epsilon) * gain

    return norm


_WHOLE = {"q": "query", "k": "key"}
_DELTAS = ("qwen3_5_text", "qwen3_5_moe_text", "qwen3_next")
_PARALLEL = ("phi", "cohere", "cohere2")
_POST = (None, "post_attention_layernorm", None, "post_feedforward_layernorm")
_AROUND = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
           "post_feedforward_layernorm")  # fmt: skip
# kind -> names of the norms before and after attention, before and after the MLP
_NORMS: Mapping[str, tuple[str | None, ...]] = {
    "olmo2": _POST,
    "olmo3": _POST,
    "exaone4": _POST,
    "gemma2": _AROUND,
    "gemma3_text": _AROUND,
    "glm4": ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm",
             "post_mlp_layernorm"),
}  # fmt: skip


def _is_parallel(config: Any) -> bool:
    return config.model_type in _PARALLEL or bool(getattr(config, "use_parallel_residual", False))


def _capped(x: Array, cap: float | None) -> Array:
    return x if cap is None else cap * np.tanh(x / cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One block; weights as they are stored, (out, in)."""

    weight: Mapping[str, Array]  # slot -> (stored heads * d_head, d_model)
    bias: Mapping[str, Array]
    before: Mapping[str, Function]  # "a", "m" -> the norm before attention, MLP
    after: Mapping[str, Function]  # the norm after
    head_norm: Mapping[str, Sequence[Function]]  # "q", "k" -> of each stored head
    out: Array  # (d_model, n_heads * d_head)
    out_bias: Array
    mlp: Function
    neuron: Callable[[int, Array], Array]  # what one hidden unit adds
    angles: Array  # of a position, one for each pair that is turned
    pairs: Sequence[tuple[int, int]]
    window: int | None
    sinks: Array | None  # (n_heads,)
    turned_norm: Function  # of queries and keys that are rotated already
    heat: Callable[[int], float]  # by what a query is multiplied
    gate: tuple[Array, Array] | None  # (n_heads, d_head, d_model), (n_heads, d_head)
    recurrence: DeltaNet | None  # in the place of heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """A model taken apart into layers."""

    env: Environment
    kind: str
    clip: float | None
    scale: float  # of scores, before its root
    cap: float | None  # of scores
    last_cap: float | None  # of logits
    tokens: Array
    layers: tuple[Layer, ...]
    final_norm: Function
    unembedding: Array
    unembedding_bias: Array
    size: int  # d_head
    residual: float  # scale of what heads write
    logit: float  # scale of logits
    growth: tuple[float, float] | None  # of queries with their position
    norms: bool = True  # whether norms have the scales that they have on `like`
    routing: bool = False  # whether experts are those that `like` is given

    @classmethod
    def of(cls, model: Any) -> Gated:
        """The parts of an unmodified model in float64."""
        config, body = model.config, model.model
        scale = np.sqrt(config.hidden_size) if config.model_type.startswith("gemma") else 1.0
        scale *= getattr(config, "embedding_multiplier", 1.0)
        rope = config.rope_parameters
        growth = rope.get("llama_4_scaling_beta")
        size = getattr(config, "head_dim", None)
        size = size or config.hidden_size // config.num_attention_heads
        return cls(
            env=Environment(
                n_layers=config.num_hidden_layers,
                n_heads=config.num_attention_heads,
                rows=(),
                n_kv_heads=config.num_key_value_heads,
                parallel=_is_parallel(config),
                recurrent=frozenset(
                    at for at, block in enumerate(body.layers) if hasattr(block, "linear_attn")
                ),
            ),
            kind=config.model_type,
            clip=getattr(config, "clip_qkv", None),
            scale=getattr(config, "query_pre_attn_scalar", None)
            or getattr(config, "attention_multiplier", size**-0.5) ** -2,
            cap=config.attn_logit_softcapping if config.model_type == "gemma2" else None,
            last_cap=getattr(config, "final_logit_softcapping", None),
            tokens=_array(body.embed_tokens.weight) * scale,
            layers=tuple(_layer(config, block, at, size) for at, block in enumerate(body.layers)),
            final_norm=_norm_of(config, getattr(body, "norm", None) or body.final_layernorm),
            unembedding=_array(model.lm_head.weight),
            unembedding_bias=_bias(model.lm_head),
            size=size,
            residual=getattr(config, "residual_multiplier", 1.0),
            logit=getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0),
            growth=growth and (growth, rope["original_max_position_embeddings"]),
        )

    def embed(self, ids: Sequence[int]) -> Array:
        """Token embeddings, (T, d_model)."""
        return self.tokens[list(ids)]

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """Layer by layer: the norm of all heads' writes and the bias, then the MLP's value."""
        total = values[INPUT]
        for number, layer in enumerate(self.layers):
            if ("a", number, 0) in values:
                written = self._attention(number, values)
                held = like if self.norms else None
                other = None if held is None else self._attention(number, held)
                total = total + layer.after["a"](written, other)
            if ("m", number) in values:
                total = total + values["m", number]
            for node, value in values.items():
                if node[0] == "n" and node[1] == number:
                    total = total + value
        return total

    def _attention(self, number: int, values: Mapping[PlaceNode, Array]) -> Array:
        """What all heads of a layer write, and the bias, before the norm after attention."""
        if self.layers[number].recurrence is not None:
            return values["a", number, 0]
        heads = [values["a", number, head] for head in range(self.env.n_heads)]
        layer = self.layers[number]
        return self.residual * (layer.out @ np.concatenate(heads) + layer.out_bias)

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """The last positions up to its own, as many as the window holds."""
        window = self.layers[node[1]].window
        return range(0 if window is None else max(0, at + 1 - window), at + 1)

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A query head's query, key or value (d_head,)."""
        layer = self.layers[node[1]]
        held = like if self.norms else None
        normed = layer.before["a"](stream, held)
        whole = layer.weight[slot] @ normed + layer.bias[slot]
        norms = layer.head_norm.get(slot)
        if norms and self.kind in ("olmo2", "olmo3", "olmoe"):
            whole, norms = norms[0](whole), None
        if self.clip:
            whole = np.clip(whole, -self.clip, self.clip)
        stored = len(whole) // self.size
        which = node[2] // (self.env.n_heads // stored)
        own = whole[which * self.size : (which + 1) * self.size]
        late = self.kind == "hunyuan_v1_dense"  # behind the rotation
        own = norms[which](own) if norms and not late else own
        if slot == "v":
            return own
        turned = own.copy()
        for angle, (one, two) in zip(at * layer.angles, layer.pairs, strict=True):
            turned[one] = own[one] * np.cos(angle) - own[two] * np.sin(angle)
            turned[two] = own[two] * np.cos(angle) + own[one] * np.sin(angle)
        turned = norms[which](turned) if norms and late else turned
        if slot == "q" and self.growth is not None:
            beta, original = self.growth  # in float32 in `transformers`
            turned = turned * float(1 + np.float32(beta) * np.log1p(np.float32(at // original)))
        turned = layer.turned_norm(turned) * (layer.heat(at) if slot == "q" else 1.0)
        if slot == "q" and layer.gate is not None:
            gate = layer.gate[0][node[2]] @ normed + layer.gate[1][node[2]]
            return np.concatenate([turned, gate])
        return turned

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query."""
        query, gate = query[: self.size], query[self.size :]
        values = values / (1 + np.exp(-gate)) if len(gate) else values
        scores = _capped(keys @ query / np.sqrt(self.scale), self.cap)
        sinks = self.layers[node[1]].sinks
        most = scores.max() if sinks is None else max(scores.max(), sinks[node[2]])
        weights = np.exp(scores - most)
        beside = 0.0 if sinks is None else np.exp(sinks[node[2]] - most)
        return (weights / (weights.sum() + beside)) @ values

    def recur(
        self, node: PlaceNode, streams: Sequence[Array], like: Sequence[Array | None]
    ) -> Array:
        """What a DeltaNet writes at the last of some tokens, (d_model,)."""
        layer, run = self.layers[node[1]], self.layers[node[1]].recurrence
        assert run is not None
        held = like if self.norms else [None] * len(streams)
        return run([layer.before["a"](x, other) for x, other in zip(streams, held, strict=True)])

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What the MLP adds, after its own norm."""
        layer = self.layers[node[1]]
        held = like if self.norms else None
        routed = layer.before["m"](like) if self.routing and like is not None else None
        other = None if held is None else layer.mlp(layer.before["m"](held))
        written = layer.mlp(layer.before["m"](stream, held), routed)
        return self.residual * layer.after["m"](written, other)

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit adds; of models without a norm behind the MLP."""
        layer = self.layers[node[1]]
        return self.residual * layer.neuron(
            node[2], layer.before["m"](stream, like if self.norms else None)
        )

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab,) of the last stream."""
        held = like if self.norms else None
        logits = self.unembedding @ self.final_norm(stream, held) + self.unembedding_bias
        return _capped(self.logit * logits, self.last_cap)


def _norm_of(config: Any, module: Any) -> Function:
    if config.model_type == "olmo":
        size = config.hidden_size
        return Norm(gain=np.ones(size), shift=np.zeros(size), epsilon=1e-5)
    if config.model_type.startswith("cohere"):
        gain = _array(module.weight)
        return Norm(gain=gain, shift=np.zeros_like(gain), epsilon=module.variance_epsilon)
    if "LayerNorm" in type(module).__name__:
        shift = np.zeros(1) if module.bias is None else _array(module.bias)
        gain = _array(module.weight) + (1.0 if config.model_type == "nemotron" else 0.0)
        return Norm(gain=gain, shift=shift, epsilon=module.eps)
    from_one = config.model_type.startswith("gemma") or config.model_type in _DELTAS
    return _rms(module, 1.0 if from_one else 0.0)


def _recurrent_layer(config: Any, block: Any) -> Layer:
    """A Qwen 3.5's layer with a DeltaNet."""
    names = "input_layernorm", "post_attention_layernorm"
    before = [_norm_of(config, getattr(block, name)) for name in names]
    return Layer(
        weight={}, bias={}, before=dict(zip("am", before, strict=True)),
        after={"a": _same, "m": _same}, head_norm={}, out=np.zeros(0), out_bias=np.zeros(0),
        mlp=_any_mlp(block.mlp, config), neuron=_neuron(block.mlp, config), angles=np.zeros(0),
        pairs=(), window=None, sinks=None, turned_norm=_same, heat=lambda at: 1.0, gate=None,
        recurrence=delta_net(config, block.linear_attn),
    )  # fmt: skip


def _layer(config: Any, block: Any, number: int, size: int) -> Layer:
    if hasattr(block, "linear_attn"):
        return _recurrent_layer(config, block)
    kind, attention = config.model_type, block.self_attn
    queries, stored = config.num_attention_heads * size, config.num_key_value_heads * size
    if kind == "phi3":
        parts = np.split(_array(attention.qkv_proj.weight), [queries, queries + stored])
        weight = dict(zip("qkv", parts, strict=True))
        bias = {slot: np.zeros(len(weight[slot])) for slot in "qkv"}
    else:
        modules = {slot: getattr(attention, f"{slot}_proj") for slot in "qkv"}
        weight = {slot: _array(part.weight) for slot, part in modules.items()}
        bias = {slot: _bias(part) for slot, part in modules.items()}
    gate = None
    if kind in _DELTAS:
        halves = weight["q"].reshape(config.num_attention_heads, 2, size, -1)
        biases = bias["q"].reshape(config.num_attention_heads, 2, size)
        weight["q"], bias["q"] = halves[:, 0].reshape(queries, -1), biases[:, 0].reshape(queries)
        gate = halves[:, 1], biases[:, 1]
    around = _NORMS.get(kind, ("input_layernorm", None, "post_attention_layernorm", None))
    if _is_parallel(config):
        around = ("input_layernorm", None, "input_layernorm", None)
    norms = [_same if name is None else _norm_of(config, getattr(block, name)) for name in around]
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    everywhere = kind in ("mistral", "phi3", "starcoder2", "ministral3", "mixtral", "qwen3_moe")
    slides = everywhere or types[number] == "sliding_attention"
    rotates = kind not in ("smollm3", "llama4_text") or config.no_rope_layers[number]
    rotates = rotates and (kind != "cohere2" or slides)
    rotates = rotates and (kind != "exaone4" or slides or config.sliding_window is None)
    angles, pairs = _rotation(config, types[number], size)
    if kind == "granite_swa":
        rotates = bool(config.layer_rope_theta[number])
        if rotates:
            angles = config.layer_rope_theta[number] ** -(np.arange(0, size, 2) / size)
    part = block.feed_forward if kind == "llama4_text" else block.mlp
    out = attention.dense if kind == "phi" else attention.o_proj
    return Layer(
        weight=weight,
        bias=bias,
        before={"a": norms[0], "m": norms[2]},
        after={"a": norms[1], "m": norms[3]},
        head_norm={slot: _head_norms(config, attention, slot) for slot in "qk"},
        out=_array(out.weight),
        out_bias=_bias(out),
        mlp=_any_mlp(part, config),
        neuron=_neuron(part, config),
        angles=angles if rotates else np.zeros(0),
        pairs=pairs if rotates else (),
        window=getattr(config, "sliding_window", None) if slides else None,
        sinks=_array(attention.sinks) if hasattr(attention, "sinks") else None,
        turned_norm=_unit(config) if hasattr(attention, "qk_norm") else _same,
        heat=_heat(config) if kind == "llama4_text" and not rotates else lambda at: 1.0,
        gate=gate,
        recurrence=None,
    )


def _any_mlp(part: Any, config: Any) -> Function:
    if hasattr(part, "experts"):
        return mixture(config, part, lambda module: _mlp(module, config))
    return _mlp(part, config)


def _unit(config: Any) -> Function:
    """A norm without a gain."""

    def norm(x: Array, like: Array | None = None) -> Array:
        return x / np.sqrt((x**2).mean() + config.rms_norm_eps)

    return norm


def _heat(config: Any) -> Callable[[int], float]:
    """By what queries of a Llama 4 grow with their position."""
    if not config.attn_temperature_tuning:
        return lambda at: 1.0
    return lambda at: float(
        np.log1p(np.floor((at + 1) / config.floor_scale)) * config.attn_scale + 1
    )


def _bias(module: Any) -> Array:
    if module.bias is None:
        return np.zeros(module.weight.shape[0])
    return _array(module.bias)


def _rotation(config: Any, kind: str, size: int) -> tuple[Array, list[tuple[int, int]]]:
    """Angles of one position and the entries that each turns against each other."""
    rope = config.rope_parameters
    rope = rope.get(kind, rope)
    width = int(size * rope.get("partial_rotary_factor", 1.0))
    angles = rope["rope_theta"] ** -(np.arange(0, width, 2) / width)
    half = len(angles)
    neighbours = config.model_type in (
        "cohere",
        "cohere2",
        "glm",
        "glm4",
        "ernie4_5",
        "llama4_text",
    )
    pairs = [(2 * i, 2 * i + 1) if neighbours else (i, i + half) for i in range(half)]
    return angles, pairs


def _head_norms(config: Any, attention: Any, slot: str) -> list[Function]:
    """The norm of queries or keys of each stored head; none where there is none."""
    names = f"{slot}_norm", f"{slot}_layernorm", f"{_WHOLE[slot]}_layernorm"
    module = next((getattr(attention, name) for name in names if hasattr(attention, name)), None)
    stored = config.num_attention_heads if slot == "q" else config.num_key_value_heads
    if module is None:
        return []
    if hasattr(module, "norms"):
        return [_norm_of(config, norm) for norm in module.norms]
    if config.model_type == "cohere":
        gains, epsilon = _array(module.weight), module.variance_epsilon
        return [Norm(gain=gain, shift=np.zeros(1), epsilon=epsilon) for gain in gains]
    return [_norm_of(config, module)] * stored


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _relu2(x: Array) -> Array:
    return np.maximum(x, 0) ** 2


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _matrices(module: Any, kind: str) -> tuple[list[tuple[Array, Array]], tuple[Array, Array]]:
    """Weight and bias of what leads into the hidden units, the activated first, and out of them."""
    if kind in ("phi3", "glm", "glm4"):
        halves = np.split(_array(module.gate_up_proj.weight), 2)
        return [(half, np.zeros(len(half))) for half in halves], _affine(module.down_proj)
    names: Mapping[str, Sequence[str]] = {
        "phi": ("fc1", "fc2"), "starcoder2": ("c_fc", "c_proj"),
        "arcee": ("up_proj", "down_proj"), "nemotron": ("up_proj", "down_proj"),
    }  # fmt: skip
    *into, out = names.get(kind, ("gate_proj", "up_proj", "down_proj"))
    return [_affine(getattr(module, name)) for name in into], _affine(getattr(module, out))


def _affine(module: Any) -> tuple[Array, Array]:
    return _array(module.weight), _bias(module)


def _activation(config: Any) -> Function:
    name = getattr(config, "hidden_activation", None) or config.hidden_act
    return {"silu": _silu, "relu2": _relu2, "gelu_pytorch_tanh": _gelu, "gelu_new": _gelu}[name]


def _mlp(module: Any, config: Any) -> Function:
    ((asks, asks_bias), *gates), (down, down_bias) = _matrices(module, config.model_type)
    act = _activation(config)

    def run(x: Array, like: Array | None = None) -> Array:
        hidden = act(asks @ x + asks_bias)
        for weight, bias in gates:
            hidden = hidden * (weight @ x + bias)
        return down @ hidden + down_bias

    return run


def _neuron(module: Any, config: Any) -> Callable[[int, Array], Array]:
    if hasattr(module, "experts"):  # no node
        return lambda number, x: np.full_like(x, np.nan)
    ((asks, asks_bias), *gates), (down, _) = _matrices(module, config.model_type)
    act = _activation(config)

    def run(number: int, x: Array) -> Array:
        hidden = act(asks[number] @ x + asks_bias[number])
        for weight, bias in gates:
            hidden = hidden * (weight[number] @ x + bias[number])
        return hidden * down[:, number]

    return run
