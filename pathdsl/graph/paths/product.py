"""The product of a path set's automaton with a model: is it empty, how many paths, which ones.

A dynamic program over (component, set of possible automaton states); paths are never enumerated.
Positions are ignored in a one-sided way: a (component, slot) sequence counts when *some* positions
would put it into the set, each position name being free. Sums over the senders of one component
are shared between receivers, so the cost grows with states, not with states times edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain as concat

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.model.components import Layout, bits
from pathdsl.graph.paths.automaton import Automaton, Guards, SenderClass, SlotStep
from pathdsl.graph.paths.neurons import original, split_paths
from pathdsl.graph.paths.pathset import PathSet, Pos
from pathdsl.limits import MOVES, STATES

States = frozenset[int]
MAX_STATES = STATES.most


class Product:
    """Counts and examples of one path set; `beside` as for `split_paths`.

    `layout` is its own: an MLP is one node unless the set tells neurons of it apart.
    """

    def __init__(
        self,
        paths: PathSet,
        layout: Layout,
        max_states: int = MAX_STATES,
        beside: Iterable[PathSet] = (),
    ) -> None:
        split, self.layout = split_paths(paths, layout, beside=beside)
        self._original = original(self.layout, layout) if self.layout is not layout else None
        self.automaton = Automaton(split, self.layout)
        self.max_states, self.moves = max_states, MOVES.most
        self.start: States = frozenset([self.automaton.start])
        self._counts: dict[tuple[int, States], int] = {}  # by components that read alike
        self._sums: dict[tuple[States, int], int] = {}
        self._next: dict[States, dict[int, States]] = {}
        self._seen: set[States] = set()
        self._edges: frozenset[tuple[int, int, str | None]] | None = None
        self._read: dict[tuple[int, str | None], int] | None = None
        self._grouped: dict[States, dict[States, int]] = {}
        self._chosen: dict[tuple[int, str | None, States], States] = {}
        self._nodes: frozenset[int] | None = None
        self.spent = 0

    def count(self) -> int:
        """Number of (component, slot) sequences from `input` to `logits` in the set."""
        return self._count(self.layout.logits, self.start)

    def n_states(self) -> int:
        """Distinct automaton states met while counting."""
        self.count()
        return len(self._seen)

    def examples(self, limit: int) -> list[str]:
        """Up to `limit` members, written as `input -[v]-> a0.h1 -[k]-> a1.h0 -> logits`."""
        paths = []
        for path in self._walk(self.layout.logits, self.start, ()):
            paths.append(path)
            if len(paths) == limit:
                break
        return paths

    def index(self, component: int) -> int:
        """The index in masks of a component of `layout`."""
        return component if self._original is None else self._original[component]

    def edges(self) -> set[tuple[int, int, str | None]]:
        """(sender, receiver, slot) of every edge that lies on some path of the set.

        Indices are those of masks; the index of a split MLP stands for the rest of it.
        """
        return {(self.index(u), self.index(v), slot) for u, v, slot in self.own_edges()}

    def own_edges(self) -> frozenset[tuple[int, int, str | None]]:
        """The same with the indices of `layout`."""
        if self._edges is None:
            self._edges = frozenset(
                (u, v, slot) for (v, slot), senders in self.senders().items() for u in bits(senders)
            )
        return self._edges

    def senders(self) -> Mapping[tuple[int, str | None], int]:
        """(receiver, slot) to the mask of its senders on some path, by the indices of `layout`.

        A large model has millions of edges: whoever counts them does not name them one by one.
        """
        if self._read is None:
            self._read = self._find_senders()
        return self._read

    def _find_senders(self) -> dict[tuple[int, str | None], int]:
        found: dict[tuple[int, str | None], int] = {}
        tried: dict[States, int] = {}  # senders by what may follow them, and those on a path
        alive: dict[States, int] = {}
        spent = self.spent  # what follows repeats steps of the count
        stack = [(1 << self.layout.logits, self.start)] if self.count() else []
        while stack:
            readers, states = stack.pop()  # components that read alike
            v = next(bits(readers))
            for slot in self.layout.slots_of(v):
                between, read = self._between(v, slot, states), 0
                for after, those in self._by_what_follows(between).items():
                    senders = those & self.layout.senders_into(v, slot)
                    new = senders & ~tried.get(after, 0)
                    tried[after] = tried.get(after, 0) | new
                    for like in self._classes(new):
                        if self._count(next(bits(like)), after):
                            alive[after] = alive.get(after, 0) | like
                            stack.append((like, after))
                    read |= senders & alive.get(after, 0)
                if read:
                    for reader in bits(readers):
                        found[reader, slot] = found.get((reader, slot), 0) | read
        self.spent = spent
        return found

    def _classes(self, components: int) -> Iterator[int]:
        """Components in masks of those that read alike."""
        while components:
            like = components & self.layout.alike[next(bits(components))]
            yield like
            components &= ~like

    def _by_what_follows(self, between: States) -> dict[States, int]:
        """The masks of senders by the states that may follow them."""
        grouped = self._grouped.get(between)
        if grouped is None:
            grouped = {}
            for u, after in self._senders(between).items():
                grouped[after] = grouped.get(after, 0) | 1 << u
            self._grouped[between] = grouped
        return grouped

    def own_nodes(self) -> frozenset[int]:
        """Components on some path, `input` and `logits` with them, by the indices of `layout`."""
        if self._nodes is None:
            every, read = 0, self.senders()
            for senders in read.values():
                every |= senders
            self._nodes = frozenset([*bits(every), *(v for v, _ in read)])
        return self._nodes

    # ---------------------------------------------------------------------------------------------

    def _between(self, v: int, slot: str | None, states: States) -> States:
        self._spend(len(states))
        return frozenset(
            concat.from_iterable(
                _distance_cases(self.automaton.slot_step(q, v, slot), self.layout.shape.causal)
                for q in states
            )
        )

    def _spend(self, n_states: int) -> None:
        """Counts the work on sets of several states: few sets may hold very many."""
        self.spent += n_states if n_states > 1 else 0
        if self.spent > self.moves:
            raise PlanError(
                Diagnostic(
                    code="PD215",
                    message=f"counting the paths of this set takes more than {self.moves:,} steps",
                    notes=("alternatives at positions that may or may not fall together multiply",),
                    help="judge the parts as path sets of their own, or leave positions out",
                )
            )

    def _senders(self, between: States) -> dict[int, States]:
        """For each component the states that may follow when it is read as the sender."""
        after = self._next.get(between)
        if after is None:
            sets: dict[int, set[int]] = {}
            for m in between:
                classes = self.automaton.sender_classes(m)
                if len(between) > 1:
                    self._spend(len(classes))
                for part in classes:
                    outcomes = _guard_cases(part)
                    for u in bits(part.senders):
                        sets.setdefault(u, set()).update(outcomes)
            shared: dict[States, States] = {}
            after = {}
            for u, outcomes in sets.items():
                frozen = frozenset(outcomes)
                after[u] = shared.setdefault(frozen, frozen)
            self._next[between] = after
        return after

    def _count(self, v: int, states: States) -> int:
        if v == 0:
            return int(any(self.automaton.accepts(q) for q in states))
        key = (self.layout.alike[v], states)
        count = self._counts.get(key)
        if count is None:
            if states not in self._seen:
                self._seen.add(states)
                if len(self._seen) > self.max_states:
                    raise too_many_states(self.max_states)
            count = sum(
                self._sum(self._between(v, slot, states), v, slot)
                for slot in self.layout.slots_of(v)
            )
            self._counts[key] = count
        return count

    def _sum(self, between: States, v: int, slot: str | None) -> int:
        """Paths through every sender of an input, summed layer by layer so that receivers share."""
        layer = self.layout.shape.entry(self.layout.layer_of[v], slot)
        total = self._sum_below(between, layer)
        if own := self.layout.senders_into(v, slot) & ~self.layout.below[layer]:
            after = self._senders(between)
            total += sum(self._count(u, after[u]) for u in bits(own))
        return total

    def _sum_below(self, between: States, layer: int) -> int:
        key = (between, layer)
        total = self._sums.get(key)
        if total is None:
            after = self._senders(between)
            if layer == 0:
                total = self._count(0, after[0])
            else:
                fresh = self.layout.below[layer] & ~self.layout.below[layer - 1]
                total = self._sum_below(between, layer - 1) + sum(
                    self._count(u, after[u]) for u in bits(fresh)
                )
            self._sums[key] = total
        return total

    def _walk(self, v: int, states: States, tail: tuple[str, ...]) -> Iterator[str]:
        if v == 0:
            if self._count(v, states):
                yield "".join(("input", *tail))
            return
        for slot in self.layout.slots_of(v):
            arrow = f" -[{slot}]-> " if slot else " -> "
            after = self._senders(self._between(v, slot, states))
            for u in bits(self.layout.senders_into(v, slot)):
                if self._count(u, after[u]):
                    yield from self._walk(u, after[u], (arrow, self.layout.label(v), *tail))


def _distance_cases(step: SlotStep, causal: bool) -> set[int]:
    """Between-states over all distances, by the boundaries of the relations that occur."""
    distances = {0}
    for relation, _ in step.related:
        distances |= {relation.least, relation.most + 1, relation.least - 1}
    return {step.at(d) for d in distances if d >= 0 or not causal}


def _guard_cases(part: SenderClass) -> set[int]:
    """States over all truth values of the positions that a class asks about."""
    atoms = sorted({pos for guards, _ in part.guarded for pos in guards})
    if len(atoms) > 12:  # every subset would be too many; all-or-one covers what counting needs
        choices = [set(atoms), set(), *({a} for a in atoms)]
    else:
        choices = [{a for i, a in enumerate(atoms) if c >> i & 1} for c in range(1 << len(atoms))]
    return {outcome(part.free, part.guarded, chosen) for chosen in choices}


def outcome(free: int, guarded: tuple[tuple[Guards, int], ...], held: set[Pos]) -> int:
    """The state that follows for senders that stand at the positions `held`."""
    for guards, bit in guarded:
        if all(pos in held for pos in guards):
            free |= bit
    return free


def too_many_states(limit: int) -> PlanError:
    """The fault of an automaton that grows past its bound, to raise."""
    return PlanError(
        Diagnostic(
            code="PD210",
            message=f"this path set needs more than {limit:,} automaton states",
            help="split the hypothesis, or raise the bound with `--max-states`",
        )
    )
