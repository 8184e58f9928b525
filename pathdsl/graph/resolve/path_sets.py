"""Path expressions to path sets: names, sets, arrows, marks and completion resolved.

`Resolver(program, shape)` is the one place where the syntax of paths gets its meaning
(language.md sections 4 and 5). Faults are `LanguageError`s with one PD2xx diagnostic each.

Example: `a9.h9 (-> mlp)* -[q]-> name_mover` is a *sub-path*; used as a path set it is completed
path by path upstream to `input` and downstream to `logits`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pathdsl.errors import LanguageError
from pathdsl.graph.files.eap import UnusableFile, read_edges_file
from pathdsl.graph.files.ranking import Ranking, read_ranking
from pathdsl.graph.paths.neurons import atoms, host, hull, intersect
from pathdsl.graph.paths.pathset import (
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
from pathdsl.graph.paths.product import Product
from pathdsl.graph.resolve import adjacency
from pathdsl.graph.resolve.places import Bindings, Mark, Member, fault
from pathdsl.graph.resolve.positions import edge_possible
from pathdsl.graph.resolve.subpaths import NODE_REFS, Labels, SubPaths, merge
from pathdsl.lang import ast
from pathdsl.lang.fence import outside
from pathdsl.lang.render import screen

__all__ = ["Member", "PathResolver"]


class PathResolver(SubPaths):
    """Meaning of node references and path expressions of one program on one model shape."""

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
                return self.random_like(inner, _integer(options, "seed") or 0, bindings)
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
                    with self._opened(name, expr):
                        paths = self.path_set(self.program.paths[name].path)
                    self._bound(paths, expr)
                    self._named[name] = paths
                return self._named[name]
            case _ if self._is_marks(expr, bindings):
                return self._through([self.places.member(expr, bindings)])  # type: ignore[arg-type]
            case _:
                return self.complete(self.sub_path(expr, bindings))

    def complete(self, regex: Regex) -> Regular:
        """The complete paths that run along a sub-path."""
        return complete(regex, self.layout.any_mask, 1 << self.layout.logits)

    def product(self, paths: PathSet) -> Product:
        """The (cached) product of a path set with the model, for counts and examples."""
        if paths not in self._products:
            self._products[paths] = Product(paths, self.layout, self.max_states)
        return self._products[paths]

    def count(self, paths: PathSet) -> int:
        """Number of (component, slot) sequences in a set."""
        return self.product(paths).count()

    def loop(self, loop: ast.Loop) -> tuple[Member, ...]:
        """The members of `for v in SET`, in the author's order; PD209 where there are none."""
        found = self.places.singles(loop.members, {})
        if not found:
            raise fault("PD209", "this set of nodes is empty", loop.members)
        return found

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
            result = self.complete(alt(*merge(nodes, self.layout)))
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
        merged = merge(nodes, self.layout)
        return self.complete(alt(*merged)) if merged else NONE

    def _within(self, nodes: Iterable[Nodes]) -> PathSet:
        merged = merge(nodes, self.layout)
        start = [n for n in merged if n.mask & 1]
        inner = [
            Nodes(mask=m, at=n.at, named=n.named)
            for n in merged
            if (m := intersect(n.mask, self.layout.any_mask, self.layout))
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
            adjacency.check_chain(self, chain, bindings)
        return Listed(edges=tuple(dict.fromkeys(found)))

    def _listed_nodes(self, expr: ast.PathExpr, bindings: Bindings) -> tuple[Nodes, ...]:
        while isinstance(expr, ast.Group):
            expr = expr.inner
        is_path = (
            isinstance(expr, ast.Name)
            and expr.name in self.program.paths
            and expr.name not in bindings
        )
        if is_path or not isinstance(expr, (*NODE_REFS, ast.Name)):
            raise fault("PD216", "`edges { … }` lists edges between nodes and sets of nodes", expr)
        return merge(self.places.nodes(expr, bindings), self.layout)

    def _pairs(
        self, senders: tuple[Nodes, ...], labels: Labels, receivers: tuple[Nodes, ...]
    ) -> list[ListedEdge]:
        found = []
        layout = self.layout
        for receiver in receivers:
            for v, spared in atoms(receiver.mask, layout):
                node = host(v, layout)
                for slot in layout.slots_of(node):
                    if labels is None:
                        relations: list[Rel | None] = [None]
                    else:
                        relations = [relation for label, relation in labels if label == slot]
                    for sender in senders:
                        mask = intersect(sender.mask, layout.senders_of[node], layout)
                        at = Nodes(mask=hull(mask, layout), at=sender.at)
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
                                spared=spared,
                            )
                            for relation in relations
                            if mask and edge_possible(layout, at, node, receiver.at, slot, relation)
                        ]
        return found

    def _edges_file(self, expr: ast.EdgesFile) -> PathSet:
        base = Path(expr.span.path).parent
        path = self._vetted(expr, base / expr.path)
        top = _integer(expr.options, "top")
        try:
            found = read_edges_file(path, self.layout, top=top)
        except (OSError, ValueError) as error:
            raise _unusable(expr, error) from error
        return found if isinstance(found, Listed) else self._within([found])

    def _vetted(self, expr: ast.EdgesFile, path: Path) -> Path:
        """The path of a circuit file that lies where it may, and is a file if it is anything."""
        if not self.program.fence.holds(path):
            raise LanguageError(outside(expr.path, expr.span))
        if os.path.exists(path) and not os.path.isfile(path):
            raise fault("PD217", f"`{expr.path}` cannot be used: it is no file", expr)
        return path

    def ranking(self, expr: ast.EdgesFile, *, signed: bool) -> Ranking:
        """All edges of a score file in the order of their scores; PD217 where it cannot be used."""
        path = self._vetted(expr, Path(expr.span.path).parent / expr.path)
        try:
            return read_ranking(path, self.layout, signed=signed)
        except (OSError, ValueError) as error:
            raise _unusable(expr, error) from error

    # ---------------------------------------------------------------------------------------------
    # Random controls
    # ---------------------------------------------------------------------------------------------

    def random_like(self, expr: ast.PathExpr, seed: int, bindings: Bindings = {}) -> PathSet:
        """`expr` with its units renamed one to one to others of their kind and layer."""
        from pathdsl.graph.controls.random_like import random_like

        return random_like(self, expr, seed, bindings)

    def _random_edges(
        self, expr: ast.RandomEdges, options: tuple[ast.Argument, ...], bindings: Bindings
    ) -> PathSet:
        from pathdsl.graph.controls.random_like import random_edges

        like = next((o.value for o in options if o.keyword == "like"), None)
        if like is None:
            raise fault("PD218", "`random_edges` needs `like: P`, the set to imitate", expr)
        try:
            return random_edges(
                self,
                self.path_set(like, bindings),  # type: ignore[arg-type]
                count=_integer(options, "count"),
                seed=_integer(options, "seed") or 0,
                by="walks" if _word(options, "by") == "walks" else "classes",
            )
        except ValueError as error:
            raise fault("PD218", str(error), expr) from error


def _unusable(expr: ast.EdgesFile, error: OSError | ValueError) -> LanguageError:
    code, advice = "PD217", ""
    if isinstance(error, UnusableFile):
        code, advice = error.code, error.advice
    said = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return fault(code, f"`{expr.path}` cannot be used: {screen(said)}", expr, help=advice)


def _word(options: Iterable[ast.Argument], keyword: str) -> str | None:
    for option in options:
        if option.keyword == keyword and isinstance(option.value, ast.Name):
            return option.value.name
    return None


def _integer(options: Iterable[ast.Argument], keyword: str) -> int | None:
    for option in options:
        if option.keyword == keyword and isinstance(option.value, ast.Number):
            return int(option.value.value)
    return None
