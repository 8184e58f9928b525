"""A random set of edges, all on complete paths, with a given number of edges in each class.

Starts from a set that is valid and changes it step by step; see
`pathdsl.graph.controls.random_like` for why each step can be checked at the nodes that it touches.

    draw_edges(layout, [(0, 5, "q"), (5, 158, "")], {("input", "head", "q"): 1, …}, seed, attempts)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pathdsl.draws import Draws
from pathdsl.graph.model.components import Layout

__all__ = ["EdgeClass", "RawEdge", "draw_edges"]

EdgeClass = tuple[str, str, str]
RawEdge = tuple[int, int, str]
ROUNDS = 12
MAX_STEPS = 40_000
TRIES = 16
PATIENCE = 400


def draw_edges(
    layout: Layout,
    start: Sequence[RawEdge],
    wanted: Mapping[EdgeClass, int],
    seed: int,
    attempts: int,
) -> list[RawEdge]:
    """Edges in the order of the graph, `wanted` of each class; ValueError where none are found.

    `start` must be valid: every node in it but `input` and `logits` both receives and sends.
    """
    problem = ""
    for attempt in range(attempts):
        state = _Edges(layout, start, Draws(seed, "random_edges", str(attempt)))
        problem = state.resize(wanted)
        if not problem:
            state.mix()
            return sorted(state.edges)
    raise ValueError(problem)


class _Edges:
    """A valid set of edges under change."""

    def __init__(self, layout: Layout, start: Sequence[RawEdge], draws: Draws) -> None:
        self.layout = layout
        self.draws = draws
        self.kinds = tuple(layout.kind(i).name for i in range(len(layout.components)))
        self.of_kind = {
            kind: [i for i, k in enumerate(self.kinds) if k == kind]
            for kind in dict.fromkeys(self.kinds)
        }
        self._senders: dict[tuple[EdgeClass, int], list[int]] = {}
        self.edges: list[RawEdge] = []
        self.place: dict[RawEdge, int] = {}
        self.classes: dict[EdgeClass, list[RawEdge]] = {}
        self.class_place: dict[RawEdge, int] = {}
        self.at_node: dict[int, set[RawEdge]] = {}
        self.sends: Counter[int] = Counter()
        self.reads: Counter[int] = Counter()
        self.sizes: Counter[EdgeClass] = Counter()
        for edge in start:
            self.add(edge)

    # ---------------------------------------------------------------------------------------------

    def kind(self, edge: RawEdge) -> EdgeClass:
        """The class of an edge."""
        return self.kinds[edge[0]], self.kinds[edge[1]], edge[2]

    def add(self, edge: RawEdge) -> None:
        """Put in an edge."""
        self.place[edge] = len(self.edges)
        self.edges.append(edge)
        members = self.classes.setdefault(self.kind(edge), [])
        self.class_place[edge] = len(members)
        members.append(edge)
        for node in edge[:2]:
            self.at_node.setdefault(node, set()).add(edge)
        self.sends[edge[0]] += 1
        self.reads[edge[1]] += 1
        self.sizes[self.kind(edge)] += 1

    def remove(self, edge: RawEdge) -> None:
        """Take out an edge."""
        for items, places in (
            (self.edges, self.place),
            (self.classes[self.kind(edge)], self.class_place),
        ):
            at, last = places.pop(edge), items.pop()
            if last != edge:
                items[at] = last
                places[last] = at
        for node in edge[:2]:
            self.at_node[node].remove(edge)
        self.sends[edge[0]] -= 1
        self.reads[edge[1]] -= 1
        self.sizes[self.kind(edge)] -= 1

    def valid(self, *nodes: int) -> bool:
        """Whether these nodes send exactly when they receive (the two ends of the graph aside)."""
        return all(
            n in (0, self.layout.logits) or (self.sends[n] > 0) == (self.reads[n] > 0)
            for n in nodes
        )

    def live(self, node: int) -> bool:
        """Whether a node has edges, or is an end of the graph."""
        return node in (0, self.layout.logits) or self.sends[node] > 0

    def senders(self, kind: EdgeClass, receiver: int) -> list[int]:
        """The nodes that a receiver reads by edges of a class."""
        senders = self._senders.get((kind, receiver))
        if senders is None:
            readable = self.layout.senders_into(receiver, kind[2])
            senders = [u for u in self.of_kind[kind[0]] if readable >> u & 1]
            self._senders[kind, receiver] = senders
        return senders

    def random_edge(self, kind: EdgeClass) -> RawEdge | None:
        """A random edge of a class that is not in the set yet."""
        receivers = self.of_kind[kind[1]]
        for _ in range(TRIES):
            v = self.draws.choice(receivers)
            senders = self.senders(kind, v)
            if senders:
                edge = (self.draws.choice(senders), v, kind[2])
                if edge not in self.place:
                    return edge
        return None

    # ---------------------------------------------------------------------------------------------
    # To the wanted sizes
    # ---------------------------------------------------------------------------------------------

    def resize(self, wanted: Mapping[EdgeClass, int]) -> str:
        """Take out and put in edges until the sizes are as wanted; else what stood in the way."""
        bound = 4 * (sum(wanted.values()) + len(self.edges)) + 2_000
        stuck = 0
        for step in range(bound):
            over = [k for k in sorted(self.sizes) if self.sizes[k] > wanted.get(k, 0)]
            under = [k for k in sorted(wanted) if self.sizes[k] < wanted[k]]
            if not over and not under:
                return ""
            size = len(self.edges)
            if over and (not under or step % 2 == 0):
                self.shrink(self.draws.choice(over), wanted)
            elif under:
                self.grow(self.draws.choice(under), wanted)
            if len(self.edges) == size:  # in the way of itself: rearrange and try again
                self.swap()
                self.move()
                stuck += 1
                if stuck > PATIENCE:
                    break
        kinds = ", ".join(f"{a} to {b}" + (f" ({s})" if s else "") for a, b, s in over or under)
        return f"no set of complete paths has so many edges from {kinds}"

    def shrink(self, kind: EdgeClass, wanted: Mapping[EdgeClass, int]) -> None:
        """Take out one edge of a class, or a node all of whose edges are of too full classes."""
        members = self.classes[kind]
        for edge in {self.draws.choice(members): None for _ in range(TRIES)}:
            self.remove(edge)
            if self.valid(edge[0], edge[1]):
                return
            self.add(edge)
            for node in (edge[0], edge[1]):
                if node not in (0, self.layout.logits) and self.drop(node, wanted):
                    return

    def drop(self, node: int, wanted: Mapping[EdgeClass, int]) -> bool:
        """Take out a node with all its edges, if that leaves enough of each class."""
        gone = self.at_node[node]
        if any(
            self.sizes[kind] - n < wanted.get(kind, 0)
            for kind, n in Counter(map(self.kind, gone)).items()
        ):
            return False
        removed = sorted(gone)
        for edge in removed:
            self.remove(edge)
        if self.valid(*{n for edge in removed for n in edge[:2]}):
            return True
        for edge in removed:
            self.add(edge)
        return False

    def grow(self, kind: EdgeClass, wanted: Mapping[EdgeClass, int]) -> None:
        """Put in one edge of a class between live nodes, or a new node with one edge each way."""
        edge = self.random_edge(kind)
        if edge is None:
            return
        self.add(edge)
        if self.valid(edge[0], edge[1]):
            return
        new = [n for n in edge[:2] if not self.valid(n)]
        if len(new) == 1:
            side = 0 if new[0] == edge[1] else 1  # the new node lacks a reader, or a sender
            under = [
                k
                for k in sorted(wanted)
                if k[side] == self.kinds[new[0]] and self.sizes[k] < wanted[k]
            ]
            for other in self.draws.shuffled(under):
                pool = [
                    n
                    for n in self.of_kind[other[1 - side]]
                    if self.live(n)
                    and self.layout.senders_into(n if side == 0 else new[0], other[2])
                    >> (new[0] if side == 0 else n)
                    & 1
                ]
                if pool:
                    n = self.draws.choice(pool)
                    pair = (new[0], n) if side == 0 else (n, new[0])
                    if (*pair, other[2]) not in self.place:
                        self.add((*pair, other[2]))
                        return
        self.remove(edge)

    # ---------------------------------------------------------------------------------------------
    # Away from the start
    # ---------------------------------------------------------------------------------------------

    def mix(self) -> None:
        """Many random steps that keep the sizes; fewer rounds where the set is large."""
        nodes = len({n for edge in self.edges for n in edge[:2]})
        for _ in range(max(1, min(ROUNDS, MAX_STEPS // len(self.edges)))):
            for _ in range(nodes):
                self.move()
            for _ in range(len(self.edges)):
                self.swap()

    def swap(self) -> None:
        """Exchange one edge for another of its class."""
        old = self.draws.choice(self.edges)
        new = self.random_edge(self.kind(old))
        if new is None:
            return
        self.remove(old)
        self.add(new)
        if not self.valid(*old[:2], *new[:2]):
            self.remove(new)
            self.add(old)

    def move(self) -> None:
        """Give all edges of one node to a node of its kind that has none."""
        node = self.draws.choice(self.draws.choice(self.edges)[:2])
        if node in (0, self.layout.logits):
            return
        idle = [n for n in self.of_kind[self.kinds[node]] if not self.live(n)]
        if not idle:
            return
        target = self.draws.choice(idle)
        old = sorted(self.at_node[node])
        new = [(target if u == node else u, target if v == node else v, slot) for u, v, slot in old]
        if all(self.layout.senders_into(v, slot) >> u & 1 for u, v, slot in new):
            for edge in old:
                self.remove(edge)
            for edge in new:
                self.add(edge)
