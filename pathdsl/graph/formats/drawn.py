"""Drawings as circuits: node-link JSON of networkx, GraphML, DOT and Mermaid.

A drawing has nodes by name and arrows, whose labels, or `slots`, are the inputs of a head; without
one all three are meant. Everything that is drawn is kept. What is only looks (colours, ranks,
shapes, directions) is no part of it. DOT and Mermaid are read as far as such a drawing goes, with
one statement a line or behind `;`, and what else stands there is refused with its line.

    digraph "P" { "a0.h1" -> "a1.h2" [label = "q,k"]; }
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from xml.etree import ElementTree

from pathdsl.graph.formats.circuit import (
    SLOTS,
    Circuit,
    Edge,
    Entry,
    Lost,
    UnusableFile,
    kind_of,
    model_of_names,
    order_of,
)
from pathdsl.graph.formats.names import node_of
from pathdsl.graph.model.components import HEAD, MLP

__all__ = [
    "dot_form", "graphml_form", "is_dot", "is_graphml", "is_mermaid", "is_node_link",
    "mermaid_form", "node_link_form", "read_dot", "read_graphml", "read_mermaid", "read_node_link",
]  # fmt: skip

Drawn = list[tuple[str, str, str, float | None]]
"""Arrows as (sender, receiver, slots as they are written, weight)."""
_LOOKS = {"kind", "layer", "group", "id", "name", "shape", "label", "color", "colour", "style",
          "fillcolor", "pos"}  # fmt: skip


def _circuit(
    name: str, nodes: Mapping[str, str], arrows: Drawn, extra: Counter[str], partly: bool
) -> Circuit:
    """A circuit of what is drawn; `nodes` are what identifiers stand for."""
    spelled: dict[str, str] = {}
    for ident, label in nodes.items():
        found = node_of(label) or node_of(ident)
        if found is None:
            hint = (
                "what is left of an MLP beside its neurons" if label.startswith("rest of") else ""
            )
            raise UnusableFile(
                f"`{label[:60]}` is no node of a model" + (f": {hint}" if hint else ""),
                advice="nodes are called `a9.h6`, `m3`, `m3.n17`, `input` and `logits`",
            )
        if found in spelled.values():
            raise UnusableFile(f"two nodes are `{found}`", code="PD443")
        spelled[ident] = found
    edges: dict[Edge, Entry] = {}
    for sender, receiver, label, weight in arrows:
        u, v = spelled[sender], spelled[receiver]
        slots = [one for one in re.split(r"[,\s]+", label.lower().strip("<>")) if one]
        head = kind_of(v) is HEAD
        if any(one not in SLOTS for one in slots) or (slots and not head):
            raise UnusableFile(f"the arrow from `{u}` to `{v}` is into `{label[:40]}`, wanted "
                               + ("`q`, `k` or `v`" if head else "no input"))  # fmt: skip
        for slot in slots or (SLOTS if head else ("",)):
            edges[Edge(u, v, slot)] = Entry(kept=True, score=weight)
    lost = [
        Lost(what=what, why="no part of a circuit", count=n) for what, n in sorted(extra.items())
    ]
    if partly:
        why = "the drawn set is not all paths over its arrows: it has positions, or names paths"
        lost.append(Lost(what="which paths", why=why, changes=True))
    ends = {name for edge in edges for name in edge[:2]}
    if lonely := sorted(set(spelled.values()) - ends, key=order_of):
        lost.append(Lost(what="nodes without an arrow", why="on no path", count=len(lonely)))
    return Circuit(
        format=name, model=model_of_names(spelled.values()), edges=edges, nodes={}, ranks="edges",
        masks={}, scores="a weight of the drawing", nan_first=False, cut=False, lost=tuple(lost),
        remarks=(), places={},
    )  # fmt: skip


def _weight(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


# ------------------------------------------------------------------------------- node-link JSON


def is_node_link(content: object) -> bool:
    """Whether it is a graph of networkx: lists `nodes`, and `edges` or `links`, with ends."""
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), list):
        return False
    return "directed" in content and any(
        isinstance(content.get(key), list) for key in ("edges", "links")
    )


def read_node_link(content: object) -> Circuit:
    """What `pathdsl graph --format json` and `networkx.node_link_data` write."""
    assert isinstance(content, dict)
    if content.get("directed") is not True:
        raise UnusableFile("its graph is not directed")
    about = content.get("graph") if isinstance(content.get("graph"), dict) else {}
    assert isinstance(about, dict)
    nodes: dict[str, str] = {}
    extra: Counter[str] = Counter()
    for place, one in enumerate(content["nodes"], 1):
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            raise UnusableFile(f"node {place} has no `id` that is a text")
        if one["id"] in nodes:
            raise UnusableFile(f"two nodes have the id `{one['id'][:60]}`", code="PD443")
        nodes[one["id"]] = one["id"]
        for key in set(one) - _LOOKS:
            extra[f"`{key[:40]}` of nodes"] += 1
        extra["groups of nodes"] += bool(one.get("group"))
    arrows: Drawn = []
    listed = content.get("edges", content.get("links"))
    if not isinstance(listed, list):
        raise UnusableFile("its `edges` are no list")
    for place, one in enumerate(listed, 1):
        ends = [one.get(k) if isinstance(one, dict) else None for k in ("source", "target")]
        if any(not isinstance(end, str) or end not in nodes for end in ends):
            raise UnusableFile(f"edge {place} has no `source` and `target` among the nodes")
        slots = one.get("slots", [])
        if not isinstance(slots, list) or not all(isinstance(s, str) for s in slots):
            raise UnusableFile(f"edge {place} has `slots` that are no list of texts")
        arrows.append((str(ends[0]), str(ends[1]), ",".join(slots), _weight(one.get("weight"))))
        for key in set(one) - {"source", "target", "slots", "weight", "key"}:
            extra[f"`{key[:40]}` of edges"] += 1
    return _circuit("node-link", nodes, arrows, +extra, about.get("all_paths") is False)


def node_link_form(circuit: Circuit) -> bytes:
    """The same, for `networkx.node_link_graph(…, edges="edges")`."""
    found = {
        "directed": True, "multigraph": False,
        "graph": {"circuit": circuit.model.name, "all_paths": True},
        "nodes": [{**_about(name), "id": name} for name in _nodes(circuit)],
        "edges": [
            {"slots": [s for s in slots if s], "source": u, "target": v}
            for (u, v), slots in _arrows(circuit).items()
        ],
    }  # fmt: skip
    return (json.dumps(found, indent=2) + "\n").encode()


def _about(name: str) -> dict[str, object]:
    kind = kind_of(name)
    layer, *_ = order_of(name)
    return {
        "kind": kind.name if kind else "", "layer": int(layer) if kind in (HEAD, MLP) else -1
    }  # fmt: skip


def _nodes(circuit: Circuit) -> list[str]:
    ends = {name for pair in _arrows(circuit) for name in pair}
    return sorted(ends, key=order_of)


def _arrows(circuit: Circuit) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for edge, entry in (circuit.edges or {}).items():
        if entry.kept:
            found.setdefault(edge[:2], []).append(edge.slot)
    return found


def _label(slots: Iterable[str]) -> str:
    return ",".join(slot for slot in slots if slot)


# ------------------------------------------------------------------------------- GraphML


def is_graphml(text: str) -> bool:
    """Whether it is XML whose root is `graphml`."""
    return bool(re.match(r"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?graphml\b", text,
                         re.DOTALL))  # fmt: skip


def read_graphml(text: str) -> Circuit:
    """What `networkx.write_graphml` writes; entities of one's own are refused."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UnusableFile("it declares a document type, whose entities could be without end")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, RecursionError, ValueError) as error:
        raise UnusableFile(f"it is no XML: {error}") from None
    names = {one.get("id"): one.get("attr.name", "") for one in root.iter() if _tag(one) == "key"}
    graphs = [one for one in root if _tag(one) == "graph"]
    if len(graphs) != 1:
        raise UnusableFile(f"it has {len(graphs)} graphs, wanted one")
    if graphs[0].get("edgedefault") != "directed":
        raise UnusableFile("its graph is not directed")
    nodes: dict[str, str] = {}
    arrows: Drawn = []
    extra: Counter[str] = Counter()
    partly = False
    for one in graphs[0]:
        data = {names.get(d.get("key"), ""): d.text or "" for d in one if _tag(d) == "data"}
        if _tag(one) == "data":
            partly |= names.get(one.get("key")) == "all_paths" and one.text in ("false", "False")
        elif _tag(one) == "node":
            ident = one.get("id", "")
            if ident in nodes:
                raise UnusableFile(f"two nodes have the id `{ident[:60]}`", code="PD443")
            nodes[ident] = ident if node_of(ident) else data.get("label", data.get("name", ident))
            extra.update(f"`{key[:40]}` of nodes" for key in set(data) - _LOOKS)
            extra["groups of nodes"] += bool(data.get("group"))
        elif _tag(one) == "edge":
            ends = one.get("source", ""), one.get("target", "")
            slots = data.get("slots", data.get("label", ""))
            arrows.append((*ends, slots, _weight(data.get("weight"))))
            extra.update(
                f"`{key[:40]}` of edges" for key in set(data) - {"slots", "label", "weight"}
            )
        else:
            raise UnusableFile(f"its graph has a `{_tag(one)[:40]}`, wanted nodes and edges")
    for u, v, *_ in arrows:
        if u not in nodes or v not in nodes:
            raise UnusableFile(f"an edge leads from `{u[:40]}` to `{v[:40]}`, and one is no node")
    return _circuit("graphml", nodes, arrows, +extra, partly)


