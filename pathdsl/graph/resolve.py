"""Path expressions to path sets: names, sets, arrows, marks and completion resolved.

`Resolver(program, shape)` is the one place where the syntax of paths gets its meaning
(language.md sections 4 and 5). Faults are `LanguageError`s with one PD2xx diagnostic each.

Example: `a9.h9 (-> mlp)* -[q]-> name_mover` is a *sub-path*; used as a path set it is completed path by
path upstream to `input` and downstream to `logits`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pathdsl.errors import LanguageError
from pathdsl.graph import adjacency
from pathdsl.graph.components import Layout, bits
from pathdsl.graph.eap import read_edges_file
from pathdsl.graph.pathset import (
    ANY_EDGE,
    EMPTY,
    FULL,
    NONE,
    Edge,
    Listed,
    ListedEdge,
    Nodes,
    PathSet,
    Regex,
    Regular,
    Rel,
    Star,
    alt,
    cat,
    complete,
    intersection,
    minus,
    union,
)
from pathdsl.graph.places import Bindings, Mark, Member, Places, fault
from pathdsl.graph.product import MAX_STATES, Product
from pathdsl.graph.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.program import Program

__all__ = ["Member", "PathResolver"]

Labels = tuple[tuple[str, Rel | None], ...] | None
NODE_REFS = (
    ast.HeadRef, ast.MlpRef, ast.NeuronRef, ast.ResidRef, ast.Word, ast.NodeSet
)  # fmt: skip


def relation_of(relation: ast.Relation | None) -> Rel | None:
    """The distances, head's position minus position read, at which a relation holds."""
    if relation is None:
        return None
    size = relation.size or 0
    match relation.kind:
        case "prev":
            return Rel(least=1, most=1)
        case "same":
            return Rel(least=0, most=0)
        case "window":
            if size < 1:
                raise fault("PD213", "a window holds at least one position", relation)
            return Rel(least=0, most=size - 1)
        case "offset":
            if size > 0:
                raise fault(
                    "PD213",
                    f"`offset({size})` would read the future",
                    relation,
                    help=f"write `offset(-{size})`",
                )
            return Rel(least=-size, most=-size)


