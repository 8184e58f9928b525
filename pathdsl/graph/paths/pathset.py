"""Path sets, resolved: what a path expression denotes once names, sets and positions are known.

A *regular* path set is an expression over two kinds of letters that alternate along a path: nodes
(`Nodes`: which components, at which position) and edges (`Edge`: which inputs of the receiver,
in which relation of positions, across which residual mark). Complete path sets are regular sets,
listed edges, and their Boolean combinations. All are frozen and hashable: two runs of a check over
equal path sets are one run.

Source: path patterns as regular languages, Goldowsky-Dill et al. 2023 (arXiv:2304.05969); the
iterative matchers of causal scrubbing walk the same automaton from the output.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Literal, assert_never

from pathdsl.graph.model.components import Slot
from pathdsl.record import record

_WRITTEN = re.compile(r"([A-Za-z_]\w*)([+-]\d+)?|\[(\d+)\]")
_INDICES = re.compile(r"\[(\d+)\.\.(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pos:
    """A position by name with an offset, or by absolute index (then `name` is "").

    A span has its first and last place in `ends`, a set its members in `among`, in one order and
    each once; both have no name.
    """

    name: str = ""
    offset: int = 0
    index: int = -1
    ends: tuple[Pos, ...] = field(default=(), metadata={"later": True})
    among: tuple[Pos, ...] = field(default=(), metadata={"later": True})

    def __str__(self) -> str:
        if self.among:
            return "{" + ", ".join(map(str, self.among)) + "}"
        if self.ends:
            first, last = map(str, self.ends)
            return f"{first[:-1]}..{last[1:]}" if first[0] == last[0] == "[" else f"{first}..{last}"
        if not self.name:
            return f"[{self.index}]"
        return f"{self.name}{self.offset:+d}" if self.offset else self.name

    @property
    def parts(self) -> tuple[Pos, ...]:
        """The positions that a span or a set is made of; () for a single place."""
        return self.ends or self.among

    @property
    def names(self) -> frozenset[str]:
        """The names that rows have to give for it, `END` among them."""
        if self.parts:
            return frozenset(name for one in self.parts for name in one.names)
        return frozenset([self.name] if self.name else [])

    @classmethod
    def of_all(cls, members: Iterable[Pos]) -> Pos:
        """The set of some positions, sets among them taken apart; of one it is that one."""
        single = {one for member in members for one in member.among or (member,)}
        ordered = sorted(single, key=lambda one: (one.name == "END", one))
        return ordered[0] if len(ordered) == 1 else cls(among=tuple(ordered))

    @classmethod
    def parse(cls, written: str) -> Pos:
        """The inverse of `str`: `END`, `S1+1`, `[3]`, `S1..S2`; ValueError for anything else."""
        if written.startswith("{") and written.endswith("}"):
            return cls.of_all(cls.parse(part.strip()) for part in written[1:-1].split(","))
        if indices := _INDICES.fullmatch(written):
            return cls(ends=tuple(cls(index=int(index)) for index in indices.groups()))
        if ".." in written:
            first, _, last = written.partition("..")
            return cls(ends=(cls.parse(first), cls.parse(last)))
        match = _WRITTEN.fullmatch(written)
        if match is None:
            raise ValueError(f"`{written}` is no position")
        name, offset, index = match.groups()
        return cls(index=int(index)) if name is None else cls(name=name, offset=int(offset or 0))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rel:
    """A relation of a head's position and the position it reads: least and most distance back."""

    least: int
    most: int

    def holds(self, distance: int) -> bool:
        """Whether it holds for a head that stands `distance` positions behind what it reads."""
        return self.least <= distance <= self.most


@record
class Nodes:
    """One node of a path: any component of `mask`, standing at `at` (anywhere when None).

    What masks say of neurons: `pathdsl.graph.paths.neurons`.

    `named`: written singly, by range or through a group, so its members are units of the path set;
    words (`attn`, `mlp`, `any`, `input`, `logits`) are background.
    """

    mask: int
    at: Pos | None = None
    named: bool = False


@record
class Edge:
    """One edge of a path.

    `labels`: the (slot, relation) pairs it may use, of heads only; None: any input of anything.
    `mark`/`mark_at`: it must cross the entry of that layer, its sender standing there.
    """

    labels: tuple[tuple[Slot, Rel | None], ...] | None = None
    mark: int | None = None
    mark_at: Pos | None = None


@record
class Cat:
    """One after the other; no parts: the empty word."""

    parts: tuple[Regex, ...] = ()


@record
class Alt:
    """Either; no options: nothing."""

    options: tuple[Regex, ...] = ()


@record
class Star:
    """Any number of times."""

    inner: Regex


Regex = Nodes | Edge | Cat | Alt | Star


@record
class ListedEdge:
    """Edges from every component of `senders` into one input of one component.

    `slot` is None for an MLP or `logits`. `named` senders and receivers are units. `spared`: bits
    of the neurons that a receiving MLP goes without.
    """

    senders: int
    sender_at: Pos | None
    receiver: int
    receiver_at: Pos | None
    slot: Slot | None
    relation: Rel | None = None
    named_senders: int = 0
    named_receiver: bool = False
    spared: int = 0


@record
class Regular:
    """The complete paths that a regular expression describes."""

    regex: Regex


