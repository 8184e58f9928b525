"""Nodes, inputs of nodes and edges one by one: what an attribution scores, and loops over edges.

Source: docs/scores.md, attribution(UNIT, by: METHOD).

    attributed(places, `a5.h5 -[v]-> a8.h6`, "", {}).label       a5.h5 -[v]-> a8.h6
"""

from __future__ import annotations

from pathdsl.graph.model.components import HEAD, MLP, Layout, Slot, bits
from pathdsl.graph.paths.neurons import atom_mask, atom_text, atoms, hull
from pathdsl.graph.paths.pathset import Edge, Listed, Nodes, PathSet, Pos, cat
from pathdsl.graph.paths.sets import PathSets
from pathdsl.graph.resolve.adjacency import no_edge
from pathdsl.graph.resolve.places import Bindings, Places, fault
from pathdsl.lang import ast
from pathdsl.lang.loops import Value, edge_value
from pathdsl.lang.subjects import meant
from pathdsl.limits import MEMBERS
from pathdsl.record import record

__all__ = ["Attributed", "attributed", "edges_among", "paths_into"]


@record
class Attributed:
    """One unit by the names of its components, as `pathdsl.score.attribution.ScoredUnit` has them.

    `at`: the position of what is patched, None for all: where a node writes, where a query stands,
    where the token of a key or value stands. `neuron`: whether the node is one neuron.
    """

    sender: str
    receiver: str
    slot: str
    at: Pos | None
    neuron: bool

    @property
    def label(self) -> str:
        """As it is written in a file, but for the position."""
        if not self.receiver:
            return self.sender
        if not self.sender:
            return f"{self.receiver}, slot: {self.slot}"
        return f"{self.sender} {f'-[{self.slot}]->' if self.slot else '->'} {self.receiver}"


def attributed(
    places: Places, expr: ast.PathExpr, slot: str, bindings: Bindings, *, exact: bool = False
) -> Attributed:
    """The unit that an expression is; `slot` is that of a node, "" for its output.

    `exact` units may stand at positions that no estimate tells apart. Raises LanguageError PD408
    for none or several, PD205 and others for what the model has not.
    """
    unit = meant(places.program, expr, dict(bindings))
    if isinstance(unit, ast.Edges):
        unit = unit.chains[0]
    if isinstance(unit, ast.Chain):
        return _edge(places, expr, unit, bindings, exact)
    index, name, at = _one(places, expr, unit, bindings)
    layout = places.layout
    if name == "logits":
        raise fault("PD408", "an attribution is of one node or one edge", expr,
                    label="`logits` write nothing that is patched")  # fmt: skip
    if slot and (index >= len(layout.components) or layout.components[index].kind is not HEAD):
        raise fault(
            "PD408",
            f"`{name}` has one input, without a name",
            expr,
            label="no head",
            help=f"leave `slot: {slot}` out: it reads and writes as a whole",
        )
    neuron = index >= len(layout.components)
    ends = ("", name) if slot else (name, "")
    return Attributed(sender=ends[0], receiver=ends[1], slot=slot, at=at, neuron=neuron)


def _edge(
    places: Places, expr: ast.Node, chain: ast.Chain, bindings: Bindings, exact: bool
) -> Attributed:
    (hop,) = chain.steps
    assert isinstance(hop, ast.Hop)
    u, sender, sent = _one(places, expr, chain.first, bindings)
    v, receiver, got = _one(places, expr, hop.target, bindings)
    layout = places.layout
    slots = [slot for label in hop.arrow.labels for slot in label.slots]
    if max(u, v) >= len(layout.components):
        raise fault(
            "PD408", "edges of single neurons have no scores", expr, label="leads from or to one",
            help="name the MLP",
        )  # fmt: skip
    if not layout.senders_of[v] >> u & 1:
        ends = (places.nodes(end, bindings) for end in (chain.first, hop.target))  # type: ignore[arg-type]
        raise no_edge(places, chain, hop, *ends)
    kind = layout.components[v].kind
    if kind is HEAD and not slots:
        raise fault(
            "PD408",
            f"these are three edges, into q, k and v of `{receiver}`",
            expr,
            label="into which input?",
            help=f"`{sender} -[v]-> {receiver}`, or their sum, "
            f"`sum(e in edges {{ {sender} -> {receiver} }}: attribution(e, …))`",
        )
    slot = slots[0] if slots else ""
    at = sent if sent is not None else got
    reads_back = slot in ("k", "v")
    if not exact and (got is not None and (reads_back or sent not in (None, got))):
        raise fault(
            "PD408",
            f"the score of an edge is of the token that is read, whoever reads it: `@{got}` on "
            f"`{receiver}` says nothing of it",
            expr,
            label="a position on the receiver",
            help=f"`{sender} @P -[{slot}]-> {receiver}`, or measure it with `by: exact`"
            if slot
            else f"`{sender} @P -> {receiver}`",
        )
    return Attributed(sender=sender, receiver=receiver, slot=slot, at=at, neuron=False)


