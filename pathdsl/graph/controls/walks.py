"""Random circuits as unions of random walks from `input` to `logits`.

Each step of a walk takes one of the edges out of the component it has reached, all equally likely;
walks are united until the set has the wanted number of edges. So are random circuits drawn by Shi
et al. 2024 (arXiv:2410.13032), who stop at the first walk that reaches the size; here a walk that
would overshoot it is left out and another one drawn, so that all sets have the same size. Early
layers and short paths are over-weighted by such walks, and no class of edges is matched.

    draw_walks(layout, 40, seed=0)       # 40 edges, every one on a complete path
"""

from __future__ import annotations

from collections.abc import Set

from pathdsl.draws import Draws
from pathdsl.graph.controls.edge_draws import RawEdge
from pathdsl.graph.model.components import Layout, bits
from pathdsl.limits import WALKS

__all__ = ["Walker", "added_walk", "draw_walks"]

MAX_WALKS = WALKS.most
MAX_ADDED = 10_000


class Walker:
    """Walks on the graph of one layout; draws come from the stream that is given."""

    def __init__(self, layout: Layout, draws: Draws) -> None:
        self.layout = layout
        self.draws = draws
        self.out: list[list[tuple[int, str]]] = [[] for _ in layout.components]
        for v in range(len(layout.components)):
            into = [(slot, layout.senders_into(v, slot)) for slot in layout.slots_of(v)]
            for u in bits(layout.senders_of[v]):
                self.out[u] += [(v, slot or "") for slot, senders in into if senders >> u & 1]

    def walk(self) -> list[RawEdge]:
        """The edges of one walk from `input` to `logits`, in order."""
        at = 0
        edges: list[RawEdge] = []
        while at != self.layout.logits:
            v, slot = self.draws.choice(self.out[at])
            edges.append((at, v, slot))
            at = v
        return edges


def draw_walks(layout: Layout, count: int, seed: int) -> list[RawEdge]:
    """`count` edges in the order of the graph; ValueError where walks do not come to that number.

    A model's whole graph is returned as it is, since there is nothing to draw.
    """
    if not 1 <= count <= layout.n_edges():
        raise ValueError(f"{count:,} edges are wanted and the model has {layout.n_edges():,}")
    walker = Walker(layout, Draws(seed, "random_walks"))
    if count == layout.n_edges():
        return sorted((u, v, s) for u, after in enumerate(walker.out) for v, s in after)
    edges: set[RawEdge] = set()
    for _ in range(MAX_WALKS):
        new = [edge for edge in walker.walk() if edge not in edges]
        if len(edges) + len(new) <= count:
            edges.update(new)
        if len(edges) == count:
            return sorted(edges)
    raise ValueError(
        f"{MAX_WALKS:,} random walks came to {len(edges):,} of {count:,} edges; a set of nearly "
        "all edges has no such control"
    )


def added_walk(
    layout: Layout, present: Set[tuple[int, int, str | None]], seed: int
) -> tuple[list[RawEdge], RawEdge]:
    """The edges of a random walk that are not present, and one of them, all equally likely.

    Walks without such an edge are drawn again; ValueError where that comes to nothing.
    """
    walker = Walker(layout, Draws(seed, "added_walk"))
    for _ in range(MAX_ADDED):
        new = [edge for edge in walker.walk() if (*edge[:2], edge[2] or None) not in present]
        if new:
            return new, walker.draws.choice(new)
    raise ValueError(f"none of {MAX_ADDED:,} random walks leaves the set")
