"""The door to attribution: from what is asked to a score for each unit and prompt.

Each method of `pathdsl.lang.signatures.attribution` has a line in `METHODS`: what computes its
scores of nodes, marks, edges and neurons on one chunk of prompts, and by which backward. A function
gets a `Chunk` and gives (units, rows, pos) float64 in the order of
`pathdsl.engine.attribution.units`.

    scored = attribute(adapter, task, asked)         # scored.values (units, rows)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.attribution import (
    activations,
    crossing,
    edges,
    flow,
    graddrop,
    gradpath,
    nodes,
    saturation,
)
from pathdsl.engine.attribution.chunks import Chunks
from pathdsl.engine.attribution.rules import FROZEN, GIM, PLAIN, RELP, Rules
from pathdsl.engine.attribution.units import UNITS
from pathdsl.engine.attribution.vet import vet
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.attribution import Attribution, Scored

__all__ = ["METHODS", "Method", "attribute"]

OnChunk = Callable[..., Tensor]
"""The scores of one `Chunk`, (units, rows, pos) float64 on the CPU; of a `PlainChunk` by a method
that reads no metric, of the chunks of all branches of some rows by one that is not linear in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How one method computes its scores, None where it has none of these units.

    `rules`: its backward, None for that of the task's norms. `whole`: whether its runs are wanted
    at every position, those before the first change included.
    """

    nodes: OnChunk | None
    marks: OnChunk | None
    edges: OnChunk | None
    neurons: OnChunk | None
    rules: Rules | None
    whole: bool


METHODS: dict[str, Method] = {
    "atp": Method(
        nodes=nodes.by_gradient, marks=nodes.by_mark, edges=None,
        neurons=nodes.by_neuron, rules=None, whole=False,
    ),
    "atp_qk": Method(
        nodes=saturation.by_fixed_gradient, marks=None, edges=None,
        neurons=nodes.by_neuron, rules=None, whole=False,
    ),
    "atp_star": Method(
        nodes=graddrop.by_dropping, marks=None, edges=None,
        neurons=graddrop.by_dropping_neurons, rules=None, whole=False,
    ),
    "eap": Method(
        nodes=None, marks=None, edges=edges.by_gradient,
        neurons=None, rules=None, whole=False,
    ),
    "eap_ig": Method(
        nodes=None, marks=None, edges=edges.by_inputs,
        neurons=None, rules=None, whole=False,
    ),
    "eap_ig_activations": Method(
        nodes=None, marks=None, edges=activations.by_activations,
        neurons=None, rules=None, whole=False,
    ),
    "clean_corrupted": Method(
        nodes=None, marks=None, edges=edges.at_both_ends,
        neurons=None, rules=None, whole=False,
    ),
    "relp": Method(
        nodes=nodes.by_gradient, marks=nodes.by_mark, edges=edges.by_gradient,
        neurons=nodes.by_neuron, rules=RELP, whole=False,
    ),
    "gim": Method(
        nodes=nodes.by_gradient, marks=nodes.by_mark, edges=edges.by_gradient,
        neurons=nodes.by_neuron, rules=GIM, whole=False,
    ),
    "eap_gp": Method(
        nodes=None, marks=None, edges=gradpath.by_gradient_path,
        neurons=None, rules=None, whole=True,
    ),
    "peap": Method(
        nodes=None, marks=None, edges=crossing.by_crossing,
        neurons=None, rules=None, whole=True,
    ),
    "ifr": Method(
        nodes=None, marks=None, edges=flow.by_flow,
        neurons=None, rules=None, whole=True,
    ),
}  # fmt: skip


def attribute(
    adapter: Adapter,
    task: TaskData,
    asked: Attribution,
    *,
    frozen: bool = False,
    rows: int | None = None,
    memory: int | None = None,
) -> Scored:
    """The scores of a task's rows.

    `frozen`: whether the task's norms have the reference run's scales (`layernorm = frozen`).
    `rows`: how many of the first rows are wanted, None for all; others have scores of 0. `memory`:
    bytes that values may take where that is stated, which bounds how many prompts go together.

    Raises PlanError PD435 where the method has no score for what is asked.
    """
    vet(asked, adapter.shape, False)  # the planner has refused a frozen routing
    with _still(adapter):
        return _attributed(adapter, task, asked, frozen, rows, memory)


@contextmanager
def _still(adapter: Adapter) -> Iterator[None]:
    """Weights take no gradients, so that autograd does not keep what theirs would need."""
    weights = [one for one in adapter.parameters() if one.requires_grad]
    try:
        for one in weights:
            one.requires_grad_(False)
        yield
    finally:
        for one in weights:
            one.requires_grad_(True)


def _attributed(
    adapter: Adapter,
    task: TaskData,
    asked: Attribution,
    frozen: bool,
    rows: int | None,
    memory: int | None,
) -> Scored:
    method, record = METHODS[asked.method], ATTRIBUTIONS[asked.method]
    on_chunk: OnChunk | None = getattr(method, asked.of)
    assert on_chunk is not None
    chunks: Chunks | flow.PlainChunks
    if record.effect:
        rules = method.rules or (FROZEN if frozen else PLAIN)
        chunks = Chunks(
            adapter, task, asked, rules, frozen=frozen, whole=method.whole, rows=rows,
            memory=memory,
        )  # fmt: skip
    else:
        chunks = flow.PlainChunks(adapter, task, asked, rows, memory)
    units = UNITS[asked.of](adapter.shape)
    axes = (chunks.n_pos,) if asked.by_position else ()
    values = np.zeros((len(units), *axes, task.n_rows))
    for branches in chunks:
        for together in [(chunk,) for chunk in branches] if record.linear else [branches]:
            found = on_chunk(*together)
            here = slice(*together[0].rows)
            if asked.by_position:
                values[:, : found.shape[-1], here] += found.transpose(1, 2).numpy()
            else:
                values[:, here] += found.sum(-1).numpy()
        del branches, together, found  # before the next are made
    return Scored(units=units, values=values)
