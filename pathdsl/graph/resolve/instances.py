"""The members of a loop on one model: what each variable stands for, and how the member is printed.

A variable over nodes or marks is bound to them; one over a list is put in place in the syntax
(`pathdsl.lang.loops`). Several variables make the product, the last one running fastest.

    for r in r[0..24], p in [S1, S2]     r0, S1 · r0, S2 · r1, S1 · …
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pathdsl.errors import LanguageError
from pathdsl.graph.resolve.places import Bindings, Member, fault
from pathdsl.lang import ast
from pathdsl.lang.loops import (
    Looped,
    Value,
    Values,
    is_listed,
    same_label,
    substituted,
    values_of,
)
from pathdsl.lang.loops import label_of as written
from pathdsl.lang.program import Program
from pathdsl.lang.reach import reach
from pathdsl.lang.serving import tasks_read
from pathdsl.lang.signatures.correlations import FEWEST, families
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.limits import MEMBERS

__all__ = ["Index", "Instance", "in_common", "instances", "label_of", "lone_node", "ranging"]

N = TypeVar("N", bound=ast.Node)
R = TypeVar("R", bound="Resolves")


class Resolves(Protocol):
    """What gives the nodes of a variable."""

    @property
    def others(self) -> Mapping[str, Any]:
        """The resolver of each task that runs on a model of another shape."""

    def on(self, task: str) -> Any:
        """The same program on the graph of the model that a task runs on."""

    def loop(self, loop: ast.Loop) -> tuple[Member, ...]:
        """The members of `for v in SET`."""

    def attributed(self, expr: ast.PathExpr, slot: str, bindings: Bindings) -> Any:
        """The one edge that an expression is, with a `label`."""

    def edges_of(self, domain: ast.EdgesOf) -> tuple[Value, ...]:
        """The members of `for e in edges(P)`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """One member of a loop, or the one of a statement without `for`, which has no label.

    `bindings` are all its variables, those over lists without nodes; `values` the items of lists.
    """

    label: str = ""
    bindings: Bindings = field(default_factory=dict)
    values: Values = field(default_factory=dict)

    @property
    def indices(self) -> dict[str, str]:
        """What each variable stands for, as it is printed."""
        return {name: member.label for name, member in self.bindings.items()}

    def of(self, node: N) -> N:
        """An expression of the statement with the items of its lists in place."""
        return substituted(node, self.values)


def ranging(program: Program, resolver: R, node: Looped | ast.OverMembers) -> R:
    """The graph over which the loop of a statement or a function ranges: that of its tasks' model.

    Raises LanguageError PD239 where nodes are ranged over and the tasks' models differ in theirs.
    """
    if node.loop is None or not resolver.others:
        return resolver
    read = tasks_read(program, reach(program, node))
    found: list[R] = list(dict.fromkeys(resolver.on(t) for t in program.tasks if t in read))
    if all(is_listed(m) and not isinstance(m, ast.EdgesOf) for m in _domains(node.loop)):
        return found[0] if found else resolver
    for other in found[1:]:
        if lone := lone_node(found[0], other):
            at = next(
                one
                for one in node.loop.bindings
                if not is_listed(one.members) or isinstance(one.members, ast.EdgesOf)
            )
            raise fault(
                "PD239",
                f"`{at.variable.name}` ranges over the nodes of one model, and tasks of two are "
                f"read here: only one of them has `{lone}`",
                at.members,
                help="make a `let … for` of each task, or a claim of each",
            )
    return found[0] if found else resolver


def _domains(loop: ast.Loop) -> list[ast.Domain]:
    return [one.members for one in loop.bindings]


def lone_node(one: Any, other: Any) -> str:
    """The first node that one of two models has alone; "" where both have the same."""
    a, b = one.shape, other.shape
    if a.n_heads != b.n_heads:
        return f"a0.h{min(a.n_heads, b.n_heads)}"
    counts = [tuple(map(one.heads_in, range(one.n_layers))) for one in (a, b)]
    if other := next((i for i, (m, n) in enumerate(zip(*counts, strict=False)) if m != n), None):
        return f"a{other}.h1"
    if a.has_mlp != b.has_mlp:
        return "m0"
    if a.n_layers != b.n_layers:
        return f"a{min(a.n_layers, b.n_layers)}.h0"
    return f"m0.n{min(a.d_mlp, b.d_mlp)}" if a.has_mlp and a.d_mlp != b.d_mlp else ""


def instances(
    program: Program, resolver: Resolves, loop: ast.Loop | None, outer: Bindings = {}
) -> tuple[Instance, ...]:
    """All members of a loop in order; PD209 for none, PD116 for more than can be.

    `outer` are the variables of a loop around it, which stay bound.
    """
    if loop is None:
        return (Instance(bindings=outer),)
    sets = [_members(program, resolver, one, loop) for one in loop.bindings]
    count = math.prod(map(len, sets))
    if len(sets) > 1 and count > MEMBERS.most:
        raise fault(
            MEMBERS.code,
            f"this loop has {count:,} members, wanted at most {MEMBERS.most:,}",
            loop,
            label=" × ".join(f"{len(members):,}" for members in sets),
            help="range over fewer nodes, or make two loops of it",
        )
    names = loop.names
    found = []
    for chosen in itertools.product(*sets):
        bound = {name: member for name, (member, _) in zip(names, chosen, strict=True)}
        values = {n: v for n, (_, v) in zip(names, chosen, strict=True) if v is not None}
        found.append(Instance(label=label_of(bound), bindings={**outer, **bound}, values=values))
    return tuple(found)


