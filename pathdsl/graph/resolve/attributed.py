"""Nodes, inputs, marks and edges one by one: what an attribution scores, and loops over edges.

Source: docs/scores.md, attribution(UNIT, by: METHOD).

    attributed(places, `a5.h5 -[v]-> a8.h6`, "", {}, by).label       a5.h5 -[v]-> a8.h6
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pathdsl.errors import LanguageError
from pathdsl.graph.model.components import HEAD, MLP, Layout, Slot, bits
from pathdsl.graph.paths.neurons import atom_mask, atom_text, atoms, hull
from pathdsl.graph.paths.pathset import Edge, Listed, Nodes, PathSet, Pos, cat
from pathdsl.graph.paths.sets import PathSets
from pathdsl.graph.resolve.adjacency import no_edge
from pathdsl.graph.resolve.places import Bindings, Mark, Places, fault
from pathdsl.lang import ast
from pathdsl.lang.loops import Value, edge_value
from pathdsl.lang.signatures.attribution import AttributionRecord
from pathdsl.lang.subjects import meant
from pathdsl.limits import MEMBERS
from pathdsl.record import record

__all__ = ["Attributed", "attributed", "edges_among", "paths_into"]


@record
class Attributed:
    """One unit by the names of its components, as `pathdsl.score.attribution.ScoredUnit` has them.

    `at`: the position of what is patched, None for all: where a node writes, where a query stands,
    where the token of a key or value stands. `reader`: where the head stands that reads a key or
    value, None for wherever. `of`: what kind of unit it is.
    """

    sender: str
    receiver: str
    slot: str
    at: Pos | None
    reader: Pos | None
    of: Literal["nodes", "marks", "edges", "neurons"]

    @property
    def label(self) -> str:
        """As it is written in a file, but for the position."""
        if not self.receiver:
            return self.sender
        if not self.sender:
            return f"{self.receiver}, slot: {self.slot}"
        return f"{self.sender} {f'-[{self.slot}]->' if self.slot else '->'} {self.receiver}"


_OF_ONE = "an attribution is of one node, one mark or one edge"


def attributed(
    places: Places, expr: ast.PathExpr, slot: str, bindings: Bindings, by: AttributionRecord | None
) -> Attributed:
    """The unit that an expression is; `slot` is that of a node, "" for its output.

    The method `by` says which positions it tells apart; None tells no readers. Raises LanguageError
    PD408 for none or several, PD205 and others for what the model has not.
    """
    unit = meant(places.program, expr, dict(bindings))
    if isinstance(unit, ast.Edges):
        unit = unit.chains[0]
    if isinstance(unit, ast.Chain):
        return _edge(places, expr, unit, bindings, by)
    if marks := places.marks(unit, bindings):  # type: ignore[arg-type]
        return _mark(expr, marks)
    index, name, at = _one(places, expr, unit, bindings)
    layout = places.layout
    if name == "logits":
        raise fault(
            "PD408", _OF_ONE, expr, label="`logits` write nothing that is patched"
        )  # fmt: skip
    if slot and (index >= len(layout.components) or layout.components[index].kind is not HEAD):
        raise fault(
            "PD408",
            f"`{name}` has one input, without a name",
            expr,
            label="no head",
            help=f"leave `slot: {slot}` out: it reads and writes as a whole",
        )
    ends = ("", name) if slot else (name, "")
    return Attributed(
        sender=ends[0], receiver=ends[1], slot=slot, at=at, reader=None,
        of="neurons" if index >= len(layout.components) else "nodes",
    )  # fmt: skip


def _mark(expr: ast.Node, marks: Sequence[Mark]) -> Attributed:
    if len(marks) != 1:
        raise fault(
            "PD408", _OF_ONE, expr, label=f"{len(marks)} marks",
            help="range over them, `let a for r in SET = attribution(r, …)`",
        )  # fmt: skip
    (mark,) = marks
    return Attributed(
        sender=f"r{mark.layer}", receiver="", slot="", at=mark.at, reader=None, of="marks"
    )


def _edge(
    places: Places,
    expr: ast.Node,
    chain: ast.Chain,
    bindings: Bindings,
    by: AttributionRecord | None,
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
    readable = [layout.senders_into(v, slot) for slot in slots or layout.slots_of(v)]
    if not any(senders >> u & 1 for senders in readable):
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
    edge = Attributed(
        sender=sender, receiver=receiver, slot=slot, at=sent, reader=got, of="edges"
    )  # fmt: skip
    if slot not in ("k", "v"):  # both ends stand at one token
        if not (by is not None and by.exact) and None not in (sent, got) and sent != got:
            raise _two_tokens(expr, edge)
        return replace(edge, at=got if sent is None else sent, reader=None)
    if got is not None and (by is None or not by.readers):
        of = f"@{sent}" if sent is not None else "@P"
        raise fault(
            "PD408",
            f"the score of an edge is of the token that is read, whoever reads it: `@{got}` on "
            f"`{receiver}` says nothing of it",
            expr,
            label="a position on the receiver",
            help=f"`{sender} {of} -[{slot}]-> {receiver}`, or `by: peap`, which tells the readers "
            "apart, or `by: exact`",
        )
    return edge


def _two_tokens(expr: ast.Node, edge: Attributed) -> LanguageError:
    """An edge that stays at its token, written with two of them."""
    sender, receiver, sent, got = edge.sender, edge.receiver, edge.at, edge.reader
    here = f"{sender} @{got} {f'-[{edge.slot}]->' if edge.slot else '->'} {receiver}"
    if edge.slot:
        what = f"the query of `{receiver}` at `@{got}` is made of what stands at `@{got}`"
        other = (
            f"; what `{receiver}` reads at `@{sent}` is a key or a value, "
            f"`{sender} @{sent} -[v]-> {receiver}`"
        )
    else:
        what, other = f"`{receiver}` reads its own token", ""
    return fault(
        "PD408", f"{what}, and not `{sender}` at `@{sent}`", expr,
        label="two positions of an edge that stays at one", help=f"`{here}`{other}",
    )  # fmt: skip


def _one(
    places: Places, expr: ast.Node, ref: ast.Node, bindings: Bindings
) -> tuple[int, str, Pos | None]:
    """The one node that a reference means, by its index and name, and where it stands."""
    found = places.nodes(ref, bindings)  # type: ignore[arg-type]
    single = [(i, spared, one.at) for one in found for i, spared in atoms(one.mask, places.layout)]
    if len(single) != 1:
        raise fault(
            "PD408",
            _OF_ONE,
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
            Nodes(mask=layout.senders_into(v, slot), at=None if query else unit.at),
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
