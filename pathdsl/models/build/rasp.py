"""A small constructor of transformers from programs: select, aggregate, map (RASP-lite).

After RASP (Weiss et al. 2021, arXiv:2106.06981) and tracr (Lindner et al. 2023, arXiv:2301.05062):
every variable of a program owns directions of the residual stream that nothing else writes, so
who reads whom can be read from the weights. What differs from tracr is that the result is an
ordinary causal `GPT2LMHeadModel`, which asks for four things:

- *LayerNorm that does nothing.* With epsilon 2**80 and gain 2**40, both powers of two, the norm is
  ``x - mean(x)`` exactly: the variance is lost against epsilon in float32 and in float64.
- *Zero-mean coding.* Every write sums to zero, so that the mean above is zero too. One direction,
  the balance, takes minus the sum of each write and is read by nobody: it is the partner of all
  others, where the textbook's trick pairs each direction with its own.
- *Scores.* GPT-2 divides scores by the root of the head's width; queries are multiplied by it.
- *A resting place.* A selected key has score `SHARPNESS`, the token <bos> (id 0, at position 0)
  half of it and other keys 0; a query that selects nothing rests on <bos>. What is not selected
  has weight below e**-30.

One-hot variables hold 0 or 1 in each direction, numbers one amount in one direction. The two
linear maps of a step may be any matrices, so decoys are ordinary steps as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel

from pathdsl.draws import Draws

__all__ = ["BOS", "SHARPNESS", "Program", "Variable", "junk_matrix"]

BOS = 0
SHARPNESS = 64.0
EPSILON_ROOT = 2.0**40

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """Directions `start` to `start + size - 1` of the residual stream."""

    name: str
    start: int
    size: int

    @property
    def directions(self) -> slice:
        """The residual directions of this variable."""
        return slice(self.start, self.start + self.size)


def junk_matrix(rows: int, columns: int, name: str) -> Matrix:
    """Multiples of 1/8 in [-1, 1] for decoys, none of them zero, fixed by the name."""
    draws = Draws(0, "rasp", "junk", name)
    values = [n / 8 for n in range(-8, 9) if n != 0]
    return np.array([[draws.choice(values) for _ in range(columns)] for _ in range(rows)])


@dataclass(slots=True, kw_only=True)
class Program:
    """A transformer under construction; `model()` gives the finished one.

    `tokens` and `indices` are the variables that the embeddings write: one-hot token, one-hot
    position. `width` is the width of the residual stream, `mlp_width` the hidden units per MLP.
    """

    vocabulary: int
    positions: int
    layers: int
    heads: int
    width: int
    mlp_width: int
    tokens: Variable = field(init=False)
    indices: Variable = field(init=False)
    weights: dict[str, Matrix] = field(init=False)
    _next: int = field(init=False, default=0)
    _units: dict[int, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.weights = {
            "transformer.wte.weight": np.zeros((self.vocabulary, self.width)),
            "transformer.wpe.weight": np.zeros((self.positions, self.width)),
            "lm_head.weight": np.zeros((self.vocabulary, self.width)),
        }
        for layer in range(self.layers):
            stem = f"transformer.h.{layer}"
            self.weights |= {
                f"{stem}.attn.c_attn.weight": np.zeros((self.width, 3 * self.width)),
                f"{stem}.attn.c_attn.bias": np.zeros(3 * self.width),
                f"{stem}.attn.c_proj.weight": np.zeros((self.width, self.width)),
                f"{stem}.mlp.c_fc.weight": np.zeros((self.width, self.mlp_width)),
                f"{stem}.mlp.c_fc.bias": np.zeros(self.mlp_width),
                f"{stem}.mlp.c_proj.weight": np.zeros((self.mlp_width, self.width)),
            }
        self.tokens = self.variable("tokens", self.vocabulary)
        self.indices = self.variable("indices", self.positions)
        self.weights["transformer.wte.weight"][:, self.tokens.directions] = np.eye(self.vocabulary)
        self.weights["transformer.wpe.weight"][:, self.indices.directions] = np.eye(self.positions)

    @property
    def head_width(self) -> int:
        """Width of one head, d_head."""
        return self.width // self.heads

    def variable(self, name: str, size: int = 1) -> Variable:
        """New directions; the last of the stream is kept for the balance."""
        made = Variable(name=name, start=self._next, size=size)
        self._next += size
        if self._next > self.width - 1:
            raise ValueError(f"`{name}` does not fit: {self._next} of {self.width - 1} directions")
        return made

    def attend(
        self,
        layer: int,
        head: int,
        *,
        query: Variable | None,
        key: Variable,
        predicate: Matrix,
        value: Variable,
        out: Variable,
        value_map: Matrix,
        rest: bool = True,
    ) -> None:
        """Select and aggregate: the mean of `value @ value_map` over the keys selected, to `out`.

        `predicate` (query.size, key.size) is 1 where selected; without `query` it has one row,
        the same for all queries. `rest` adds the resting place; uniform attention needs none.
        """
        stem, first = f"transformer.h.{layer}.attn", head * self.head_width
        qkv = self.weights[f"{stem}.c_attn.weight"]
        bias = self.weights[f"{stem}.c_attn.bias"]
        if max(key.size + rest, out.size) > self.head_width:
            raise ValueError(f"head {layer}.{head} is too narrow for `{key.name}` or `{out.name}`")
        sharp = SHARPNESS * np.sqrt(self.head_width)
        keys = slice(first, first + key.size)
        if query is None:
            bias[keys] = sharp * predicate[0]
        else:
            qkv[query.directions, keys] = sharp * predicate
        at_keys = self.width + first
        qkv[key.directions, at_keys : at_keys + key.size] = np.eye(key.size)
        if rest:
            bias[first + key.size] = sharp / 2
            qkv[self.tokens.start + BOS, at_keys + key.size] = 1.0
        at_values = 2 * self.width + first
        qkv[value.directions, at_values : at_values + out.size] = value_map
        rows = slice(first, first + out.size)
        self.weights[f"{stem}.c_proj.weight"][rows, out.directions] += np.eye(out.size)

    def silence(self, layer: int, head: int) -> None:
        """Make a head write nothing: it attends and carries values, its output projection is 0."""
        first = head * self.head_width
        rows = slice(first, first + self.head_width)
        self.weights[f"transformer.h.{layer}.attn.c_proj.weight"][rows] = 0.0

    def unit(
        self,
        layer: int,
        *,
        reads: Mapping[Variable, list[float]],
        bias: float = 0.0,
        writes: Mapping[Variable, list[float]],
    ) -> None:
        """One hidden unit of an MLP: relu(reads . x + bias), added to the variables written."""
        stem, number = f"transformer.h.{layer}.mlp", self._units.get(layer, 0)
        if number >= self.mlp_width:
            raise ValueError(f"MLP {layer} has only {self.mlp_width} hidden units")
        self._units[layer] = number + 1
        for variable, amounts in reads.items():
            self.weights[f"{stem}.c_fc.weight"][variable.directions, number] = amounts
        self.weights[f"{stem}.c_fc.bias"][number] = bias
        for variable, amounts in writes.items():
            self.weights[f"{stem}.c_proj.weight"][number, variable.directions] = amounts

    def step(
        self, layer: int, number: Variable, steepness: float, out: Mapping[Variable, float]
    ) -> None:
        """Two hidden units: clip(steepness * number, 0, 1), times the amounts, to `out`."""
        for bias, sign in ((0.0, 1.0), (-1.0, -1.0)):
            writes = {variable: [sign * amount] for variable, amount in out.items()}
            self.unit(layer, reads={number: [steepness]}, bias=bias, writes=writes)

    def read_out(self, variable: Variable, rows: Matrix) -> None:
        """Logits: `rows` (vocabulary, variable.size) times the variable, added to the others."""
        self.weights["lm_head.weight"][:, variable.directions] += rows

    def model(self) -> GPT2LMHeadModel:
        """The finished model, float32, in eval mode; its weights are a function of the program."""
        config = GPT2Config(
            vocab_size=self.vocabulary,
            n_positions=self.positions,
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            n_inner=self.mlp_width,
            activation_function="relu",
            layer_norm_epsilon=EPSILON_ROOT**2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=False,
            bos_token_id=BOS,
            eos_token_id=BOS,
        )
        model = GPT2LMHeadModel(config).eval()
        written = ("wte.weight", "wpe.weight", "c_proj.weight")
        state = {}
        for name, value in model.state_dict().items():
            if name in self.weights:
                weight = self.weights[name].copy()
                if name.endswith(written):
                    weight[:, -1] = -weight[:, :-1].sum(axis=1)
                state[name] = torch.tensor(weight, dtype=value.dtype)
            elif ".ln_" in name and name.endswith("weight"):
                state[name] = torch.full_like(value, EPSILON_ROOT)
            else:  # output biases and the norms' shifts
                state[name] = torch.zeros_like(value)
        model.load_state_dict(state)
        return model
