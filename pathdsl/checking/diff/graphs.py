"""What two path sets share on one graph, and which named sets of two files are equal.

Shares are those of the score `overlap`, with its words for what they are of; paths are (node, slot)
sequences, as the score `paths` counts them.

Source: `pathdsl.score.scores.overlap`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pathdsl.checking.diff.joined import Joined
from pathdsl.errors import LanguageError, errors_in
from pathdsl.graph.check import check_named
from pathdsl.graph.paths.pathset import intersection, minus
from pathdsl.graph.resolve.instances import lone_node
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.score.scores.overlap import compared_units, shared_part

__all__ = ["DENOMINATORS", "SMALLER", "Equal", "Graphs", "Shared", "compare_graphs", "other_graph"]

OVER = ("head", "node", "edge")
_DIGITS = re.compile(r"(\d+)")
DENOMINATORS = ("united", "of_first", "of_second")
"""What a share is of, in the words of `overlap`."""
SMALLER = "of_smaller"
"""What the few edges of rivals are few of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What two sets have of one kind of thing; the labels, in an order of their own."""

    over: str
    both: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]

    @property
    def n_a(self) -> int:
        """How many the first set has."""
        return len(self.both) + len(self.only_a)

    @property
    def n_b(self) -> int:
        """How many the second set has."""
        return len(self.both) + len(self.only_b)

    def part(self, of: str) -> float:
        """The share of them that both have, of what the word says; NaN of nothing."""
        return shared_part(self.both + self.only_a, self.both + self.only_b, of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equal:
    """Two named path sets, one of each file, that have the same paths."""

    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphs:
    """Two path sets on one graph.

    `paths` counts those of the first, of the second and of both. `without_b` and `without_a` are a
    path that the first has and the second has not, and the other way round, "" where there is none.
    `equal`: pairs of named sets of the two files; `unread`: those that could not be resolved here.
    """

    shared: tuple[Shared, ...]
    paths: tuple[int, int, int]
    without_b: str
    without_a: str
    equal: tuple[Equal, ...]
    unread: tuple[str, ...]

    def over(self, kind: str) -> Shared:
        """What they share of `head`, `node` or `edge`."""
        return next(one for one in self.shared if one.over == kind)

    @property
    def relation(self) -> str:
        """`equal`, `within` (A in B), `holds` (B in A), `apart` (no path in both) or `other`."""
        if not self.without_a and not self.without_b:
            return "equal"
        if not self.without_b:
            return "within"
        if not self.without_a:
            return "holds"
        return "other" if self.paths[2] else "apart"


def other_graph(one: Resolver, other: Resolver) -> str:
    """Why the nodes and edges of two models have no common names; "" where they have."""
    if lone := lone_node(one, other):
        return f"only one of them has `{lone}`"
    a, b = one.shape, other.shape
    if a.parallel != b.parallel:
        return "in only one of them the MLP of a layer reads what its heads write"
    return (
        ""
        if (a.n_groups, a.groups) == (b.n_groups, b.groups)
        else "their heads share keys and values otherwise"
    )


def compare_graphs(
    resolver: Resolver, joined: Joined, a: Program, b: Program, first: str, second: str
) -> Graphs:
    """The path set `first` of A beside `second` of B; LanguageError with the faults of either."""
    names = joined.names
    subjects = (_named(joined, first), _named(joined, names[second]))
    for name in (first, names[second]):
        if faults := errors_in(check_named(resolver, name)):
            raise LanguageError(faults)
    sets = tuple(resolver.path_set(one) for one in subjects)
    lost, gained = (resolver.sets.product(minus(x, y)) for x, y in (sets, sets[::-1]))
    common = resolver.count(intersection(*sets))
    unread: list[str] = []
    equal = tuple(_equal(resolver, joined, a, b, unread))
    return Graphs(
        shared=tuple(_shared(resolver, subjects, over) for over in OVER),
        paths=(resolver.count(sets[0]), resolver.count(sets[1]), common),
        without_b=lost.examples(1)[0] if lost.count() else "",
        without_a=gained.examples(1)[0] if gained.count() else "",
        equal=equal,
        unread=tuple(unread),
    )


def _named(joined: Joined, name: str) -> ast.PathExpr:
    return joined.program.paths[name].path


def _shared(resolver: Resolver, subjects: tuple[ast.PathExpr, ast.PathExpr], over: str) -> Shared:
    first, second = compared_units(resolver, subjects, over)
    parts = (first & second, first - second, second - first)
    both, only_a, only_b = (tuple(sorted(part, key=_by_number)) for part in parts)
    return Shared(over=over, both=both, only_a=only_a, only_b=only_b)


def _by_number(label: str) -> list[tuple[int, str]]:
    """Layer 9 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(label)]


def _equal(
    resolver: Resolver, joined: Joined, a: Program, b: Program, unread: list[str]
) -> list[Equal]:
    """Pairs of named sets with the same paths; names whose set has faults here go to `unread`.

    Sets with as many paths as each other are looked at, since only these can be equal.
    """
    counted: list[dict[str, int]] = []
    for label, program, names in (("A", a, {n: n for n in a.paths}), ("B", b, joined.names)):
        counts: dict[str, int] = {}
        for name in program.paths:
            if errors_in(check_named(resolver, names[name])):
                unread.append(f"{label}'s `{name}`")
            else:
                counts[name] = resolver.count(resolver.path_set(_named(joined, names[name])))
        counted.append(counts)
    found = []
    for one, n in counted[0].items():
        for other, m in counted[1].items():
            if n == m and _same(resolver, joined, one, joined.names[other]):
                found.append(Equal(a=one, b=other))
    return found


def _same(resolver: Resolver, joined: Joined, one: str, other: str) -> bool:
    x, y = (resolver.path_set(_named(joined, name)) for name in (one, other))
    return x == y or not (resolver.count(minus(x, y)) or resolver.count(minus(y, x)))
