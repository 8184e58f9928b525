"""Path expressions to path sets: names, sets, arrows, marks and completion resolved.

`Expressions` gives the syntax of paths its meaning; of a *sub-path* (`subpaths`) it makes a
complete set, path by path upstream to `input` and downstream to `logits`. Faults are
`LanguageError`s with one PD2xx diagnostic each.

Source: docs/language.md, Complete path sets.

    Expressions(places, sets).path_set(expr)      of `a9.h9 (-> mlp)* -[q]-> name_mover`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pathdsl.graph.controls.random_like import Renaming, random_edges, renamed, renaming
from pathdsl.graph.files.eap import read_edges_file
from pathdsl.graph.files.ranking import Ranking, read_ranking
from pathdsl.graph.model.components import Layout
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
    Regular,
    Rel,
    Star,
    alt,
    cat,
    crossing,
    intersection,
    minus,
    union,
)
from pathdsl.graph.paths.sets import PathSets, merge
from pathdsl.graph.resolve.adjacency import check_chain, no_edge
from pathdsl.graph.resolve.arrows import Labels, labels_of
from pathdsl.graph.resolve.places import Bindings, Mark, Member, Places, fault, read_for
from pathdsl.graph.resolve.positions import edge_possible
from pathdsl.graph.resolve.subpaths import SubPaths
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import CIRCUIT_FILES, resolve_arguments

__all__ = ["Expressions"]

T = TypeVar("T")


class Expressions:
    """Meaning of the path expressions of one program on the graph of one model."""

    def __init__(self, places: Places, sets: PathSets) -> None:
        self.program = places.program
        self.layout = places.layout
        self.places = places
        self.sets = sets
        self.parts = SubPaths(places)
        self._named: dict[str, PathSet] = {}

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
                return self.random_like(inner, seed_of(options), bindings, over_of(options))
            case ast.RandomEdges():
                return self._random_edges(expr, bindings)
            case ast.SetOp(op=op, left=left, right=right):
                a, b = self.path_set(left, bindings), self.path_set(right, bindings)
                return intersection(a, b) if op == "&" else minus(a, b)
            case ast.Choice(options=options) if not self.parts.is_sub_path(expr, bindings):
                result: PathSet = NONE
                for option in options:
                    result = union(result, self.path_set(option, bindings))
                return result
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                if name not in self._named:
                    with self.parts.opened(name, expr):
                        paths = self.path_set(self.program.paths[name].path)
                    self.parts.bound(paths, expr)
                    self._named[name] = paths
                return self._named[name]
            case _ if self.parts.is_marks(expr, bindings):
                return self._through([self.places.member(expr, bindings)])  # type: ignore[arg-type]
            case _:
                return self.sets.complete(self.parts.sub_path(expr, bindings))

    # ---------------------------------------------------------------------------------------------
    # Built-in path sets
    # ---------------------------------------------------------------------------------------------

    def _through(self, members: Iterable[Member]) -> PathSet:
        nodes: list[Nodes] = []
        marks: list[Mark] = []
        for member in members:
            nodes += member.nodes
            marks += member.marks
        result = self.sets.through(nodes)
        if marks:
            edges = alt(*(Edge(mark=m.layer, mark_at=m.at) for m in marks))
            crossed = crossing(edges, self.layout.any_mask, 1 << self.layout.logits)
            result = union(result, crossed)
        return result

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
        listed: list[ListedEdge] = []
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
                added = self._pairs(senders, self._labels(step.arrow), receivers)
                if not added:
                    raise no_edge(self.places, chain, step, senders, receivers)
                listed += added
                senders = receivers
            check_chain(self.places, chain, bindings)
        return Listed(edges=tuple(dict.fromkeys(listed)))

    def _labels(self, arrow: ast.Arrow) -> Labels:
        return labels_of(arrow, causal=self.layout.shape.causal)

    def _listed_nodes(self, expr: ast.PathExpr, bindings: Bindings) -> tuple[Nodes, ...]:
        while isinstance(expr, ast.Group):
            expr = expr.inner
        is_path = (
            isinstance(expr, ast.Name)
            and expr.name in self.program.paths
            and expr.name not in bindings
        )
        if is_path or not isinstance(expr, ast.NodeRef):
            raise fault("PD216", "`edges { … }` lists edges between nodes and sets of nodes", expr)
        return merge(self.places.nodes(expr, bindings), self.layout)

    def _pairs(
        self, senders: tuple[Nodes, ...], labels: Labels, receivers: tuple[Nodes, ...]
    ) -> list[ListedEdge]:
        listed = []
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
                        mask = intersect(sender.mask, layout.senders_into(node, slot), layout)
                        at = Nodes(mask=hull(mask, layout), at=sender.at)
                        listed += [
                            ListedEdge(
                                senders=mask,
                                sender_at=sender.at,
                                receiver=v,
                                receiver_at=receiver.at,
                                slot=slot,
                                relation=relation,
                                named_senders=mask if sender.named else 0,
                                named_receiver=receiver.named,
                                spared=spared,
                            )
                            for relation in relations
                            if mask and edge_possible(layout, at, node, receiver.at, slot, relation)
                        ]
        return listed

    def _edges_file(self, expr: ast.EdgesFile) -> PathSet:
        options = resolve_arguments(CIRCUIT_FILES["edges"], expr.options)
        signed = options.word("rank") == "signed"
        with read_for(self.program, expr) as path:
            circuit = read_edges_file(path, self.layout, options["top"], signed=signed)  # type: ignore[arg-type]
        return circuit if isinstance(circuit, Listed) else self._within([circuit])

    def ranking(self, expr: ast.EdgesFile, *, signed: bool) -> Ranking:
        """All edges of a score file in the order of their scores; PD217 where it cannot be used."""
        with read_for(self.program, expr) as path:
            return read_ranking(path, self.layout, signed=signed)

    def read_file(self, expr: ast.EdgesFile, read: Callable[[Path, Layout], T]) -> T:
        """What `read` makes of a file that lies where it may; PD217 where it cannot be read."""
        with read_for(self.program, expr) as path:
            return read(path, self.layout)

    # ---------------------------------------------------------------------------------------------
    # Random controls
    # ---------------------------------------------------------------------------------------------

    def random_like(
        self,
        expr: ast.PathExpr,
        seed: int,
        bindings: Bindings = {},
        over: ast.NodeRef | None = None,
    ) -> PathSet:
        """`expr` with its units renamed one to one to others of their kind and layer.

        `over`: those units alone that lie in this set of nodes.
        """
        paths = self.path_set(expr, bindings)
        try:
            return renamed(paths, self.renaming(paths, seed, bindings, over), self.layout)
        except ValueError as error:
            raise fault(
                "PD218",
                f"no random control of this path set exists: {error}",
                expr,
                label="cannot be imitated",
                help="write `mlp` or `attn` for the nodes that need not be renamed, `over: {…}` "
                "for those that shall be, or draw edges: "
                "`random_edges(like: …, by: walks, seed: 0)`",
            ) from error

    def renaming(
        self, paths: PathSet, seed: int, bindings: Bindings, over: ast.NodeRef | None
    ) -> Renaming:
        """What takes the place of each unit of a set; ValueError where nothing can."""
        places = self.places.nodes(over, bindings) if over is not None else None
        return renaming(self.sets, paths, seed, places)

    def _random_edges(self, expr: ast.RandomEdges, bindings: Bindings) -> PathSet:
        options = expr.options
        like = next((o.value for o in options if o.keyword == "like"), None)
        if like is None:
            raise fault("PD218", "`random_edges` needs `like: P`, the set to imitate", expr)
        try:
            return random_edges(
                self.sets,
                self.path_set(like, bindings),  # type: ignore[arg-type]
                count=_integer(options, "count"),
                seed=seed_of(options),
                by="walks" if _word(options, "by") == "walks" else "classes",
            )
        except ValueError as error:
            raise fault("PD218", str(error), expr) from error


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


def over_of(options: Iterable[ast.Argument]) -> ast.NodeRef | None:
    """The nodes after `over:` of a random set, None where none are written."""
    found = next((o.value for o in options if o.keyword == "over"), None)
    return found if isinstance(found, ast.NodeRef) else None


def seed_of(options: Iterable[ast.Argument]) -> int:
    """The seed that a control is drawn with, 0 where none is written."""
    return _integer(options, "seed") or 0
