"""The families built like Llama as parts for the tree, in float64 numpy, apart from the adapters.

Knows rotations of type `default`, grouped queries, sliding windows, norms of queries and keys,
norms after attention and MLP, soft-capping, clipping, scaled embeddings, fused projections, sinks,
multipliers and mixtures of experts (`mixtures.py`).

Source: the modelling files of `transformers` 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import INPUT, Environment, PlaceNode
from .mixtures import mixture
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


def _capped(x: Array, cap: float | None) -> Array:
    return x if cap is None else cap * np.tanh(x / cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One block; weights as they are stored, (out, in)."""

    weight: Mapping[str, Array]  # slot -> (stored heads * d_head, d_model)
    bias: Mapping[str, Array]
    before: Mapping[str, Function]  # "a", "m" -> the norm before attention, MLP
    after: Mapping[str, Function]  # the norm after
    head_norm: Mapping[str, Function]  # "q", "k"
    out: Array  # (d_model, n_heads * d_head)
    out_bias: Array
    mlp: Function
    neuron: Callable[[int, Array], Array]  # what one hidden unit adds
    base: float | None  # of the rotation; None: no rotation
    window: int | None
    sinks: Array | None = None  # (n_heads,)
    turned_norm: Function = _same  # of queries and keys that are rotated already
    heat: Callable[[int], float] = lambda at: 1.0  # by what a query is multiplied


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
    size: int  # d_head
    norms: bool = True  # whether norms have the scales that they have on `like`
    routing: bool = False  # whether experts are those that `like` is given

    @classmethod
    def of(cls, model: Any) -> Gated:
        """The parts of an unmodified model in float64."""
        config, body = model.config, model.model
        scale = np.sqrt(config.hidden_size) if config.model_type.startswith("gemma") else 1.0
        scale *= getattr(config, "embedding_multiplier", 1.0)
        size = getattr(config, "head_dim", None)
        size = size or config.hidden_size // config.num_attention_heads
        return cls(
            env=Environment(
                n_layers=config.num_hidden_layers,
                n_heads=config.num_attention_heads,
                rows=(),
                n_kv_heads=config.num_key_value_heads,
            ),
            kind=config.model_type,
            clip=getattr(config, "clip_qkv", None),
            scale=config.attention_multiplier**-2.0
            if hasattr(config, "attention_multiplier")
            else getattr(config, "query_pre_attn_scalar", None) or size,
            cap=config.attn_logit_softcapping if config.model_type == "gemma2" else None,
            last_cap=getattr(config, "final_logit_softcapping", None),
            tokens=_array(body.embed_tokens.weight) * scale,
            layers=tuple(_layer(config, block, at, size) for at, block in enumerate(body.layers)),
            final_norm=_norm_of(config, body.norm),
            unembedding=_array(model.lm_head.weight) / getattr(config, "logits_scaling", 1.0),
            size=size,
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
        heads = [values["a", number, head] for head in range(self.env.n_heads)]
        layer = self.layers[number]
        return layer.out @ np.concatenate(heads) + layer.out_bias

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """The last positions up to its own, as many as the window holds."""
        window = self.layers[node[1]].window
        return range(0 if window is None else max(0, at + 1 - window), at + 1)

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A query head's query, key or value (d_head,)."""
        layer = self.layers[node[1]]
        like = like if self.norms else None
        whole = layer.weight[slot] @ layer.before["a"](stream, like) + layer.bias[slot]
        norm = layer.head_norm.get(slot, _same)
        if self.kind in ("olmo2", "olmoe"):
            whole = norm(whole)
        if self.clip:
            whole = np.clip(whole, -self.clip, self.clip)
        stored = len(whole) // self.size
        which = node[2] // (self.env.n_heads // stored)
        own = whole[which * self.size : (which + 1) * self.size]
        if self.kind not in ("olmo2", "olmoe"):
            own = norm(own)
        if slot == "v" or layer.base is None:
            return own * (layer.heat(at) if slot == "q" else 1.0)
        half = self.size // 2
        angles = at * layer.base ** (-np.arange(half) / half)
        if self.kind == "llama4_text":
            turned = (own[0::2] + 1j * own[1::2]) * np.exp(1j * angles)
            return layer.turned_norm(np.stack([turned.real, turned.imag], 1).reshape(-1))
        one, two = own[:half], own[half:]
        return np.concatenate(
            [
                one * np.cos(angles) - two * np.sin(angles),
                two * np.cos(angles) + one * np.sin(angles),
            ]
        )

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query."""
        scores = _capped(keys @ query / np.sqrt(self.scale), self.cap)
        sinks = self.layers[node[1]].sinks
        if sinks is None:
            weights = np.exp(scores - scores.max())
            return (weights / weights.sum()) @ values
        weights = np.exp(scores - max(scores.max(), sinks[node[2]]))
        beside = np.exp(sinks[node[2]] - max(scores.max(), sinks[node[2]]))
        return (weights / (weights.sum() + beside)) @ values

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What the MLP adds, after its own norm."""
        layer = self.layers[node[1]]
        held = like if self.norms else None
        routed = layer.before["m"](like) if self.routing and like is not None else None
        other = None if held is None else layer.mlp(layer.before["m"](held))
        return layer.after["m"](layer.mlp(layer.before["m"](stream, held), routed), other)

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit adds; of models without a norm behind the MLP."""
        layer = self.layers[node[1]]
        return layer.neuron(node[2], layer.before["m"](stream, like if self.norms else None))

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab,) of the last stream."""
        held = like if self.norms else None
        return _capped(self.unembedding @ self.final_norm(stream, held), self.last_cap)


def _norm_of(config: Any, module: Any) -> Function:
    if config.model_type == "olmo":
        size = config.hidden_size
        return Norm(gain=np.ones(size), shift=np.zeros(size), epsilon=1e-5)
    return _rms(module, 1.0 if config.model_type.startswith("gemma") else 0.0)


def _layer(config: Any, block: Any, number: int, size: int) -> Layer:
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
    names = {
        "olmo2": (None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
        "gemma2": ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                   "post_feedforward_layernorm"),
    }  # fmt: skip
    names["gemma3_text"] = names["gemma2"]
    around = names.get(kind, ("input_layernorm", None, "post_attention_layernorm", None))
    norms = [_same if name is None else _norm_of(config, getattr(block, name)) for name in around]
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    everywhere = ("mistral", "phi3", "mixtral", "qwen3_moe")
    slides = kind in everywhere or types[number] == "sliding_attention"
    rope = config.rope_parameters
    rope = rope[types[number]] if kind == "gemma3_text" else rope
    rotates = kind not in ("smollm3", "llama4_text") or config.no_rope_layers[number]
    base = rope["rope_theta"] if rotates else None
    if kind == "granite_swa":
        base = config.layer_rope_theta[number] or None
    times = getattr(config, "residual_multiplier", 1.0)
    part = block.feed_forward if kind == "llama4_text" else block.mlp
    if hasattr(part, "experts"):
        mlp = mixture(config, part, lambda module: _mlp(module, kind))
    else:
        mlp = _mlp(part, kind)
    neuron = _neuron(part, kind)
    return Layer(
        weight=weight,
        bias=bias,
        before={"a": norms[0], "m": norms[2]},
        after={"a": norms[1], "m": norms[3]},
        head_norm={
            slot: _norm_of(config, getattr(attention, f"{slot}_norm"))
            for slot in "qk"
            if hasattr(attention, f"{slot}_norm")
        },
        out=_array(attention.o_proj.weight) * times,
        out_bias=_bias(attention.o_proj) * times,
        mlp=lambda x, like=None: mlp(x, like) * times,
        neuron=lambda j, x: neuron(j, x) * times,
        base=base,
        window=getattr(config, "sliding_window", None) if slides else None,
        sinks=_array(attention.sinks) if hasattr(attention, "sinks") else None,
        turned_norm=_unit(config) if hasattr(attention, "qk_norm") else _same,
        heat=_heat(config) if kind == "llama4_text" and not rotates else lambda at: 1.0,
    )


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


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _mlp(module: Any, kind: str) -> Function:
    if kind == "phi3":
        gate, up = np.split(_array(module.gate_up_proj.weight), 2)
        biases = np.zeros(len(gate)), np.zeros(len(up))
    else:
        gate, up = _array(module.gate_proj.weight), _array(module.up_proj.weight)
        biases = _bias(module.gate_proj), _bias(module.up_proj)
    down, down_bias = _array(module.down_proj.weight), _bias(module.down_proj)
    act = _gelu if kind.startswith("gemma") else _silu

    def run(x: Array, like: Array | None = None) -> Array:
        return down @ (act(gate @ x + biases[0]) * (up @ x + biases[1])) + down_bias

    return run


def _neuron(module: Any, kind: str) -> Callable[[int, Array], Array]:
    def run(number: int, x: Array) -> Array:
        if kind == "phi3":
            gate, up = np.split(_array(module.gate_up_proj.weight), 2)
            asked, carried = gate[number] @ x, up[number] @ x
        else:
            asked = _array(module.gate_proj.weight)[number] @ x + _bias(module.gate_proj)[number]
            carried = _array(module.up_proj.weight)[number] @ x + _bias(module.up_proj)[number]
        act = _gelu if kind.startswith("gemma") else _silu
        return act(asked) * carried * _array(module.down_proj.weight)[:, number]

    return run
