"""The nodes and edges of a path set as a networkx graph, as DOT and as node-link JSON.

An edge between two nodes that carries several slots is one edge with a list of them. Groups of the
file become attributes of their nodes, so that a drawing may colour them.
"""

from __future__ import annotations

import json

import networkx as nx

from pathdsl.errors import Diagnostic, LanguageError, errors_in
from pathdsl.graph.check import check_named
from pathdsl.graph.files.eap import listed
from pathdsl.graph.paths.pathset import PathSet, minus
from pathdsl.graph.paths.product import Product
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import Program

__all__ = ["as_dot", "as_node_link", "graph_of"]


def graph_of(resolver: Resolver, program: Program, name: str) -> nx.DiGraph:
    """Nodes and edges on the paths of a named path set.

    Raises LanguageError with the faults of the set, and PD209 where it is `none`: no drawing says
    that nothing is there.
    """
    expr = program.paths[name].path
    if faults := errors_in(check_named(resolver, name)):
        raise LanguageError(faults)
    paths = resolver.path_set(expr)
    product = resolver.sets.product(paths)
    if not product.count():
        raise LanguageError(
            Diagnostic(
                code="PD209",
                message=f"the path set `{name}` is `none`, of which there is nothing to draw",
                span=expr.span,
                help="choose another one with `--path NAME`",
            )
        )
    layout = product.layout
    group_of = {
        unit.component: group
        for group, units in reversed(resolver.groups_of(expr))
        for unit in units
    }
    slots: dict[tuple[int, int], list[str]] = {}
    edges = sorted(product.own_edges(), key=lambda e: (e[1], e[0], e[2] or ""))
    for sender, receiver, slot in edges:
        slots.setdefault((sender, receiver), []).append(slot or "")
    graph = nx.DiGraph(
        path=name,
        circuit=program.circuit.name.name if program.circuit else "",
        all_paths=_all_paths(resolver, paths, product),
    )
    for index in sorted({end for pair in slots for end in pair}):
        component = layout.components[index]
        graph.add_node(
            layout.label(index),
            kind=component.kind.name,
            layer=component.layer,
            group=group_of.get(product.index(index), ""),
        )
    for (sender, receiver), through in slots.items():
        graph.add_edge(
            layout.label(sender), layout.label(receiver), slots=[s for s in through if s]
        )
    return graph


def _all_paths(resolver: Resolver, paths: PathSet, product: Product) -> bool:
    """Whether the set is all paths over the edges that are drawn, and so can be read back."""
    edges = sorted({(u, v, slot or "") for u, v, slot in product.own_edges()})
    if product.layout.neurons:
        return False
    return not resolver.count(minus(listed(edges, product.layout), paths))


def as_node_link(graph: nx.DiGraph) -> str:
    """networkx's node-link form, read back by `networkx.node_link_graph(…, edges="edges")`."""
    return json.dumps(nx.node_link_data(graph, edges="edges"), indent=2) + "\n"


def as_dot(graph: nx.DiGraph) -> str:
    """Graphviz, layers from bottom to top."""
    lines = [
        f"digraph {_quoted(graph.graph['path'])} {{",
        "  rankdir = BT;",
        "  node [shape = box];",
    ]
    for node, attributes in graph.nodes(data=True):
        label = node + (f"\\n{attributes['group']}" if attributes["group"] else "")
        lines.append(f"  {_quoted(node)} [label = {_quoted(label)}];")
    for layer in sorted({attributes["layer"] for _, attributes in graph.nodes(data=True)}):
        for kind in ("head", "mlp", "neuron"):
            same = [
                _quoted(n)
                for n, attributes in graph.nodes(data=True)
                if (attributes["layer"], attributes["kind"]) == (layer, kind)
            ]
            if len(same) > 1:
                lines.append(f"  {{ rank = same; {'; '.join(same)}; }}")
    for sender, receiver, attributes in graph.edges(data=True):
        label = ",".join(attributes["slots"])
        tail = f" [label = {_quoted(label)}]" if label else ""
        lines.append(f"  {_quoted(sender)} -> {_quoted(receiver)}{tail};")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