def _tag(one: ElementTree.Element) -> str:
    return str(one.tag).rpartition("}")[2]


def graphml_form(circuit: Circuit) -> bytes:
    """GraphML for `networkx.read_graphml`: `kind` and `layer` of nodes, `slots` of edges."""
    keys = (("kind", "node", "string"), ("layer", "node", "int"), ("slots", "edge", "string"))
    lines = [
        "<?xml version='1.0' encoding='utf-8'?>",
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
        *(f'  <key id="{n}" for="{of}" attr.name="{n}" attr.type="{t}"/>' for n, of, t in keys),
        '  <graph edgedefault="directed">',
    ]
    for name in _nodes(circuit):
        data = "".join(f'<data key="{k}">{v}</data>' for k, v in _about(name).items())
        lines.append(f'    <node id="{html.escape(name)}">{data}</node>')
    for (u, v), slots in _arrows(circuit).items():
        data = f'<data key="slots">{_label(slots)}</data>' if any(slots) else ""
        lines.append(f'    <edge source="{u}" target="{v}">{data}</edge>')
    return ("\n".join([*lines, "  </graph>", "</graphml>"]) + "\n").encode()


# ------------------------------------------------------------------------------- DOT

_DOT = re.compile(
    r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[A-Za-z_][A-Za-z0-9_]*|-?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?))'
    r"|(?P<mark>->|--|[{}\[\]=;,:<])|(?P<blank>\s+|//[^\n]*|/\*.*?\*/|\#[^\n]*)|(?P<other>.)",
    re.DOTALL,
)
_MOST_LEVELS = 50


