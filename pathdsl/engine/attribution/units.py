"""The units that have scores, in their order, and where the scores of one chunk go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS, Slot
from pathdsl.engine.attribution.tape import behind_zeros
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.score.attribution import ScoredUnit

__all__ = [
    "UNITS", "NodeScores", "edge_units", "mark_units", "neuron_units", "node_units", "of_layer",
]  # fmt: skip


def node_units(shape: ModelShape) -> tuple[ScoredUnit, ...]:
    """`input`; layer by layer q, k, v and output of every head, then the MLP."""
    layout = Layout(shape)
    found: list[ScoredUnit] = []
    for place, component in enumerate(layout.components[:-1]):
        named = [slot for slot in layout.slots_of(place) if slot]
        found += (ScoredUnit(receiver=str(component), slot=slot) for slot in named)
        found.append(ScoredUnit(sender=str(component)))
    return tuple(found)


def mark_units(shape: ModelShape) -> tuple[ScoredUnit, ...]:
    """Every mark of the residual stream: the entry of each layer, and of the final norm."""
    return tuple(ScoredUnit(sender=f"r{layer}") for layer in range(shape.n_layers + 1))


def neuron_units(shape: ModelShape) -> tuple[ScoredUnit, ...]:
    """Every hidden unit of every MLP, layer by layer."""
    return tuple(
        ScoredUnit(sender=f"m{layer}.n{number}")
        for layer in range(shape.n_layers)
        for number in range(shape.d_mlp)
    )


@lru_cache(maxsize=8)  # 32,491 of them are a quarter of a second
def edge_units(shape: ModelShape) -> tuple[ScoredUnit, ...]:
    """Every edge: by receiver in the order of components, then slot, then sender."""
    layout = Layout(shape)
    names = [str(component) for component in layout.components]
    return tuple(
        ScoredUnit(sender=names[sender], receiver=names[receiver], slot=slot or "")
        for sender, receiver, slot in layout.edges()
    )


UNITS: dict[str, Callable[[ModelShape], tuple[ScoredUnit, ...]]] = {
    "nodes": node_units,
    "marks": mark_units,
    "edges": edge_units,
    "neurons": neuron_units,
}


def of_layer(heads: Sequence[Tensor], mlp: Tensor | None) -> Tensor:
    """Scores of one layer in the order of `node_units`, (..., units, rows, pos).

    `heads`: of queries, keys, values and outputs, (..., n_heads, rows, pos) each. `mlp`: (...,
    rows, pos). Each may be of the last positions alone.
    """
    n = max(one.shape[-1] for one in heads)
    found = torch.stack([behind_zeros(one, n, -1) for one in heads], dim=-3).flatten(-4, -3)
    if mlp is None:
        return found
    return torch.cat((found, behind_zeros(mlp, n, -1).unsqueeze(-3)), dim=-3)


class NodeScores:
    """Scores of all nodes on one chunk, (units, rows, pos) float64 in the order of `node_units`.

    Scores that are added may be of the last positions alone.
    """

    def __init__(self, shape: ModelShape, rows: int, pos: int) -> None:
        self.shape = shape
        self.by_layer = 4 * shape.n_heads + int(shape.has_mlp)
        n_units = 1 + shape.n_layers * self.by_layer
        self.values = torch.zeros((n_units, rows, pos), dtype=torch.float64)

    def add_input(self, scores: Tensor) -> None:
        """(rows, pos) of `input`."""
        self.values[0, :, -scores.shape[-1] :] += scores.double().cpu()

    def add_heads(self, layer: int, slot: Slot | None, scores: Tensor) -> None:
        """(n_heads, rows, pos) of one input of a layer's heads, or of their outputs for None."""
        first = 1 + layer * self.by_layer
        offset = len(SLOTS) if slot is None else SLOTS.index(slot)
        last = first + 4 * self.shape.n_heads
        units = slice(first + offset, last, 4)
        self.values[units, :, -scores.shape[-1] :] += scores.double().cpu()

    def add_mlp(self, layer: int, scores: Tensor) -> None:
        """(rows, pos) of a layer's MLP."""
        self.values[(layer + 1) * self.by_layer, :, -scores.shape[-1] :] += scores.double().cpu()
