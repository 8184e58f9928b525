"""What is asked of path expressions: their sets, units, groups, edges, knockouts and controls.

The answers are cheap enough to be asked for every knockout, since emptiness is decided on the
automaton and paths are never enumerated.

Source: docs/language.md, Units; docs/scores.md, completeness(P, knockouts: K).

    resolver = Resolver(program, shape)
    units = resolver.units(expr)                                # a5.h5@S2, a9.h9@END, …
    left = minus(resolver.path_set(expr), resolver.through(units[:2]))     # C without K
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import TypeVar

from pathdsl.graph.controls.random_like import Renaming, rename_unit
from pathdsl.graph.controls.walks import added_walk
from pathdsl.graph.files.eap import edge_name, listed
from pathdsl.graph.files.ranking import Ranking
from pathdsl.graph.model.components import NEURON, Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.examples import examples
from pathdsl.graph.paths.neurons import intersect, mask_of, told_apart
from pathdsl.graph.paths.pathset import (
    NONE,
    Edge,
    Listed,
    Nodes,
    PathSet,
    cat,
    intersection,
    union,
)
from pathdsl.graph.paths.product import MAX_STATES, Product
from pathdsl.graph.paths.sets import sets_on
from pathdsl.graph.paths.units import (
    EdgeUnit,
    NodeUnit,
    Unit,
    edge_units,
    named_nodes,
    on_paths,
    places_of,
    subtracts,
)
from pathdsl.graph.resolve.attributed import Attributed, attributed, edges_among, paths_into
from pathdsl.graph.resolve.expressions import Expressions, over_of, seed_of
from pathdsl.graph.resolve.places import Bindings, Member, Places, fault
from pathdsl.graph.resolve.targets import Target, node_target, targets_of, vector_of
from pathdsl.lang import ast
from pathdsl.lang.loops import Value
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.attribution import AttributionRecord
from pathdsl.lang.walk import children
from pathdsl.record import record

__all__ = ["Description", "Resolver"]

T = TypeVar("T")


@record
class Description:
    """One path set in numbers: what `pathdsl explain FILE:NAME` prints.

    `n_nodes` and `n_edges` count those on some path, `n_neurons` those nodes that are neurons;
    `n_paths` are (node, slot) sequences.
    """

    units: tuple[NodeUnit, ...]
    n_nodes: int
    n_neurons: int
    n_edges: int
    n_paths: int
    n_states: int
    examples: tuple[str, ...]


class Resolver:
    """One program on the graph of one model.

    `places` resolves references to nodes, `expressions` paths; `sets` has what needs no syntax.
    `others` has the resolver of each task that runs on a model of another shape.
    """

    def __init__(
        self,
        program: Program,
        shape: ModelShape,
        max_states: int = MAX_STATES,
        others: Mapping[str, Resolver] = {},
    ) -> None:
        self.program = program
        self.others = others
        self.shape = shape
        self.sets = sets_on(shape, max_states)
        self.layout = self.sets.layout
        self.places = Places(program, self.layout)
        self.expressions = Expressions(self.places, self.sets)

    def on(self, task: str) -> Resolver:
        """The same program on the graph of the model that a task runs on."""
        return self.others.get(task, self)

    @property
    def graphs(self) -> tuple[Resolver, ...]:
        """This one, then those of models of another shape, each once."""
        return tuple(dict.fromkeys((self, *self.others.values())))

    def path_set(self, expr: ast.PathExpr, bindings: Bindings = {}) -> PathSet:
        """The complete path set that an expression denotes where a path set is wanted."""
        return self.expressions.path_set(expr, bindings)

    def count(self, paths: PathSet) -> int:
        """Number of (component, slot) sequences in a set."""
        return self.sets.count(paths)

    def loop(self, loop: ast.Loop) -> tuple[Member, ...]:
        """The members of `for v in SET`, in the author's order; PD209 where there are none.

        The first variable alone; `pathdsl.graph.resolve.instances` has loops with several.
        """
        members = self.places.singles(loop.members, {})  # type: ignore[arg-type]
        if not members:
            raise fault("PD209", "this set of nodes is empty", loop.members)
        return members

    def edges_of(self, domain: ast.EdgesOf) -> tuple[Value, ...]:
        """The members of `for e in edges(P)`, in the order of the graph; PD209 for none."""
        listed = isinstance(domain.paths, ast.Edges | ast.EdgesFile)
        return edges_among(self.sets, self.path_set(domain.paths), domain, listed=listed)

    def attributed(
        self,
        expr: ast.PathExpr,
        slot: str,
        bindings: Bindings = {},
        by: AttributionRecord | None = None,
    ) -> Attributed:
        """The one node, input, mark or edge that an attribution scores; PD408 for any other."""
        return attributed(self.places, expr, slot, bindings, by)

    def patched(self, expr: ast.PathExpr, unit: Attributed, bindings: Bindings = {}) -> PathSet:
        """The paths that carry a treated value where one unit alone is patched."""
        return paths_into(self.sets, unit) if not unit.sender else self.path_set(expr, bindings)

    def targets(self, action: ast.Action) -> tuple[Target, ...]:
        """The values that an action of an `intervene` block acts on; PD230 where it cannot."""
        return targets_of(self.places, action)

    def target(self, ref: ast.NodeRef) -> Target:
        """The one value that `set X = NODE` takes."""
        return node_target(self.places, ref)

    def vector(self, call: ast.Call) -> tuple[float, ...]:
        """The numbers of `vector("FILE", key: "…")`; PD235 where they cannot be had."""
        return vector_of(self.places, call)

    def ranking(self, expr: ast.EdgesFile, *, signed: bool) -> Ranking:
        """All edges of a score file in the order of their scores; PD217 where it cannot be used."""
        return self.expressions.ranking(expr, signed=signed)

    def read_file(self, expr: ast.EdgesFile, read: Callable[[Path, Layout], T]) -> T:
        """What `read` makes of a file that lies where it may; PD217 where it cannot be read."""
        return self.expressions.read_file(expr, read)

    # ---------------------------------------------------------------------------------------------
    # Units and groups
    # ---------------------------------------------------------------------------------------------

    def units(
        self, expr: ast.PathExpr, bindings: Bindings = {}, over: ast.Node | None = None
    ) -> tuple[NodeUnit, ...]:
        """The units of P in order of first mention; `over` names other candidates."""
        candidates = self._candidates(over if over is not None else expr, bindings)
        return on_paths(self.sets, self.path_set(expr, bindings), dict.fromkeys(candidates))

    def edges(
        self, expr: ast.PathExpr, bindings: Bindings = {}, over: ast.Node | None = None
    ) -> tuple[EdgeUnit, ...]:
        """The edges of P for `per: edge`: P, or `over`, is an `edges` set; others are PD222."""
        asked = over if over is not None else expr
        candidates = self.path_set(asked, bindings)  # type: ignore[arg-type]
        if not isinstance(candidates, Listed):
            raise fault(
                "PD222",
                "`per: edge` ranges over listed edges, and this lists none",
                asked,
                label="not an `edges` set",
                help="add `over: edges { a -> b }` with the edges to try",
            )
        paths = self.path_set(expr, bindings)
        present, apart = self.sets.product(paths).edges(), told_apart(paths, self.layout)
        return tuple(
            unit
            for unit in dict.fromkeys(edge_units(candidates.edges, self.layout))
            if self._present(unit, present, apart)
            and (not subtracts(paths) or self._meets(paths, self.through([unit])))
        )

    def groups_of(
        self, expr: ast.PathExpr, bindings: Bindings = {}
    ) -> tuple[tuple[str, tuple[NodeUnit, ...]], ...]:
        """The groups that P names, also through named paths, each restricted to P's units."""
        units = set(self.units(expr, bindings))
        groups = {}
        for name, members in self._groups(expr, bindings):
            if kept := tuple(dict.fromkeys(unit for unit in members if unit in units)):
                groups[name] = kept
        return tuple(groups.items())

    def unit_group(
        self, expr: ast.PathExpr, unit: NodeUnit, bindings: Bindings = {}
    ) -> tuple[NodeUnit, ...]:
        """The first group of P that holds the unit; the unit alone when none does."""
        for _, members in self.groups_of(expr, bindings):
            if unit in members:
                return members
        return (unit,)

    def through(self, units: Iterable[Unit]) -> PathSet:
        """The complete paths through one of these nodes or along one of these edges."""
        nodes: list[Nodes] = []
        result: PathSet = NONE
        for unit in units:
            match unit:
                case NodeUnit():
                    nodes.append(unit.place)
                case EdgeUnit(slot=slot):
                    labels = ((slot, unit.relation),) if slot else None
                    word = cat(
                        Nodes(mask=unit.sender_mask, at=unit.sender_at),
                        Edge(labels=labels),
                        Nodes(mask=unit.receiver_mask, at=unit.receiver_at),
                    )
                    result = union(result, self.sets.complete(word))
        return union(self.sets.through(nodes), result)

    # ---------------------------------------------------------------------------------------------
    # Controls, overlap, description
    # ---------------------------------------------------------------------------------------------

    def extended(
        self, expr: ast.PathExpr, seed: int, bindings: Bindings = {}
    ) -> tuple[Listed, EdgeUnit]:
        """An `edges` set with a random walk added, and a random edge among those it adds.

        PD222 for a set that lists no edges, PD218 where no walk adds one.
        """
        paths = self.path_set(expr, bindings)
        if not isinstance(paths, Listed):
            raise fault("PD222", "a walk extends a list of edges, and this is none", expr)
        present = self.sets.product(paths).edges()
        try:
            added, chosen = added_walk(self.layout, present, seed)
        except ValueError as error:
            raise fault("PD218", f"this set cannot be extended: {error}", expr) from error
        (edge,) = edge_units(listed([chosen], self.layout).edges, self.layout)
        return Listed(edges=(*paths.edges, *listed(added, self.layout).edges)), edge

    def node_set(self, paths: PathSet, beside: PathSet = NONE) -> frozenset[str]:
        """Labels of the heads, MLPs and neurons on some path of the set.

        `beside`: a set to compare with, whose neurons are told apart as well.
        """
        product = self._beside(paths, beside)
        layout = product.layout
        return frozenset(layout.label(i) for i in product.own_nodes() if layout.any_mask >> i & 1)

    def edge_set(self, paths: PathSet, beside: PathSet = NONE) -> frozenset[str]:
        """Names of the edges on some path of the set, `a5.h5->a8.h6<v>`; `beside` as above."""
        product = self._beside(paths, beside)
        return frozenset(edge_name(u, v, s, product.layout) for u, v, s in product.own_edges())

    def describe(self, expr: ast.PathExpr, bindings: Bindings = {}, limit: int = 5) -> Description:
        """Units, size and some members of one path set."""
        paths = self.path_set(expr, bindings)
        product = self.sets.product(paths)
        edges = product.own_edges()
        met = {i for u, v, _ in edges for i in (u, v)}
        return Description(
            units=self.units(expr, bindings),
            n_nodes=len(self.node_set(paths)),
            n_neurons=sum(product.layout.components[i].kind is NEURON for i in met),
            n_edges=len(edges),
            n_paths=product.count(),
            n_states=product.n_states(),
            examples=examples(product, paths, limit),
        )

    # ---------------------------------------------------------------------------------------------

    def _beside(self, paths: PathSet, other: PathSet) -> Product:
        if not told_apart(other, self.layout) & ~told_apart(paths, self.layout):
            return self.sets.product(paths)
        return Product(paths, self.layout, self.sets.max_states, beside=(other,))

    def _present(
        self, unit: EdgeUnit, present: Set[tuple[int, int, str | None]], apart: int
    ) -> bool:
        """Whether an edge, or a part of it where neurons are told apart, is among those present."""
        if (unit.sender, unit.receiver, unit.slot) in present:
            return True
        layout = self.layout
        sender, receiver = unit.sender_mask, unit.receiver_mask
        if not (apart or (sender | receiver) >> len(layout.components)):
            return False  # without neurons an edge has no parts
        return any(
            slot == unit.slot
            and bool(intersect(sender, mask_of([u], apart, layout), layout))
            and bool(intersect(receiver, mask_of([v], apart, layout), layout))
            for u, v, slot in present
        )

    def _meets(self, first: PathSet, second: PathSet) -> bool:
        return bool(self.count(intersection(first, second)))

    def _candidates(self, expr: ast.Node, bindings: Bindings) -> Iterator[NodeUnit]:
        """Every unit that an expression mentions, on a path or not, in order of first mention."""
        match expr:
            case ast.RandomLike() | ast.EdgesFile() | ast.RandomEdges():
                paths = self.path_set(expr, bindings)
                yield from places_of(named_nodes(paths), self.layout)
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                yield from self._candidates(self.program.paths[name].path, {})
            case ast.ResidRef():
                return
            case (
                ast.HeadRef()
                | ast.KvRef()
                | ast.MlpRef()
                | ast.NeuronRef()
                | ast.Name()
                | ast.NodeSet()
                | ast.NodesFile()
            ):
                yield from places_of(self.places.member(expr, bindings).nodes, self.layout)
            case _:
                for child in children(expr):
                    yield from self._candidates(child, bindings)

    def _groups(
        self, expr: ast.Node, bindings: Bindings
    ) -> Iterator[tuple[str, tuple[NodeUnit, ...]]]:
        match expr:
            case ast.RandomLike(inner=inner):
                mapping = self._renaming(expr, bindings)
                for name, members in self._groups(inner, bindings):
                    yield name, tuple(rename_unit(u, mapping, self.layout) for u in members)
            case ast.Name(name=name) if name in bindings:
                return
            case ast.Name(name=name) if name in self.program.paths:
                yield from self._groups(self.program.paths[name].path, {})
            case ast.Name(name=name) if name in self.program.groups:
                nodes = self.places.member(expr, bindings).nodes
                yield name, tuple(places_of(nodes, self.layout))
            case _:
                for child in children(expr):
                    yield from self._groups(child, bindings)

    def _renaming(self, expr: ast.RandomLike, bindings: Bindings) -> Renaming:
        """The renaming that a written `random_like(P, seed: n)` draws."""
        self.path_set(expr, bindings)  # raises with a place in the file where impossible
        paths, over = self.path_set(expr.inner, bindings), over_of(expr.options)
        return self.expressions.renaming(paths, seed_of(expr.options), bindings, over)
