"""Path sets as automata that read a path from `logits` backwards.

A path is a word of alternating letters: component, edge, component, …, `input`. Each regular leaf
of a path set becomes a position automaton (Glushkov 1961: one state per letter occurrence, no
empty moves); all leaves share one bit space, so a *state* of the determinised whole is one Python
integer, and acceptance is the Boolean formula of the set over "has this leaf accepted".
Complements therefore cost nothing, and nothing is built before it is asked for.

Positions are guards on moves, not letters: a move into a component may ask that it stands at some
named positions. Which prompts satisfy a guard where is the planner's business.

Two kinds of state alternate:

* *at* a component (bits over node letters): what may still happen upstream;
* *between* (bits over edge letters): an input of that component was chosen, its sender is next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.components import Layout, bits
from pathdsl.graph.pathset import (
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
    Rel,
    Star,
)

Guards = tuple[Pos, ...]
MAX_LETTERS = 20_000


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
class SenderClass:
    """Senders that a between-state treats alike: `free` bits always, `guarded` bits where held."""

    senders: int
    free: int
    guarded: tuple[tuple[Guards, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStep:
    """Edge letters open at one input: `free` at every distance, `related` where `Rel` holds."""

    free: int
    related: tuple[tuple[Rel, int], ...]

    def at(self, distance: int) -> int:
        """The between-state when the sender stands `distance` positions before the head."""
        state = self.free
        for relation, edges in self.related:
            if relation.holds(distance):
                state |= edges
        return state


class Automaton:
    """The lazily determinised automaton of one path set on one layout."""

    def __init__(self, paths: PathSet, layout: Layout) -> None:
        self.layout = layout
        self._everything = (1 << len(layout.components)) - 1
        self.nodes: list[NodeLetter] = []
        self.edges: list[EdgeLetter] = []
        self.start = 0
        self._accepting: list[int] = []
        self._formula = self._build(paths)
        self._slot_steps: dict[tuple[int, str | None, int], SlotStep] = {}
        self._classes: dict[int, tuple[SenderClass, ...]] = {}
        self._open: dict[int, int] = {}

    # ---------------------------------------------------------------------------------------------
    # Moves
    # ---------------------------------------------------------------------------------------------

    def accepts(self, state: int) -> bool:
        """Whether a path whose reading ends here, `input` just read, belongs to the set."""
        return self._formula(state)

    @cached_property
    def dead_verdict(self) -> bool:
        """Membership of every path once no leaf can accept any more (state 0)."""
        return self._formula(0)

    def slot_step(self, state: int, component: int, slot: str | None) -> SlotStep:
        """Choose an input of `component`: the edge letters that this leaves open."""
        layer = self.layout.layer_of[component]
        key = (state, slot, layer)
        found = self._slot_steps.get(key)
        if found is None:
            open_edges = self._open.get(state)
            if open_edges is None:
                open_edges = 0
                for n in bits(state):
                    open_edges |= self.nodes[n].before
                self._open[state] = open_edges
            free, related = 0, {}
            for e in bits(open_edges):
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
            found = SlotStep(free=free, related=tuple(sorted(related.items())))
            self._slot_steps[key] = found
        return found

    def sender_classes(self, between: int) -> tuple[SenderClass, ...]:
        """Partition of all components by how reading one as the sender goes on."""
        found = self._classes.get(between)
        if found is None:
            moves: dict[int, list[tuple[Guards, int]]] = {}
            for e in bits(between):
                edge = self.edges[e]
                for n in bits(edge.before):
                    node = self.nodes[n]
                    guards = tuple(sorted({*edge.guards, *node.guards}))
                    for u in bits(node.mask & edge.senders):
                        moves.setdefault(u, []).append((guards, 1 << n))
            classes: dict[tuple[tuple[Guards, int], ...], int] = {}
            for u, found_moves in moves.items():
                merged: dict[Guards, int] = {}
                for guards, bit in found_moves:
                    merged[guards] = merged.get(guards, 0) | bit
                key = tuple(sorted(merged.items()))
                classes[key] = classes.get(key, 0) | 1 << u
            rest = self._everything & ~sum(classes.values())
            parts = [
                SenderClass(
                    senders=mask,
                    free=dict(key).get((), 0),
                    guarded=tuple((guards, bit) for guards, bit in key if guards),
                )
                for key, mask in classes.items()
            ]
            if rest:
                parts.append(SenderClass(senders=rest, free=0, guarded=()))
            found = self._classes[between] = tuple(parts)
        return found

    # ---------------------------------------------------------------------------------------------
    # Construction
    # ---------------------------------------------------------------------------------------------

    def _build(self, paths: PathSet) -> Callable[[int], bool]:
        match paths:
            case Everything():
                return lambda state: True
            case Nothing():
                return lambda state: False
            case Combined(op=op, left=left, right=right):
                a, b = self._build(left), self._build(right)
                match op:
                    case "|":
                        return lambda state: a(state) or b(state)
                    case "&":
                        return lambda state: a(state) and b(state)
                    case _:
                        return lambda state: a(state) and not b(state)
            case Regular(regex=regex):
                accepting = self._add_regular(regex)
            case Listed():
                accepting = self._add_listed(paths)
        return lambda state: bool(state & accepting)

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
            raise PlanError(
                Diagnostic(
                    code="PD211",
                    message=f"this path set needs more than {MAX_LETTERS:,} automaton letters",
                    help="repeat a section fewer times, or name fewer edges",
                )
            )

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
