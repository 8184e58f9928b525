"""Neurons that what a run stands under tells apart, as those of path sets are.

An action on `m5.n17` acts on one of the hidden units of an MLP, so the MLP is components there: the
neurons that some action or path set treats alike are one, and the rest of the MLP is another. An
MLP that takes its value from another run is split as that run splits it, part by part.
"""

from __future__ import annotations

from collections.abc import Iterable

from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.neurons import neuron_bit, neuron_masks
from pathdsl.plan.runs import Block, RunSpec

__all__ = ["blocks_apart", "groups_at", "run_apart"]


def run_apart(run: RunSpec, layout: Layout) -> tuple[int, ...]:
    """Masks of the neurons that the blocks of a run tell apart, on either side."""
    sides = (run.blocks,) if run.of_treated is None else (run.blocks, run.of_treated)
    return tuple(dict.fromkeys(mask for side in sides for mask in blocks_apart(side, layout)))


def blocks_apart(blocks: Iterable[Block], layout: Layout) -> tuple[int, ...]:
    """Masks of the neurons that some blocks tell apart, each once.

    Of a run that an action reads, those of the MLPs that the action acts on.
    """
    found: dict[int, None] = {}
    for action in (action for block in blocks for action in block.actions):
        found |= {t.apart(layout): None for t in action.targets if t.neurons}
        layers = {t.layer for t in action.targets if t.of_mlp}
        if isinstance(action.source, RunSpec) and layers:
            source = action.source
            read = (*neuron_masks(source.treated_paths, layout), *run_apart(source, layout))
            every = (1 << layout.shape.d_mlp) - 1
            here = sum(every << neuron_bit(layer, 0, layout) for layer in layers)
            found |= {mask & here: None for mask in read if mask & here}
    return tuple(found)


def groups_at(layer: int, narrow: Layout, layout: Layout) -> tuple[int, ...]:
    """The groups of a layer's neurons in a split layout, as masks."""
    first = neuron_bit(layer, 0, layout)
    return tuple(sum(1 << n for n in group) << first for group in narrow.neurons.get(layer, ()))