class PathResolver:
    """Meaning of node references and path expressions of one program on one model shape."""

    def __init__(
        self, program: Program, shape: ModelShape, max_states: int = MAX_STATES
    ) -> None:
        self.program = program
        self.shape = shape
        self.layout = Layout(shape)
        self.places = Places(program, self.layout)
        self.max_states = max_states
        self._products: dict[PathSet, Product] = {}
        self._named: dict[str, PathSet] = {}

    # ---------------------------------------------------------------------------------------------
    # Complete path sets
    # ---------------------------------------------------------------------------------------------

    def path_set(self, expr: ast.PathExpr, bindings: Bindings = {}) -> PathSet:
        """The complete path set that an expression denotes where a path set is wanted."""
        match expr:
            case ast.Group(inner=inner):
                return self.path_set(inner, bindings)
            case ast.Full():
                return FULL
            case ast.NonePath():
                return NONE
            case ast.Through(nodes=nodes):
                return self._through([self.places.member(n, bindings) for n in nodes])
            case ast.Within(nodes=nodes):
                return self._within([n for ref in nodes for n in self.places.nodes(ref, bindings)])
            case ast.Edges(chains=chains):
                return self._edges(chains, bindings)
            case ast.EdgesFile():
                return self._edges_file(expr)
            case ast.RandomLike(inner=inner, options=options):
                return self.random_like(inner, _integer(options, "seed", 0), bindings)
            case ast.RandomEdges(options=options):
                return self._random_edges(expr, options, bindings)
            case ast.SetOp(op=op, left=left, right=right):
                a, b = self.path_set(left, bindings), self.path_set(right, bindings)
                return intersection(a, b) if op == "&" else minus(a, b)
            case ast.Choice(options=options) if not self.is_sub_path(expr, bindings):
                result: PathSet = NONE
                for option in options:
                    result = union(result, self.path_set(option, bindings))
                return result
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                if name not in self._named:
                    self._named[name] = self.path_set(self.program.paths[name].path)
                return self._named[name]
            case _ if self._is_marks(expr, bindings):
                return self._through([self.places.member(expr, bindings)])  # type: ignore[arg-type]
            case _:
                return self.complete(self.sub_path(expr, bindings))

    def complete(self, regex: Regex) -> Regular:
        return complete(regex, self.layout.any_mask, 1 << self.layout.logits)

    def product(self, paths: PathSet) -> Product:
        """The (cached) product of a path set with the model, for counts and examples."""
        if paths not in self._products:
            self._products[paths] = Product(paths, self.layout, self.max_states)
        return self._products[paths]

    def count(self, paths: PathSet) -> int:
        return self.product(paths).count()

    def loop(self, loop: ast.Loop) -> tuple[Member, ...]:
        """The members of `for v in SET`, in the author's order."""
        return self.places.singles(loop.members, {})

    # ---------------------------------------------------------------------------------------------
    # Sub-paths
    # ---------------------------------------------------------------------------------------------

    def is_sub_path(self, expr: ast.PathExpr, bindings: Bindings) -> bool:
        """Whether an expression may stand in the place of a node (it is no complete path set)."""
        match expr:
            case ast.Group(inner=inner):
                return self.is_sub_path(inner, bindings)
            case ast.Choice(options=options):
                return all(self.is_sub_path(option, bindings) for option in options)
            case ast.Name(name=name) if name in bindings:
                return not bindings[name].marks
            case ast.Name(name=name) if name in self.program.paths:
                return self.is_sub_path(self.program.paths[name].path, {})
            case ast.ResidRef():
                return False
            case ast.NodeSet():
                return not self.places.marks(expr, bindings)
            case ast.Name() | ast.Chain():
                return True
            case _:
                return isinstance(expr, NODE_REFS)

    def sub_path(self, expr: ast.PathExpr, bindings: Bindings) -> Regex:
        """The expression as a regular expression over nodes and edges, ends not yet supplied."""
        match expr:
            case ast.Group(inner=inner):
                return self.sub_path(inner, bindings)
            case ast.Choice(options=options):
                return alt(*(self.sub_path(option, bindings) for option in options))
            case ast.Chain():
                return self._chain(expr, bindings)
            case ast.Name(name=name, at=at) if (
                name in self.program.paths and name not in bindings
            ):
                if at is not None:
                    raise fault("PD214", f"`{name}` is a path and takes no position", expr)
                inner = self.program.paths[name].path
                if not self.is_sub_path(inner, {}):
                    raise fault(
                        "PD215",
                        f"`{name}` is a complete path set and cannot be a part of a path",
                        expr,
                        label="a sub-path is wanted here",
                        help=f"combine complete sets with `&`, `-` and `|`: `{name} & (…)`",
                    )
                return self.sub_path(inner, {})
            case ast.Name() | ast.HeadRef() | ast.MlpRef() | ast.NeuronRef() | ast.Word() | (
                ast.NodeSet()
            ):
                nodes = merge(self.places.nodes(expr, bindings))
                if not nodes:
                    raise fault("PD209", "this set of nodes is empty", expr)
                return alt(*nodes)
            case _:
                raise fault(
                    "PD215",
                    "a complete path set cannot be a part of a path",
                    expr,
                    label="a sub-path is wanted here",
                    help="combine complete sets with `&`, `-` and `|`",
                )

    def _is_marks(self, expr: ast.PathExpr, bindings: Bindings) -> bool:
        return isinstance(expr, ast.ResidRef | ast.Name | ast.NodeSet) and bool(
            self.places.marks(expr, bindings)
        )

    def _chain(self, chain: ast.Chain, bindings: Bindings) -> Regex:
        if self._is_marks(chain.first, bindings):
            raise fault(
                "PD208",
                "a path cannot begin with a residual mark",
                chain.first,
                help="write `input ~> r5@END ~> …`, or `through(r5@END)`",
            )
        first = self.sub_path(chain.first, bindings)
        body = self._hops(chain.steps, bindings)
        adjacency.check_chain(self, chain, bindings)
        return cat(first, body)

    def _hops(self, steps: Iterable[ast.Hop | ast.Repeat], bindings: Bindings) -> Regex:
        """Arrows and what they lead to; a residual mark joins the two arrows around it."""
        parts: list[Regex] = []
        pending: tuple[ast.Hop, tuple[Mark, ...]] | None = None
        for step in steps:
            if isinstance(step, ast.Repeat):
                if pending:
                    raise _dangling(pending[0])
                section = self._hops(step.hops, bindings)
                parts.append(repeat(section, step.least, step.most))
                continue
            marks = (
                self.places.marks(step.target, bindings)
                if self._is_marks(step.target, bindings)
                else ()
            )
            if marks:
                if pending:
                    raise fault(
                        "PD208", "an edge crosses one residual mark at a time", step.target,
                        help="combine the marks with `&`: `through(r2) & through(r5)`",
                    )  # fmt: skip
                if step.arrow.labels:
                    raise fault(
                        "PD208",
                        "the arrow into a residual mark carries no slots",
                        step.arrow,
                        help="put the slots on the arrow that leaves the mark: `A -> r5 -[q]-> B`",
                    )
                pending = (step, marks)
                continue
            parts.append(self._arrow(step.arrow, pending))
            pending = None
            parts.append(self.sub_path(step.target, bindings))
        if pending:
            raise _dangling(pending[0])
        return cat(*parts)

    def _arrow(
        self, arrow: ast.Arrow, pending: tuple[ast.Hop, tuple[Mark, ...]] | None
    ) -> Regex:
        middle = Nodes(mask=self.layout.any_mask)
        before = Star(inner=cat(ANY_EDGE, middle))
        last = Edge(labels=self.labels(arrow))
        if pending is None:
            return cat(before, last) if arrow.reach else last
        hop, marks = pending
        options: list[Regex] = []
        for mark in marks:
            options.append(Edge(labels=last.labels, mark=mark.layer, mark_at=mark.at))
            if arrow.reach:
                crossing = Edge(mark=mark.layer, mark_at=mark.at)
                options.append(cat(crossing, middle, before, last))
        crossed = alt(*options)
        return cat(before, crossed) if hop.arrow.reach else crossed

    def labels(self, arrow: ast.Arrow) -> Labels:
        if not arrow.labels:
            return None
        return tuple(
            (slot, relation_of(label.relation)) for label in arrow.labels for slot in label.slots
        )

    # ---------------------------------------------------------------------------------------------
    # Built-in path sets
    # ---------------------------------------------------------------------------------------------

    def _through(self, members: Iterable[Member]) -> PathSet:
        nodes: list[Nodes] = []
        marks: list[Mark] = []
        for member in members:
            nodes += member.nodes
            marks += member.marks
        result: PathSet = NONE
        if nodes:
            result = self.complete(alt(*merge(nodes)))
        if marks:
            middle = Nodes(mask=self.layout.any_mask)
            crossing = alt(*(Edge(mark=m.layer, mark_at=m.at) for m in marks))
            regex = cat(
                Nodes(mask=1),
                Star(inner=cat(ANY_EDGE, middle)),
                crossing,
                Star(inner=cat(middle, ANY_EDGE)),
                Nodes(mask=1 << self.layout.logits),
            )
            result = union(result, Regular(regex=regex))
        return result

    def through_nodes(self, nodes: Iterable[Nodes]) -> PathSet:
        """`through(…)` of places that are resolved already; of nothing: no path."""
        merged = merge(nodes)
        return self.complete(alt(*merged)) if merged else NONE

    def _within(self, nodes: Iterable[Nodes]) -> PathSet:
        merged = merge(nodes)
        start = [n for n in merged if n.mask & 1]
        inner = [
            Nodes(mask=m, at=n.at, named=n.named)
            for n in merged
            if (m := n.mask & self.layout.any_mask)
        ]
        begin = alt(*(Nodes(mask=1, at=n.at) for n in start)) if start else Nodes(mask=1)
        middle = Star(inner=cat(ANY_EDGE, alt(*inner))) if inner else EMPTY
        end = Nodes(mask=1 << self.layout.logits)
        return Regular(regex=cat(begin, middle, ANY_EDGE, end))

    def _edges(self, chains: Iterable[ast.Chain], bindings: Bindings) -> PathSet:
        found: list[ListedEdge] = []
        for chain in chains:
            senders = self._listed_nodes(chain.first, bindings)
            for step in chain.steps:
                if not isinstance(step, ast.Hop) or step.arrow.reach:
                    raise fault(
                        "PD216",
                        "`edges { … }` lists direct edges; this says how to get somewhere",
                        step if isinstance(step, ast.Repeat) else step.arrow,
                        label="a direct edge is wanted",
                        help="write each edge with `->`, or use a path instead of `edges { … }`",
                    )
                receivers = self._listed_nodes(step.target, bindings)
                added = self._pairs(senders, self.labels(step.arrow), receivers)
                if not added:
                    raise adjacency.no_edge(self, chain, step, senders, receivers)
                found += added
                senders = receivers
        return Listed(edges=tuple(dict.fromkeys(found)))

    def _listed_nodes(self, expr: ast.PathExpr, bindings: Bindings) -> tuple[Nodes, ...]:
        while isinstance(expr, ast.Group):
            expr = expr.inner
        if not isinstance(expr, (*NODE_REFS, ast.Name)):
            raise fault("PD216", "`edges { … }` lists edges between nodes and sets of nodes", expr)
        return merge(self.places.nodes(expr, bindings))

    def _pairs(
        self, senders: tuple[Nodes, ...], labels: Labels, receivers: tuple[Nodes, ...]
    ) -> list[ListedEdge]:
        found = []
        for receiver in receivers:
            for v in bits(receiver.mask):
                for slot in self.layout.slots_of(v):
                    if labels is None:
                        relations: list[Rel | None] = [None]
                    else:
                        relations = [relation for label, relation in labels if label == slot]
                    for sender in senders:
                        mask = sender.mask & self.layout.senders_of[v]
                        found += [
                            ListedEdge(
                                senders=mask,
                                sender_at=sender.at,
                                receiver=v,
                                receiver_at=receiver.at,
                                slot=slot,  # type: ignore[arg-type]
                                relation=relation,
                                named_senders=mask if sender.named else 0,
                                named_receiver=receiver.named,
                            )
                            for relation in relations
                            if mask
                        ]
        return found

    def _edges_file(self, expr: ast.EdgesFile) -> PathSet:
        base = Path(self.program.origin_of(expr)).parent
        path = base / expr.path
        top = _integer(expr.options, "top", 0)
        try:
            return read_edges_file(path, self.layout, top=top or None)
        except (OSError, ValueError, json.JSONDecodeError) as error:
            raise fault("PD217", f"`{expr.path}` cannot be used: {error}", expr) from error

    # ---------------------------------------------------------------------------------------------
    # Random controls
    # ---------------------------------------------------------------------------------------------

    def random_like(self, expr: ast.PathExpr, seed: int, bindings: Bindings = {}) -> PathSet:
        from pathdsl.graph.controls import random_like

        return random_like(self, expr, seed, bindings)

    def _random_edges(
        self, expr: ast.RandomEdges, options: tuple[ast.Argument, ...], bindings: Bindings
    ) -> PathSet:
        from pathdsl.graph.controls import random_edges

        like = next((o.value for o in options if o.keyword == "like"), None)
        if like is None:
            raise fault("PD218", "`random_edges` needs `like: P`, the set to imitate", expr)
        try:
            return random_edges(
                self,
                self.path_set(like, bindings),  # type: ignore[arg-type]
                count=_integer(options, "count", 0) or None,
                seed=_integer(options, "seed", 0),
            )
        except ValueError as error:
            raise fault("PD218", str(error), expr) from error


