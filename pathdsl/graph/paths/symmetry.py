"""Path sets that are as large as one another by their form alone: members of a sweep, mostly.

Heads of one layer have the same senders and receivers, and a count takes every position for one
that may be anywhere. So exchanging heads of a layer, or names of positions, changes no count.

    counted_as(through(a5.h3@S1), layout) == counted_as(through(a5.h0@END), layout)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import Edge, Nodes, PathSet, Pos, Rewriting, nodes_and_edges

__all__ = ["counted_as"]


def counted_as(paths: PathSet, layout: Layout) -> PathSet:
    """A set with as many paths, the same one for all sets of this form; lists stay as they are."""
    masks: dict[int, None] = {}
    for part in nodes_and_edges(paths):
        if not isinstance(part, Nodes):
            return paths
        masks[part.mask] = None
    heads = _order(masks, layout)
    gone = ~sum(1 << head for head in heads)
    places: dict[Pos, Pos] = {}

    def place(at: Pos | None) -> Pos | None:
        return None if at is None else places.setdefault(at, Pos(index=len(places)))

    def nodes(one: Nodes) -> Nodes:
        moved = sum(1 << new for old, new in heads.items() if one.mask >> old & 1)
        return replace(one, mask=one.mask & gone | moved, at=place(one.at))

    def arrow(one: Edge) -> Edge:
        return one if one.mark_at is None else replace(one, mark_at=place(one.mark_at))

    return Rewriting(nodes=nodes, edges=lambda edge: (edge,), arrows=arrow).paths(paths)


def _order(masks: Collection[int], layout: Layout) -> dict[int, int]:
    """Where each head goes: those of a layer ordered by which of the masks hold them."""
    moved: dict[int, int] = {}
    shape = layout.shape
    for layer in range(shape.n_layers):
        heads = layout.heads_of(layer)
        every = sum(1 << head for head in heads)
        told = [mask for mask in masks if mask & every not in (0, every)]
        if told:
            ordered = sorted(heads, key=lambda head: [mask >> head & 1 for mask in told])
            moved |= {old: new for old, new in zip(ordered, heads, strict=True) if old != new}
    return moved