def is_dot(text: str) -> bool:
    """Whether it begins as a graph of Graphviz does."""
    bare = re.sub(r"^(?:\s+|//[^\n]*|/\*.*?\*/|#[^\n]*)*", "", text[:100_000], flags=re.DOTALL)
    return bool(re.match(r'(?:strict\s+)?(?:di)?graph\b\s*(?:"[^"]*"|\w+)?\s*\{', bare, re.I))


def read_dot(text: str) -> Circuit:
    """The arrows of a digraph of Graphviz, subgraphs taken for looks."""
    tokens = [
        (found.lastgroup, found.group(found.lastgroup or 0), found.start())
        for found in _DOT.finditer(text)
        if found.lastgroup != "blank"
    ]
    return _Dot(text, tokens).circuit()


class _Dot:
    """One pass over the tokens of a graph."""

    def __init__(self, text: str, tokens: list[tuple[str | None, str, int]]) -> None:
        self.text, self.tokens, self.next = text, tokens, 0
        self.nodes: dict[str, str] = {}
        self.arrows: Drawn = []
        self.extra: Counter[str] = Counter()

    def circuit(self) -> Circuit:
        if self.look().lower() == "strict":
            self.take()
        if self.take().lower() != "digraph":
            raise self.fault("a graph without directions; wanted a digraph")
        if self.look() != "{":
            self.take()
        self.body()
        if self.next < len(self.tokens):
            raise self.fault("more text behind the graph")
        return _circuit("dot", self.nodes, self.arrows, +self.extra, False)

    def look(self) -> str:
        return self.tokens[self.next][1] if self.next < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        if self.next >= len(self.tokens) or (wanted and self.look() != wanted):
            raise self.fault(f"`{wanted}` is missing" if wanted else "the text ends too early")
        self.next += 1
        return self.tokens[self.next - 1][1]

    def fault(self, why: str) -> UnusableFile:
        place = self.tokens[self.next][2] if self.next < len(self.tokens) else len(self.text)
        return UnusableFile(f"line {self.text.count(chr(10), 0, place) + 1}: {why}")

    def name(self) -> str:
        if self.next >= len(self.tokens) or self.tokens[self.next][0] not in ("quoted", "word"):
            raise self.fault("wanted the name of a node")
        kind, text, _ = self.tokens[self.next]
        self.next += 1
        return re.sub(r"\\(.)", r"\1", text) if kind == "quoted" else text

    def body(self) -> None:
        depth = 0
        while True:
            if self.look() == "{":
                self.take()
                depth += 1
                if depth > _MOST_LEVELS:
                    raise self.fault("too many graphs inside one another")
            elif self.look() == "}":
                self.take()
                depth -= 1
                if not depth:
                    return
                if self.look() in ("->", "--"):
                    raise self.fault("an arrow from a whole graph")
            elif self.look() in (";", ","):
                self.take()
            elif self.look().lower() == "subgraph":
                self.take()
                if self.look() != "{":
                    self.name()
            else:
                self.statement()

    def statement(self) -> None:
        chain = [self.name()]
        if self.look() == "=":  # `rankdir = BT`
            self.take()
            self.name()
            return
        if chain[0].lower() in ("node", "edge", "graph") and self.look() == "[":
            self.attributes()
            return
        while self.look() in ("->", "--"):
            if self.take() == "--":
                raise self.fault("a line without a direction")
            if self.look() == "{":
                raise self.fault("an arrow into a whole graph")
            chain.append(self.name())
        told = self.attributes() if self.look() == "[" else {}
        for name in chain:
            self.nodes.setdefault(name, name)
        if len(chain) == 1:
            label = told.get("label", "")
            first = re.split(r"\\n|\n", label)[0]
            if not node_of(chain[0]) and first and first != "\\N":
                self.nodes[chain[0]] = first
            self.extra.update(f"`{key[:40]}` of nodes" for key in set(told) - _LOOKS)
        for u, v in pairwise(chain):
            self.arrows.append((u, v, told.get("label", ""), _weight(told.get("weight"))))

    def attributes(self) -> dict[str, str]:
        found = {}
        while self.look() == "[":
            self.take()
            while self.look() != "]":
                key = self.name()
                self.take("=")
                if self.look() == "<":
                    raise self.fault("a label of HTML")
                kind, text, _ = self.tokens[min(self.next, len(self.tokens) - 1)]
                self.name()
                found[key.lower()] = text.replace('\\"', '"') if kind == "quoted" else text
                if self.look() in (",", ";"):
                    self.take()
            self.take("]")
        return found


