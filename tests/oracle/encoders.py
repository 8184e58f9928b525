"""Encoders as parts for the tree, in float64 numpy, apart from the adapters.

Every head sees all positions of the prompt, or those of a symmetric window. Where norms stand
behind the parts (BERT, RoBERTa) the stream that a node reads is the norm of a sum of the norm of a
sum …, over the copies that it is sent.

Source: the modelling files of `transformers` 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import INPUT, Environment, PlaceNode
from .tree import Array, Norm, _array

Function = Callable[..., Array]
_erf = np.vectorize(math.erf, otypes=[float])


def gelu(x: Array) -> Array:
    """With the normal distribution's own integral."""
    return 0.5 * x * (1 + _erf(x / np.sqrt(2)))


ACTIVATIONS: Mapping[str, Function] = {"gelu": gelu, "relu": lambda x: np.maximum(x, 0.0)}


def same(x: Array, like: Array | None = None) -> Array:
    """No norm."""
    return x


def linear(module: Any) -> tuple[Array, Array]:
    """Weight (out, in) and bias (out,), 0 without one."""
    weight = _array(module.weight)
    return weight, np.zeros(len(weight)) if module.bias is None else _array(module.bias)


def norm(module: Any) -> Norm:
    """A LayerNorm, perhaps without a bias."""
    gain = _array(module.weight)
    shift = np.zeros(len(gain)) if module.bias is None else _array(module.bias)
    return Norm(gain=gain, shift=shift, epsilon=module.eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One block: inputs of attention by head, norms before its parts, norms of sums behind them."""

    weight: Mapping[str, Array]  # slot -> (heads, d_head, d_model)
    bias: Mapping[str, Array]  # slot -> (heads, d_head)
    out: tuple[Array, Array]
    before: Mapping[str, Function]
    behind: Mapping[str, Function]
    hidden: Function  # the hidden units of what the MLP reads
    down: tuple[Array, Array]
    base: float | None
    window: int | None  # positions seen on either side; None: all


@dataclass(slots=True, kw_only=True)
class Encoder:
    """A model taken apart into layers; `length` is that of the prompt that was embedded last."""

    env: Environment
    embedded: Callable[[Sequence[int]], Array]
    layers: tuple[Layer, ...]
    last: Function  # logits of the last stream
    causal: bool = False
    length: int = 0

    def embed(self, ids: Sequence[int]) -> Array:
        """The value of `input`, (T, d_model)."""
        self.length = len(ids)
        return self.embedded(ids)

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """Sum after sum, each with its norm where one stands behind it."""
        total = values[INPUT]
        for number, layer in enumerate(self.layers):
            if ("a", number, 0) in values:
                heads = [values["a", number, head] for head in range(self.env.n_heads)]
                total = total + layer.out[0] @ np.concatenate(heads) + layer.out[1]
                total = layer.behind["a"](total)
            written = [v for n, v in values.items() if n[0] in "mn" and n[1:2] == (number,)]
            if written:
                total = layer.behind["m"](total + sum(written))
        return total

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """All positions, or those near enough."""
        window = self.layers[node[1]].window
        end = at + 1 if self.causal else self.length
        return [key for key in range(end) if window is None or abs(key - at) <= window]

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A head's query, key or value (d_head,)."""
        layer, head = self.layers[node[1]], node[2]
        own = layer.weight[slot][head] @ layer.before["a"](stream, like) + layer.bias[slot][head]
        if slot == "v" or layer.base is None:
            return own
        half = len(own) // 2
        angles = at * layer.base ** (-np.arange(half) / half)
        one, two = own[:half], own[half:]
        turned = one * np.cos(angles) - two * np.sin(angles)
        return np.concatenate([turned, two * np.cos(angles) + one * np.sin(angles)])

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query."""
        scores = keys @ query / np.sqrt(len(query))
        weights = np.exp(scores - scores.max())
        return (weights / weights.sum()) @ values

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What the MLP adds."""
        layer = self.layers[node[1]]
        return layer.down[0] @ layer.hidden(layer.before["m"](stream, like)) + layer.down[1]

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit adds."""
        layer, number = self.layers[node[1]], node[2]
        hidden = layer.hidden(layer.before["m"](stream, like))
        return layer.down[0][:, number] * hidden[number]

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab,) of the last stream."""
        return self.last(stream, like)


def _by_head(module: Any, n_heads: int) -> tuple[Array, Array]:
    weight, bias = linear(module)
    return weight.reshape(n_heads, -1, weight.shape[1]), bias.reshape(n_heads, -1)


def _plain_mlp(module: Any, activation: Function) -> Function:
    weight, bias = linear(module)
    return lambda x: activation(weight @ x + bias)


def modernbert(model: Any) -> Encoder:
    """The parts of a ModernBertForMaskedLM, or of its decoder."""
    config, body = model.config, model.model
    causal = config.model_type == "modernbert-decoder"
    n_heads = config.num_attention_heads
    layers = []
    for number, block in enumerate(body.layers):
        if causal:
            three = [linear(getattr(block.attn, f"{slot}_proj")) for slot in "qkv"]
            weight, bias = (np.concatenate(part) for part in zip(*three, strict=True))
        else:
            weight, bias = linear(block.attn.Wqkv)
        size = len(weight) // 3
        parts = {s: slice(i * size, (i + 1) * size) for i, s in enumerate("qkv")}
        into = linear(block.mlp.Wi)
        act = ACTIVATIONS[config.hidden_activation]

        def hidden(x: Array, into: Any = into, act: Function = act) -> Array:
            both = into[0] @ x + into[1]
            half = len(both) // 2
            return act(both[:half]) * both[half:]

        kind = config.layer_types[number]
        layers.append(
            Layer(
                weight={
                    s: weight[p].reshape(n_heads, -1, weight.shape[1]) for s, p in parts.items()
                },
                bias={s: bias[p].reshape(n_heads, -1) for s, p in parts.items()},
                out=linear(block.attn.Wo),
                before={"a": norm(block.attn_norm) if number else same, "m": norm(block.mlp_norm)},
                behind={"a": same, "m": same},
                hidden=hidden,
                down=linear(block.mlp.Wo),
                base=config.rope_parameters[kind]["rope_theta"],
                window=config.local_attention // 2 - causal
                if kind == "sliding_attention"
                else None,
            )
        )
    tokens, first = _array(body.embeddings.tok_embeddings.weight), norm(body.embeddings.norm)
    head = model.lm_head if causal else model.head
    dense, decoder, inner = linear(head.dense), linear(model.decoder), norm(head.norm)
    final, act = norm(body.final_norm), ACTIVATIONS[config.classifier_activation]

    def last(x: Array, like: Array | None = None) -> Array:
        return decoder[0] @ inner(act(dense[0] @ final(x, like) + dense[1])) + decoder[1]

    return Encoder(
        env=Environment(n_layers=len(layers), n_heads=n_heads, rows=()),
        embedded=lambda ids: first(tokens[list(ids)]), layers=tuple(layers), last=last,
        causal=causal,
    )  # fmt: skip


def _post_norm(model: Any, body: Any, padding: int | None, last: Function) -> Encoder:
    """The parts of a model whose norms stand behind attention and MLP.

    `padding`: the token that positions pass over, behind whose number they begin.
    """
    config, parts = model.config, body.embeddings
    n_heads, act = config.num_attention_heads, ACTIVATIONS[config.hidden_act]
    slots = {"q": "query", "k": "key", "v": "value"}
    layers = []
    for block in body.encoder.layer:
        inputs = {
            s: _by_head(getattr(block.attention.self, name), n_heads) for s, name in slots.items()
        }
        layers.append(
            Layer(
                weight={s: one[0] for s, one in inputs.items()},
                bias={s: one[1] for s, one in inputs.items()},
                out=linear(block.attention.output.dense),
                before={"a": same, "m": same},
                behind={
                    "a": norm(block.attention.output.LayerNorm), "m": norm(block.output.LayerNorm)
                },
                hidden=_plain_mlp(block.intermediate.dense, act),
                down=linear(block.output.dense), base=None, window=None,
            )
        )  # fmt: skip
    tokens, places = _array(parts.word_embeddings.weight), _array(parts.position_embeddings.weight)
    kind, outer = _array(parts.token_type_embeddings.weight)[0], norm(parts.LayerNorm)

    def embedded(ids: Sequence[int]) -> Array:
        numbers = list(range(len(ids)))
        if padding is not None:
            real = [one != padding for one in ids]
            numbers = [padding + sum(real[: at + 1]) * real[at] for at in range(len(ids))]
        return outer(tokens[list(ids)] + kind + places[numbers])

    env = Environment(n_layers=len(layers), n_heads=n_heads, rows=())
    return Encoder(env=env, embedded=embedded, layers=tuple(layers), last=last)


def _head(dense: Any, inner: Any, decoder: Any, act: Function) -> Function:
    first, normed, out = linear(dense), norm(inner), linear(decoder)
    return lambda x, like=None: out[0] @ normed(act(first[0] @ x + first[1])) + out[1]


def bert(model: Any) -> Encoder:
    """The parts of a BertForMaskedLM."""
    head, act = model.cls.predictions, ACTIVATIONS[model.config.hidden_act]
    inner = head.transform
    last = _head(inner.dense, inner.LayerNorm, head.decoder, act)
    return _post_norm(model, model.bert, None, last)


def roberta(model: Any) -> Encoder:
    """The parts of a RobertaForMaskedLM."""
    head = model.lm_head
    last = _head(head.dense, head.layer_norm, head.decoder, gelu)
    return _post_norm(model, model.roberta, model.config.pad_token_id, last)


def opt(model: Any) -> Encoder:
    """The parts of an OPTForCausalLM whose norms stand behind its parts."""
    config, body = model.config, model.model.decoder
    n_heads, act = config.num_attention_heads, ACTIVATIONS[config.activation_function]
    layers = []
    for block in body.layers:
        attention = block.self_attn
        inputs = {s: _by_head(getattr(attention, f"{s}_proj"), n_heads) for s in "qkv"}
        layers.append(
            Layer(
                weight={s: one[0] for s, one in inputs.items()},
                bias={s: one[1] for s, one in inputs.items()},
                out=linear(attention.out_proj),
                before={"a": same, "m": same},
                behind={"a": norm(block.self_attn_layer_norm), "m": norm(block.final_layer_norm)},
                hidden=_plain_mlp(block.fc1, act), down=linear(block.fc2), base=None, window=None,
            )
        )  # fmt: skip
    into, out_of = (
        np.eye(config.hidden_size) if part is None else _array(part.weight)
        for part in (body.project_in, body.project_out)
    )
    tokens, places = _array(body.embed_tokens.weight), _array(body.embed_positions.weight)
    unembedding = _array(model.lm_head.weight)
    return Encoder(
        env=Environment(n_layers=len(layers), n_heads=n_heads, rows=()),
        embedded=lambda ids: tokens[list(ids)] @ into.T + places[2 : 2 + len(ids)],
        layers=tuple(layers), last=lambda x, like=None: unembedding @ (out_of @ x), causal=True,
    )  # fmt: skip


READERS: Mapping[str, Callable[[Any], Encoder]] = {
    "modernbert": modernbert,
    "modernbert-decoder": modernbert, "bert": bert, "roberta": roberta, "opt": opt
}  # fmt: skip


def encoder_of(model: Any) -> Encoder:
    """The parts of an unmodified encoder."""
    return READERS[model.config.model_type](model)
