"""Circuits in the JSON format of EAP-IG and MIB, read as a set of listed edges.

A file holds ``{"cfg": {…}, "nodes": {…}, "edges": {"a5.h5->a8.h6<v>": {"score", "in_graph"}}}``.
Without `top`, its edges are those with ``in_graph`` true; with `top`, the n edges of largest
absolute score. Equal scores at the cut are taken in the order of their names, so that the same file
always gives the same circuit; edges without a score (NaN or null) come after all others.

The format has no positions. Only JSON is read: a `.pt` file is a pickle, which can run code.

Source: `Graph.to_json` of EAP-IG (Hanna et al. 2024) and the MIB benchmark (2025).

    read_edges_file(Path("ioi-eap-ig.json"), layout, top=200)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from pathdsl.graph.components import Component, Layout, bits
from pathdsl.graph.pathset import Listed, ListedEdge
from pathdsl.lang.source import only_regular
from pathdsl.limits import EDGE_FILE_BYTES

__all__ = [
    "MAX_BYTES",
    "listed",
    "parse_edge",
    "read_edges",
    "read_edges_file",
    "sorted_by_score",
    "unused_edges",
]

MAX_BYTES = EDGE_FILE_BYTES.most
SHOWN = 5
_HEAD = re.compile(r"a(0|[1-9][0-9]{0,5})\.h(0|[1-9][0-9]{0,5})")
_MLP = re.compile(r"m(0|[1-9][0-9]{0,5})")
_RECEIVER = re.compile(r"([^<>]+)<([qkv])>")


def read_edges_file(path: Path, layout: Layout, top: int | None = None) -> Listed:
    """The edges of a circuit file, in the order of the graph.

    Raises OSError and ValueError as `read_edges`, and ValueError where `top` does not fit.
    """
    edges, parsed = read_edges(path, layout)
    chosen = _largest(edges, top) if top is not None else _in_graph(edges)
    return listed(sorted(parsed[name] for name in chosen), layout)


def read_edges(
    path: Path, layout: Layout
) -> tuple[Mapping[str, object], Mapping[str, tuple[int, int, str]]]:
    """What a circuit file says of each edge, and the edge itself, both by the name in the file.

    Raises OSError where the file cannot be read and ValueError where it is too large, no JSON of
    this format, made for another model, or names edges that this model does not have.
    """
    if path.suffix.lower() in (".pt", ".pth", ".pkl", ".pickle"):
        raise ValueError("only the JSON form is read; a pickle could run code")
    only_regular(path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"the file has {size:,} bytes and at most {MAX_BYTES:,} are read")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply for a circuit file") from error
    if not isinstance(content, dict) or not isinstance(content.get("edges"), dict):
        raise ValueError("a circuit file is an object with an object `edges`")
    _check_config(content.get("cfg"), layout)
    edges: dict[str, object] = content["edges"]
    parsed = {name: parse_edge(name, layout) for name in edges}
    unknown = [name for name, edge in parsed.items() if edge is None]
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        names = ", ".join(f"`{name}`" for name in unknown[:SHOWN])
        raise ValueError(f"this model has no edge {names}{more}")
    return edges, {name: edge for name, edge in parsed.items() if edge is not None}


def parse_edge(name: str, layout: Layout) -> tuple[int, int, str] | None:
    """(sender, receiver, slot) of `a5.h5->a8.h6<v>`, slot "" for an MLP or `logits`.

    None for a name that is no edge of this model.
    """
    left, arrow, right = name.partition("->")
    slot = ""
    written = _RECEIVER.fullmatch(right)
    if written:
        right, slot = written[1], written[2]
    sender, receiver = _component(left, layout), _component(right, layout)
    if not arrow or sender is None or receiver is None:
        return None
    if not layout.senders_of[receiver] >> sender & 1:
        return None
    return (sender, receiver, slot) if (slot or None) in layout.slots_of(receiver) else None


def listed(edges: list[tuple[int, int, str]], layout: Layout) -> Listed:
    """Edges without positions as a listed set; heads and MLPs are its units."""
    grouped: dict[tuple[int, str], int] = {}
    for sender, receiver, slot in edges:
        grouped[receiver, slot] = grouped.get((receiver, slot), 0) | 1 << sender
    return Listed(
        edges=tuple(
            ListedEdge(
                senders=senders,
                sender_at=None,
                receiver=receiver,
                receiver_at=None,
                slot=slot or None,  # type: ignore[arg-type]
                named_senders=senders & layout.any_mask,
                named_receiver=bool(layout.any_mask >> receiver & 1),
            )
            for (receiver, slot), senders in grouped.items()
        )
    )


def unused_edges(listed: Listed, layout: Layout) -> tuple[str, ...]:
    """Names of the listed edges that lie on no complete path of the set, and so have no effect."""
    pairs = [(u, edge.receiver, edge.slot) for edge in listed.edges for u in bits(edge.senders)]
    fed = {0}
    for u, v, _ in sorted(pairs, key=lambda pair: pair[1]):
        if u in fed:
            fed.add(v)
    read = {layout.logits}
    for u, v, _ in sorted(pairs, key=lambda pair: -pair[0]):
        if v in read:
            read.add(u)
    return tuple(
        dict.fromkeys(
            edge_name(u, v, slot, layout) for u, v, slot in pairs if u not in fed or v not in read
        )
    )


def edge_name(sender: int, receiver: int, slot: str | None, layout: Layout) -> str:
    """`a5.h5->a8.h6<v>`, the spelling of EAP-IG."""
    tail = f"<{slot}>" if slot else ""
    return f"{layout.label(sender)}->{layout.label(receiver)}{tail}"


# -------------------------------------------------------------------------------------------------


def _component(name: str, layout: Layout) -> int | None:
    shape = layout.shape
    if name == "input":
        return 0
    if name == "logits":
        return layout.logits
    if head := _HEAD.fullmatch(name):
        component = Component(kind="head", layer=int(head[1]), head=int(head[2]))
        known = component.layer < shape.n_layers and component.head < shape.n_heads
    elif mlp := _MLP.fullmatch(name):
        component = Component(kind="mlp", layer=int(mlp[1]))
        known = shape.has_mlp and component.layer < shape.n_layers
    else:
        return None
    return layout.index(component) if known else None


def _check_config(cfg: object, layout: Layout) -> None:
    if not isinstance(cfg, Mapping):
        raise ValueError("a circuit file says which model it is for in an object `cfg`")
    shape = layout.shape
    wanted = {
        "n_layers": shape.n_layers,
        "n_heads": shape.n_heads,
        "parallel_attn_mlp": shape.parallel,
        "d_model": shape.d_model,
    }
    for key, expected in wanted.items():
        found = cfg.get(key, expected if key not in ("n_layers", "n_heads") else None)
        if found != expected:
            raise ValueError(
                f"its `{key}` is {json.dumps(found, default=str)} and this model's is "
                f"{json.dumps(expected)}"
            )


def _in_graph(edges: Mapping[str, object]) -> list[str]:
    chosen = []
    for name, value in edges.items():
        flag = value.get("in_graph") if isinstance(value, Mapping) else None
        if not isinstance(flag, bool):
            raise ValueError(f"edge `{name}` has no `in_graph` of true or false")
        if flag:
            chosen.append(name)
    return chosen


def _largest(edges: Mapping[str, object], top: int) -> list[str]:
    if top < 1:
        raise ValueError(f"`top: {top}` keeps no edge")
    if top > len(edges):
        raise ValueError(f"`top: {top}` asks for more than the {len(edges):,} edges of the file")

    return sorted_by_score(edges)[:top]


def sorted_by_score(edges: Mapping[str, object], *, signed: bool = False) -> list[str]:
    """The names of edges, the largest score first, or the largest absolute one unless `signed`.

    Equal scores are in the order of their names; edges without a score (NaN or null) come last.
    Raises ValueError for an edge whose `score` is no number.
    """

    def rank(name: str) -> tuple[float, str]:
        value = edges[name]
        score = value.get("score") if isinstance(value, Mapping) else None
        if score is None and isinstance(value, Mapping) and "score" in value:
            return math.inf, name
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise ValueError(f"edge `{name}` has no number as its `score`")
        if math.isnan(score):
            return math.inf, name
        return (-score if signed else -abs(score)), name

    return sorted(edges, key=rank)