def dot_form(circuit: Circuit) -> bytes:
    """A digraph of Graphviz, layers from bottom to top."""
    lines = ["digraph circuit {", "  rankdir = BT;", "  node [shape = box];"]
    lines += [f'  "{name}";' for name in _nodes(circuit)]
    for (u, v), slots in _arrows(circuit).items():
        label = f' [label = "{_label(slots)}"]' if any(slots) else ""
        lines.append(f'  "{u}" -> "{v}"{label};')
    return ("\n".join([*lines, "}"]) + "\n").encode()


# ------------------------------------------------------------------------------- Mermaid

_END = r"""(?P<{0}>[\w.]+)(?:\s*[\[({{>]+"?(?P<{0}_label>[^\]"){{}}>]*)"?[\])}}]+)?(?::::\w+)?"""
_ARROW = re.compile(
    r"\s*" + _END.format("u")
    + r"(?:\s*(?:-->|==>|-\.->)\s*(?:\|\s*\"?(?P<slots>[^|\"]*)\"?\s*\|)?\s*" + _END.format("v")
    + r")?\s*",
)  # fmt: skip
_LOOK = re.compile(r"\s*(?:%%.*|style\b.*|classDef\b.*|class\b.*|linkStyle\b.*|end|subgraph\b.*"
                   r"|direction\b.*|)\s*")  # fmt: skip