def _one(
    places: Places, expr: ast.Node, ref: ast.Node, bindings: Bindings
) -> tuple[int, str, Pos | None]:
    """The one node that a reference means, by its index and name, and where it stands."""
    found = places.nodes(ref, bindings)  # type: ignore[arg-type]
    single = [(i, spared, one.at) for one in found for i, spared in atoms(one.mask, places.layout)]
    if len(single) != 1:
        raise fault(
            "PD408",
            "an attribution is of one node or one edge",
            expr,
            label=f"{len(single)} nodes" if single else "no node",
            help="range over them, `let a for h in SET = attribution(h, …)`; their scores one by "
            "one do not say what they do together",
        )
    index, spared, at = single[0]
    name = atom_text(index, spared, places.layout)
    if spared:
        raise fault(
            "PD408", f"`{name}` is a part of an MLP, which has no score", expr,
            label="without some neurons", help=f"`{places.layout.label(index)}`",
        )  # fmt: skip
    return index, name, at


def paths_into(sets: PathSets, unit: Attributed) -> PathSet:
    """The complete paths that enter a head by one input: what patching the input treats."""
    layout = sets.layout
    v = layout.named[unit.receiver]
    slot: Slot = unit.slot  # type: ignore[assignment]
    query = unit.slot == "q"
    return sets.complete(
        cat(
            Nodes(mask=layout.senders_of[v], at=None if query else unit.at),
            Edge(labels=((slot, None),)),
            Nodes(mask=atom_mask(v, 0), at=unit.at if query else None, named=True),
        )
    )


def edges_among(
    sets: PathSets, paths: PathSet, at: ast.EdgesOf, *, listed: bool
) -> tuple[Value, ...]:
    """The edges on some path of a set as items of a loop, by receiver, slot and sender.

    `listed`: all that a list of edges names, on a complete path of it or not.

    Raises LanguageError PD209 for none, PD116 for more than a loop may have, PD408 for those of
    single neurons.
    """
    apart, edges = _edges_in(sets, paths, listed)
    layout = sets.layout
    order: dict[str | None, int] = {slot: i for i, slot in enumerate(HEAD.slots)}
    found = sorted(edges, key=lambda edge: (edge[1], order.get(edge[2], 0), edge[0]))
    if not found:
        raise fault("PD209", "this path set has no edges", at)
    if len(found) > MEMBERS.most:
        raise fault(
            MEMBERS.code,
            f"this loop has {len(found):,} members, wanted at most {MEMBERS.most:,}",
            at,
            help="range over the edges of fewer paths",
        )
    if apart:
        raise fault(
            "PD408", "edges of single neurons have no scores", at,
            label="names neurons", help="name their MLPs",
        )  # fmt: skip
    refs = [_ref(layout, i, at) for i in range(len(layout.components))]
    names = [layout.label(i) for i in range(len(layout.components))]
    return tuple(
        edge_value(refs[u], refs[v], slot, at.span, names[u], names[v])  # type: ignore[arg-type]
        for u, v, slot in found
    )


def _edges_in(
    sets: PathSets, paths: PathSet, listed: bool
) -> tuple[bool, set[tuple[int, int, str | None]]]:
    """Whether single neurons are told apart, and the edges by the indices of the layout."""
    layout = sets.layout
    if listed and isinstance(paths, Listed):
        found = [(one.senders, one.receiver, one.slot) for one in paths.edges]
        neurons = any(senders >> len(layout.components) for senders, _, _ in found)
        neurons = neurons or any(v >= len(layout.components) for _, v, _ in found)
        return neurons, {(u, v, slot) for mask, v, slot in found for u in bits(hull(mask, layout))}
    product = sets.product(paths)
    return bool(product.layout.neurons), set(product.own_edges())


def _ref(layout: Layout, index: int, at: ast.Node) -> ast.NodeRef:
    """A component as it is written."""
    one, span = layout.components[index], at.span
    layer = ast.Indices(ranges=((one.layer, one.layer),), span=span)
    if one.kind is HEAD:
        head = ast.Indices(ranges=((one.head, one.head),), span=span)
        return ast.HeadRef(layer=layer, head=head, span=span)
    if one.kind is MLP:
        return ast.MlpRef(layer=layer, span=span)
    return ast.Word(word=one.kind.name, span=span)  # type: ignore[arg-type]
