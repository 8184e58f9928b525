"""Toy models as parts for the tree, in numpy, apart from the reference module and the adapter.

Reads the tensors of a state dict and the fields of a config by name, and calls nothing of either.
Everything is in float64.

Source: the meaning of TransformerLens' config fields, as its documentation gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erf
from typing import Any

import numpy as np

from .graph import INPUT, Environment, PlaceNode
from .tree import Array

DEFAULTS: Mapping[str, Any] = {
    "n_key_value_heads": None, "d_vocab_out": None, "attn_only": False, "gated_mlp": False,
    "parallel_attn_mlp": False, "act_fn": "relu", "final_rms": False, "eps": 1e-5,
    "positional_embedding_type": "standard", "rotary_dim": None, "rotary_base": 10000,
    "rotary_adjacent_pairs": False, "attention_dir": "causal", "attn_scale": -1,
    "scale_attn_by_inverse_layer_idx": False, "attn_coeff": 1, "windows": None,
    "attn_scores_soft_cap": -1, "output_logits_soft_cap": -1,
}  # fmt: skip


def _softmax(x: Array) -> Array:
    shares = np.exp(x - x.max())
    return shares / shares.sum()


def _tanh_gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: Mapping[str, Any] = {
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "relu2": lambda x: np.where(x > 0, x, 0.0) ** 2,
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2))),
    "gelu_new": _tanh_gelu,
    "gelu_fast": lambda x: 0.5 * x * (1 + np.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "solu": lambda x: x * _softmax(x),
    "solu_ln": lambda x: x * _softmax(x),
}


@dataclass(slots=True, kw_only=True)
class Toy:
    """One model: its fields, its tensors by name, and the graph that the tree needs.

    `length`: of the prompt that was embedded last.
    """

    fields: Mapping[str, Any]
    tensors: Mapping[str, Array]
    env: Environment
    length: int = 0

    @classmethod
    def of(cls, model: Any) -> Toy:
        """The parts of a `ToyModel`."""
        found = {k: v.detach().double().cpu().numpy() for k, v in model.state_dict().items()}
        return cls.made({**DEFAULTS, **model.config.to_dict()}, found)

    @classmethod
    def made(cls, fields: Mapping[str, Any], tensors: Mapping[str, Array]) -> Toy:
        """Of a config and tensors in the names of the reference module."""
        fields = {**DEFAULTS, **fields}
        env = Environment(
            n_layers=fields["n_layers"], n_heads=fields["n_heads"], rows=(),
            parallel=bool(fields["parallel_attn_mlp"]),
        )  # fmt: skip
        return cls(fields=fields, tensors=tensors, env=env)

    def _bias(self, name: str) -> Array | float:
        return self.tensors.get(f"{name}.bias", 0.0)

    def _linear(self, name: str, x: Array) -> Array:
        return self.tensors[f"{name}.weight"] @ x + self._bias(name)

    def _norm(self, name: str, kind: str, x: Array, like: Array | None = None) -> Array:
        """By the scale of `like` where that is given."""
        like, eps = x if like is None else like, self.fields["eps"]
        if not kind:
            return x
        if kind.lower().startswith("rms"):
            out = x / np.sqrt((like**2).mean() + eps)
        else:
            out = (x - x.mean()) / np.sqrt(((like - like.mean()) ** 2).mean() + eps)
        if kind.lower().endswith("pre"):
            return out
        return out * self.tensors[f"{name}.weight"] + self._bias(name)

    @property
    def _kind(self) -> str:
        return self.fields["normalization_type"] or ""

    def embed(self, ids: Sequence[int]) -> Array:
        """Token embeddings, with positions where they are part of it, (T, d_model)."""
        self.length = len(ids)
        found = self.tensors["embed.weight"][list(ids)]
        if self.fields["positional_embedding_type"] == "standard":
            found = found + self.tensors["pos_embed.weight"][: len(ids)]
        return found

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """Everything that was written, and the bias of each layer whose heads wrote."""
        total, size = values[INPUT], self.fields["d_head"]
        for layer in range(self.env.n_layers):
            name = f"blocks.{layer}.attn.o"
            for head in range(self.env.n_heads):
                if (value := values.get(("a", layer, head))) is None:
                    continue
                out = self.tensors[f"{name}.weight"][:, head * size : (head + 1) * size]
                total = total + out @ value + (self._bias(name) if head == 0 else 0.0)
            for node, value in values.items():
                if node[0] in ("m", "n") and node[1] == layer:
                    total = total + value
        return total

    def keys(self, node: PlaceNode, at: int) -> Sequence[int]:
        """The last positions up to its own, as many as the window holds; or all of them."""
        if self.fields["attention_dir"] == "bidirectional":
            return range(self.length)
        window = (self.fields["windows"] or [None] * self.env.n_layers)[node[1]]
        return [key for key in range(at + 1) if window is None or at - key < window]

    def project(
        self, node: PlaceNode, slot: str, stream: Array, at: int, like: Array | None = None
    ) -> Array:
        """A head's query, key or value (d_head,)."""
        fields, (_, layer, head) = self.fields, node
        if slot != "q":
            head = head * (fields["n_key_value_heads"] or self.env.n_heads) // self.env.n_heads
        read = self._norm(f"blocks.{layer}.ln1", self._kind, stream, like)
        if fields["positional_embedding_type"] == "shortformer" and slot != "v":
            read = read + self.tensors["pos_embed.weight"][at]
        size = fields["d_head"]
        own = self._linear(f"blocks.{layer}.attn.{slot}", read)[head * size : (head + 1) * size]
        if fields["positional_embedding_type"] != "rotary" or slot == "v":
            return own
        turned = fields["rotary_dim"] or size
        result = own.copy()
        for number in range(turned // 2):
            one, two = (number, number + turned // 2)
            if fields["rotary_adjacent_pairs"]:
                one, two = 2 * number, 2 * number + 1
            angle = at / fields["rotary_base"] ** (2 * number / turned)
            result[one] = own[one] * np.cos(angle) - own[two] * np.sin(angle)
            result[two] = own[two] * np.cos(angle) + own[one] * np.sin(angle)
        return result

    def attend(self, node: PlaceNode, query: Array, keys: Array, values: Array) -> Array:
        """z (d_head,) of one query."""
        fields = self.fields
        scale = np.sqrt(fields["d_head"]) if fields["attn_scale"] == -1 else fields["attn_scale"]
        scale = scale * (node[1] + 1 if fields["scale_attn_by_inverse_layer_idx"] else 1)
        scores, cap = keys @ query / scale, fields["attn_scores_soft_cap"]
        if cap is not None and cap > 0:
            scores = cap * np.tanh(scores / cap)
        rate = fields["attn_coeff"]
        return (rate * _softmax(scores) + (1 - rate)) @ values

    def _hidden(self, layer: int, stream: Array, like: Array | None) -> Array:
        """What the output projection reads, (d_mlp,)."""
        name, fields = f"blocks.{layer}.mlp", self.fields
        x = self._norm(f"blocks.{layer}.ln2", self._kind, stream, like)
        act = ACTIVATIONS[fields["act_fn"].lower()]
        if fields["gated_mlp"]:
            return act(self._linear(f"{name}.gate", x)) * self._linear(f"{name}.up", x)
        hidden = act(self._linear(f"{name}.up", x))
        if fields["act_fn"] == "solu_ln":
            return self._norm(f"{name}.ln", "LN" if self._kind == "LN" else "LNPre", hidden)
        return hidden

    def mlp(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """An MLP's output (d_model,); zeros where there is none."""
        if self.fields["attn_only"]:
            return np.zeros_like(stream)
        return self._linear(f"blocks.{node[1]}.mlp.down", self._hidden(node[1], stream, like))

    def neuron(self, node: PlaceNode, stream: Array, like: Array | None = None) -> Array:
        """What one hidden unit adds, (d_model,)."""
        hidden = self._hidden(node[1], stream, like)
        return hidden[node[2]] * self.tensors[f"blocks.{node[1]}.mlp.down.weight"][:, node[2]]

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """(d_vocab_out,) of the last stream."""
        kind, cap = self._kind, self.fields["output_logits_soft_cap"]
        if kind and self.fields["final_rms"]:
            kind = "RMSPre" if kind.lower().endswith("pre") else "RMS"
        logits = self._linear("unembed", self._norm("ln_final", kind, stream, like))
        return cap * np.tanh(logits / cap) if cap is not None and cap > 0 else logits
