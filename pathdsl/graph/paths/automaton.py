"""Path sets as automata that read a path from `logits` backwards.

Each leaf of a path set is a position automaton (`pathdsl.graph.paths.leaf`); all leaves share one
bit space, so a *state* of the determinised whole is one Python integer, and acceptance is the
Boolean formula of the set over "has this leaf accepted". Complements therefore cost nothing, and
nothing is built before it is asked for.

Positions are guards on moves, not letters: a move into a component may ask that it stands at some
named positions. Which prompts satisfy a guard where is the planner's business.

Two kinds of state alternate:

* *at* a component (bits over node letters): what may still happen upstream;
* *between* (bits over edge letters): an input of that component was chosen, its sender is next.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, assert_never

from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.leaf import MAX_LETTERS, Guards, Leaf, size_fault
from pathdsl.graph.paths.pathset import (
    Combined,
    Everything,
    Listed,
    Nothing,
    PathSet,
    Regular,
    Rel,
    SetOperator,
)  # fmt: skip

__all__ = ["Automaton", "Guards", "Leaves", "SenderClass", "SlotStep", "Upstream"]

Formula = bool | int | tuple[SetOperator, "Formula", "Formula"]
"""Membership in a path set: settled, that of the leaf with this number, or a combination."""


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


class Placed(NamedTuple):
    """A leaf with the places of its letters in the bit spaces of an automaton."""

    leaf: Leaf
    nodes: int  # offset of node letters
    edges: int  # offset of edge letters
    node_mask: int
    edge_mask: int


class Upstream(NamedTuple):
    """A state as it matters to what is upstream of a stage of the residual stream.

    `state` has lost the letters that lead nowhere there. `identity` is the verdict on every path
    upstream if there is one verdict, True or False; else automata with an equal identity take equal
    states to equal verdicts.
    """

    state: int
    identity: Hashable


class Leaves:
    """Leaves of many path sets on one layout: an equal leaf is built once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._known: dict[Regular | Listed, Leaf] = {}

    def leaf(self, paths: Regular | Listed) -> Leaf:
        """The leaf of a regular or listed set; raises PlanError (PD211) if it has many letters."""
        leaf = self._known.get(paths)
        if leaf is None:
            leaf = self._known[paths] = Leaf(paths, self.layout)
        return leaf


