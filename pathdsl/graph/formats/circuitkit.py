"""CircuitKIT: artifacts, lists of names, and scores of nodes.

An artifact lists the nodes and edges of a circuit with an importance from 0 to 1, which has lost
its sign; an edge keeps it in `attribution`. `NAME_scores.json` ranks nodes and marks none. A list
of names, `["A0.1", "MLP 3"]`, is a circuit of nodes.
"""

from __future__ import annotations

from dataclasses import replace

from pathdsl.graph.formats.circuit import (
    SLOTS,
    Circuit,
    Edge,
    Entry,
    Level,
    Lost,
    ModelFacts,
    UnusableFile,
    kind_of,
    model_of_names,
    number,
    order_of,
)
from pathdsl.graph.formats.names import node_of
from pathdsl.graph.model.components import HEAD, MLP, NEURON

__all__ = ["artifact_form", "is_artifact", "is_names", "is_scores", "read_artifact", "read_names",
           "read_scores"]  # fmt: skip

SCORES = "importance from 0 to 1, without a sign"
_SIGNED = "the attribution of an edge, with its sign"
_KINDS = {
    "head": HEAD, "attention_head": HEAD, "attn_head": HEAD, "attention": HEAD, "attn": HEAD,
    "mlp": MLP, "neuron": NEURON, "mlp_neuron": NEURON,
}  # fmt: skip
_KNOWN = {"schema", "schema_version", "version", "model_id", "discovery_method", "task", "dataset",
          "granularity", "threshold", "nodes", "edges"}  # fmt: skip
_OF_NODE = {"layer_idx", "node_type", "index", "importance", "name", "id", "node_id"}
_OF_EDGE = {"src_id", "dst_id", "weight", "attribution"}


def is_artifact(content: object) -> bool:
    """Whether it has a method of discovery, and lists of nodes."""
    return (
        isinstance(content, dict)
        and "discovery_method" in content
        and isinstance(content.get("nodes"), list)
    )


def is_scores(content: object) -> bool:
    """Whether it has scores of nodes by name."""
    return isinstance(content, dict) and isinstance(content.get("node_scores"), dict)


