"""One leaf of a path set, a regular expression or a list of edges, as a position automaton.

The letters of a path alternate: component, edge, component, …, `input`. Each occurrence of a letter
in the expression is one state (Glushkov 1961: no empty moves); a set of states is the bits of a
Python integer, node letters and edge letters in bit spaces of their own. Paths are read from
`logits` backwards.

A leaf can tell how it looks to what reads the residual stream at some stage (`lowered`): letters
that no component below can read are left out, and so are those that then lead to no `input`. Two
leaves that look alike there treat everything upstream alike, which is how runs that differ in late
layers share the plan of the early ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.model.components import Layout, bits
from pathdsl.graph.paths.pathset import (
    Alt,
    Cat,
    Edge,
    Listed,
    Nodes,
    Pos,
    Regex,
    Regular,
    Rel,
    Star,
)
from pathdsl.limits import LETTERS

__all__ = ["MAX_LETTERS", "Guards", "Leaf", "Lowered", "Moves", "size_fault"]

Guards = tuple[Pos, ...]
Moves = tuple[tuple[Guards, int], ...]
"""Node letters that reading a component may lead to, each under the positions that it asks for."""

MAX_LETTERS = LETTERS.most


@dataclass(slots=True)
class NodeLetter:
    """Reads a component of `mask` standing at all of `guards`; `before`: edge letters upstream."""

    mask: int
    guards: Guards
    before: int = 0


@dataclass(slots=True)
class EdgeLetter:
    """Crosses one edge; `before`: node letters that may be its sender."""

    labels: tuple[tuple[str | None, Rel | None], ...] | None
    min_layer: int
    senders: int
    guards: Guards
    before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A leaf as seen from a stage of the residual stream.

    `edges`: edge letters through which some path still ends at `input`; `open`: node letters that
    lead to such an edge which a component below may choose. `all_edges`, `all_open`: letters of
    these from which every path upstream is in the set. `identity`: equal for leaves that take equal
    states to equal verdicts.
    """

    edges: int
    open: int
    all_edges: int
    all_open: int
    identity: Hashable


