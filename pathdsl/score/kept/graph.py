"""Scored edges on the graph of a model: which lie on a path from `input` to `logits`.

A circuit is a row of truth values over these edges, many circuits a matrix of them, so that a
thousand bootstrap circuits are pruned at once.

    graph = EdgeGraph.of(scored.units, layout)
    graph.on_a_path(chosen)                 (circuits, edges) bool
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pathdsl.graph.files.eap import listed, parse_edge
from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import NONE, PathSet
from pathdsl.score.attribution import ScoredUnit
from pathdsl.score.kept.file import unit_name

__all__ = ["EdgeGraph"]


@dataclass(frozen=True, slots=False, kw_only=True, eq=False)
class EdgeGraph:
    """Edges by the numbers of their ends: `senders` and `receivers` are (edges,) int64.

    `names` are spelled as `a5.h5->a9.h6<q>`; the order is that of the scores.
    """

    layout: Layout
    names: tuple[str, ...]
    slots: tuple[str, ...]
    senders: np.ndarray
    receivers: np.ndarray

    @classmethod
    def of(cls, units: Sequence[ScoredUnit], layout: Layout) -> EdgeGraph:
        """The graph of some edges; ValueError for a unit that is no edge of this model."""
        names = tuple(map(unit_name, units))
        edges = [parse_edge(name, layout) for name in names]
        wrong = [name for name, edge in zip(names, edges, strict=True) if edge is None]
        if wrong:
            raise ValueError(f"`{wrong[0]}` is no edge of this model, and edges are selected")
        found = [edge for edge in edges if edge is not None]
        return cls(
            layout=layout,
            names=names,
            slots=tuple(slot for _, _, slot in found),
            senders=np.array([u for u, _, _ in found], dtype=np.int64),
            receivers=np.array([v for _, v, _ in found], dtype=np.int64),
        )

    def __len__(self) -> int:
        """The number of edges."""
        return len(self.names)

    @cached_property
    def by_name(self) -> np.ndarray:
        """(edges,) int64: the edges in the order of their names, which decides among equals."""
        return np.array(sorted(range(len(self)), key=self.names.__getitem__), dtype=np.int64)

    @cached_property
    def into(self) -> dict[int, np.ndarray]:
        """For each component that is read into, its edges."""
        return _grouped(self.receivers)

    @cached_property
    def out_of(self) -> dict[int, np.ndarray]:
        """For each component that is read, its edges."""
        return _grouped(self.senders)

    def on_a_path(self, chosen: np.ndarray) -> np.ndarray:
        """(…, edges) bool: the chosen edges that lie on a path of chosen ones from end to end.

        What is left out has no effect: its sender computes what it would with all its inputs
        treated, or nothing reads its receiver (`pathdsl.graph.files.eap.unused_edges`).
        """
        circuits = np.atleast_2d(np.asarray(chosen, dtype=bool)).T  # (edges, circuits)
        nodes = (len(self.layout.components), circuits.shape[1])
        fed, read = np.zeros(nodes, dtype=bool), np.zeros(nodes, dtype=bool)
        fed[0], read[self.layout.logits] = True, True
        for node in sorted(self.into):
            edges = self.into[node]
            fed[node] = (circuits[edges] & fed[self.senders[edges]]).any(axis=0)
        for node in sorted(self.out_of, reverse=True):
            edges = self.out_of[node]
            read[node] = (circuits[edges] & read[self.receivers[edges]]).any(axis=0)
        kept = circuits & fed[self.senders] & read[self.receivers]
        return np.ascontiguousarray(kept.T).reshape(np.shape(chosen))

    def named(self, chosen: np.ndarray) -> tuple[str, ...]:
        """The names of the chosen edges."""
        return tuple(self.names[i] for i in np.flatnonzero(chosen))

    def triples(self, chosen: np.ndarray) -> Iterator[tuple[int, int, str]]:
        """(sender, receiver, slot) of the chosen edges, slot "" for an MLP or `logits`."""
        for i in np.flatnonzero(chosen):
            yield int(self.senders[i]), int(self.receivers[i]), self.slots[i]

    def path_set(self, chosen: np.ndarray) -> PathSet:
        """The circuit of the chosen edges; `none` where they join no `input` with `logits`."""
        on_path = self.on_a_path(chosen)
        return listed(sorted(self.triples(on_path)), self.layout) if on_path.any() else NONE


def _grouped(ends: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(ends, kind="stable")
    nodes, first = np.unique(ends[order], return_index=True)
    return {int(node): edges for node, edges in zip(nodes, np.split(order, first[1:]), strict=True)}
