"""Units: what knockouts, minimality, overlap and controls range over.

The units of a path set are the heads, MLPs and neurons that it names singly, by range or through a
group, with their positions, as far as they lie on one of its paths. Words (`attn`, `mlp`, `any`,
`input`, `logits`) and residual marks are background.

Source: docs/language.md, Units.

    NodeUnit(component=…, at=Pos(name="END"), name="a9.h9").label     a9.h9@END
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.neurons import atom_mask, atom_text, atoms, intersect, mask_of, told_apart
from pathdsl.graph.paths.pathset import (
    Combined,
    ListedEdge,
    Nodes,
    PathSet,
    Pos,
    Rel,
    Slot,
    intersection,
    nodes_and_edges,
)
from pathdsl.graph.paths.sets import PathSets

_HEAD = re.compile(r"a\d+\.h\d+")

__all__ = [
    "EdgeUnit",
    "NodeUnit",
    "Unit",
    "components_of",
    "edge_units",
    "heads_of",
    "named_nodes",
    "on_paths",
    "places_of",
    "relation_text",
    "subtracts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUnit:
    """One head, MLP or neuron at one position (everywhere when None); `name` is its spelling.

    `component` and `spared` are as in `pathdsl.graph.paths.neurons.atoms`.
    """

    component: int
    at: Pos | None = None
    spared: int = 0
    name: str = field(compare=False, default="")

    @property
    def mask(self) -> int:
        """The unit as a mask."""
        return atom_mask(self.component, self.spared)

    @property
    def place(self) -> Nodes:
        """The unit as a node of a path."""
        return Nodes(mask=self.mask, at=self.at, named=True)

    @property
    def label(self) -> str:
        """As it is written in a file: `a9.h9@END`."""
        return f"{self.name}@{self.at}" if self.at else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeUnit:
    """One edge: from a sender into one input of a receiver, each at its position."""

    sender: int
    receiver: int
    slot: Slot | None = None
    sender_at: Pos | None = None
    receiver_at: Pos | None = None
    relation: Rel | None = None
    sender_spared: int = 0
    receiver_spared: int = 0
    names: tuple[str, str] = field(compare=False, default=("", ""))

    @property
    def sender_mask(self) -> int:
        """The sender as a mask."""
        return atom_mask(self.sender, self.sender_spared)

    @property
    def receiver_mask(self) -> int:
        """The receiver as a mask."""
        return atom_mask(self.receiver, self.receiver_spared)

    @property
    def label(self) -> str:
        """As it is written in a file: `a5.h5@S2 -[v]-> a8.h6@END`."""
        sender, receiver = self.names
        sender += f"@{self.sender_at}" if self.sender_at else ""
        receiver += f"@{self.receiver_at}" if self.receiver_at else ""
        arrow = f"-[{self.slot}{relation_text(self.relation)}]->" if self.slot else "->"
        return f"{sender} {arrow} {receiver}"


Unit = NodeUnit | EdgeUnit


def heads_of(labels: Iterable[str]) -> frozenset[str]:
    """The heads among the labels of units, each without its position."""
    names = (label.partition("@")[0] for label in labels)
    return frozenset(name for name in names if _HEAD.fullmatch(name))


def relation_text(relation: Rel | None) -> str:
    """`: prev`, `: window(3)` as written behind a slot; nothing for no relation."""
    match relation:
        case None:
            return ""
        case Rel(least=1, most=1):
            return ": prev"
        case Rel(least=0, most=0):
            return ": same"
        case Rel(least=0, most=most):
            return f": window({most + 1})"
        case Rel(least=least):
            return f": offset({-least:+d})"


def places_of(nodes: Iterable[Nodes], layout: Layout) -> Iterator[NodeUnit]:
    """Heads, MLPs and neurons of the named places, one by one in order."""
    for place in nodes:
        if place.named:
            for i, spared in atoms(intersect(place.mask, layout.any_mask, layout), layout):
                name = atom_text(i, spared, layout)
                yield NodeUnit(component=i, spared=spared, at=place.at, name=name)


def named_nodes(paths: PathSet) -> Iterator[Nodes]:
    """Every named place of a resolved path set, in order of first mention."""
    for place in nodes_and_edges(paths):
        if isinstance(place, Nodes):
            if place.named:
                yield place
        else:
            if place.named_senders:
                yield Nodes(mask=place.named_senders, at=place.sender_at, named=True)
            if place.named_receiver:
                mask = atom_mask(place.receiver, place.spared)
                yield Nodes(mask=mask, at=place.receiver_at, named=True)


def edge_units(edges: Iterable[ListedEdge], layout: Layout) -> Iterator[EdgeUnit]:
    """Listed edges one by one, in the author's order."""
    for edge in edges:
        for u, spared in atoms(edge.senders, layout):
            yield EdgeUnit(
                sender=u,
                sender_at=edge.sender_at,
                receiver=edge.receiver,
                receiver_at=edge.receiver_at,
                slot=edge.slot,
                relation=edge.relation,
                sender_spared=spared,
                receiver_spared=edge.spared,
                names=(
                    atom_text(u, spared, layout),
                    atom_text(edge.receiver, edge.spared, layout),
                ),
            )


def components_of(sets: PathSets, paths: PathSet) -> frozenset[int]:
    """The components on some path of the set, `input` and `logits` with them."""
    product = sets.product(paths)
    return frozenset(map(product.index, product.own_nodes()))


def on_paths(sets: PathSets, paths: PathSet, units: Iterable[NodeUnit]) -> tuple[NodeUnit, ...]:
    """Those units through which some path of the set runs, in their order."""
    layout = sets.layout
    met = mask_of(components_of(sets, paths), told_apart(paths, layout), layout)
    present = [unit for unit in units if intersect(unit.mask, met, layout)]
    if not subtracts(paths):  # without subtraction no position takes a path away
        return tuple(present)
    return tuple(
        unit for unit in present if sets.count(intersection(paths, sets.through([unit.place])))
    )


def subtracts(paths: PathSet) -> bool:
    """Whether a set takes paths away somewhere, so that a position may exclude a node."""
    match paths:
        case Combined(op=op, left=left, right=right):
            return op == "-" or subtracts(left) or subtracts(right)
        case _:
            return False
