"""The tree that path patching is defined on, evaluated literally, in float64.

Every input-to-logits path has a private copy of `input`; every other component is recomputed once
for every way on from it to `logits` (its *suffix*), at every position. Nothing is shared and
nothing is memoised, so this is for models of two layers and prompts of four tokens.

With a constant treated value (a mean, zero) a copy none of whose paths are kept has the constant as
its output; `value` therefore returns, with each copy's output, whether some path below it is kept,
and whether some is treated. With frozen norms a copy that has both kinds norms what it reads by the
scale that the same norm has in the reference run: `like` is the input of the norm there.

Source: `semantics.md` sections 1 and 2; Goldowsky-Dill et al. 2023 (arXiv:2304.05969), equation 1.
Example::

    logits = run(model, reference=[1, 2, 3], treated=[4, 2, 3], kept=lambda path: True,
                 read_position=2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .graph import (
    INPUT,
    LOGITS,
    Environment,
    Path,
    PlaceNode,
    Step,
    heads_of,
    place_of_reading,
    senders,
)

Array = NDArray[np.float64]
Constants = Mapping[PlaceNode, Array]
"""Per component the value at each token index: a head's z (T, d_head), an MLP's output or the
embedding (T, d_model)."""


class Forward(Protocol):
    """The parts of a model that the tree is evaluated with, one position at a time."""

    env: Environment  # for the graph only

    def embed(self, ids: Sequence[int]) -> Array:
        """The value of `input` on these tokens, (T, d_model)."""
        ...

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """The residual stream (d_model,) that `receiver` reads where its senders have `values`.

        A norm of what attention writes has the scale that it has on the values `like`.
        """
        ...

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """The positions that a head sees from `at`."""
        ...

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A head's query, key or value (d_head,) of the stream (d_model,) at a position."""
        ...

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query over the keys (n, d_head) and values (n, d_head) it sees."""
        ...

    def recur(
        self, node: PlaceNode, streams: Sequence[Array], like: Sequence[Array | None]
    ) -> Array:
        """What a recurrence writes at the last of the streams (d_model,) of some tokens."""
        raise NotImplementedError

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What an MLP adds to the stream, (d_model,) of the stream (d_model,)."""
        ...

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit ("n", layer, j) adds to the stream, (d_model,)."""
        ...

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab,) of the last stream (d_model,)."""
        ...


def recurs(parts: Forward, node: PlaceNode) -> bool:
    """Whether a head is a recurrence."""
    return node[0] == "a" and node[1] in parts.env.recurrent


