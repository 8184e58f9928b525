"""Complete path sets of one model, without syntax: made of nodes, counted, and kept.

sets = PathSets(Layout(shape))
sets.count(sets.through([Nodes(mask=1 << layout.head(9, 9))]))
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakValueDictionary

from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.neurons import unite
from pathdsl.graph.paths.pathset import (
    NONE,
    Nodes,
    PathSet,
    Pos,
    Regex,
    Regular,
    alt,
    complete,
)
from pathdsl.graph.paths.product import MAX_STATES, Product
from pathdsl.graph.paths.symmetry import counted_as

__all__ = ["PathSets", "merge", "sets_on"]

_shared: WeakValueDictionary[tuple[ModelShape, int], PathSets] = WeakValueDictionary()


def sets_on(shape: ModelShape, max_states: int = MAX_STATES) -> PathSets:
    """The path sets of a model's shape: one object for all who have it at the same time."""
    found = _shared.get((shape, max_states))
    if found is None:
        found = _shared[shape, max_states] = PathSets(Layout(shape), max_states)
    return found


class PathSets:
    """Path sets on one layout; the product of each with the model is made once."""

    def __init__(self, layout: Layout, max_states: int = MAX_STATES) -> None:
        self.layout = layout
        self.max_states = max_states
        self._products: dict[PathSet, Product] = {}
        self._counts: dict[PathSet, int] = {}

    def complete(self, regex: Regex) -> Regular:
        """The complete paths that run along a sub-path."""
        return complete(regex, self.layout.any_mask, 1 << self.layout.logits)

    def through(self, nodes: Iterable[Nodes]) -> PathSet:
        """The complete paths through one of these places; of none: no path."""
        merged = merge(nodes, self.layout)
        return self.complete(alt(*merged)) if merged else NONE

    def product(self, paths: PathSet) -> Product:
        """The (cached) product of a path set with the model, for counts and examples."""
        if paths not in self._products:
            self._products[paths] = Product(paths, self.layout, self.max_states)
        return self._products[paths]

    def count(self, paths: PathSet) -> int:
        """Number of (component, slot) sequences in a set."""
        like = counted_as(paths, self.layout)
        if like not in self._counts:
            self._counts[like] = self.product(paths).count()
        return self._counts[like]


def merge(nodes: Iterable[Nodes], layout: Layout) -> tuple[Nodes, ...]:
    """Places of equal position and kind joined into one, in order of first mention."""
    merged: dict[tuple[Pos | None, bool], int] = {}
    for n in nodes:
        merged[n.at, n.named] = unite(merged.get((n.at, n.named), 0), n.mask, layout)
    return tuple(Nodes(mask=m, at=at, named=named) for (at, named), m in merged.items() if m)