def members_of(
    program: Program, resolver: Resolves, node: Looped | ast.OverMembers, outer: Bindings = {}
) -> tuple[Instance, ...]:
    """The members of a statement or function, on the graph over which its loop ranges."""
    return instances(program, ranging(program, resolver, node), node.loop, outer)


def in_common(
    program: Program, resolver: Resolves, call: ast.Call
) -> tuple[tuple[ast.LetDecl, tuple[Instance, ...]], ...]:
    """The families that a correlation is of with their members; none where it is over prompts.

    Raises LanguageError PD237 where the members are not the same, or not in the same order, or
    fewer than three.
    """
    found = [(let, members_of(program, resolver, let)) for let in families(program, call)]
    if len(found) != 2:
        return ()
    (one, first), (other, second) = found
    mine, yours = ([member.label for member in members] for members in (first, second))
    if mine != yours:
        lost = {
            one: [name for name in mine if name not in yours],
            other: [name for name in yours if name not in mine],
        }
        apart = [f"`{n[0]}` is one of `{let.name.name}` alone" for let, n in lost.items() if n]
        raise fault(
            "PD237",
            f"`{one.name.name}` and `{other.name.name}` have other members",
            call,
            label=" and ".join(apart) or "the same ones in another order",
            help="write one loop for both lets",
        )
    if len(first) < FEWEST:
        raise fault(
            "PD237",
            f"a correlation over {len(first)} member{'s' * (len(first) > 1)}",
            call,
            help=f"range over {FEWEST} or more: two points lie on a line",
        )
    return tuple(found)


def _members(
    program: Program, resolver: Resolves, one: ast.Binding, loop: ast.Loop
) -> Sequence[tuple[Member, Value | None]]:
    if isinstance(one.members, ast.EdgesOf):
        return [(Member(label=edge.label), edge) for edge in resolver.edges_of(one.members)]
    if is_listed(one.members):
        items = values_of(one.members, program.sources)
        if not items:
            raise fault("PD209", "this list is empty", one.members)
        return [(Member(label=item.label), item) for item in items]
    alone = ast.Loop(variable=one.variable, members=one.members, span=loop.span)
    return [(member, None) for member in resolver.loop(alone)]


def label_of(bound: Mapping[str, Member]) -> str:
    """How a member is printed: `r5, S2`."""
    return ", ".join(member.label for member in bound.values())


class Index:
    """The members of one loop by what a subscript calls them; worked out once."""

    def __init__(self, program: Program, resolver: Resolves, loop: ast.Loop) -> None:
        self.resolver = resolver
        self.loop = loop
        self.members = instances(program, resolver, loop)
        self._exact = {tuple(one.indices.values()): one for one in self.members}
        self._sources = program.sources

    def named(self, expr: ast.Subscript, bindings: Bindings) -> Instance:
        """The member that a subscript names; a position may be left out where it is clear.

        Raises LanguageError: PD426 where there is no such member or more than one.
        """
        given = (expr.member, *expr.more)
        meant = [_labels(self.resolver, part, bindings, self.loop, self._sources) for part in given]
        labels = tuple(label for one in meant for label in one)
        if len(labels) == len(given) and labels in self._exact:
            return self._exact[labels]
        kept: list[Instance] = []
        if len(given) == len(self.loop.names):
            kept = list(self.members)
        for name, written_as in zip(self.loop.names, meant, strict=False):
            whole = tuple(written_as)
            exact = [
                one
                for one in kept
                if whole in ((one.bindings[name].label,), one.bindings[name].parts)
            ]
            kept = exact or [
                one for one in kept if whole == (one.bindings[name].label.partition("@")[0],)
            ]
        if len(kept) != 1:
            shown = ", ".join(f"`{one.label}`" for one in self.members[:6])
            raise fault(
                "PD426",
                f"`{expr.name.name}` has no single member `{', '.join(labels)}`",
                expr,
                help=f"its members are {shown}" + (", …" if len(self.members) > 6 else ""),
            )
        return kept[0]


def _labels(
    resolver: Resolves,
    part: ast.Node,
    bindings: Bindings,
    loop: ast.Loop,
    sources: Mapping[str, SourceFile],
) -> list[str]:
    """How what a subscript names is printed: one text for one member."""
    match part:
        case ast.Name(name=name) if name in bindings:
            return [bindings[name].label]
        case ast.Number() | ast.Position():
            return [written(part)]
        case ast.Chain() | ast.Group(inner=ast.Chain()) if any(
            isinstance(domain, ast.EdgesOf) for domain in _domains(loop)
        ):
            return [resolver.attributed(part, "", bindings).label]
        case ast.NodeSet():
            for one in loop.bindings:
                for item in values_of(one.members, sources):
                    if same_label(item.label, written(part, sources)):
                        return [item.label]
    # A name may be an item of a list, or a group of one node.
    own = [part.name] if isinstance(part, ast.Name) and part.at is None else []
    if own and any(is_listed(one.members) for one in loop.bindings):
        return own
    alone = ast.Loop(variable=loop.variable, members=part, span=part.span)  # type: ignore[arg-type]
    try:
        return [member.label for member in resolver.loop(alone)]
    except LanguageError:
        if own:
            return own
        raise
