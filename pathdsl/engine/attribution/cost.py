"""What an attribution weighs and costs, known from shapes alone; no torch here.

Counted as in plans: multiply-adds as a multiple of one plain forward pass over the same prompts,
logits of the whole vocabulary included. A backward without gradients of weights costs what a
forward costs. Logits of the method's own runs are left out: few are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.score.attribution import Attribution

__all__ = ["CHUNK_TOKENS", "AttributionCost", "attribution_cost", "rows_per_chunk"]

CHUNK_TOKENS = 480
"""Tokens of one chunk at most, unless one prompt is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionCost:
    """`forwards`: plain forward passes. `peak`: bytes beside the model's weights. `rows`: how many
    prompts go together."""

    forwards: float
    peak: int
    rows: int


def rows_per_chunk(shape: ModelShape, n_pos: int, itemsize: int) -> int:
    """How many prompts go together."""
    return max(CHUNK_TOKENS // max(n_pos, 1), 1)


_Passes = Callable[[ModelShape, int, str], float]
"""From a shape, the steps and the rule: forwards and backwards of all layers, without that of the
treated run."""


def _once(shape: ModelShape, steps: int, rule: str) -> float:
    """A forward and a backward of the reference run."""
    return 2.0


def _between(shape: ModelShape, steps: int, rule: str) -> float:
    """A forward and a backward at each point, and the forward of the reference run unless it is
    one of them."""
    return 2.0 * steps + float(POINTS[rule](steps)[-1] != steps)


def _from_each(shape: ModelShape, steps: int, rule: str) -> float:
    """At each place and point the layers above it, on average half of them, forth and back."""
    return 2.0 + (2 * shape.n_layers + 1) * steps


def _dropped(shape: ModelShape, steps: int, rule: str) -> float:
    """A forward, and a backward of a stack that grows by one gradient a layer."""
    return 1.0 + (shape.n_layers + 1) / 2


PASSES: dict[str, _Passes] = {
    "atp": _once,
    "atp_qk": _once,
    "atp_star": _dropped,
    "eap": _once,
    "eap_ig": _between,
    "eap_ig_activations": _from_each,
    "clean_corrupted": lambda shape, steps, rule: 4.0,
    "relp": _once,
    "gim": _once,
}

POINTS: dict[str, Callable[[int], range]] = {
    "right": lambda steps: range(1, steps + 1),
    "left": lambda steps: range(steps),
}
"""The points of each rule of an integral: k of k/steps, 0 being the treated end."""


def attribution_cost(
    asked: Attribution, shape: ModelShape, n_rows: int, n_pos: int, itemsize: int
) -> AttributionCost | None:
    """The cost of an attribution on so many prompts; None for one that is run as a plan.

    `n_pos`: length of the longest prompt. `itemsize`: bytes of a number in the model's dtype.
    """
    if asked.method not in PASSES:
        return None
    heads = shape.n_heads * shape.d_head
    stored = shape.n_groups * shape.d_head
    inputs = (heads + 2 * stored) * shape.d_model
    mlp = (2 + int(shape.gated_mlp)) * shape.d_model * shape.d_mlp * int(shape.has_mlp)
    layers = shape.n_layers * (inputs + heads * shape.d_model + 2 * n_pos * heads + mlp)
    plain = layers + shape.d_model * shape.d_vocab
    draws = 1 if asked.treated.how.constant else asked.treated.draws
    passes = PASSES[asked.method](shape, asked.steps, asked.rule)
    treated = asked.treated.how.runs * draws
    if not ATTRIBUTIONS[asked.method].at_reference:  # each draw has runs of its own
        passes *= draws
    own = 0.0
    if asked.of == "edges":
        own = Layout(shape).n_edges() * shape.d_model
    elif asked.of == "nodes":
        own = float(shape.n_layers * inputs * draws)
    forwards = ((passes + treated) * layers + own) / plain
    return AttributionCost(
        forwards=forwards,
        peak=_peak(asked, shape, n_rows, n_pos, itemsize),
        rows=min(rows_per_chunk(shape, n_pos, itemsize), n_rows),
    )


def _peak(asked: Attribution, shape: ModelShape, n_rows: int, n_pos: int, itemsize: int) -> int:
    """Bytes: the scores of all prompts, and what one chunk of them takes."""
    rows = min(rows_per_chunk(shape, n_pos, itemsize), n_rows)
    tokens, d, heads = rows * n_pos, shape.d_model, shape.n_heads * shape.d_head
    gated = 3 + 2 * int(shape.gated_mlp)
    tape = 10 * d + 7 * heads + gated * shape.d_mlp * int(shape.has_mlp)
    tape += 4 * shape.n_heads * n_pos  # scores and pattern, forth and back
    treated = 4 * d + 2 * heads
    numbers = shape.n_layers * (tape + treated) * tokens
    units = 1 + shape.n_layers * (4 * shape.n_heads + int(shape.has_mlp))
    if asked.of == "edges":
        units = Layout(shape).n_edges()
        numbers += (shape.n_senders + 6 * shape.n_heads) * d * tokens
        numbers += 3 * shape.n_layers * heads * d  # readers' weights
        numbers += shape.n_layers * asked.steps * (d + 3 * heads) * tokens
    elif asked.of == "neurons":
        units = shape.n_layers * shape.d_mlp
        numbers += 2 * shape.n_layers * shape.d_mlp * tokens
    positions = n_pos if asked.by_position else 1
    kept = 8 * units * positions * (n_rows + rows)
    return numbers * itemsize + kept
