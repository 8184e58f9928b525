"""Neurons as components: what masks say of them, and MLPs split by what a path set tells apart.

An MLP is all its neurons and its output bias. In the masks of a path set the bit of an MLP stands
for all of it; behind `logits` every neuron has a bit, neuron j of layer l at
`neuron_bit(l, j, layout)`, that is set where the neuron is treated *otherwise than its MLP*:

    m5                      bit m5
    m5.n7                   bit m5.n7
    {m5, except m5.n7}      bits m5 and m5.n7
    {m5, m5.n7}             bit m5

So a mask that names no neuron is the mask that it would be if there were none, whatever else a file
says, and set algebra is that of integers wherever no neuron is named. `split_paths` makes
components of the neurons that a path set tells apart from their MLP, and of no others: automata,
counts and plans see only those.

Source: docs/language.md, Nodes; a neuron's write is its activation times its row of the output
projection (Geva et al. 2021, arXiv:2012.14913, equation 2).

    split_paths(paths, Layout(shape))     the set on its own layout, and that layout
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pathdsl.graph.model.components import NEURON, Component, Layout, bits
from pathdsl.graph.paths.pathset import (
    ListedEdge,
    Nodes,
    PathSet,
    Rewriting,
    nodes_and_edges,
)

__all__ = [
    "atom_mask",
    "atom_text",
    "atoms",
    "host",
    "hull",
    "intersect",
    "mask_of",
    "neuron_bit",
    "neuron_masks",
    "neuron_of",
    "node_of",
    "original",
    "split_layout",
    "split_paths",
    "subtract",
    "told_apart",
    "unite",
    "whole",
]

# -------------------------------------------------------------------------------------------------
# Masks
# -------------------------------------------------------------------------------------------------


def neuron_bit(layer: int, neuron: int, layout: Layout) -> int:
    """The index of a neuron's bit."""
    return len(layout.components) + layer * layout.shape.d_mlp + neuron


def neuron_of(index: int, layout: Layout) -> tuple[int, int] | None:
    """(layer, neuron) of an index; None where it is that of a whole component."""
    beyond = index - len(layout.components)
    return None if beyond < 0 else divmod(beyond, layout.shape.d_mlp)


def node_of(index: int, layout: Layout) -> Component:
    """The component of an index; of a neuron's bit, that neuron alone."""
    if (neuron := neuron_of(index, layout)) is None:
        return layout.components[index]
    return Component(kind=NEURON, layer=neuron[0], neurons=(neuron[1],))


def host(index: int, layout: Layout) -> int:
    """The component that an index belongs to: a neuron's MLP, else itself."""
    neuron = neuron_of(index, layout)
    return index if neuron is None else layout.mlp(neuron[0])


def atoms(mask: int, layout: Layout) -> Iterator[tuple[int, int]]:
    """Heads, MLPs and neurons of a mask one by one, in the order of the graph.

    Each is (index, spared): `spared` are the bits of the neurons that an MLP goes without.
    """
    if not mask >> len(layout.components):
        yield from ((i, 0) for i in bits(mask))
        return
    base = len(layout.components)
    by_mlp: dict[int, list[int]] = {}
    for beyond in bits(mask >> base):
        by_mlp.setdefault(host(base + beyond, layout), []).append(base + beyond)
    whole = mask & ((1 << base) - 1)
    for i in sorted({*bits(whole), *by_mlp}):
        if whole >> i & 1:
            yield i, sum(1 << n for n in by_mlp.get(i, ()))
        else:
            yield from ((n, 0) for n in by_mlp[i])


def atom_mask(index: int, spared: int) -> int:
    """The mask of one member of `atoms`."""
    return 1 << index | spared


def atom_text(index: int, spared: int, layout: Layout) -> str:
    """A member of `atoms` as it is written: `a9.h6`, `m5.n7`, `{m5, except m5.n[0..63]}`."""
    if not spared:
        whole = index < len(layout.components)
        return layout.label(index) if whole else str(node_of(index, layout))
    layer, width = layout.components[index].layer, layout.shape.d_mlp
    numbers = tuple(beyond % width for beyond in bits(spared >> len(layout.components)))
    return f"{{m{layer}, except {Component(kind=NEURON, layer=layer, neurons=numbers)}}}"


def mask_of(indices: Iterable[int], apart: int, layout: Layout) -> int:
    """The mask of different indices, where an MLP's goes without the neurons of `apart`."""
    base = len(layout.components)
    by_mlp: dict[int, int] = {}
    for beyond in bits(apart >> base):
        mlp = host(base + beyond, layout)
        by_mlp[mlp] = by_mlp.get(mlp, 0) | 1 << (base + beyond)
    mask = 0
    for index in indices:
        mask ^= atom_mask(index, by_mlp.get(index, 0))
    return mask


def hull(mask: int, layout: Layout) -> int:
    """The whole components that a mask holds or holds a neuron of."""
    base = len(layout.components)
    components = mask & ((1 << base) - 1)
    for beyond in bits(mask >> base):
        components |= 1 << host(base + beyond, layout)
    return components


def whole(places: Iterable[Nodes], layout: Layout) -> tuple[Nodes, ...]:
    """Places with MLPs in place of their neurons, which have the same edges; each once."""
    wholes = (replace(place, mask=hull(place.mask, layout)) for place in places)
    return tuple(dict.fromkeys(wholes))


def unite(a: int, b: int, layout: Layout) -> int:
    """What is in either mask."""
    return _combined(a, b, layout, lambda x, y: x | y)


