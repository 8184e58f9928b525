"""Circuits in the JSON format of EAP-IG and MIB, read as a set of listed edges or of nodes.

Other formats that are text are read by `pathdsl.graph.formats` and then said in the same words.

A file holds ``{"cfg": {…}, "nodes": {…}, "edges": {"a5.h5->a8.h6<v>": {"score", "in_graph"}}}``.
Without `top`, its edges are those with ``in_graph`` true; with `top`, the n edges of largest
absolute score. A file without `edges` is a circuit of nodes and says the same of them: its circuit
has all edges among the nodes. What the file says is what is judged, or it is refused:

- a `top` that cuts through equal scores (PD229), or that asks for more than have a score. No score
  are null and NaN, and -Infinity, which MAttr writes for "no edge";
- an edge in the graph, on a complete path, between nodes of which the file says that they are not
  (PD228). EAP-IG writes such edges before it prunes, but on no complete path;
- a node that keeps a part of its output, `neurons` (PD226): entries of the d_model vector that it
  writes, which are no nodes of the language and no neurons of an MLP.

The format has no positions. A `.pt` file is a pickle, which can run code, and is not read here.

Source: `Graph.to_json` of EAP-IG (Hanna et al. 2024) and the MIB benchmark (2025).

    read_edges_file(Path("ioi-eap-ig.json"), layout, top=200)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pathdsl.graph.formats.circuit import Circuit, Entry, UnusableFile, edge_text, refuse_model
from pathdsl.graph.formats.content import content_of
from pathdsl.graph.formats.eap import is_json
from pathdsl.graph.formats.records import FORMATS, read_content
from pathdsl.graph.model.components import Layout, bits
from pathdsl.graph.paths.pathset import Listed, ListedEdge, Nodes
from pathdsl.lang.signatures.kinds import count_of
from pathdsl.limits import EDGE_FILE_BYTES
from pathdsl.reading import read_file

__all__ = [
    "MAX_BYTES",
    "CircuitFile",
    "UnusableFile",
    "edge_name",
    "listed",
    "parse_edge",
    "read_circuit",
    "read_edges_file",
    "read_nodes_file",
    "refuse_masks",
    "refuse_part",
    "score_of",
    "tie_fault",
    "unused_edges",
]

MAX_BYTES = EDGE_FILE_BYTES.most
SHOWN = 5
_RECEIVER = re.compile(r"([^<>]+)<([qkv])>")

Edge = tuple[int, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitFile:
    """What a circuit file says of each edge and node of a model, by their names in the file.

    `edges` is None for a circuit of nodes. `edge` and `node` are what the names stand for.
    """

    edges: Mapping[str, Mapping[str, object]] | None
    nodes: Mapping[str, Mapping[str, object]]
    edge: Mapping[str, Edge]
    node: Mapping[str, int]


def read_edges_file(
    path: Path, layout: Layout, top: int | float | None = None, *, signed: bool = False
) -> Listed | Nodes:
    """The edges of a circuit file, in the order of the graph; of a circuit of nodes, its nodes.

    `top` is how many are chosen by score, an int, or which part of those of the model, a float
    (rounded down); `signed` takes the largest scores, else the largest absolute ones. Raises
    OSError and UnusableFile as `read_circuit`, and UnusableFile where `top` does not fit or parts
    of the file contradict one another.
    """
    file = read_circuit(path, layout)
    entries, what = (file.nodes, "node") if file.edges is None else (file.edges, "edge")
    if top is None:
        chosen = _in_graph(entries, what)
    else:
        total = _n_nodes(layout) if file.edges is None else layout.n_edges()
        chosen = _largest(entries, _number_of(top, total, what), what, signed=signed)
    if file.edges is None:
        return _circuit_of_nodes(file, chosen, layout, selected=top is not None)
    edges = sorted(file.edge[name] for name in chosen)
    circuit = listed(edges, layout)
    refuse_masks(file, {u for u, _, _ in edges} if top is None else None)
    if top is None:
        _refuse_contradiction(file, edges, circuit, layout)
    return circuit


def read_nodes_file(
    path: Path, layout: Layout, top: int | float | None = None, *, signed: bool = False
) -> Nodes:
    """The heads and MLPs that a circuit file says of its nodes, whether it has edges or not.

    Those marked ``in_graph``, or as many as `top` by their own scores, as `read_edges_file` takes
    them; `input` and `logits` are never among them. Raises as `read_edges_file`.
    """
    file = read_circuit(path, layout)
    entries = {
        name: entry for name, entry in file.nodes.items() if layout.any_mask >> file.node[name] & 1
    }
    if not entries:
        raise UnusableFile(
            "its `nodes` name no head and no MLP",
            advice="`edges(…)` reads a file that ranks edges alone",
        )
    if top is None:
        chosen = _in_graph(entries, "node")
        if not chosen:
            raise UnusableFile(
                "it marks no node as `in_graph`", advice="choose by score: `top: 10`"
            )
    else:
        count = _number_of(top, _n_nodes(layout), "node")
        chosen = _largest(entries, count, "node", signed=signed)
    members = {file.node[name] for name in chosen}
    refuse_masks(file, members)
    return Nodes(mask=sum(1 << node for node in members), named=True)


def read_circuit(path: Path, layout: Layout) -> CircuitFile:
    """What a circuit file says, every name looked up in the model.

    Raises OSError where the file cannot be read and UnusableFile where it is too large, no JSON of
    this format, made for another model, or names edges or nodes that this model does not have.
    """
    if path.suffix.lower() in (".pt", ".pth", ".pkl", ".pickle"):
        raise UnusableFile("only the JSON form is read; a pickle could run code")
    data = read_file(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnusableFile(f"the file has more than the {MAX_BYTES:,} bytes that are read at most")
    content = content_of(data)
    if not is_json(content) and any(one.known(content) for one in FORMATS):
        return _of_another(read_content(content), layout)
    if not isinstance(content, dict):
        raise UnusableFile("a circuit file is an object with an object `edges` or `nodes`")
    if content.get("pathdsl") == "scores":
        raise UnusableFile(
            "it keeps scores prompt by prompt, and is no circuit file",
            advice="`stability(edges(…), size: 5%)` reads it; `pathdsl export FILE.circuit --to "
            "eap-ig -o FOLDER` makes a circuit file of `FILE.scores.json`",
        )
    _check_config(content.get("cfg"), layout)
    for key in content:  # what to_json never writes there, and its description once promised
        if key not in ("nodes", "edges") and key.startswith(("neuron", "node", "edge")):
            raise UnusableFile(f"its `{key[:40]}` is no part of the format, and nothing reads it")
    nodes = _entries(content, "nodes", "node")
    if "edges" not in content and not nodes:
        raise UnusableFile("it has no object `edges`, and no object `nodes` that names a node")
    edges = _entries(content, "edges", "edge") if "edges" in content else None
    return CircuitFile(
        edges=edges,
        nodes=nodes,
        edge=_looked_up(edges or {}, lambda name: parse_edge(name, layout), "edge"),
        node=_looked_up(nodes, layout.named.get, "node"),
    )


def _of_another(circuit: Circuit, layout: Layout) -> CircuitFile:
    """The circuit of another format, which has neither positions nor neurons.

    Raises UnusableFile, PD446 for what only `pathdsl import` can say.
    """
    refuse_model(circuit.model, layout.shape)
    edges = circuit.edges
    placed = bool(circuit.places) or any(edge.at is not None for edge in edges or ())
    parts = [str(one) for one in circuit.lost if one.changes]
    parts += ["its nodes stand at single tokens"] if placed else []
    if parts:
        raise UnusableFile(
            f"it says more than a list of edges: {'; '.join(parts)}",
            code="PD446",
            advice="`pathdsl import` writes a `.circuit` file of it",
        )
    named_edges = (
        {edge_text(e): _said(one) for e, one in edges.items()} if edges is not None else None
    )
    nodes = {name: _said(one) for name, one in circuit.nodes.items()}
    return CircuitFile(
        edges=named_edges,
        nodes=nodes,
        edge=_looked_up(named_edges or {}, lambda name: parse_edge(name, layout), "edge"),
        node=_looked_up(nodes, layout.named.get, "node"),
    )


def _said(entry: Entry) -> dict[str, object]:
    known = {"in_graph": entry.kept, "score": entry.score}
    return {key: value for key, value in known.items() if value is not None or key == "score"}


def parse_edge(name: str, layout: Layout) -> tuple[int, int, str] | None:
    """(sender, receiver, slot) of `a5.h5->a8.h6<v>`, slot "" for an MLP or `logits`.

    None for a name that is no edge of this model.
    """
    left, arrow, right = name.partition("->")
    slot = ""
    written = _RECEIVER.fullmatch(right)
    if written:
        right, slot = written[1], written[2]
    sender, receiver = layout.named.get(left), layout.named.get(right)
    if not arrow or sender is None or receiver is None:
        return None
    if not layout.senders_into(receiver, slot) >> sender & 1:
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


def _entries(content: Mapping[str, object], key: str, what: str) -> dict[str, Mapping[str, object]]:
    """The object `edges` or `nodes`; a bare truth value stands for `in_graph`."""
    objects = content.get(key, {} if key == "nodes" else None)
    if not isinstance(objects, dict):
        raise UnusableFile(f"a circuit file has an object `{key}`")
    entries: dict[str, Mapping[str, object]] = {}
    for name, entry in objects.items():
        if isinstance(entry, bool):
            entry = {"in_graph": entry}
        if not isinstance(entry, dict):
            raise UnusableFile(f"{what} `{name[:60]}` is no object with `in_graph` or `score`")
        entries[name] = entry
    return entries


T = TypeVar("T")


def _looked_up(entries: Iterable[str], look: Callable[[str], T | None], what: str) -> dict[str, T]:
    looked_up = {name: look(name) for name in entries}
    unknown = [name for name, one in looked_up.items() if one is None]
    if unknown:
        raise UnusableFile(f"this model has no {what} {_names(unknown)}")
    return {name: one for name, one in looked_up.items() if one is not None}


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"`{name[:60]}`" for name in names[:SHOWN]) + more


def _check_config(cfg: object, layout: Layout) -> None:
    if not isinstance(cfg, Mapping):
        raise UnusableFile("a circuit file says which model it is for in an object `cfg`")
    shape = layout.shape
    fields = {
        "n_layers": shape.n_layers,
        "n_heads": shape.n_heads,
        "parallel_attn_mlp": shape.parallel,
        "d_model": shape.d_model,
    }
    for key, expected in fields.items():
        written = cfg.get(key, expected if key not in ("n_layers", "n_heads") else None)
        if written != expected or isinstance(written, bool) is not isinstance(expected, bool):
            raise UnusableFile(
                f"its `{key}` is {json.dumps(written, default=str)[:60]} and this model's is "
                f"{json.dumps(expected)}"
            )


# -------------------------------------------------------------------------------------------------
# Which edges or nodes
# -------------------------------------------------------------------------------------------------


def _flag(entry: Mapping[str, object], name: str, what: str) -> bool:
    flag = entry.get("in_graph")
    if not isinstance(flag, bool):
        raise UnusableFile(f"{what} `{name}` has no `in_graph` of true or false")
    return flag


def _in_graph(entries: Mapping[str, Mapping[str, object]], what: str) -> list[str]:
    return [name for name, entry in entries.items() if _flag(entry, name, what)]


def score_of(entry: Mapping[str, object], name: str, what: str = "edge") -> float | None:
    """The score of an edge or node; None where there is none (null, NaN, or -Infinity).

    Raises UnusableFile for a `score` that is no number, or Infinity.
    """
    score = entry.get("score", None if what == "node" else "")
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise UnusableFile(f"{what} `{name}` has no number as its `score`")
    if math.isnan(score) or score == -math.inf:
        return None
    if score == math.inf:
        raise UnusableFile(f"{what} `{name}` has the score Infinity, which says no order")
    return score


def _n_nodes(layout: Layout) -> int:
    """The heads and MLPs of a model."""
    return layout.any_mask.bit_count()


def _number_of(top: int | float, total: int, what: str) -> int:
    """How many `top` asks for, of `total` that the model has."""
    count = count_of(top, total)
    if count < 1 and isinstance(top, float):
        raise UnusableFile(f"{100 * top:g}% of the model's {total:,} {what}s is none")
    return count


def _largest(
    entries: Mapping[str, Mapping[str, object]], top: int, what: str, *, signed: bool
) -> list[str]:
    """The `top` entries of largest score, or absolute score if not `signed`."""
    if top < 1:
        raise UnusableFile(f"`top: {top}` keeps no {what}")
    read = {name: score_of(entry, name, what) for name, entry in entries.items()}
    scores = {
        n: s if signed else abs(s) for n, s in read.items() if s is not None and n != "logits"
    }
    if top > len(scores):
        raise UnusableFile(
            f"`top: {top}` asks for more than the {len(scores):,} {what}s that have a score"
        )
    order = sorted(scores, key=lambda name: -scores[name])
    if top < len(order) and scores[order[top]] == (cut := scores[order[top - 1]]):
        raise tie_fault(scores, cut, top, what, signed=signed, option="top:")
    return order[:top]


def tie_fault(
    scores: Mapping[T, float],
    cut: float,
    top: int,
    what: str,
    *,
    signed: bool,
    option: str,
    before: int = 0,
) -> UnusableFile:
    """PD229: the first `top` end among scores of one value, `cut`.

    `option` is how a number is asked for, and `before` how many stand before all scores.
    """
    above = sum(score > cut for score in scores.values())
    through = sum(score >= cut for score in scores.values())
    whole = [f"`{option} {n + before}`" for n in (above, through) if n]
    return UnusableFile(
        f"`{option} {top + before}` takes {top - above} of {through - above} {what}s with the same "
        f"{'' if signed else 'absolute '}score {cut:.6g}, and it does not say which",
        code="PD229",
        advice=f"{' or '.join(whole)}, which cuts between different scores",
    )


def _circuit_of_nodes(
    file: CircuitFile, chosen: Sequence[str], layout: Layout, *, selected: bool
) -> Nodes:
    """The heads and MLPs of a circuit that has all edges among its nodes.

    `selected`: they were chosen by score. EAP-IG keeps nodes without one, and here `input` is kept.
    """
    names = set(chosen)
    if selected:
        bare = {n for n, entry in file.nodes.items() if score_of(entry, n, "node") is None}
        lost = [n for n in sorted(bare - {"input", "logits"}) if not _is_none(file.nodes[n])]
        if lost:
            raise UnusableFile(f"these nodes have no score and so no rank: {_names(lost)}")
        names |= bare & {"input"}
    if "input" in file.nodes and "input" not in names:
        raise UnusableFile("`input` is not among its nodes, and every path begins there")
    refuse_masks(file, {file.node[name] for name in names} | {0})
    mask = sum(1 << file.node[name] for name in names)
    return Nodes(mask=mask & layout.any_mask, named=True)


def _is_none(entry: Mapping[str, object]) -> bool:
    """Whether a score says that there is no such node: -Infinity."""
    return entry.get("score") == -math.inf


# -------------------------------------------------------------------------------------------------
# What else a file says
# -------------------------------------------------------------------------------------------------


def refuse_masks(file: CircuitFile, senders: set[int] | None) -> None:
    """Raise PD226 where one of these nodes, or any if None, writes a part of its output only."""
    for name, entry in file.nodes.items():
        kept = entry.get("neurons")
        if kept is None or (senders is not None and file.node[name] not in senders):
            continue
        if not isinstance(kept, list) or not all(isinstance(one, bool) for one in kept):
            raise UnusableFile(f"node `{name}` has `neurons` that are no list of true and false")
        refuse_part(name, kept)


def refuse_part(name: str, kept: Sequence[bool]) -> None:
    """Raise PD226 where a node keeps some entries of what it writes and not others."""
    if not all(kept):
        raise UnusableFile(
            f"node `{name}` keeps {sum(kept)} of the {len(kept)} entries of its output "
            "(`neurons`), and a head or MLP is in a circuit as a whole",
            code="PD226",
            advice="export the circuit at the level of edges or nodes, without `neurons`",
        )


def _refuse_contradiction(
    file: CircuitFile, edges: Sequence[Edge], found: Listed, layout: Layout
) -> None:
    """Raise PD228 where a node is out of the graph and an edge of it is in, on a complete path."""
    out = {
        file.node[name]: name
        for name, entry in file.nodes.items()
        if "in_graph" in entry and not _flag(entry, name, "node")
    }
    if not any(u in out or v in out for u, v, _ in edges):
        return
    unused = set(unused_edges(found, layout))
    used = [e for e in edges if edge_name(*e, layout) not in unused]
    against = [e for e in used if e[0] in out or e[1] in out]
    if against:
        sides = {i for u, v, _ in against for i in (u, v) if i in out}
        names = [name for i, name in out.items() if i in sides]
        raise UnusableFile(
            f"not in its graph are the nodes {_names(names)}, and in it are {len(against)} edges "
            f"of theirs, first `{edge_name(*against[0], layout)}`",
            code="PD228",
            advice="write `in_graph` of nodes and edges alike, or leave `nodes` empty",
        )