def forward_of(model: Any) -> Forward:
    """The parts of an unmodified `transformers` model, or those that are given."""
    if hasattr(model, "attend"):
        return model  # type: ignore[no-any-return]
    if model.config.model_type == "gpt2":
        return Weights.of(model)
    from .gated import Gated

    return Gated.of(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A LayerNorm: gain and shift (d_model,)."""

    gain: Array
    shift: Array
    epsilon: float

    def __call__(self, x: Array, like: Array | None = None) -> Array:
        """Normalised over the last axis, by the deviation of `like` where that is given."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (x if like is None else like).var(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + self.epsilon) * self.gain + self.shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One head: its slices of the fused weights; `out` (d_head, d_model) has no bias."""

    weight: Mapping[str, Array]  # slot -> (d_model, d_head)
    bias: Mapping[str, Array]  # slot -> (d_head,)
    out: Array
    norm: Norm

    def project(self, slot: str, stream: Array, like: Array | None = None) -> Array:
        """The query, key or value (d_head,) of a residual stream (d_model,)."""
        return self.norm(stream, like) @ self.weight[slot] + self.bias[slot]

    def attend(self, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query over the keys (n, d_head) and values (n, d_head) it may see."""
        scores = keys @ query / np.sqrt(len(query))
        weights = np.exp(scores - scores.max())
        return (weights / weights.sum()) @ values


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """One MLP with its input norm; the output includes the output bias."""

    weight_in: Array
    bias_in: Array
    weight_out: Array
    bias_out: Array
    norm: Norm

    def __call__(self, stream: Array, like: Array | None = None) -> Array:
        """The output (d_model,) on a residual stream (d_model,), with GPT-2's tanh GELU."""
        x = self.norm(stream, like) @ self.weight_in + self.bias_in
        inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
        return (0.5 * x * (1 + np.tanh(inner))) @ self.weight_out + self.bias_out

    def neuron(self, number: int, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit adds, (d_model,)."""
        x = self.norm(stream, like) @ self.weight_in[:, number] + self.bias_in[number]
        inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + np.tanh(inner)) * self.weight_out[number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A GPT-2 taken apart into components, in float64."""

    tokens: Array  # (d_vocab, d_model)
    places: Array  # (n_positions, d_model)
    heads: Mapping[PlaceNode, Head]
    mlps: Mapping[PlaceNode, Mlp]
    attention_bias: tuple[Array, ...]  # of each layer's attention output projection
    final_norm: Norm
    unembedding: Array  # (d_vocab, d_model)
    env: Environment  # for the graph only

    @classmethod
    def of(cls, model: Any) -> Weights:
        """The weights of an unmodified `GPT2LMHeadModel`."""
        config = model.config
        if config.activation_function != "gelu_new" or not config.scale_attn_weights:
            raise ValueError("the oracle knows plain GPT-2 only")
        if config.scale_attn_by_inverse_layer_idx or config.add_cross_attention:
            raise ValueError("the oracle knows plain GPT-2 only")
        width, size = config.n_embd, config.n_embd // config.n_head
        heads: dict[PlaceNode, Head] = {}
        mlps: dict[PlaceNode, Mlp] = {}
        for layer, block in enumerate(model.transformer.h):
            fused, fused_bias = (
                _array(block.attn.c_attn.weight),
                _array(block.attn.c_attn.bias),
            )
            out = _array(block.attn.c_proj.weight)
            for head in range(config.n_head):
                begin = {s: k * width + head * size for k, s in enumerate("qkv")}
                heads["a", layer, head] = Head(
                    weight={s: fused[:, b : b + size] for s, b in begin.items()},
                    bias={s: fused_bias[b : b + size] for s, b in begin.items()},
                    out=out[head * size : (head + 1) * size],
                    norm=_norm(block.ln_1),
                )
            mlps["m", layer] = Mlp(
                weight_in=_array(block.mlp.c_fc.weight),
                bias_in=_array(block.mlp.c_fc.bias),
                weight_out=_array(block.mlp.c_proj.weight),
                bias_out=_array(block.mlp.c_proj.bias),
                norm=_norm(block.ln_2),
            )
        return cls(
            tokens=_array(model.transformer.wte.weight),
            places=_array(model.transformer.wpe.weight),
            heads=heads,
            mlps=mlps,
            attention_bias=tuple(_array(b.attn.c_proj.bias) for b in model.transformer.h),
            final_norm=_norm(model.transformer.ln_f),
            unembedding=_array(model.lm_head.weight),
            env=Environment(n_layers=config.n_layer, n_heads=config.n_head, rows=()),
        )

    def embed(self, ids: Sequence[int]) -> Array:
        """Token plus position embedding, (T, d_model)."""
        return self.tokens[list(ids)] + self.places[: len(ids)]

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """Everything that was written before `receiver`, and the biases that no sender owns."""
        total = self.stream_bias(receiver)
        for node, value in values.items():
            total = total + self.written(node, value)
        return total

    def written(self, node: PlaceNode, value: Array) -> Array:
        """What a component with this value adds to the residual stream, (…, d_model)."""
        return value @ self.heads[node].out if node[0] == "a" else value

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """All positions up to its own."""
        return range(at + 1)

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A head's query, key or value (d_head,); positions are in the embedding."""
        return self.heads[node].project(slot, stream, like)

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query."""
        return self.heads[node].attend(query, keys, values)

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """An MLP's output (d_model,)."""
        return self.mlps[node](stream, like)

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit adds, (d_model,)."""
        return self.mlps["m", node[1]].neuron(node[2], stream, like)

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab,) of the last stream."""
        return self.unembedding @ self.final_norm(stream, like)

    def stream_bias(self, receiver: PlaceNode) -> Array:
        """The attention output biases in the stream that `receiver` reads: no sender's."""
        match receiver[0]:
            case "a":
                layers = receiver[1]
            case "m" | "n":
                layers = receiver[1] + 1
            case _:
                layers = len(self.attention_bias)
        return sum(self.attention_bias[:layers], np.zeros(self.tokens.shape[1]))


def _array(parameter: Any) -> Array:
    return parameter.detach().double().cpu().numpy()


def _norm(module: Any) -> Norm:
    gain = _array(module.weight)
    shift = np.zeros_like(gain) if module.bias is None else _array(module.bias)
    return Norm(gain=gain, shift=shift, epsilon=module.eps)


def attended(
    parts: Any, node: PlaceNode, query: Array, keys: Array, values: Array, at: Sequence[int]
) -> Array:
    """z of one query over keys that stand at some positions, which most models do not ask for."""
    knows_positions = getattr(parts, "attend_at", None)
    if knows_positions is None:
        return np.asarray(parts.attend(node, query, keys, values))
    return np.asarray(knows_positions(node, query, keys, values, at))


# -------------------------------------------------------------------------------------------------
# The tree
# -------------------------------------------------------------------------------------------------


def run(
    model: Any,
    reference: Sequence[int],
    treated: Sequence[int] | Array | Constants,
    kept: Callable[[Path], bool],
    read_position: int,
    frozen: bool = False,
    neurons: frozenset[tuple[int, int]] = frozenset(),
) -> Array:
    """The logits (d_vocab,) at `read_position` of one row.

    `kept(path)` says whether that path carries the reference input; all others are treated.
    `treated` is the token ids of a paired input, its embeddings (T, d_model), or a mapping of
    constants per component. `frozen`: a copy with both kept and treated paths norms with the scales
    of the reference run. `neurons`: hidden units that are components of their own.
    """
    parts = forward_of(model)
    env = replace(parts.env, neurons=neurons)
    plain = plain_values(parts, reference, neurons) if frozen else {}
    constants = treated if isinstance(treated, Mapping) else None
    reference_embedding = parts.embed(reference)
    if constants is not None:
        treated_embedding = constants[INPUT]
    elif isinstance(treated, np.ndarray):
        treated_embedding = treated
    else:
        treated_embedding = parts.embed(treated)

    def sent(
        receiver: PlaceNode, slot: str | None, at: int, suffix: Path
    ) -> tuple[Mapping[PlaceNode, Array], bool, bool]:
        """What `receiver` (the first step of `suffix`) is sent at position `at` through `slot`."""
        values, some_kept, some_cut = {}, False, False
        for sender in senders(place_of_reading(receiver, slot, env), env):
            values[sender], kept_here, cut_here = value((Step(sender, at, slot), *suffix))
            some_kept, some_cut = some_kept or kept_here, some_cut or cut_here
        return values, some_kept, some_cut

    def stream(
        receiver: PlaceNode, values: Mapping[PlaceNode, Array], at: int, mixed: bool
    ) -> tuple[Array, Array | None]:
        """The stream of these values, and of the reference run's where norms are frozen to it."""
        if not (frozen and mixed):
            return parts.stream(receiver, values), None
        other = {sender: plain[sender][at] for sender in values}
        return parts.stream(receiver, values, other), parts.stream(receiver, other)

    def value(suffix: Path) -> tuple[Array, bool, bool]:
        """The output of the copy that begins this suffix; whether it has kept, treated paths."""
        node, position, _ = suffix[0]
        if node == INPUT:
            here = kept(suffix)
            return (reference_embedding if here else treated_embedding)[position], here, not here
        if node[0] in ("m", "n"):
            values, some_kept, some_cut = sent(node, None, position, suffix)
            read, other = stream(node, values, position, some_kept and some_cut)
            output = mlp_part(parts, node, read, neurons, other)
        elif recurs(parts, node):
            by_token = [sent(node, "v", at, suffix) for at in range(position + 1)]
            some_kept = any(k for _, k, _ in by_token)
            some_cut = any(c for _, _, c in by_token)
            streams = [
                stream(node, values, at, some_kept and some_cut)
                for at, (values, _, _) in enumerate(by_token)
            ]
            output = parts.recur(node, *zip(*streams, strict=True))
        else:
            seen = parts.keys(node, position)
            read_at = {"q": [position], "k": seen, "v": seen}
            by_slot = {s: [sent(node, s, at, suffix) for at in read_at[s]] for s in "qkv"}
            some_kept = any(k for read in by_slot.values() for _, k, _ in read)
            some_cut = any(c for read in by_slot.values() for _, _, c in read)
            projected = {}
            for slot, places in read_at.items():
                found = []
                for (values, _, _), at in zip(by_slot[slot], places, strict=True):
                    reader = place_of_reading(node, slot, env)
                    read, other = stream(reader, values, at, some_kept and some_cut)
                    found.append(parts.project(node, slot, read, at, other))
                projected[slot] = np.stack(found)
            output = attended(parts, node, projected["q"][0], projected["k"], projected["v"], seen)
        if constants is not None and not some_kept:
            output = constants[node][position]
        return output, some_kept, some_cut

    values, some_kept, some_cut = sent(LOGITS, None, read_position, (Step(LOGITS, read_position),))
    return parts.logits(*stream(LOGITS, values, read_position, some_kept and some_cut))


# -------------------------------------------------------------------------------------------------
# Plain forward passes, and constants from them
# -------------------------------------------------------------------------------------------------


def mlp_part(
    parts: Forward,
    node: PlaceNode,
    stream: Array,
    neurons: frozenset[tuple[int, int]],
    like: Array | None = None,
) -> Array:
    """What a neuron adds to the stream, or an MLP without the neurons that stand apart."""
    if node[0] == "n":
        return parts.neuron(node, stream, like)
    whole = parts.mlp(node, stream, like)
    apart = [parts.neuron(("n", at, j), stream, like) for at, j in neurons if at == node[1]]
    return whole - sum(apart, np.zeros_like(whole))


def plain_values(
    model: Any, ids: Sequence[int], neurons: frozenset[tuple[int, int]] = frozenset()
) -> Constants:
    """Every component's value at every position in a plain forward pass on `ids`."""
    parts, places = forward_of(model), range(len(ids))
    env = replace(parts.env, neurons=neurons)
    values: dict[PlaceNode, Array] = {INPUT: parts.embed(ids)}  # each (T, d)

    def streams(node: PlaceNode) -> list[Array]:
        before = senders(node, env)
        return [parts.stream(node, {s: values[s][at] for s in before}) for at in places]

    for layer in range(parts.env.n_layers):
        for node in heads_of(layer, env):
            if recurs(parts, node):
                before, own = streams(node), [None] * len(ids)
                values[node] = np.stack([parts.recur(node, before[: at + 1], own[: at + 1])
                                         for at in places])  # fmt: skip
                continue
            q, k, v = (
                np.stack([parts.project(node, slot, one, at) for at, one in enumerate(read)])
                for slot in "qkv"
                for read in [streams(place_of_reading(node, slot, env))]
            )
            seen = [list(parts.keys(node, at)) for at in places]
            values[node] = np.stack([attended(parts, node, q[at], k[s], v[s], s) for at, s in
                                     enumerate(seen)])  # fmt: skip
        read = streams(("m", layer))
        apart: list[PlaceNode] = [("n", at, j) for at, j in neurons if at == layer]
        for node in [("m", layer), *apart]:
            values[node] = np.stack([mlp_part(parts, node, one, neurons) for one in read])
    return values