def intersect(a: int, b: int, layout: Layout) -> int:
    """What is in both masks."""
    return _combined(a, b, layout, lambda x, y: x & y)


def subtract(a: int, b: int, layout: Layout) -> int:
    """What is in the first mask and not in the second."""
    return _combined(a, b, layout, lambda x, y: x & ~y)


def _combined(a: int, b: int, layout: Layout, op: Callable[[int, int], int]) -> int:
    """An operation on bits, done on neurons as they are and not relative to their MLPs."""
    base, width = len(layout.components), layout.shape.d_mlp
    if not (a | b) >> base:
        return op(a, b)
    combined = op(a & ((1 << base) - 1), b & ((1 << base) - 1))
    every = (1 << width) - 1
    for layer in range(layout.shape.n_layers):
        first, mlp = base + layer * width, layout.mlp(layer)
        x, y = a >> first & every, b >> first & every
        if x or y:
            x ^= every * (a >> mlp & 1)
            y ^= every * (b >> mlp & 1)
            combined |= (op(x, y) ^ every * (combined >> mlp & 1)) << first
    return combined


# -------------------------------------------------------------------------------------------------
# Path sets
# -------------------------------------------------------------------------------------------------


def told_apart(paths: PathSet, layout: Layout) -> int:
    """The bits of the neurons that a path set treats otherwise than their MLPs."""
    union = 0
    for mask in _masks(paths):
        union |= mask
    base = len(layout.components)
    return union >> base << base


def split_paths(
    paths: PathSet, layout: Layout, *, beside: Iterable[PathSet] = (), together: bool = False,
    also: Iterable[int] = (),
) -> tuple[PathSet, Layout]:  # fmt: skip
    """A path set on a layout of its own, in which neurons that it tells apart are components.

    `beside`: other sets whose neurons are told apart too, so that members can be compared.
    `together`: neurons that no mask tells from each other are one component. `also`: masks of
    neurons that something else tells apart. Where no neuron is told apart, both come back as they
    are.
    """
    apart = told_apart(paths, layout)
    also = tuple(also)
    for other in (*(told_apart(one, layout) for one in beside), *also):
        apart |= other
    if not apart:
        return paths, layout
    narrow = split_layout((*_masks(paths), *also) if together else (apart,), layout, together)
    new = _Split(layout, narrow)
    return Rewriting(nodes=new.nodes, edges=new.edge).paths(paths), narrow


def split_layout(masks: Iterable[int], layout: Layout, together: bool = True) -> Layout:
    """A layout in which the neurons of some masks are components; itself where they have none.

    `together`: those that no mask tells from each other are one component.
    """
    base, width = len(layout.components), layout.shape.d_mlp
    seen: dict[int, list[int]] = {}
    for number, mask in enumerate(dict.fromkeys(mask >> base for mask in masks)):
        for beyond in bits(mask):
            seen.setdefault(beyond, []).append(number)
    groups: dict[int, dict[tuple[int, ...], list[int]]] = {}
    for beyond in sorted(seen):
        layer, neuron = divmod(beyond, width)
        alike = tuple(seen[beyond]) if together else (neuron,)
        groups.setdefault(layer, {}).setdefault(alike, []).append(neuron)
    if not groups:
        return layout
    return Layout(layout.shape, {at: tuple(map(tuple, of.values())) for at, of in groups.items()})


def neuron_masks(paths: PathSet, layout: Layout) -> tuple[int, ...]:
    """The neurons in each mask of a path set that names some, each once."""
    base = len(layout.components)
    return tuple(dict.fromkeys(m >> base << base for m in _masks(paths) if m >> base))


def original(narrow: Layout, layout: Layout) -> tuple[int, ...]:
    """For each component of a split layout its index before; of a group, its first neuron's."""
    return tuple(
        neuron_bit(c.layer, c.neurons[0], layout) if c.neurons else layout.index(c)
        for c in narrow.components
    )


def _masks(paths: PathSet) -> Iterator[int]:
    """Every mask of a path set; of a listed edge's receiver too."""
    for place in nodes_and_edges(paths):
        if isinstance(place, Nodes):
            yield place.mask
        else:
            yield place.senders
            yield atom_mask(place.receiver, place.spared)


class _Split:
    """Rewrites the masks of one path set for a split layout."""

    def __init__(self, layout: Layout, narrow: Layout) -> None:
        self.layout = layout
        self.narrow = narrow
        self.original = original(narrow, layout)
        self._known: dict[int, int] = {}

    def mask(self, mask: int) -> int:
        """The same set in the split layout."""
        found = self._known.get(mask)
        if found is None:
            base = len(self.layout.components)
            apart = set(bits(mask >> base))
            found = 0
            for i, before in enumerate(self.original):
                inside = bool(mask >> host(before, self.layout) & 1)
                if before >= base and before - base in apart:
                    inside = not inside
                found |= int(inside) << i
            self._known[mask] = found
        return found

    def nodes(self, nodes: Nodes) -> Nodes:
        """A place of the path set."""
        return replace(nodes, mask=self.mask(nodes.mask))

    def edge(self, edge: ListedEdge) -> Iterator[ListedEdge]:
        """A listed edge into every part of its receiver."""
        for part in bits(self.mask(atom_mask(edge.receiver, edge.spared))):
            yield replace(
                edge,
                senders=self.mask(edge.senders),
                named_senders=self.mask(edge.named_senders),
                receiver=part,
                spared=0,
            )