_HEAD = re.compile(r"\s*(?:flowchart|graph)(?:[ \t]+(?:TB|TD|BT|RL|LR))?[ \t]*", re.I)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    front = text.lstrip().startswith("---")  # a title and settings, between two such lines
    marks = 0
    for place, line in enumerate(text.splitlines(), 1):
        if front and marks < 2:
            marks += line.strip() == "---"
            continue
        for part in line.split(";"):
            yield place, part


def is_mermaid(text: str) -> bool:
    """Whether it begins as a flowchart of Mermaid does."""
    for _, line in _lines(text[:100_000]):
        if line.strip() and not line.strip().startswith("%%"):
            return bool(_HEAD.fullmatch(line))
    return False


def read_mermaid(text: str) -> Circuit:
    """The arrows of a flowchart."""
    nodes: dict[str, str] = {}
    arrows: Drawn = []
    begun = False
    for place, line in _lines(text):
        if _LOOK.fullmatch(line) or (not begun and _HEAD.fullmatch(line)):
            begun |= bool(_HEAD.fullmatch(line))
            continue
        found = _ARROW.fullmatch(line) if len(line) < 2_000 else None
        if found is None:
            raise UnusableFile(
                f'line {place}: wanted `a["a0.h1"] -->|q| b["a1.h2"]`, one arrow a line'
            )
        for end in "uv":
            if found[end]:
                label = found[f"{end}_label"]
                if label is not None or found[end] not in nodes:
                    nodes[found[end]] = (label or found[end]).strip()
        if found["v"]:
            arrows.append((found["u"], found["v"], found["slots"] or "", None))
    return _circuit("mermaid", nodes, arrows, Counter(), False)


def mermaid_form(circuit: Circuit) -> bytes:
    """A flowchart, layers from bottom to top."""
    names = {name: f"n{i}" for i, name in enumerate(_nodes(circuit))}
    lines = ["flowchart BT", *(f'  {ident}["{name}"]' for name, ident in names.items())]
    for (u, v), slots in _arrows(circuit).items():
        label = f"|{_label(slots)}|" if any(slots) else ""
        lines.append(f"  {names[u]} -->{label} {names[v]}")
    return ("\n".join(lines) + "\n").encode()