def is_names(content: object) -> bool:
    """Whether it is a list of names of nodes alone."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(one, str) and node_of(one) for one in content)
    )


def read_artifact(content: object) -> Circuit:
    """The circuit that an artifact lists. Raises UnusableFile for a node or edge that is none."""
    assert isinstance(content, dict)
    nodes: dict[str, Entry] = {}
    ids: dict[str, str] = {}
    extra: dict[str, int] = {}
    for place, one in enumerate(content["nodes"], 1):
        if not isinstance(one, dict):
            raise UnusableFile(f"node {place} of the artifact is no object")
        name = _node(one, place)
        if name in nodes:
            raise UnusableFile(f"node {place} of the artifact, `{name}`, stands twice",
                               code="PD443")  # fmt: skip
        nodes[name] = Entry(kept=True, score=number(one.get("importance"), f"node `{name}`"))
        for key in ("name", "id", "node_id"):
            if isinstance(one.get(key), str):
                if ids.setdefault(str(one[key]), name) != name:
                    raise UnusableFile(f"two nodes are called `{str(one[key])[:60]}`", code="PD443")
        for key in set(one) - _OF_NODE:
            extra[f"`{key[:40]}` of nodes"] = extra.get(f"`{key[:40]}` of nodes", 0) + 1
    listed = content.get("edges") or []
    if not isinstance(listed, list):
        raise UnusableFile("`edges` of the artifact is no list")
    edges: dict[Edge, Entry] = {}
    unsigned = 0
    for place, one in enumerate(listed, 1):
        if not isinstance(one, dict):
            raise UnusableFile(f"edge {place} of the artifact is no object")
        ends = [ids.get(str(one.get(k))) or node_of(str(one.get(k))) for k in ("src_id", "dst_id")]
        if None in ends:
            bad = str(one.get("src_id" if ends[0] is None else "dst_id"))
            raise UnusableFile(f"edge {place} of the artifact has no node `{bad[:60]}`")
        score = number(one.get("attribution"), f"edge {place}")
        unsigned += score is None
        if score is None:
            score = number(one.get("weight"), f"edge {place}")
        for slot in SLOTS if kind_of(str(ends[1])) is HEAD else ("",):
            edge = Edge(str(ends[0]), str(ends[1]), slot)
            if edge in edges:
                raise UnusableFile(f"edge {place} of the artifact stands twice", code="PD443")
            edges[edge] = Entry(kept=True, score=score)
        for key in set(one) - _OF_EDGE:
            extra[f"`{key[:40]}` of edges"] = extra.get(f"`{key[:40]}` of edges", 0) + 1
    lost = [
        Lost(what=what, why="no field of a circuit", count=n) for what, n in sorted(extra.items())
    ]
    if edges and unsigned < len(listed):
        why = "shares of the largest without a sign; `attribution` is read"
        lost.append(Lost(what="weights of edges", count=len(listed), why=why))
    if edges:
        lost.append(Lost(what="importance of nodes", count=len(nodes),
                         why="a circuit of edges ranks edges"))  # fmt: skip
    else:
        lost.append(Lost(what="signs of importance", count=len(nodes), why="the file has none"))
    for key in ("task", "dataset", "discovery_method", "granularity", "threshold"):
        if content.get(key) is not None:
            lost.append(
                Lost(what=f"`{key}` {str(content[key])[:60]}", why="said in a comment alone")
            )
    lost += [
        Lost(what=f"its `{key[:40]}`", why="no part of the format")
        for key in sorted(set(content) - _KNOWN)
    ]
    least = model_of_names([*nodes, *(n for e in edges for n in e[:2])])
    model = content.get("model_id")
    return _circuit(
        edges or None, nodes, str(model) if isinstance(model, str) else "", least,
        _SIGNED if edges and not unsigned else SCORES, tuple(lost), cut=False,
    )  # fmt: skip


def _node(one: dict[str, object], place: int) -> str:
    layer, index, word = one.get("layer_idx"), one.get("index"), str(one.get("node_type"))
    kind = _KINDS.get(word.lower())
    for value in (layer, index):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise UnusableFile(f"node {place} of the artifact has `{str(value)[:40]}` as a number")
    name = None
    if kind is HEAD:
        name = f"a{layer}.h{index}"
    elif kind is MLP:
        name = f"m{layer}"
    elif kind is NEURON:
        name = f"m{layer}.n{index}"
    if name is None or kind_of(name) is None:
        name = node_of(str(one.get("name"))) if kind is None else None
    if name is None:
        raise UnusableFile(
            f"node {place} of the artifact is a `{word[:40]}`, wanted a head, an MLP or a neuron "
            "with its layer and index"
        )
    return name


def read_scores(content: object) -> Circuit:
    """A ranking of nodes. Raises UnusableFile for a name that is none."""
    assert isinstance(content, dict)
    nodes: dict[str, Entry] = {}
    for name, score in content["node_scores"].items():
        node = node_of(name)
        if node is None:
            raise UnusableFile(f"its `node_scores` have no node `{name[:60]}`")
        if node in nodes:
            raise UnusableFile(f"its `node_scores` have `{node}` twice", code="PD443")
        nodes[node] = Entry(kept=None, score=number(score, f"node `{name[:60]}`"))
    lost = tuple(
        Lost(what=f"`{key[:40]}` {str(content[key])[:60]}", why="said in a comment alone")
        for key in sorted(content) if key not in ("node_scores", "model")
    )  # fmt: skip
    model = content.get("model")
    named = str(model) if isinstance(model, str) else ""
    return _circuit(None, nodes, named, model_of_names(nodes), "a score of the tool's method", lost,
                    cut=True)  # fmt: skip


def read_names(content: object) -> Circuit:
    """A circuit of the nodes that are listed."""
    assert isinstance(content, list)
    nodes = {str(node_of(one)): Entry(kept=True) for one in content}
    return _circuit(None, nodes, "", model_of_names(nodes), "", (), cut=False)


def _circuit(
    edges: dict[Edge, Entry] | None, nodes: dict[str, Entry], name: str, least: ModelFacts,
    scores: str, lost: tuple[Lost, ...], *, cut: bool,
) -> Circuit:  # fmt: skip
    ranks: Level = "nodes" if edges is None else "edges"
    facts = replace(least, name=name)
    return Circuit(
        format="circuitkit", model=facts, edges=edges, nodes=nodes, ranks=ranks, masks={},
        scores=scores, nan_first=False, cut=cut, lost=lost, remarks=(), places={},
    )  # fmt: skip


def artifact_form(circuit: Circuit) -> tuple[dict[str, object], tuple[Lost, ...]]:
    """An artifact, and the edges of which it says more than the circuit does."""
    assert circuit.edges is not None
    slots: dict[tuple[str, str], set[str]] = {}
    scores: dict[tuple[str, str], float] = {}
    for edge, entry in circuit.edges.items():
        if entry.kept:
            slots.setdefault(edge[:2], set()).add(edge.slot)
            scores[edge[:2]] = scores.get(edge[:2], 0.0) + (entry.score or 0.0)
    most = max(map(abs, scores.values()), default=0.0) or 1.0
    names = sorted({n for pair in slots for n in pair if kind_of(n) in (HEAD, MLP)}, key=order_of)
    nodes: list[object] = []
    for name in names:
        layer, _, head = name[1:].partition(".h")
        nodes.append({
            "layer_idx": int(layer), "node_type": "head" if head else "mlp",
            "index": int(head or 0), "importance": 1.0, "name": name,
        })  # fmt: skip
    rows: list[object] = [
        {"src_id": u, "dst_id": v, "weight": abs(score) / most, "attribution": score}
        for (u, v), score in scores.items()
    ]
    parts = sum(kind_of(v) is HEAD and len(some) < len(SLOTS) for (_, v), some in slots.items())
    lost = Lost(what="slots", count=parts, why="it has edges into heads, not into q, k or v alone")
    content: dict[str, object] = {
        "schema": "1.0", "model_id": circuit.model.name, "discovery_method": "pathdsl",
        "task": None, "dataset": None, "granularity": "edge", "threshold": None,
        "nodes": nodes, "edges": rows,
    }  # fmt: skip
    return content, (lost,) if parts else ()