def merge(nodes: Iterable[Nodes]) -> tuple[Nodes, ...]:
    """Places of equal position and kind joined into one, in order of first mention."""
    merged: dict[tuple[object, bool], int] = {}
    for n in nodes:
        merged[n.at, n.named] = merged.get((n.at, n.named), 0) | n.mask
    return tuple(
        Nodes(mask=mask, at=at, named=named)  # type: ignore[arg-type]
        for (at, named), mask in merged.items()
        if mask
    )


def repeat(section: Regex, least: int, most: int | None) -> Regex:
    """`section` at least `least` and at most `most` times."""
    parts: list[Regex] = [section] * least
    if most is None:
        parts.append(Star(inner=section))
    else:
        tail: Regex = EMPTY
        for _ in range(most - least):
            tail = alt(EMPTY, cat(section, tail))
        parts.append(tail)
    return cat(*parts)


def _dangling(hop: ast.Hop) -> LanguageError:
    return fault(
        "PD208",
        "a residual mark stands between two arrows",
        hop.target,
        label="no arrow leaves this mark",
        help="end the path at a node: `… -> r5 -> logits`",
    )


def _integer(options: Iterable[ast.Argument], keyword: str, default: int) -> int:
    for option in options:
        if option.keyword == keyword and isinstance(option.value, ast.Number):
            return int(option.value.value)
    return default

