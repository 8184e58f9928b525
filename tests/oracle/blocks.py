"""Decoders with plain MLPs, GPT-Neo to MPT, as parts for the tree, in numpy, apart from adapters.

Knows local windows, rotations of type `default` of neighbours and of halves, ALiBi, parallel and
sequential blocks, keys and values that heads share, clipped ones, and OPT with its norms before
each part, its final norm and words as wide as the stream. Everything is in float64.

Source: the modelling files of `transformers` 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import erf
from typing import Any

import numpy as np

from .graph import INPUT, Environment, PlaceNode
from .tree import Array, Norm, _array, _norm

Function = Callable[[Array], Array]


def _gelu_new(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


_ACTIVATIONS: Mapping[str, Function] = {"gelu_new": _gelu_new, "gelu": _gelu, "relu": _relu}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One block."""

    weight: Mapping[str, Array]  # slot -> (n_heads, d_head, d_model)
    bias: Mapping[str, Array]  # slot -> (n_heads, d_head)
    out: Array  # (d_model, n_heads, d_head)
    out_bias: Array
    before: Mapping[str, Norm]  # "a", "m" -> the norm before attention, MLP
    inward: tuple[Array, Array]  # weight (d_mlp, d_model) and bias of the MLP's first map
    outward: tuple[Array, Array]
    window: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """A model taken apart into layers."""

    env: Environment
    tokens: Array
    places: Array | None  # (n_positions, d_model)
    layers: tuple[Layer, ...]
    final_norm: Norm
    unembedding: tuple[Array, Array]
    activation: Function
    scale: float  # of scores
    turned: int  # leading entries of q and k that are rotated
    neighbours: bool  # whether pairs are neighbours or halves
    base: float
    slopes: tuple[float, ...] = ()  # of ALiBi, by head
    clip: float | None = None  # of queries, keys and values

    @classmethod
    def of(cls, model: Any) -> Blocks:
        """The parts of an unmodified model in float64."""
        return _READERS[model.config.model_type](model)

    def embed(self, ids: Sequence[int]) -> Array:
        """Token embeddings, with positions where they are learned, (T, d_model)."""
        tokens = self.tokens[list(ids)]
        return tokens if self.places is None else tokens + self.places[: len(ids)]

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """Everything that was written, and the bias of each layer whose heads wrote."""
        total = values[INPUT]
        for number, layer in enumerate(self.layers):
            if ("a", number, 0) in values:
                total = total + layer.out_bias
                for head in range(self.env.n_heads):
                    total = total + layer.out[:, head] @ values["a", number, head]
            if ("m", number) in values:
                total = total + values["m", number]
            for node, value in values.items():
                if node[0] == "n" and node[1] == number:
                    total = total + value
        return total

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """The last positions up to its own, as many as the window holds."""
        window = self.layers[node[1]].window
        return [key for key in range(at + 1) if window is None or at - key < window]

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A head's query, key or value (d_head,)."""
        layer, head = self.layers[node[1]], node[2]
        own = layer.weight[slot][head] @ layer.before["a"](stream, like) + layer.bias[slot][head]
        if self.clip is not None:
            own = np.clip(own, -self.clip, self.clip)
        if slot == "v" or not self.turned:
            return own
        half = self.turned // 2
        pairs = [(2 * i, 2 * i + 1) if self.neighbours else (i, i + half) for i in range(half)]
        result = own.copy()
        for number, (one, two) in enumerate(pairs):
            angle = at * self.base ** (-number / half)
            result[one] = own[one] * np.cos(angle) - own[two] * np.sin(angle)
            result[two] = own[two] * np.cos(angle) + own[one] * np.sin(angle)
        return result

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query."""
        return self.attend_at(node, query, keys, values, range(len(keys)))

    def attend_at(
        self, node: PlaceNode, query: Array, keys: Array, values: Array, at: Sequence[int]
    ) -> Array:
        """The same of keys at some positions."""
        scores = keys @ query * self.scale
        if self.slopes:
            scores = scores + self.slopes[node[2]] * np.array(at)
        weights = np.exp(scores - scores.max())
        return (weights / weights.sum()) @ values

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """An MLP's output (d_model,)."""
        layer = self.layers[node[1]]
        hidden = layer.inward[0] @ layer.before["m"](stream, like) + layer.inward[1]
        return layer.outward[0] @ self.activation(hidden) + layer.outward[1]

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit adds, (d_model,)."""
        layer, number = self.layers[node[1]], node[2]
        x = layer.inward[0][number] @ layer.before["m"](stream, like) + layer.inward[1][number]
        return self.activation(np.array([x]))[0] * layer.outward[0][:, number]

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab,) of the last stream."""
        return self.unembedding[0] @ self.final_norm(stream, like) + self.unembedding[1]


def _linear(module: Any) -> tuple[Array, Array]:
    weight = _array(module.weight)
    return weight, np.zeros(len(weight)) if module.bias is None else _array(module.bias)