@record
class Listed:
    """The complete paths all of whose edges are listed."""

    edges: tuple[ListedEdge, ...]


@record
class Everything:
    """Every path."""


@record
class Nothing:
    """No path."""


SetOperator = Literal["|", "&", "-"]


@record
class Combined:
    """A Boolean combination of two complete path sets."""

    op: SetOperator
    left: PathSet
    right: PathSet


PathSet = Regular | Listed | Everything | Nothing | Combined

FULL = Everything()
NONE = Nothing()


def nodes_and_edges(paths: PathSet | Regex) -> Iterator[Nodes | ListedEdge]:
    """Every place of a path set where components stand, in order of first mention."""
    match paths:
        case Nodes():
            yield paths
        case Combined(left=left, right=right):
            yield from nodes_and_edges(left)
            yield from nodes_and_edges(right)
        case Regular(regex=inner) | Star(inner=inner):
            yield from nodes_and_edges(inner)
        case Cat(parts=parts) | Alt(options=parts):
            for part in parts:
                yield from nodes_and_edges(part)
        case Listed(edges=edges):
            yield from edges
        case Edge() | Everything() | Nothing():
            return
        case unknown:
            assert_never(unknown)


def positions_in(value: object) -> Iterator[Pos]:
    """Every position inside a path set."""
    if isinstance(value, Pos):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from positions_in(part)
    elif is_dataclass(value):
        for one in fields(value):
            yield from positions_in(getattr(value, one.name))


def _same(arrow: Edge) -> Edge:
    return arrow


@record
class Rewriting:
    """The same path set with other components: what stands for a node and for a listed edge.

    `arrows`: what stands for an edge of a path, which has no component and stays as a rule.
    """

    nodes: Callable[[Nodes], Nodes]
    edges: Callable[[ListedEdge], Iterable[ListedEdge]]
    arrows: Callable[[Edge], Edge] = _same

    def paths(self, paths: PathSet) -> PathSet:
        """The path set rewritten."""
        match paths:
            case Combined(left=left, right=right):
                return replace(paths, left=self.paths(left), right=self.paths(right))
            case Regular(regex=regex):
                return Regular(regex=self._regex(regex))
            case Listed(edges=edges):
                return Listed(edges=tuple(new for edge in edges for new in self.edges(edge)))
            case Everything() | Nothing():
                return paths
            case unknown:
                assert_never(unknown)

    def _regex(self, regex: Regex) -> Regex:
        match regex:
            case Nodes():
                return self.nodes(regex)
            case Cat(parts=parts):
                return Cat(parts=tuple(map(self._regex, parts)))
            case Alt(options=options):
                return Alt(options=tuple(map(self._regex, options)))
            case Star(inner=inner):
                return Star(inner=self._regex(inner))
            case Edge():
                return self.arrows(regex)
            case unknown:
                assert_never(unknown)


def union(left: PathSet, right: PathSet) -> PathSet:
    """Paths in either; the trivial cases are folded so that equal sets are more often equal."""
    if left == NONE or right == FULL or left == right:
        return right
    if right == NONE or left == FULL:
        return left
    return Combined(op="|", left=left, right=right)


def intersection(left: PathSet, right: PathSet) -> PathSet:
    """Paths in both."""
    if left == FULL or right == NONE or left == right:
        return right
    if right == FULL or left == NONE:
        return left
    return Combined(op="&", left=left, right=right)


def minus(left: PathSet, right: PathSet) -> PathSet:
    """Paths in the first and not in the second; `full - (full - P)` is `P` again."""
    if right == NONE or left == NONE:
        return left
    if right == FULL or left == right:
        return NONE
    if left == FULL and isinstance(right, Combined) and right.op == "-" and right.left == FULL:
        return right.right
    return Combined(op="-", left=left, right=right)


def cat(*parts: Regex) -> Regex:
    """The parts one after the other."""
    return parts[0] if len(parts) == 1 else Cat(parts=parts)


def alt(*options: Regex) -> Regex:
    """One of the options."""
    return options[0] if len(options) == 1 else Alt(options=options)


EMPTY = Cat()
ANY_EDGE = Edge()


def crossing(marks: Regex, any_mask: int, logits_mask: int) -> Regular:
    """The complete paths that cross one of some marks, edges with a `mark`."""
    middle = Nodes(mask=any_mask)
    before = cat(Nodes(mask=1), Star(inner=cat(ANY_EDGE, middle)))
    after = cat(Star(inner=cat(middle, ANY_EDGE)), Nodes(mask=logits_mask))
    return Regular(regex=cat(before, marks, after))


def complete(regex: Regex, any_mask: int, logits_mask: int) -> Regular:
    """Every upstream beginning and downstream end added to paths that lack them.

    A word that already begins with `input` cannot be lengthened upstream (nothing is read by
    `input`), so both may be offered to every word and the model decides.
    """
    middle = Nodes(mask=any_mask)
    before = cat(Nodes(mask=1), Star(inner=cat(ANY_EDGE, middle)), ANY_EDGE)
    after = cat(ANY_EDGE, Star(inner=cat(middle, ANY_EDGE)), Nodes(mask=logits_mask))
    return Regular(regex=cat(alt(EMPTY, before), regex, alt(EMPTY, after)))