class Leaf:
    """The letters of one leaf and its moves; `start`: node letters that may read `logits`."""

    def __init__(self, paths: Regular | Listed, layout: Layout) -> None:
        self.layout = layout
        self.nodes: list[NodeLetter] = []
        self.edges: list[EdgeLetter] = []
        self.start = 0
        self._everything = (1 << len(layout.components)) - 1
        self._listed = isinstance(paths, Listed)
        if isinstance(paths, Listed):
            self.accepting = self._add_listed(paths)
        else:
            self.accepting = self._add_regular(paths.regex)
        self._open: dict[int, int] = {}
        self._steps: dict[tuple[int, str | None, int], tuple[int, tuple[tuple[Rel, int], ...]]] = {}
        self._parts: dict[int, tuple[tuple[int, Moves], ...]] = {}
        self._lowered: dict[int, Lowered] = {}

    # ---------------------------------------------------------------------------------------------
    # Moves
    # ---------------------------------------------------------------------------------------------

    def slot_step(
        self, state: int, layer: int, slot: str | None
    ) -> tuple[int, tuple[tuple[Rel, int], ...]]:
        """Edge letters open at an input of a component of `layer`: free ones, and by relation."""
        key = (state, slot, layer)
        step = self._steps.get(key)
        if step is None:
            free = 0
            related: dict[Rel, int] = {}
            for e in bits(self._open_edges(state)):
                letter = self.edges[e]
                if layer < letter.min_layer:
                    continue
                if letter.labels is None:
                    free |= 1 << e
                    continue
                for label, relation in letter.labels:
                    if label != slot:
                        continue
                    if relation is None:
                        free |= 1 << e
                    else:
                        related[relation] = related.get(relation, 0) | 1 << e
            step = self._steps[key] = (free, tuple(sorted(related.items())))
        return step

    def _open_edges(self, state: int) -> int:
        edges = self._open.get(state)
        if edges is None:
            edges = 0
            for n in bits(state):
                edges |= self.nodes[n].before
            self._open[state] = edges
        return edges

    def parts(self, between: int) -> tuple[tuple[int, Moves], ...]:
        """Disjoint sets of components that read on alike as senders, with their moves.

        Components that are in none of them lead nowhere.
        """
        parts = self._parts.get(between)
        if parts is None:
            merged: dict[int, dict[Guards, int]] = {}
            for e in bits(between):
                edge = self.edges[e]
                for n in bits(edge.before):
                    node = self.nodes[n]
                    if mask := node.mask & edge.senders & self._everything:
                        both = edge.guards, node.guards
                        guards = both[0] or both[1]
                        if both[0] and both[1]:
                            guards = tuple(sorted({*both[0], *both[1]}))
                        known = merged.setdefault(mask, {})
                        known[guards] = known.get(guards, 0) | 1 << n
            parts = self._parts[between] = tuple(_disjoint(merged))
        return parts

    # ---------------------------------------------------------------------------------------------
    # Seen from a stage
    # ---------------------------------------------------------------------------------------------

    def lowered(self, stage: int) -> Lowered:
        """The leaf as readers of the residual stream at `stage`, and all upstream, see it."""
        lowered = self._lowered.get(stage)
        if lowered is None:
            lowered = self._lowered[stage] = self._lower(stage)
        return lowered

    def _lower(self, stage: int) -> Lowered:
        standing = self.layout.standing[stage]
        readable = [node.mask & standing for node in self.nodes]
        # An edge that was chosen above stays chosen; to be chosen below it must begin low enough.
        below = sum(1 << e for e, edge in enumerate(self.edges) if 2 * edge.min_layer <= stage)
        edges, alive = 0, 0
        for n, mask in enumerate(readable):
            alive |= (mask & 1 and self.accepting >> n & 1) << n
        grown = True
        while grown:
            grown = False
            for e, edge in enumerate(self.edges):
                if not edges >> e & 1 and any(
                    readable[n] & edge.senders for n in bits(edge.before & alive)
                ):
                    edges |= 1 << e
                    grown = True
            for n, node in enumerate(self.nodes):
                if readable[n] and not alive >> n & 1 and node.before & edges & below:
                    alive |= 1 << n
                    grown = True
        usable = edges & below
        opened = sum(1 << n for n, node in enumerate(self.nodes) if node.before & usable)
        all_edges, all_open = self._all_from(edges, standing)
        return Lowered(
            edges=edges,
            open=opened,
            all_edges=all_edges,
            all_open=all_open,
            identity=self._identity(edges, usable, alive, standing),
        )

    def _all_from(self, edges: int, standing: int) -> tuple[int, int]:
        """Edge and node letters from which every path upstream is accepted, wherever it stands.

        The largest set of edge letters that any sender leads back into, or to acceptance. Letters
        that ask for an input, a layer or a position are left out, so some may be missed.
        """
        found = sum(
            1 << e
            for e in bits(edges)
            if (letter := self.edges[e]).labels is None
            and letter.min_layer <= 0
            and not letter.guards
            and letter.senders & standing == standing
        )
        while found:
            covered = [
                0
                if node.guards
                else (node.mask & 1 & -(self.accepting >> n & 1))
                | (node.mask & ~1 & -bool(node.before & found))
                for n, node in enumerate(self.nodes)
            ]
            rest = 0
            for e in bits(found):
                reached = 0
                for n in bits(self.edges[e].before):
                    reached |= covered[n]
                rest |= (reached & standing == standing) << e
            if rest == found:
                break
            found = rest
        return found, sum(1 << n for n, node in enumerate(self.nodes) if node.before & found)

    def _identity(self, edges: int, usable: int, alive: int, standing: int) -> Hashable:
        if self._listed:  # lists are long, and seldom equal but as a whole
            return id(self), edges
        nodes = [
            (n, node) for n, node in enumerate(self.nodes) if node.before & usable or alive >> n & 1
        ]
        return (
            self.accepting & alive,
            tuple(
                (
                    e,
                    edge.senders & standing,
                    edge.guards,
                    edge.before & alive,
                    (edge.labels, edge.min_layer) if usable >> e & 1 else None,
                )
                for e, edge in ((e, self.edges[e]) for e in bits(edges))
            ),
            tuple(
                (n, node.mask & standing, node.guards, node.before & usable) for n, node in nodes
            ),
        )

    # ---------------------------------------------------------------------------------------------
    # Construction
    # ---------------------------------------------------------------------------------------------

    def _new_node(self, mask: int, guards: Guards) -> int:
        self.nodes.append(NodeLetter(mask, guards))
        self._check_size()
        return len(self.nodes) - 1

    def _new_edge(self, letter: EdgeLetter) -> int:
        self.edges.append(letter)
        self._check_size()
        return len(self.edges) - 1

    def _check_size(self) -> None:
        if len(self.nodes) + len(self.edges) > MAX_LETTERS:
            raise size_fault()

    def _add_regular(self, regex: Regex) -> int:
        """Add the letters of a complete regular set; returns the bits that accept at `input`."""
        logits_bit = 1 << self.layout.logits

        # (nullable, first, last): sets of letters as (node bits, edge bits)
        def visit(r: Regex) -> tuple[bool, tuple[int, int], tuple[int, int]]:
            match r:
                case Nodes(mask=mask, at=at):
                    n = 1 << self._new_node(mask, (at,) if at else ())
                    return False, (n, 0), (n, 0)
                case Edge(labels=labels, mark=mark, mark_at=mark_at):
                    letter = EdgeLetter(
                        labels=labels,
                        min_layer=-1 if mark is None else mark,
                        senders=self._everything if mark is None else self.layout.below[mark],
                        guards=(mark_at,) if mark_at else (),
                    )
                    e = 1 << self._new_edge(letter)
                    return False, (0, e), (0, e)
                case Cat(parts=parts):
                    nullable, first, last = True, (0, 0), (0, 0)
                    for part in parts:
                        p_null, p_first, p_last = visit(part)
                        link(last, p_first)
                        if nullable:
                            first = (first[0] | p_first[0], first[1] | p_first[1])
                        last = (last[0] | p_last[0], last[1] | p_last[1]) if p_null else p_last
                        nullable = nullable and p_null
                    return nullable, first, last
                case Alt(options=options):
                    nullable, first, last = False, (0, 0), (0, 0)
                    for option in options:
                        p_null, p_first, p_last = visit(option)
                        nullable = nullable or p_null
                        first = (first[0] | p_first[0], first[1] | p_first[1])
                        last = (last[0] | p_last[0], last[1] | p_last[1])
                    return nullable, first, last
                case Star(inner=inner):
                    _, first, last = visit(inner)
                    link(last, first)
                    return True, first, last

        def link(last: tuple[int, int], first: tuple[int, int]) -> None:
            for n in bits(first[0]):
                self.nodes[n].before |= last[1]
            for e in bits(first[1]):
                self.edges[e].before |= last[0]

        _, first, last = visit(regex)
        for n in bits(last[0]):
            if self.nodes[n].mask & logits_bit:
                self.start |= 1 << n
        return first[0]

    def _add_listed(self, listed: Listed) -> int:
        """Add a set of edges: one node letter per receiver (and position), one per `input`."""
        source = self._new_node(1, ())
        receivers: dict[tuple[int, Pos | None], int] = {}
        for edge in listed.edges:
            key = (edge.receiver, edge.receiver_at)
            if key not in receivers:
                guards = (edge.receiver_at,) if edge.receiver_at else ()
                receivers[key] = self._new_node(1 << edge.receiver, guards)
        grouped: dict[tuple[int, Pos | None, str | None, Rel | None, Pos | None], int] = {}
        for edge in listed.edges:
            group = (
                edge.receiver, edge.receiver_at, edge.slot, edge.relation, edge.sender_at
            )  # fmt: skip
            grouped[group] = grouped.get(group, 0) | edge.senders
        for (receiver, at, slot, relation, sender_at), senders in grouped.items():
            letter = EdgeLetter(
                labels=((slot, relation),),
                min_layer=-1,
                senders=senders,
                guards=(sender_at,) if sender_at else (),
            )
            e = self._new_edge(letter)
            self.nodes[receivers[receiver, at]].before |= 1 << e
            letter.before = (1 << source) * (senders & 1)
            for (component, _), n in receivers.items():
                if senders >> component & 1:
                    letter.before |= 1 << n
        for (component, _), n in receivers.items():
            if component == self.layout.logits:
                self.start |= 1 << n
        return 1 << source


def _disjoint(merged: dict[int, dict[Guards, int]]) -> Iterator[tuple[int, Moves]]:
    """Sets of components with their moves, cut until no two of them overlap."""
    parts: list[tuple[int, dict[Guards, int]]] = []
    union = 0
    for mask, moves in merged.items():
        rest = mask
        if mask & union:
            cut = []
            for known, held in parts:
                if inside := known & rest:
                    both = dict(held)
                    for guards, letters in moves.items():
                        both[guards] = both.get(guards, 0) | letters
                    cut.append((inside, both))
                    if outside := known & ~rest:
                        cut.append((outside, held))
                    rest &= ~inside
                else:
                    cut.append((known, held))
            parts = cut
        if rest:
            parts.append((rest, moves))
        union |= mask
    for mask, held in parts:
        yield mask, tuple(sorted(held.items()))


def size_fault() -> PlanError:
    """The fault of a path set with too many letters, to raise."""
    return PlanError(
        Diagnostic(
            code="PD211",
            message=f"this path set needs more than {MAX_LETTERS:,} automaton letters",
            help="repeat a section fewer times, or name fewer edges",
        )
    )