def _layer(
    inputs: Mapping[str, tuple[Array, Array]], out: Any, norms: Sequence[Any], mlp: Sequence[Any],
    n_heads: int, window: int | None = None,
) -> Layer:  # fmt: skip
    weight, bias = _linear(out)
    return Layer(
        weight={s: w.reshape(n_heads, -1, w.shape[1]) for s, (w, _) in inputs.items()},
        bias={s: b.reshape(n_heads, -1) for s, (_, b) in inputs.items()},
        out=weight.reshape(len(weight), n_heads, -1),
        out_bias=bias,
        before={"a": _norm(norms[0]), "m": _norm(norms[1])},
        inward=_linear(mlp[0]),
        outward=_linear(mlp[1]),
        window=window,
    )


def _separate(attention: Any) -> dict[str, tuple[Array, Array]]:
    return {slot: _linear(getattr(attention, f"{slot}_proj")) for slot in "qkv"}


def _gpt_neo(model: Any) -> Blocks:
    config, body = model.config, model.transformer
    layers = [
        _layer(
            _separate(b.attn.attention), b.attn.attention.out_proj, (b.ln_1, b.ln_2),
            (b.mlp.c_fc, b.mlp.c_proj), config.num_heads,
            config.window_size if kind == "local" else None,
        )
        for kind, b in zip(config.attention_layers, body.h, strict=True)
    ]  # fmt: skip
    return Blocks(
        env=Environment(n_layers=config.num_layers, n_heads=config.num_heads, rows=()),
        tokens=_array(body.wte.weight), places=_array(body.wpe.weight), layers=tuple(layers),
        final_norm=_norm(body.ln_f), unembedding=_linear(model.lm_head),
        activation=_ACTIVATIONS[config.activation_function], scale=1.0,
        turned=0, neighbours=False, base=1.0,
    )  # fmt: skip


