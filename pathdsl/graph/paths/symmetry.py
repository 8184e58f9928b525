"""Path sets that are as large as one another by their form alone: members of a sweep, mostly.

Heads of one layer have the same senders and receivers, and a count takes every position for one
that may be anywhere. So exchanging heads of a layer, or names of positions, changes no count.

    counted_as(through(a5.h3@S1), layout) == counted_as(through(a5.h0@END), layout)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import assert_never

from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import (
    Alt,
    Cat,
    Combined,
    Edge,
    Everything,
    Listed,
    Nodes,
    Nothing,
    PathSet,
    Pos,
    Regex,
    Regular,
    Star,
)

__all__ = ["counted_as"]


def counted_as(paths: PathSet, layout: Layout) -> PathSet:
    """A set with as many paths, the same one for all sets of this form; lists stay as they are."""
    parts = list(_parts(paths))
    if any(isinstance(part, Listed) for part in parts):
        return paths
    masks = [part.mask for part in parts if isinstance(part, Nodes)]
    places: dict[Pos, Pos] = {}
    for part in parts:
        match part:
            case Nodes(at=Pos() as at) | Edge(mark_at=Pos() as at):
                places.setdefault(at, Pos(index=len(places)))
    return _Exchange(_order(dict.fromkeys(masks), layout), places).paths(paths)


def _parts(paths: PathSet | Regex) -> Iterator[PathSet | Regex]:
    """The leaves of a path set, in its order."""
    pending: list[PathSet | Regex] = [paths]
    while pending:
        match part := pending.pop():
            case Combined(left=left, right=right):
                pending += [right, left]
            case Regular(regex=inner) | Star(inner=inner):
                pending.append(inner)
            case Cat(parts=inside) | Alt(options=inside):
                pending += reversed(inside)
            case _:
                yield part


def _order(masks: Mapping[int, None], layout: Layout) -> dict[int, int]:
    """Where each head goes: those of a layer ordered by which of the masks hold them."""
    moved: dict[int, int] = {}
    shape = layout.shape
    for layer in range(shape.n_layers):
        heads = [layout.head(layer, head) for head in range(shape.n_heads)]
        every = sum(1 << head for head in heads)
        told = [mask for mask in masks if mask & every not in (0, every)]
        if told:
            ordered = sorted(heads, key=lambda head: [mask >> head & 1 for mask in told])
            moved |= {old: new for old, new in zip(ordered, heads, strict=True) if old != new}
    return moved


class _Exchange:
    """Puts other heads and positions in the place of these."""

    def __init__(self, heads: Mapping[int, int], places: Mapping[Pos, Pos]) -> None:
        self.heads, self.places = heads, places
        self.gone = ~sum(1 << head for head in heads)

    def paths(self, paths: PathSet) -> PathSet:
        match paths:
            case Combined(left=left, right=right):
                return replace(paths, left=self.paths(left), right=self.paths(right))
            case Regular(regex=regex):
                return Regular(regex=self._regex(regex))
            case Listed() | Everything() | Nothing():
                return paths
            case unknown:
                assert_never(unknown)

    def _regex(self, regex: Regex) -> Regex:
        match regex:
            case Nodes(mask=mask, at=at):
                moved = sum(1 << new for old, new in self.heads.items() if mask >> old & 1)
                place = None if at is None else self.places[at]
                return replace(regex, mask=mask & self.gone | moved, at=place)
            case Cat(parts=parts):
                return Cat(parts=tuple(map(self._regex, parts)))
            case Alt(options=options):
                return Alt(options=tuple(map(self._regex, options)))
            case Star(inner=inner):
                return Star(inner=self._regex(inner))
            case Edge(mark_at=at):
                return regex if at is None else replace(regex, mark_at=self.places[at])
            case unknown:
                assert_never(unknown)
