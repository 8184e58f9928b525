"""What an attribution weighs and costs, known from shapes alone; no torch here.

Counted as in plans: multiply-adds as a multiple of one plain forward pass over the same prompts,
logits of the whole vocabulary included. A backward without gradients of weights costs what a
forward costs. Logits of the method's own runs are left out: few are read. Positions that all runs
have in common are run once, and what leaves the last layer is computed from the first position on
that the metric reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathdsl.engine.data.positions import position_mask
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.liveness import share_of
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.attribution import Attribution
from pathdsl.score.quantity import row_metrics

__all__ = [
    "CHUNK_TOKENS", "AttributionCost", "Beginning", "attribution_cost", "beginning",
    "rows_per_chunk",
]  # fmt: skip

CHUNK_TOKENS = 330
"""Tokens of one chunk at most, unless one prompt is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionCost:
    """`forwards`: plain forward passes. `peak`: bytes beside the model's weights. `rows`: how many
    prompts go together. `least`: bytes that have to be stated for one prompt at a time."""

    forwards: float
    peak: int
    rows: int
    least: int


def rows_per_chunk(
    asked: Attribution, shape: ModelShape, n_pos: int, itemsize: int, memory: int | None
) -> int:
    """How many prompts go together; `memory`: bytes that values may take, None where it is not
    stated. Half of them are a chunk's, and half are left to the scores of all prompts."""
    most = max(CHUNK_TOKENS // max(n_pos, 1), 1)
    if memory is None:
        return most
    return max(1, min(most, share_of(memory) // _bytes(asked, shape, n_pos, itemsize)[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Shares of the prompts' positions: `past`, before any prompt of a chunk differs from its
    treated one; `unread`, from there on, before the metric is read."""

    past: float
    unread: float


EVERYWHERE = Beginning(past=0.0, unread=0.0)


def beginning(
    asked: Attribution,
    task: TaskData,
    shape: ModelShape,
    itemsize: int,
    memory: int | None = None,
) -> Beginning:
    """Where the runs of an attribution begin, from the token ids of its prompts."""
    spec, columns = asked.treated, task.prompts
    measures = {m for item in row_metrics(asked.metric) for m in item.metric.measures}
    if not measures or any(task.behind(task.as_read(measure)) for measure in measures):
        return EVERYWHERE  # answers stand behind prompts
    place = position_mask(task)
    read = np.logical_or.reduce([place(Pos.parse(measure.position)) for measure in measures])
    differs = np.ones_like(task.valid)
    if not spec.how.constant and spec.how.drawn == "nothing":
        n = min(columns[name].shape[1] for name in (task.reference, spec.column))
        differs[:, :n] = columns[task.reference][:, :n] != columns[spec.column][:, :n]
    step, past, late = rows_per_chunk(asked, shape, task.n_pos, itemsize, memory), 0, 0
    for start in range(0, task.n_rows, step):
        rows = slice(start, start + step)
        valid = task.valid[rows]
        since = _first(differs[rows] & valid) if shape.causal else 0
        past += len(valid) * since
        late += len(valid) * max(_first(read[rows] & valid), since)
    positions = task.n_rows * task.n_pos
    return Beginning(past=past / positions, unread=(late - past) / positions)


def _first(mask: np.ndarray) -> int:
    """The first position that is in a mask in any row, the last one if there is none."""
    places = np.flatnonzero(mask.any(axis=0))
    return int(places[0]) if len(places) else mask.shape[1] - 1


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


def _along(shape: ModelShape, steps: int, rule: str) -> float:
    """The treated run's logits; at each point, the reference run the first, a forward, a backward
    of the metric where it counts, and one of the distance where the way goes on."""
    return 2.0 + steps + 2.0 * _nearer(steps, rule)


def _nearer(steps: int, rule: str) -> int:
    """The steps of a way that begins at the reference run."""
    return steps - min(POINTS[rule](steps))


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
    "eap_gp": _along,
    "peap": _once,
    "ifr": lambda shape, steps, rule: 1.0,
}

_Own = Callable[[ModelShape, Attribution, int], float]
"""From a shape, what is asked and the length of the prompts: multiply-adds a token and draw beside
whole passes through the layers."""


def _projected(shape: ModelShape, asked: Attribution, n_pos: int) -> float:
    """Every sender's change goes through the inputs and the attention of all heads above it."""
    heads = shape.n_heads * shape.d_head
    inputs = (heads + 2 * shape.n_groups * shape.d_head) * shape.d_model
    by_layer = shape.n_heads + int(shape.has_mlp)
    read = sum(1 + layer * by_layer for layer in range(shape.n_layers))
    return read * (inputs + 6.0 * n_pos * heads) + shape.n_senders * shape.n_layers * shape.d_model


def _towards(shape: ModelShape, asked: Attribution, n_pos: int) -> float:
    """Logits of the treated run and, for each step of the way, logits and their gradient, at every
    token; and the products with every sender's change."""
    logits = 1 + 2 * _nearer(asked.steps, asked.rule)
    return logits * shape.d_model * shape.n_logits + Layout(shape).n_edges() * shape.d_model


def _apart(shape: ModelShape, asked: Attribution, n_pos: int) -> float:
    """Each head's write by itself, and that of all."""
    return 2.0 * shape.n_layers * shape.n_heads * shape.d_head * shape.d_model


OWN: dict[str, _Own] = {"peap": _projected, "eap_gp": _towards, "ifr": _apart}
"""What a method does beside passes, where it is more than a product for each edge."""
LAST: dict[str, _Passes] = {
    "atp_star": lambda shape, steps, rule: 2.0,
    "eap_ig_activations": lambda shape, steps, rule: 2.0 + (4 * shape.n_layers - 2) * steps,
}
"""How often the last layer is passed, where that is not as often as all."""

PUT: dict[str, Callable[[int], int]] = {"eap_ig_activations": lambda layer: 2 * layer + 2}
"""How often the readers of a layer by number meet what senders write, where that is not once."""

POINTS: dict[str, Callable[[int], range]] = {
    "right": lambda steps: range(1, steps + 1),
    "left": lambda steps: range(steps),
}
"""The points of each rule of an integral: k of k/steps, 0 being the treated end."""


def _edges(shape: ModelShape, put: Callable[[int], int], read: float) -> float:
    """Multiply-adds a token of edges: each head's write by itself, heads' gradients spread over the
    stream, products with what senders write. `read`: the share of positions that the metric reads.
    """
    heads, inputs = shape.n_heads * shape.d_head, 3 * shape.n_heads
    total, below = float(shape.n_layers * heads), 1
    for layer in range(shape.n_layers):
        here = float(3 * heads + inputs * below)
        # Of two layers that are put together the lower meets as many senders as the upper.
        here += inputs * (shape.n_heads + int(shape.has_mlp)) / 2
        if shape.has_mlp:
            of_mlp = below if shape.parallel else below + shape.n_heads
            here += of_mlp * (read if layer == shape.n_layers - 1 else 1)
        total += put(layer) * here
        below += shape.n_heads + int(shape.has_mlp)
    return (total + put(shape.n_layers) * below * read) * shape.d_model


def attribution_cost(
    asked: Attribution,
    shape: ModelShape,
    n_rows: int,
    n_pos: int,
    itemsize: int,
    begins: Beginning = EVERYWHERE,
    memory: int | None = None,
) -> AttributionCost | None:
    """The cost of an attribution on so many prompts; None for one that is run as a plan.

    `n_pos`: length of the longest prompt. `itemsize`: bytes of a number in the model's dtype.
    `begins`: what of the prompts is not run again. `memory`: as of `rows_per_chunk`.
    """
    if asked.method not in PASSES:
        return None
    heads = shape.n_heads * shape.d_head
    stored = shape.n_groups * shape.d_head
    inputs = (heads + 2 * stored) * shape.d_model
    mlp = (2 + int(shape.gated_mlp)) * shape.d_model * shape.mean_units * int(shape.has_mlp)
    layer = inputs + heads * shape.d_model + 2 * n_pos * heads + mlp
    layers = shape.n_layers * layer
    plain = layers + shape.d_model * shape.n_logits
    record = ATTRIBUTIONS[asked.method]
    draws = 1 if asked.treated.how.constant or not record.effect else asked.treated.draws
    passes = PASSES[asked.method](shape, asked.steps, asked.rule)
    whole = asked.method in OWN  # run at every position
    begins = EVERYWHERE if whole else begins
    last = LAST[asked.method](shape, asked.steps, asked.rule) if asked.method in LAST else passes
    treated = asked.treated.how.runs * draws if record.effect else 0
    if not record.at_reference:  # each draw has runs of its own
        passes, last = passes * draws, last * draws
    fresh, own = 1 - begins.past, 0.0
    if asked.of == "edges":
        put = PUT.get(asked.method, lambda layer: 1)
        own = _edges(shape, put, 1 - begins.unread / fresh)
        if record.at_reference:  # heads' gradients go down the stream by the same product
            own -= shape.n_layers * inputs
    elif asked.of == "nodes" and asked.treated.how.constant:
        own = float(shape.n_layers * inputs * draws)
    if whole:
        own = OWN[asked.method](shape, asked, n_pos) * draws
    unread = (last + treated) * (layer - 2 * stored * shape.d_model)
    total = (begins.past + (passes + treated) * fresh) * layers
    forwards = (total - unread * begins.unread + own * fresh) / plain
    rows = min(rows_per_chunk(asked, shape, n_pos, itemsize, memory), n_rows)
    chunk, scores = _bytes(asked, shape, n_pos, itemsize)
    return AttributionCost(
        forwards=forwards,
        peak=chunk * rows + scores * n_rows,
        rows=rows,
        least=2 * max(chunk, scores * n_rows),
    )


def _taped(shape: ModelShape, n_pos: int) -> int:
    """Numbers a token that a tape keeps of one layer."""
    gated = 1 + int(shape.gated_mlp)
    tape = 4 * shape.d_model + 4 * shape.n_heads * shape.d_head
    tape += gated * shape.mean_units * int(shape.has_mlp)
    return tape + 4 * shape.n_heads * n_pos  # scores and pattern, forth and back


KEPT: dict[str, _Own] = {
    # the gradients at heads and MLPs of all layers; of one sender the attention of a layer
    "peap": lambda shape, asked, n_pos: (
        shape.n_layers * (shape.n_heads * shape.d_head + 2 * shape.d_model)
        + 24 * shape.n_heads * n_pos
    ),
    # a tape beside that of the reference run, and logits
    "eap_gp": lambda shape, asked, n_pos: (
        shape.n_layers * _taped(shape, n_pos) + 4 * shape.n_logits
    ),
}
"""Numbers a token that a method of edges keeps beside the others."""


def _bytes(asked: Attribution, shape: ModelShape, n_pos: int, itemsize: int) -> tuple[int, int]:
    """Bytes of one prompt: while it is in a chunk, and those of its scores."""
    tokens, d, heads = n_pos, shape.d_model, shape.n_heads * shape.d_head
    treated = d + 4 * heads
    numbers = shape.n_layers * (_taped(shape, n_pos) + treated) * tokens
    units = 1 + shape.n_layers * (4 * shape.n_heads + int(shape.has_mlp))
    if not ATTRIBUTIONS[asked.method].effect:  # a forward of which the parts are kept
        numbers = (3 * shape.n_senders * d + 4 * shape.n_heads * n_pos + shape.d_mlp) * tokens
        units = Layout(shape).n_edges()
    elif asked.of == "edges":
        units = Layout(shape).n_edges()
        numbers += (shape.n_senders + 2 * (3 * shape.n_heads + 1)) * d * tokens
        if not ATTRIBUTIONS[asked.method].at_reference:  # gradients of all readers, and streams
            numbers += shape.n_layers * ((asked.steps + 1) * d + 3 * heads) * tokens
        if asked.method in KEPT:
            numbers += int(KEPT[asked.method](shape, asked, n_pos)) * tokens
    elif asked.of == "marks":
        units = shape.n_layers + 1
    elif asked.of == "neurons":
        units = shape.n_layers * shape.d_mlp
        numbers += 2 * shape.n_layers * shape.d_mlp * tokens
    scores = 8 * units * (n_pos if asked.by_position else 1)
    return numbers * itemsize + scores, scores