class Automaton:
    """The lazily determinised automaton of one path set on one layout."""

    def __init__(self, paths: PathSet, layout: Layout, leaves: Leaves | None = None) -> None:
        self.layout = layout
        self.start = 0
        self._everything = (1 << len(layout.components)) - 1
        self._leaves = leaves if leaves is not None else Leaves(layout)
        self._placed: list[Placed] = []
        self._sizes = [0, 0]
        self._formula = self._build(paths)
        self._slot_steps: dict[tuple[int, str | None, int], SlotStep] = {}
        self._classes: dict[int, tuple[SenderClass, ...]] = {}
        self._upstream: dict[tuple[int, int, bool], Upstream] = {}

    # ---------------------------------------------------------------------------------------------
    # Moves
    # ---------------------------------------------------------------------------------------------

    def accepts(self, state: int) -> bool:
        """Whether a path whose reading ends here, `input` just read, belongs to the set."""
        return _holds(self._formula, state, self._accepting)

    @cached_property
    def _accepting(self) -> tuple[int, ...]:
        return tuple(placed.leaf.accepting << placed.nodes for placed in self._placed)

    def slot_step(self, state: int, component: int, slot: str | None) -> SlotStep:
        """Choose an input of `component`: the edge letters that this leaves open."""
        layer = self.layout.shape.entry(self.layout.layer_of[component], slot)
        key = (state, slot, layer)
        step = self._slot_steps.get(key)
        if step is None:
            free = 0
            related: dict[Rel, int] = {}
            for leaf, nodes, edges, node_mask, _ in self._placed:
                if local := state >> nodes & node_mask:
                    its_free, its_related = leaf.slot_step(local, layer, slot)
                    free |= its_free << edges
                    for relation, letters in its_related:
                        related[relation] = related.get(relation, 0) | letters << edges
            step = SlotStep(free=free, related=tuple(sorted(related.items())))
            self._slot_steps[key] = step
        return step

    def sender_classes(self, between: int) -> tuple[SenderClass, ...]:
        """Partition of all components by how reading one as the sender goes on."""
        classes = self._classes.get(between)
        if classes is None:
            parts: list[tuple[int, dict[Guards, int]]] = [(self._everything, {})]
            for leaf, nodes, edges, _, edge_mask in self._placed:
                local = between >> edges & edge_mask
                if not local:
                    continue
                fresh = []
                for mask, moves in parts:
                    rest = mask
                    for senders, its_moves in leaf.parts(local):
                        if inside := mask & senders:
                            both = dict(moves)
                            for guards, letters in its_moves:
                                both[guards] = both.get(guards, 0) | letters << nodes
                            fresh.append((inside, both))
                            rest &= ~inside
                    if rest:
                        fresh.append((rest, moves))
                parts = fresh
            alike: dict[tuple[tuple[Guards, int], ...], int] = {}
            for mask, moves in parts:
                key = tuple(sorted(moves.items()))
                alike[key] = alike.get(key, 0) | mask
            classes = self._classes[between] = tuple(
                SenderClass(
                    senders=mask,
                    free=dict(key).get((), 0),
                    guarded=tuple((guards, bit) for guards, bit in key if guards),
                )
                for key, mask in alike.items()
            )
        return classes

    def upstream(self, stage: int, state: int, *, between: bool) -> Upstream:
        """A state of a reader of the residual stream at `stage`: at a component, or `between`."""
        key = (stage, state, between)
        upstream = self._upstream.get(key)
        if upstream is None:
            left = 0
            looks: list[Hashable] = []
            for leaf, nodes, edges, node_mask, edge_mask in self._placed:
                lowered = leaf.lowered(stage)
                if between:
                    local = state >> edges & edge_mask & lowered.edges
                    every = local & lowered.all_edges
                    shift = edges
                else:
                    local = state >> nodes & node_mask & lowered.open
                    every = local & lowered.all_open
                    shift = nodes
                if every:  # one letter says as much as all
                    looks.append(True)
                    left |= (every & -every) << shift
                elif local:
                    looks.append((nodes, edges, lowered.identity))
                    left |= local << shift
                else:
                    looks.append(False)
            identity = _looks(self._formula, looks)
            if isinstance(identity, bool):
                left = 0
            upstream = self._upstream[key] = Upstream(left, identity)
        return upstream

    # ---------------------------------------------------------------------------------------------
    # Construction
    # ---------------------------------------------------------------------------------------------

    def _build(self, paths: PathSet) -> Formula:
        match paths:
            case Everything():
                return True
            case Nothing():
                return False
            case Combined(op=op, left=left, right=right):
                return op, self._build(left), self._build(right)
            case Regular() | Listed():
                return self._place(self._leaves.leaf(paths))

    def _place(self, leaf: Leaf) -> int:
        nodes, edges = self._sizes
        n_nodes, n_edges = len(leaf.nodes), len(leaf.edges)
        self._placed.append(Placed(leaf, nodes, edges, (1 << n_nodes) - 1, (1 << n_edges) - 1))
        self._sizes = [nodes + n_nodes, edges + n_edges]
        if sum(self._sizes) > MAX_LETTERS:
            raise size_fault()
        self.start |= leaf.start << nodes
        return len(self._placed) - 1


def _holds(formula: Formula, state: int, accepting: tuple[int, ...]) -> bool:
    if isinstance(formula, bool):
        return formula
    if isinstance(formula, int):
        return bool(state & accepting[formula])
    op, left, right = formula
    first = _holds(left, state, accepting)
    match op:
        case "|":
            return first or _holds(right, state, accepting)
        case "&":
            return first and _holds(right, state, accepting)
        case "-":
            return first and not _holds(right, state, accepting)
        case unknown:
            assert_never(unknown)


def _looks(formula: Formula, leaves: list[Hashable]) -> Hashable:
    """The formula over leaves as they look; a leaf that accepts nothing any more is False."""
    if isinstance(formula, bool):
        return formula
    if isinstance(formula, int):
        return leaves[formula]
    op, left, right = formula
    a, b = _looks(left, leaves), _looks(right, leaves)
    match op:
        case "|":
            if a is True or b is False:
                return a
            if b is True or a is False:
                return b
        case "&":
            if a is False or b is True:
                return a
            if b is False or a is True:
                return b
        case "-":
            if a is False or b is False:
                return a
            if b is True:
                return False
        case unknown:
            assert_never(unknown)
    return op, a, b
