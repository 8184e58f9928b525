"""Gemma 4 of text as parts for the tree, in float64 numpy, apart from the adapter.

The stream is the model's own: what leaves a layer is multiplied by its `layer_scalar`, so that what
a component wrote is another vector in each layer behind it.

Source: the modelling file of `transformers` 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import INPUT, Environment, PlaceNode, place_of_reading
from .tree import Array, _array


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma4:
    """A model, taken apart where it is asked."""

    env: Environment
    model: Any
    norms: bool = True  # whether norms have the scales that they have on `like`
    routing: bool = False  # whether experts are those that `like` is given

    @classmethod
    def of(cls, model: Any) -> Gemma4:
        """The parts of an unmodified model in float64."""
        config = model.config
        env = Environment(
            n_layers=config.num_hidden_layers, n_heads=config.num_attention_heads, rows=(),
            n_kv_heads=1, keys_from=keys_from(config),
        )  # fmt: skip
        return cls(env=env, model=model)

    @property
    def gives(self) -> bool:
        """Whether `input` gives MLPs something beside the stream."""
        return bool(self.model.config.hidden_size_per_layer_input)

    def embed(self, ids: Sequence[int]) -> Array:
        """Scaled token embeddings, and behind them what each MLP is given, (T, width)."""
        tokens = _array(self.model.model.embed_tokens.weight)
        return self.with_given(ids, tokens[list(ids)] * np.sqrt(tokens.shape[1]))

    def with_given(self, ids: Sequence[int], embedded: Array) -> Array:
        """Embeddings (T, d_model) with what MLPs are given of these tokens and of them."""
        body, size = self.model.model, self.model.config.hidden_size_per_layer_input
        if not size:
            return embedded
        own = _array(body.embed_tokens_per_layer.weight)[list(ids)] * np.sqrt(size)
        found = []
        for token, first in zip(own, embedded, strict=True):
            made = _linear(body.per_layer_model_projection, first) / np.sqrt(len(first))
            normed = [_normed(body.per_layer_projection_norm, part)
                      for part in made.reshape(-1, size)]  # fmt: skip
            found.append(np.concatenate([first, (np.concatenate(normed) + token) / np.sqrt(2)]))
        return np.stack(found)

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """Layer by layer; behind each one below the receiver's the whole is multiplied.

        Behind the stream of an MLP stands what `input` gives it.
        """
        width, size = self.model.config.hidden_size, self.model.config.hidden_size_per_layer_input
        total = values[INPUT][:width]
        end = self.env.n_layers if receiver[0] == "logits" else receiver[1]
        for number, block in enumerate(self.model.model.layers):
            if ("a", number, 0) in values:
                other = self._written(number, like) if like and self.norms else None
                total = total + _normed(
                    block.post_attention_layernorm, self._written(number, values), other
                )
            if ("m", number) in values:
                total = total + values["m", number]
            if number < end:
                total = total * float(block.layer_scalar)
        if receiver[0] != "m":
            return total
        first = width + receiver[1] * size
        return np.concatenate([total, values[INPUT][first : first + size]])

    def _written(self, number: int, values: Mapping[PlaceNode, Array]) -> Array:
        """What all heads of a layer write, before the norm behind them."""
        heads = [values["a", number, head] for head in range(self.env.n_heads)]
        out = self.model.model.layers[number].self_attn.o_proj
        return _linear(out, np.concatenate(heads))

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """The last positions up to its own, as many as a window holds."""
        slides = self.model.config.layer_types[node[1]] == "sliding_attention"
        first = at + 1 - self.model.config.sliding_window if slides else 0
        return range(max(0, first), at + 1)

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A head's query, key or value (d_head,)."""
        config = self.model.config
        number = place_of_reading(node, slot, self.env)[1]
        block = self.model.model.layers[number]
        attention = block.self_attn
        part = getattr(attention, f"{slot}_proj")
        whole = _linear(
            attention.k_proj if part is None else part,
            _normed(block.input_layernorm, stream, like if self.norms else None),
        )
        size = attention.head_dim
        stored = len(whole) // size
        which = node[2] * stored // self.env.n_heads
        norm = getattr(attention, f"{slot}_norm")
        own = _normed(norm, whole[which * size : (which + 1) * size])
        if slot == "v":
            return own
        rope = config.rope_parameters[config.layer_types[number]]
        half, turned = size // 2, own.copy()
        share = rope.get("partial_rotary_factor", 1.0)
        for i in range(int(share * size // 2) if rope["rope_type"] == "proportional" else half):
            angle = at * rope["rope_theta"] ** (-2 * i / size)
            one, two = own[i], own[i + half]
            turned[i] = one * np.cos(angle) - two * np.sin(angle)
            turned[i + half] = two * np.cos(angle) + one * np.sin(angle)
        return turned

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query; scores are not scaled."""
        scores = keys @ query
        weights = np.exp(scores - scores.max())
        return (weights / weights.sum()) @ values

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What the MLP adds, after its own norm, and what the gate at the layer's end adds."""
        block, width = self.model.model.layers[node[1]], self.model.config.hidden_size
        after = block.post_feedforward_layernorm
        own, given = stream[:width], stream[width:]
        ours, theirs = (None, None) if like is None else (like[:width], like[width:])
        routed = ours if self.routing else None
        held = ours if self.norms else None
        other = None if held is None else self._mlp(block, held)
        written = _normed(after, self._mlp(block, own, held, routed), other)
        if not len(given):
            return written
        gate = None
        if held is not None:
            assert other is not None and theirs is not None
            gate = self._gate(block, held + _normed(after, other), theirs)
        added = self._gate(block, own + written, given)
        return written + _normed(block.post_per_layer_input_norm, added, gate)

    def _gate(self, block: Any, stream: Array, given: Array) -> Array:
        asked = _gelu(_linear(block.per_layer_input_gate, stream))
        return _linear(block.per_layer_projection, asked * given)

    def _mlp(
        self, block: Any, stream: Array, like: Array | None = None, routed: Array | None = None
    ) -> Array:
        x, part = _normed(block.pre_feedforward_layernorm, stream, like), block.mlp
        gate = _gelu(_linear(part.gate_proj, x))
        out = _linear(part.down_proj, gate * _linear(part.up_proj, x))
        if not self.model.config.enable_moe_block:
            return out
        weights = self._routing(block.router, stream, like)
        if routed is not None:
            weights = self._routing(block.router, routed, None)
        x, total = _normed(block.pre_feedforward_layernorm_2, stream, like), np.zeros_like(out)
        both, down = _array(block.experts.gate_up_proj), _array(block.experts.down_proj)
        for number, weight in weights.items():
            gate, up = np.split(both[number] @ x, 2)
            total = total + weight * (down[number] @ (_gelu(gate) * up))
        first = _normed(block.post_feedforward_layernorm_1, out)
        return first + _normed(block.post_feedforward_layernorm_2, total)

    def _routing(self, router: Any, stream: Array, like: Array | None) -> dict[int, float]:
        """The experts of a token by number, with their weights."""
        x = _normed(router.norm, stream, like) * _array(router.scale) / np.sqrt(len(stream))
        scores = _linear(router.proj, x)
        chosen = sorted(range(len(scores)), key=lambda e: -scores[e])
        chosen = chosen[: self.model.config.top_k_experts]
        weights = np.exp(scores[chosen] - scores.max())
        weights = weights / weights.sum() * _array(router.per_expert_scale)[chosen]
        return dict(zip(chosen, map(float, weights), strict=True))

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """Behind a norm neurons write nothing of their own."""
        raise NotImplementedError

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab,) of the last stream."""
        held = like if self.norms else None
        logits = _array(self.model.lm_head.weight) @ _normed(self.model.model.norm, stream, held)
        cap = self.model.config.final_logit_softcapping
        return logits if cap is None else cap * np.tanh(logits / cap)


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def keys_from(config: Any) -> tuple[int, ...]:
    """The last layers read the keys of the nearest one of their kind before all of them."""
    kinds, own = config.layer_types, config.num_hidden_layers - config.num_kv_shared_layers
    if own == len(kinds):
        return ()
    return tuple(
        layer if layer < own else max(i for i in range(own) if kinds[i] == kind)
        for layer, kind in enumerate(kinds)
    )


def _normed(module: Any, x: Array, like: Array | None = None) -> Array:
    gain = _array(module.weight) if hasattr(module, "weight") else 1.0
    square = (x if like is None else like) ** 2
    return np.asarray(x / np.sqrt(square.mean() + module.eps) * gain)


def _linear(module: Any, x: Array) -> Array:
    out = _array(module.weight) @ x
    return out if module.bias is None else out + _array(module.bias)
