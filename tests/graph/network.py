"""A model's computational graph as a networkx graph, for figures and for other people's tools.

One edge per pair of components; its `slots` are the inputs that it feeds, so that the number of
edges in the sense of the literature (q, k and v apart) is the sum over `slots`.

Source: the counts are those of Wang et al. 2022, EAP-IG and auto-circuit (GPT-2 small: 157
senders, 32,491 edges).

    graph = graph_of(shape)
    graph.edges["a0.h1", "a5.h5"]["slots"]    ("q", "k", "v")
"""

from __future__ import annotations

import networkx as nx

from pathdsl.graph.model.components import Layout, bits
from pathdsl.graph.model.shape import ModelShape

__all__ = ["count_edges", "count_paths", "graph_of"]


def graph_of(shape: ModelShape) -> nx.DiGraph:
    """Components with attributes `kind`, `layer`, `head`; edges with attribute `slots`.

    A slot is "q", "k" or "v" of a head and "" for the one input of an MLP or of `logits`. Nodes
    stand in topological order.
    """
    layout = Layout(shape)
    graph = nx.DiGraph()
    for i, component in enumerate(layout.components):
        graph.add_node(
            layout.label(i), kind=component.kind.name, layer=component.layer, head=component.head
        )
    for v in range(len(layout.components)):
        slots = tuple(slot or "" for slot in layout.slots_of(v))
        for u in bits(layout.senders_of[v]):
            graph.add_edge(layout.label(u), layout.label(v), slots=slots)
    return graph


def count_edges(graph: nx.DiGraph) -> int:
    """Edges with q, k and v of a head counted apart."""
    return sum(len(slots) for _, _, slots in graph.edges(data="slots"))


def count_paths(graph: nx.DiGraph) -> int:
    """(node, slot) sequences from `input` to `logits`: 74**12 for GPT-2 small."""
    found = {"input": 1}
    for node in nx.topological_sort(graph):
        if node != "input":
            found[node] = sum(
                found[sender] * len(slots)
                for sender, _, slots in graph.in_edges(node, data="slots")
            )
    return found["logits"]
