"""Every edge of a model in the order of a score file: the circuits of growing size behind a curve.

`signed` puts the largest score first, `absolute` the largest absolute score. MIB's CPR is meant for
the first and its CMD for the second, and one file gives other circuits by each.

    ranking = read_ranking(Path("scores.json"), layout, signed=True)
    ranking.first(40)                       # the circuit of the 40 edges with the largest scores
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pathdsl.graph.components import Layout
from pathdsl.graph.eap import listed, read_edges, sorted_by_score, unused_edges
from pathdsl.graph.pathset import NONE, PathSet

__all__ = ["Ranking", "n_edges", "read_ranking"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """The edges of a model, (sender, receiver, slot), the best first."""

    edges: tuple[tuple[int, int, str], ...]
    layout: Layout

    def __len__(self) -> int:
        """The number of edges of the model."""
        return len(self.edges)

    def first(self, count: int) -> PathSet:
        """The circuit of the first edges; `none` where they join no `input` with `logits`."""
        found = listed(sorted(self.edges[:count]), self.layout)
        return found if count > len(unused_edges(found, self.layout)) else NONE


def n_edges(layout: Layout) -> int:
    """How many edges the model has, the inputs of a head counted one by one."""
    return sum(
        layout.senders_of[receiver].bit_count() * len(layout.slots_of(receiver))
        for receiver in range(1, layout.logits + 1)
    )


def read_ranking(path: Path, layout: Layout, *, signed: bool) -> Ranking:
    """All edges of a score file, in order.

    Raises OSError and ValueError as `read_edges_file`, and ValueError where the file does not list
    every edge of the model: a tenth of some of them is no tenth of the graph.
    """
    edges, parsed = read_edges(path, layout)
    total = n_edges(layout)
    if len(set(parsed.values())) != total:
        raise ValueError(f"it ranks {len(set(parsed.values())):,} of the model's {total:,} edges")
    order = sorted_by_score(edges, signed=signed)
    return Ranking(edges=tuple(dict.fromkeys(parsed[name] for name in order)), layout=layout)