def _gptj(model: Any) -> Blocks:
    config, body = model.config, model.transformer
    layers = [
        _layer(
            _separate(b.attn), b.attn.out_proj, (b.ln_1, b.ln_1), (b.mlp.fc_in, b.mlp.fc_out),
            config.n_head,
        )
        for b in body.h
    ]  # fmt: skip
    return Blocks(
        env=Environment(n_layers=config.n_layer, n_heads=config.n_head, rows=(), parallel=True),
        tokens=_array(body.wte.weight), places=None, layers=tuple(layers),
        final_norm=_norm(body.ln_f), unembedding=_linear(model.lm_head),
        activation=_ACTIVATIONS[config.activation_function],
        scale=(config.n_embd // config.n_head) ** -0.5,
        turned=config.rotary_dim, neighbours=True, base=10000.0,
    )  # fmt: skip


def _gpt_neox(model: Any) -> Blocks:
    config, body = model.config, model.gpt_neox
    n_heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    layers = []
    for b in body.layers:
        weight, bias = _linear(b.attention.query_key_value)
        fused = weight.reshape(n_heads, 3, size, -1), bias.reshape(n_heads, 3, size)
        inputs = {
            slot: (fused[0][:, i].reshape(n_heads * size, -1), fused[1][:, i].reshape(-1))
            for i, slot in enumerate("qkv")
        }
        norms = b.input_layernorm, b.post_attention_layernorm
        mlp = b.mlp.dense_h_to_4h, b.mlp.dense_4h_to_h
        layers.append(_layer(inputs, b.attention.dense, norms, mlp, n_heads))
    return Blocks(
        env=Environment(
            n_layers=config.num_hidden_layers, n_heads=n_heads, rows=(),
            parallel=config.use_parallel_residual,
        ),
        tokens=_array(body.embed_in.weight), places=None, layers=tuple(layers),
        final_norm=_norm(body.final_layer_norm), unembedding=_linear(model.lm_head),
        activation=_ACTIVATIONS[config.hidden_act], scale=size**-0.5,
        turned=int(size * config.rope_parameters["partial_rotary_factor"]), neighbours=False,
        base=config.rope_parameters["rope_theta"],
    )  # fmt: skip


def _opt(model: Any) -> Blocks:
    config, body = model.config, model.model.decoder
    n_heads = config.num_attention_heads
    layers = [
        _layer(
            _separate(b.self_attn), b.self_attn.out_proj,
            (b.self_attn_layer_norm, b.final_layer_norm), (b.fc1, b.fc2), n_heads,
        )
        for b in body.layers
    ]  # fmt: skip
    return Blocks(
        env=Environment(n_layers=config.num_hidden_layers, n_heads=n_heads, rows=()),
        tokens=_array(body.embed_tokens.weight), places=_array(body.embed_positions.weight)[2:],
        layers=tuple(layers), final_norm=_norm(body.final_layer_norm),
        unembedding=_linear(model.lm_head),
        activation=_ACTIVATIONS[config.activation_function],
        scale=(config.hidden_size // n_heads) ** -0.5, turned=0, neighbours=False, base=1.0,
    )  # fmt: skip


def _fused(module: Any, parts: Mapping[str, Sequence[int]], size: int) -> dict[str, Any]:
    """Of one projection, the blocks of `size` rows that each head reads, by slot."""
    weight, bias = _linear(module)
    rows, shifts = weight.reshape(-1, size, weight.shape[1]), bias.reshape(-1, size)
    return {
        slot: (rows[list(at)].reshape(-1, weight.shape[1]), shifts[list(at)].reshape(-1))
        for slot, at in parts.items()
    }


def _slopes(n_heads: int) -> tuple[float, ...]:
    """2^-8/n, 2^-16/n, ...; of a number of heads between powers of 2 every second of the next."""
    power = 1 << (n_heads.bit_length() - 1)
    first = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    return (*first, *(2.0 ** (-8 * i / (2 * power)) for i in range(1, 2 * power, 2)))[:n_heads]


def _falcon(model: Any) -> Blocks:
    config, body = model.config, model.transformer
    heads, groups = range(config.num_attention_heads), 1
    size = config.hidden_size // len(heads)
    if config.new_decoder_architecture:
        groups = config.num_kv_heads
    elif not config.multi_query:
        groups = len(heads)
    each = len(heads) // groups
    at = {
        "q": [h // each * (each + 2) + h % each for h in heads],
        "k": [h // each * (each + 2) + each for h in heads],
        "v": [h // each * (each + 2) + each + 1 for h in heads],
    }
    layers = []
    for b in body.h:
        names = ("ln_attn", "ln_mlp") if hasattr(b, "ln_attn") else ("input_layernorm",) * 2
        if hasattr(b, "post_attention_layernorm"):
            names = "input_layernorm", "post_attention_layernorm"
        layers.append(
            _layer(
                _fused(b.self_attention.query_key_value, at, size), b.self_attention.dense,
                [getattr(b, name) for name in names], (b.mlp.dense_h_to_4h, b.mlp.dense_4h_to_h),
                len(heads),
            )
        )  # fmt: skip
    return Blocks(
        env=Environment(
            n_layers=config.num_hidden_layers, n_heads=len(heads), rows=(),
            parallel=config.parallel_attn, n_kv_heads=groups,
        ),
        tokens=_array(body.word_embeddings.weight), places=None, layers=tuple(layers),
        final_norm=_norm(body.ln_f), unembedding=_linear(model.lm_head),
        activation=_ACTIVATIONS[config.activation], scale=size**-0.5,
        turned=0 if config.alibi else size, neighbours=False,
        base=config.rope_parameters["rope_theta"],
        slopes=tuple(s * size**-0.5 for s in _slopes(len(heads))) if config.alibi else (),
    )  # fmt: skip


def _bloom(model: Any) -> Blocks:
    config, body = model.config, model.transformer
    heads, size = range(config.n_head), config.hidden_size // config.n_head
    at = {slot: [3 * h + part for h in heads] for part, slot in enumerate("qkv")}
    layers = [
        _layer(
            _fused(b.self_attention.query_key_value, at, size), b.self_attention.dense,
            (b.input_layernorm, b.post_attention_layernorm),
            (b.mlp.dense_h_to_4h, b.mlp.dense_4h_to_h), len(heads),
        )
        for b in body.h
    ]  # fmt: skip
    embedded = _norm(body.word_embeddings_layernorm)(_array(body.word_embeddings.weight))
    return Blocks(
        env=Environment(n_layers=config.n_layer, n_heads=len(heads), rows=()),
        tokens=embedded, places=None, layers=tuple(layers), final_norm=_norm(body.ln_f),
        unembedding=_linear(model.lm_head), activation=_bloom_gelu, scale=size**-0.5, turned=0,
        neighbours=False, base=1.0, slopes=_slopes(len(heads)),
    )  # fmt: skip


def _bloom_gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(0.79788456 * (x + 0.044715 * x**3)))


def _mpt(model: Any) -> Blocks:
    config, body = model.config, model.transformer
    heads, inside = range(config.n_heads), config.attn_config
    size, power = config.d_model // len(heads), 1 << (len(heads) - 1).bit_length()
    at = {slot: [part * len(heads) + h for h in heads] for part, slot in enumerate("qkv")}
    layers = [
        _layer(
            _fused(b.attn.Wqkv, at, size), b.attn.out_proj, (b.norm_1, b.norm_2),
            (b.ffn.up_proj, b.ffn.down_proj), len(heads),
        )
        for b in body.blocks
    ]  # fmt: skip
    slopes = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    if power != len(heads):
        slopes = [*slopes[1::2], *slopes[::2]]
    return Blocks(
        env=Environment(n_layers=config.n_layers, n_heads=len(heads), rows=()),
        tokens=_array(body.wte.weight), places=None, layers=tuple(layers),
        final_norm=_norm(body.norm_f), unembedding=_linear(model.lm_head), activation=_gelu,
        scale=inside.softmax_scale or size**-0.5, turned=0, neighbours=False, base=1.0,
        slopes=tuple(slopes[: len(heads)]), clip=inside.clip_qkv,
    )  # fmt: skip


_READERS: Mapping[str, Callable[[Any], Blocks]] = {
    "gpt_neo": _gpt_neo,
    "gptj": _gptj,
    "gpt_neox": _gpt_neox,
    "opt": _opt,
    "falcon": _falcon,
    "bloom": _bloom,
    "mpt": _mpt,
}
