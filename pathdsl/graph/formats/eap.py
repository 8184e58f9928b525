"""EAP-IG and MIB: JSON by names of edges, and `.pt` as matrices of senders and receivers.

Both hold one graph and say different things of it. `Graph.to_json` has no scores of nodes, and
`Graph.from_json` recomputes the marks of nodes from the edges; only the `.pt` has scores of nodes
and the entries of outputs (`neurons`). Saved before `prune`, circuits of nodes mark edges of nodes
that are out, and cells of the matrix that are no edges: neither is kept there when it runs.

A score is (treated - reference) times the gradient of the loss that was attributed, which is minus
the metric by the tool's habit: how far the metric falls.

Source: `Graph` of EAP-IG (Hanna et al. 2024), and the MIB benchmark (Mueller et al. 2025).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pathdsl.graph.formats.circuit import (
    Array,
    Circuit,
    Edge,
    Entry,
    Lost,
    ModelFacts,
    UnusableFile,
    edge_text,
    kept_flag,
    kind_of,
    listed_names,
    number,
    order_of,
)
from pathdsl.graph.formats.names import parse_edge_text
from pathdsl.graph.model.components import HEAD, INPUT, LOGITS, MLP

__all__ = [
    "is_json",
    "is_tensors",
    "read_json_form",
    "read_tensor_form",
    "tensor_form",
    "text_form",
]

SCORES = "(treated - reference) times the gradient of the loss: how far the metric falls"
_OF_NODES = {"in_graph", "score", "neurons", "neurons_scores"}
_OF_EDGES = {"in_graph", "score", "weight"}
_TENSORS = {
    "cfg", "src_nodes", "dst_nodes", "edges_scores", "edges_in_graph", "nodes_in_graph",
    "nodes_scores", "neurons_in_graph", "neurons_scores",
}  # fmt: skip


def is_json(content: object) -> bool:
    """Whether it is an object with `cfg`, and `edges` or `nodes` by name."""
    return (
        isinstance(content, dict)
        and "cfg" in content
        and any(isinstance(content.get(key), dict) for key in ("edges", "nodes"))
    )


def is_tensors(content: object) -> bool:
    """Whether it is what `Graph.to_pt` saves."""
    return isinstance(content, dict) and {"cfg", "src_nodes", "edges_in_graph"} <= set(content)


def _facts(cfg: object) -> ModelFacts:
    if not isinstance(cfg, dict):
        raise UnusableFile("a circuit file says which model it is for in an object `cfg`")
    counts: dict[str, int] = {}
    for key, most in (("n_layers", 1_000), ("n_heads", 100_000), ("d_model", 100_000_000)):
        value = cfg.get(key)
        if value is None and key == "d_model":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise UnusableFile(f"its `{key}` is {json.dumps(value, default=str)[:60]}")
        counts[key] = value
    parallel = cfg.get("parallel_attn_mlp")
    if parallel is not None and not isinstance(parallel, bool):
        raise UnusableFile(f"its `parallel_attn_mlp` is {json.dumps(parallel, default=str)[:60]}")
    return ModelFacts(parallel=parallel, **counts)  # type: ignore[arg-type]


def read_json_form(content: object) -> Circuit:
    """What a JSON file says. Marks may be 0 and 1, and `parallel_attn_mlp` null, as the tool reads.

    Raises UnusableFile for what is no such file.
    """
    assert isinstance(content, dict)
    facts = _facts(content["cfg"])
    remarks: list[str] = []
    lost: list[Lost] = []
    if content["cfg"].get("parallel_attn_mlp", False) is None:
        remarks.append("its `parallel_attn_mlp` is null, read as not said")
    for key in sorted(set(content) - {"cfg", "nodes", "edges"}):
        lost.append(Lost(what=f"its `{key[:40]}`", why="no part of the format"))
    edges: dict[Edge, Entry] | None = None
    if content.get("edges") is not None:
        edges = {}
        for name, entry in _objects(content["edges"], "edge").items():
            found = parse_edge_text(name)
            if found is None:
                raise UnusableFile(f"edge `{name[:60]}` is none: `a5.h5->a8.h6<v>`")
            edge = Edge(*found)
            if edge in edges:
                raise UnusableFile(f"edge `{name[:60]}` stands twice, spelled differently")
            edges[edge] = _entry(entry, f"edge `{name[:60]}`")
    nodes: dict[str, Entry] = {}
    masks: dict[str, tuple[bool, ...]] = {}
    parts = 0
    for name, entry in _objects(content.get("nodes") or {}, "node").items():
        if kind_of(name) is None:
            raise UnusableFile(f"node `{name[:60]}` is none: `a5.h5`, `m3`, `input`, `logits`")
        nodes[name] = _entry(entry, f"node `{name}`")
        if (mask := entry.get("neurons")) is not None:
            if not isinstance(mask, list) or not all(isinstance(one, bool) for one in mask):
                raise UnusableFile(f"node `{name}` has `neurons` that are no list of truth values")
            masks[name] = tuple(mask)
        parts += entry.get("neurons_scores") is not None
    if parts:
        lost.append(_neuron_scores(parts))
    for what, known in (("nodes", _OF_NODES), ("edges", _OF_EDGES)):
        entries = content.get(what) or {}
        extra: dict[str, int] = {}
        for entry in entries.values():
            for key in set(entry) - known if isinstance(entry, dict) else ():
                extra[key] = extra.get(key, 0) + 1
        for key in sorted(extra):
            why = "no part of the format"
            lost.append(Lost(what=f"`{key[:40]}` of {what}", why=why, count=extra[key]))
        marks = [e.get("in_graph") for e in entries.values() if isinstance(e, dict)]
        if any(isinstance(one, int) and not isinstance(one, bool) for one in marks):
            remarks.append(f"marks of {what} are 0 and 1, read as false and true")
    if edges is not None:
        against = sorted(
            {end for e, entry in edges.items() if entry.kept for end in e[:2]
             if end in nodes and nodes[end].kept is False}, key=order_of,
        )  # fmt: skip
        if against:
            remarks.append(
                f"it marks edges of nodes that it says are out ({listed_names(against)}); EAP-IG "
                "recomputes nodes from edges when it reads JSON, so the edges count"
            )
        if any(entry.score is not None for entry in nodes.values()):
            lost.append(Lost(what="scores of nodes", why="a circuit of edges ranks edges",
                             count=sum(e.score is not None for e in nodes.values())))  # fmt: skip
    return Circuit(
        format="eap-ig", model=facts, edges=edges, nodes=nodes,
        ranks="nodes" if edges is None else "edges", masks=masks, scores=SCORES, nan_first=True,
        cut=False, lost=tuple(lost), remarks=tuple(remarks), places={},
    )  # fmt: skip


def _neuron_scores(count: int) -> Lost:
    return Lost(
        what="scores of the entries of what a node writes", count=count,
        why="an entry of an output is no node",
    )  # fmt: skip


def _objects(objects: object, what: str) -> dict[str, dict[str, object]]:
    if not isinstance(objects, dict):
        raise UnusableFile(f"a circuit file has an object `{what}s`")
    found = {}
    for name, entry in objects.items():
        if isinstance(entry, bool):
            entry = {"in_graph": entry}
        if not isinstance(entry, dict):
            raise UnusableFile(f"{what} `{name[:60]}` is no object with `in_graph` or `score`")
        found[name] = entry
    return found


def _entry(entry: Mapping[str, object], what: str) -> Entry:
    return Entry(
        kept=kept_flag(entry.get("in_graph"), what), score=number(entry.get("score"), what)
    )


# -------------------------------------------------------------------------------------------------
# Tensors
# -------------------------------------------------------------------------------------------------


def read_tensor_form(content: object) -> Circuit:
    """What `Graph.to_pt` saved: the edges marked whose two nodes are marked too.

    Raises UnusableFile where a matrix is missing or has another size than its names.
    """
    assert isinstance(content, dict)
    facts = _facts(content["cfg"])
    senders = _labels(content, "src_nodes")
    receivers = _labels(content, "dst_nodes")
    size = (len(senders), len(receivers))
    marks = _array(content, "edges_in_graph", size)
    if content.get("edges_scores") is None and "edges" in content:
        content = {**content, "edges_scores": content["edges"]}
    scores = _array(content, "edges_scores", size)
    kept_nodes = _array(content, "nodes_in_graph", size[:1]).values
    of_nodes = _array(content, "nodes_scores", size[:1]).values if "nodes_scores" in content else []
    nodes = {
        name: Entry(kept=bool(kept_nodes[i]), score=float(of_nodes[i]) if of_nodes else None)
        for i, name in enumerate(senders)
    }
    edges: dict[Edge, Entry] = {}
    impossible = out = 0
    parallel = bool(facts.parallel)
    targets = [parse_edge_text(f"{INPUT.name}->{name}") for name in receivers]
    if wrong := [name for name, one in zip(receivers, targets, strict=True) if one is None]:
        raise UnusableFile(f"its `dst_nodes` name no inputs: {listed_names(wrong)}")
    for i, sender in enumerate(senders):
        for j, target in enumerate(targets):
            assert target is not None
            _, receiver, slot = target
            mark = bool(marks.values[i * size[1] + j])
            if not _precedes(sender, receiver, parallel):
                impossible += mark
                continue
            inside = bool(kept_nodes[i]) and nodes.get(receiver, Entry(kept=True)).kept is not False
            out += mark and not inside
            score = float(scores.values[i * size[1] + j])
            edges[Edge(sender, receiver, slot)] = Entry(kept=mark and inside, score=score)
    masks: dict[str, tuple[bool, ...]] = {}
    lost = []
    if content.get("neurons_in_graph") is not None:
        parts = content["neurons_in_graph"]
        if not isinstance(parts, Array) or len(parts.shape) != 2 or parts.shape[0] != len(senders):
            raise UnusableFile("its `neurons_in_graph` has no row for each of its `src_nodes`")
        masks = {n: tuple(bool(x) for x in parts.row(i)) for i, n in enumerate(senders)}
    if content.get("neurons_scores") is not None:
        lost.append(_neuron_scores(len(senders)))
    lost += [
        Lost(what=f"its `{key[:40]}`", why="no part of the format")
        for key in sorted(set(map(str, content)) - _TENSORS - {"edges"})
    ]
    remarks = []
    if impossible:
        remarks.append(f"{impossible:,} cells marked as kept are no edges of a model (not pruned)")
    if out:
        remarks.append(f"{out:,} edges marked as kept have a node that is not, and are out")
    if not of_nodes and not masks:
        remarks.append("its JSON form says the same of edges; a `.pt` alone has scores of nodes")
    ranks_nodes = bool(of_nodes) and not any(e.score for e in edges.values())
    if of_nodes and not ranks_nodes:
        why = "its edges have scores too, and rank; `--level nodes` takes these"
        lost.append(Lost(what="scores of nodes", count=len(senders), why=why))
    return Circuit(
        format="eap-ig-pt", model=facts, edges=edges, nodes=nodes,
        ranks="nodes" if ranks_nodes else "edges", masks=masks, scores=SCORES,
        nan_first=True, cut=False, lost=tuple(lost), remarks=tuple(remarks), places={},
    )  # fmt: skip


def _labels(content: Mapping[str, object], key: str) -> list[str]:
    names = content.get(key)
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise UnusableFile(f"its `{key}` is no list of names", code="PD447")
    if len(set(names)) != len(names):
        raise UnusableFile(f"its `{key}` names a node twice", code="PD447")
    if key == "src_nodes" and (wrong := [one for one in names if kind_of(one) is None]):
        raise UnusableFile(f"its `{key}` name no nodes: {listed_names(wrong)}", code="PD447")
    return names


def _array(content: Mapping[str, object], key: str, shape: tuple[int, ...]) -> Array:
    found = content.get(key)
    if not isinstance(found, Array) or found.shape != shape:
        have = f"of shape {list(found.shape)}" if isinstance(found, Array) else "missing"
        raise UnusableFile(f"its `{key}` is {have}, wanted {list(shape)}", code="PD447")
    return found


def _precedes(sender: str, receiver: str, parallel: bool) -> bool:
    """Whether there is an edge between two nodes of a model of this kind."""
    (a, b, *_), (c, d, *_) = order_of(sender), order_of(receiver)
    return a < c or (a == c and b == 0 and d == 1 and not parallel and kind_of(receiver) is MLP)


# -------------------------------------------------------------------------------------------------
# Writing
# -------------------------------------------------------------------------------------------------


def text_form(circuit: Circuit) -> bytes:
    """The JSON of a circuit of edges: every edge that it has, with its score and its mark."""
    assert circuit.edges is not None
    facts = circuit.model
    cfg = {
        "n_layers": facts.n_layers,
        "n_heads": facts.n_heads,
        "parallel_attn_mlp": facts.parallel,
        "d_model": facts.d_model,
    }
    content = {
        "cfg": {key: value for key, value in cfg.items() if value is not None},
        "nodes": {
            name: {"in_graph": True if kind_of(name) not in (HEAD, MLP) else bool(entry.kept)}
            for name, entry in sorted(circuit.nodes.items(), key=lambda one: order_of(one[0]))
        },
        "edges": {
            edge_text(edge): {"score": entry.score, "in_graph": bool(entry.kept)}
            for edge, entry in circuit.edges.items()
        },
    }
    return (json.dumps(content, separators=(",", ":")) + "\n").encode()


def tensor_form(circuit: Circuit) -> dict[str, object]:
    """What `Graph.from_pt` loads; arrays are for the writer of tensors."""
    assert circuit.edges is not None
    facts = circuit.model
    names = sorted((n for n in circuit.nodes if n != LOGITS.name), key=order_of)
    layers, heads = facts.n_layers or 0, facts.n_heads or 0
    receivers = []
    for layer in range(layers):
        receivers += [f"a{layer}.h{h}<{slot}>" for slot in "qkv" for h in range(heads)]
        receivers.append(f"m{layer}")
    receivers.append(LOGITS.name)
    row, column = ({name: i for i, name in enumerate(some)} for some in (names, receivers))
    n, width = len(names), len(receivers)
    scores, marks = [0.0] * (n * width), [False] * (n * width)
    for edge, entry in circuit.edges.items():
        slot = f"<{edge.slot}>" if edge.slot else ""
        cell = row[edge.sender] * width + column[edge.receiver + slot]
        scores[cell], marks[cell] = entry.score or 0.0, bool(entry.kept)
    kept = [bool(circuit.nodes[name].kept) for name in names]
    return {
        "cfg": {
            "n_layers": layers, "n_heads": heads, "parallel_attn_mlp": bool(facts.parallel),
            "d_model": facts.d_model,
        },
        "src_nodes": names, "dst_nodes": receivers,
        "edges_scores": Array(shape=(n, width), values=scores, truth=False),
        "edges_in_graph": Array(shape=(n, width), values=marks, truth=True),
        "nodes_in_graph": Array(shape=(n,), values=kept, truth=True),
    }  # fmt: skip
