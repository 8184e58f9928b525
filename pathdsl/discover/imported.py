"""A circuit of another program as a `.circuit` file: what is kept of it, and the text.

What is kept are the marks of the file, or what its scores choose. Edges on no complete path have no
effect and are left out, by number. Where the edges are all those among their nodes, the file says
`within`; a few dozen lines are written out, and more stand in a circuit file beside.

    chosen = choose(circuit, layout, Cut(top=200, …))
    text, beside = imported(circuit, chosen, layout, Source(…))
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pathdsl.graph.files.eap import refuse_part, tie_fault
from pathdsl.graph.formats.circuit import (
    SLOTS,
    Circuit,
    Edge,
    Entry,
    Level,
    UnusableFile,
    edge_text,
    kind_of,
    listed_names,
    order_of,
    refuse_model,
)
from pathdsl.graph.formats.eap import text_form
from pathdsl.graph.model.components import HEAD, INPUT, LOGITS, MLP, NEURON, Layout, NodeKind, bits
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.signatures.kinds import count_of
from pathdsl.near import quoted

__all__ = [
    "Chosen",
    "Cut",
    "Draft",
    "choose",
    "counted",
    "draft_text",
    "edge_lines_of",
    "layout_for",
    "shape_of_file",
]  # fmt: skip

MOST_LINES = 60
"""Lines of an `edges { … }`; a circuit of more stands in a file beside."""
WIDTH = 98
HYPOTHESIS = "hypothesis"
Nan = Literal["first", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What is kept: `top` by score, a number or a share; from `threshold` on; else the marks.

    `signed`: the largest scores, not the largest absolute ones. `level`: what is ranked, None for
    what the file ranks. `nan`: where NaN stands, None where that must not matter.
    """

    top: int | float | None
    threshold: float | None
    signed: bool
    level: Level | None
    nan: Nan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is kept, edges or else nodes; `said` how it was chosen, `remarks` what to know of it."""

    edges: frozenset[Edge] | None
    nodes: frozenset[str]
    said: str
    remarks: tuple[str, ...]


def shape_of_file(circuit: Circuit) -> ModelShape:
    """The model that a file says, or the smallest that has its nodes, to read names by."""
    facts = circuit.model
    layers, heads = facts.n_layers or facts.least[0] or 1, facts.n_heads or facts.least[1] or 1
    return ModelShape(
        family="gpt2", n_layers=layers, n_heads=heads, d_model=facts.d_model or 1, d_head=1,
        d_mlp=1_000_000_000, d_vocab=1, n_positions=1_000_000, parallel=bool(facts.parallel),
    )  # fmt: skip


def layout_for(circuit: Circuit, shape: ModelShape) -> Layout:
    """The nodes of a model, with the neurons that the file names.

    Raises UnusableFile where the file is of another model, or names a node that this has not.
    """
    refuse_model(circuit.model, shape)
    names = {*circuit.nodes, *(n for e in circuit.edges or () for n in e[:2])}
    apart: dict[int, set[int]] = {}
    for name in names:
        if kind_of(name) is NEURON:
            layer, _, neuron = name[1:].partition(".n")
            if int(layer) < shape.n_layers and int(neuron) < shape.d_mlp:
                apart.setdefault(int(layer), set()).add(int(neuron))
    neurons = {layer: tuple((one,) for one in sorted(some)) for layer, some in apart.items()}
    layout = Layout(shape, neurons)
    if unknown := sorted(names - set(layout.named), key=order_of):
        raise UnusableFile(f"this model has no {listed_names(unknown)}",
                           advice="name the model of the file with `--model`")  # fmt: skip
    wrong = [edge_text(e) for e in circuit.edges or () if not _is_edge(e, layout)]
    if wrong:
        raise UnusableFile(f"this model has no edge {listed_names(wrong)}")
    return layout


def _is_edge(edge: Edge, layout: Layout) -> bool:
    sender, receiver = layout.named[edge.sender], layout.named[edge.receiver]
    read = layout.senders_into(receiver, edge.slot) >> sender & 1
    return bool(read) and (edge.slot or None) in layout.slots_of(receiver)


# -------------------------------------------------------------------------------------------------
# What is kept
# -------------------------------------------------------------------------------------------------


def choose(circuit: Circuit, layout: Layout, cut: Cut) -> Chosen:
    """What is kept of a circuit. Raises UnusableFile where the file does not say which."""
    level = cut.level or circuit.ranks
    by_score = cut.top is not None or cut.threshold is not None
    remarks = list(circuit.remarks)
    if circuit.model.name:
        remarks.append(f"it says that its model is {quoted(circuit.model.name)}")
    parts = {name.partition(".n")[0] for name in layout.named if kind_of(name) is NEURON}
    if both := sorted(parts & {n for e in circuit.edges or () for n in e[:2]}, key=order_of):
        remarks.append(f"{listed_names(both)} is the whole MLP, its neurons included")
    if level == "edges" and circuit.edges is None:
        raise UnusableFile("it is a circuit of nodes, and ranks no edges", code="PD444",
                           advice="leave out `--level`")  # fmt: skip
    if not by_score:
        if circuit.cut:
            raise UnusableFile(
                "it ranks and marks nothing as kept", code="PD444",
                advice="say how much is kept: `--top 200`, `--top 5%` or `--threshold 0.1`",
            )  # fmt: skip
        level = "edges" if circuit.edges is not None and cut.level is None else level
    entries: Mapping[Edge, Entry] | Mapping[str, Entry] = (
        circuit.edges if level == "edges" and circuit.edges is not None else circuit.nodes
    )
    what = "edge" if level == "edges" else "node"
    if not by_score:
        kept = {key for key, entry in entries.items() if entry.kept}
        known = all(entry.kept is not None for entry in entries.values())
        if not kept and not known:
            raise UnusableFile(f"it marks no {what} as kept or not", code="PD444",
                               advice="choose by score: `--top 200`")  # fmt: skip
        open_ = [str(k) if what == "node" else edge_text(k)  # type: ignore[arg-type]
                 for k, entry in entries.items() if entry.kept is None]  # fmt: skip
        if kept and open_:
            raise UnusableFile(
                f"it marks some {what}s as kept, and says nothing of {listed_names(open_)}",
                code="PD444", advice="mark each as kept or not, or choose by score: `--top 200`",
            )  # fmt: skip
        said = f"the {counted(len(kept), what)} that it marks"
        if circuit.edges is not None and all(e.kept for e in circuit.edges.values()):
            said = f"all {counted(len(kept), what)} that it lists"
    else:
        kept, said = _by_score(entries, circuit, layout, cut, what)
    masked = [name for name, mask in circuit.masks.items() if not all(mask)]
    if level == "nodes":
        names = {str(one) for one in kept}
        if INPUT.name in circuit.nodes and INPUT.name not in names:
            none = _nan(circuit.nodes[INPUT.name].score)
            if not (by_score and none):
                raise UnusableFile("`input` is not among its nodes, and every path begins there",
                                   code="PD444")  # fmt: skip
        for name in masked:
            if name in names or name == INPUT.name:
                refuse_part(name, circuit.masks[name])
        names -= {INPUT.name, LOGITS.name}
        if not names and not circuit.places and INPUT.name not in circuit.nodes:
            raise UnusableFile(
                "it keeps no node", code="PD444", advice="choose by score: `--top 20`"
            )
        return Chosen(edges=None, nodes=frozenset(names), said=said, remarks=tuple(remarks))
    edges = {one for one in kept if isinstance(one, Edge)}
    if not edges:
        raise UnusableFile(
            "it keeps no edge: everything is treated", code="PD444",
            advice=_to_keep_more(circuit, cut),
        )  # fmt: skip
    for name in masked:
        if by_score or any(edge.sender == name for edge in edges):
            refuse_part(name, circuit.masks[name])
    places = [edge.at for edge in circuit.edges or () if edge.at is not None]
    used = _on_paths(edges, max(places, default=None))
    if not used:
        raise UnusableFile(
            f"none of its {len(edges):,} edges lies on a path from `input` to `logits`: everything "
            "is treated", code="PD444", advice=_to_keep_more(circuit, cut),
        )  # fmt: skip
    if unused := edges - used:
        unused_names = [edge_text(e) for e in sorted(unused, key=_edge_order)]
        remarks.append(
            f"{counted(len(unused), 'edge')} on no complete path left out, without effect: "
            + listed_names(unused_names)
        )
    return Chosen(
        edges=frozenset(used), nodes=frozenset(n for e in used for n in e[:2]), said=said,
        remarks=tuple(remarks),
    )  # fmt: skip


def _to_keep_more(circuit: Circuit, cut: Cut) -> str:
    """What keeps a path, for a circuit of edges that keeps none."""
    edges = circuit.edges or {}
    scored = {edge for edge, entry in edges.items() if not _nan(entry.score)}
    last = max((edge.at for edge in edges if edge.at is not None), default=None)
    if not _on_paths(scored, last):
        return "add edges that lead from `input` to `logits`: those in the file form no such path"
    if cut.threshold is not None:
        return "a smaller `--threshold`"
    return "choose by score: `--top 200`" if cut.top is None else "a larger `--top`"


def counted(number: int, what: str) -> str:
    """`1 edge`, `1,200 edges`."""
    return f"{number:,} {what}" + "s" * (number != 1)


def _nan(score: float | None) -> bool:
    """Whether a score is none: null, NaN, and -Infinity, which MAttr writes for "no edge"."""
    return score is None or math.isnan(score) or score == -math.inf


def _by_score(
    entries: Mapping[Edge, Entry] | Mapping[str, Entry],
    circuit: Circuit,
    layout: Layout,
    cut: Cut,
    what: str,
) -> tuple[set[Edge | str], str]:
    """The entries of largest score, or from a threshold on, and how that is said."""
    scored: dict[Edge | str, float] = {}
    nans = []
    for key, entry in entries.items():
        if key == LOGITS.name:
            continue
        if entry.score is not None and math.isnan(entry.score) and key != INPUT.name:
            nans.append(key)
        elif not _nan(entry.score) and entry.score is not None:
            scored[key] = entry.score if cut.signed else abs(entry.score)
    if not scored:
        raise UnusableFile(
            f"none of its {what}s has a score",
            code="PD444",
            advice="leave out `--top` and `--threshold`, and take its marks",
        )
    size = "score" if cut.signed else "absolute score"
    if cut.threshold is not None:
        kept = {key for key, score in scored.items() if score >= cut.threshold}
        return kept, f"the {len(kept):,} {what}s with a{'n' * (not cut.signed)} {size} of at " \
                     f"least {cut.threshold:g}"  # fmt: skip
    assert cut.top is not None
    total = layout.n_edges() if what == "edge" else layout.any_mask.bit_count()
    count = count_of(cut.top, total)
    if count < 1:
        raise UnusableFile(f"that is none of the model's {total:,} {what}s", code="PD444",
                           advice="ask for more")  # fmt: skip
    first: list[Edge | str] = []
    if nans and circuit.nan_first and cut.nan is None:
        raise UnusableFile(
            f"{len(nans):,} {what}s have the score NaN, which its tool ranks before all numbers "
            f"and pathdsl behind them, so that the first {count:,} are others for each",
            code="PD445",
            advice="say which is meant: `--nan first`, as the tool, or `--nan last`",
        )
    if nans and cut.nan == "first":
        if count < len(nans):
            raise UnusableFile(f"the first {count:,} are some of {len(nans):,} {what}s of score "
                               "NaN, and it does not say which", code="PD229",
                               advice=f"`--top {len(nans)}` or more")  # fmt: skip
        first = nans
    left = count - len(first)
    if left > len(scored):
        raise UnusableFile(f"`--top {count}` asks for more than the {len(scored) + len(first):,} "
                           f"{what}s that have a score", code="PD444")  # fmt: skip
    order = sorted(scored, key=lambda key: -scored[key])
    if 0 < left < len(order) and scored[order[left]] == scored[order[left - 1]]:
        raise tie_fault(scored, scored[order[left]], left, what, signed=cut.signed,
                        option="--top", before=len(first))  # fmt: skip
    said = f"the {counted(count, what)} of largest {size}"
    return {*first, *order[:left]}, said


Copy = tuple[str, int | None]


def _on_paths(edges: Collection[Edge], last: int | None) -> set[Edge]:
    """The edges that lie on a path from `input` to `logits`.

    `last`: where all edges are at positions, the last one, at which `logits` is read. A key or
    value is read by its head there and later, everything else where it is written.
    """
    placed = all(edge.at is not None for edge in edges)
    written: dict[str, set[int | None]] = {LOGITS.name: {last if placed else None}}
    for edge in edges:
        written.setdefault(edge.sender, set()).add(edge.at if placed else None)

    def ends(edge: Edge) -> tuple[Copy, list[Copy]]:
        """The copy that an edge comes from, and those that it leads to."""
        if not placed or edge.at is None:
            return (edge.sender, None), [(edge.receiver, None)]
        there = written.get(edge.receiver, set())
        later = edge.slot in ("k", "v")
        at = [one for one in there if one == edge.at or (later and (one or 0) > edge.at)]
        return (edge.sender, edge.at), [(edge.receiver, one) for one in at]

    joined = {edge: ends(edge) for edge in edges}
    out: dict[Copy, list[Copy]] = {}
    into: dict[Copy, list[Copy]] = {}
    for sender, receivers in joined.values():
        out.setdefault(sender, []).extend(receivers)
        for one in receivers:
            into.setdefault(one, []).append(sender)
    fed = {one for one in out if one[0] == INPUT.name}
    read = {one for one in into if one[0] == LOGITS.name}
    for seen, step in ((fed, out), (read, into)):
        todo = list(seen)
        while todo:
            for one in step.get(todo.pop(), ()):
                if one not in seen:
                    seen.add(one)
                    todo.append(one)
    return {
        edge for edge, (sender, receivers) in joined.items()
        if sender in fed and any(one in read for one in receivers)
    }  # fmt: skip


def _edge_order(edge: Edge) -> tuple[object, ...]:
    at = -1 if edge.at is None else edge.at
    return (order_of(edge.receiver), ("", *SLOTS).index(edge.slot), order_of(edge.sender), at)


# -------------------------------------------------------------------------------------------------
# The text
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an imported file says beside its path set.

    `about` is the comment at its top, line by line. `model` and `data` are expressions of the
    language, columns are those of the rows (`wrong` "" for none). `beside` is the name of
    the circuit file that holds many edges.
    """

    name: str
    title: str
    about: tuple[str, ...]
    model: str
    data: str
    reference: str
    treated: str
    answer: str
    wrong: str
    beside: str


def draft_text(
    circuit: Circuit, chosen: Chosen, layout: Layout, draft: Draft
) -> tuple[str, bytes | None]:
    """The `.circuit` file in canonical form, and the circuit file beside it where there is one.

    Raises UnusableFile where a file beside is wanted and the model's size is not known.
    """
    path, beside = _path(circuit, chosen, layout, draft)
    read = f"logit({draft.answer})" + (f" - logit({draft.wrong})" if draft.wrong else "")
    comment = [f"# {line}" for one in draft.about for line in _wrapped(one)]
    text = "\n".join([
        *comment, "",
        f"circuit {draft.name} {json.dumps(draft.title, ensure_ascii=False)} {{",
        "  language   = 1", f"  hypothesis = {HYPOTHESIS}", "}", "",
        f"model m = {draft.model}", "",
        "task t {", f"  data      = {draft.data}", f"  reference = {draft.reference}",
        f"  treated   = {draft.treated}", "}", "",
        f"path {HYPOTHESIS} = {path}", "",
        f"metric LD: logits = {read}", "",
        "let whole: logits = mean(LD(reference))",
        f"let kept: logits = mean(LD(keep({HYPOTHESIS})))",
        f"let faithful = faithfulness({HYPOTHESIS})", "",
        "# A claim says how much it must keep:",
        f"# claim sufficient: faithfulness({HYPOTHESIS}) >= 80% at 95% confidence", "",
    ])  # fmt: skip
    return format_text(text, f"{draft.name}.circuit"), beside


def _wrapped(line: str) -> list[str]:
    """A line of a comment; what could end it is no part of it."""
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", " ", line)
    return textwrap.wrap(plain, WIDTH, break_on_hyphens=False, subsequent_indent="  ") or [""]


def _path(
    circuit: Circuit, chosen: Chosen, layout: Layout, draft: Draft
) -> tuple[str, bytes | None]:
    if chosen.edges is None:
        return _within(chosen.nodes, circuit.places, circuit.attention), None
    inside = {n for n in chosen.nodes if kind_of(n) not in (INPUT, LOGITS)}
    if chosen.edges == _all_among(inside, layout):
        return _within(inside, {}, False), None
    lines = edge_lines_of(chosen.edges)
    places = any(edge.at is not None for edge in chosen.edges)
    neurons = any(kind_of(name) is NEURON for name in inside)
    if len(lines) <= MOST_LINES or places or neurons:
        return "edges {\n" + "".join(f"  {line}\n" for line in lines) + "}", None
    return f"edges({json.dumps(draft.beside)})", _beside(circuit, chosen, layout)


def _all_among(nodes: Collection[str], layout: Layout) -> frozenset[Edge]:
    """All edges among these nodes, `input` and `logits` that lie on a complete path."""
    here = {layout.named[name] for name in (*nodes, INPUT.name, LOGITS.name)}
    found = set()
    for receiver in here:
        for sender in bits(layout.senders_of[receiver]):
            if sender in here:
                for slot in layout.slots_of(receiver):
                    if not layout.senders_into(receiver, slot) >> sender & 1:
                        continue
                    u, v = layout.components[sender], layout.components[receiver]
                    found.add(Edge(str(u), str(v), slot or ""))
    return frozenset(found)


def _within(nodes: Collection[str], places: Mapping[str, tuple[int, ...]], attention: bool) -> str:
    parts: list[str] = []
    placed = {name: some for name, some in places.items() if name in nodes}
    parts += _ranges(set(nodes) - set(placed))
    for name in sorted(placed, key=order_of):
        at = [f"[{one}]" for one in placed[name]]
        parts.append(f"{name}@{at[0] if len(at) == 1 else '{' + ', '.join(at) + '}'}")
    if attention:
        parts.append("attn")
    return f"within({', '.join(parts) or INPUT.name})"


def _ranges(nodes: Collection[str]) -> list[str]:
    """Nodes as the language writes them: `a3.h[1, 2]`, `m[0..2]`, `m1.n[3, 4]`."""
    runs: list[tuple[NodeKind | None, list[tuple[str, str]]]] = []
    for name in sorted(nodes, key=order_of):
        kind = kind_of(name)
        layer, _, index = name[1:].partition(".")
        last, some = runs[-1] if runs else (None, [])
        if kind is last and kind is MLP and int(some[-1][0]) + 1 == int(layer):
            some.append((layer, ""))
        elif kind is last and kind in (HEAD, NEURON) and some[0][0] == layer:
            some.append((layer, index[1:]))
        else:
            known = kind in (HEAD, MLP, NEURON)
            runs.append((kind, [(layer, index[1:])] if known else [(name, "")]))
    found = []
    for kind, some in runs:
        first, end = some[0][0], some[-1][0]
        if kind is MLP:
            found.append(f"m{first}" if len(some) == 1 else f"m[{first}..{end}]")
        elif kind not in (HEAD, NEURON):
            found.append(first)
        else:
            numbers = ", ".join(number for _, number in some)
            listed = numbers if len(some) == 1 else f"[{numbers}]"
            found.append(f"a{first}.h{listed}" if kind is HEAD else f"m{first}.n{listed}")
    return found


def edge_lines_of(edges: Iterable[Edge]) -> list[str]:
    """Lines of an `edges { … }` that list exactly these edges: senders, an arrow, receivers."""
    into: dict[tuple[str, int | None], dict[str, set[str]]] = {}
    for edge in edges:
        into.setdefault((edge.receiver, edge.at), {}).setdefault(edge.slot, set()).add(edge.sender)
    lines: dict[tuple[str, int | None, bool, frozenset[str]], list[str]] = {}
    for receiver, at in sorted(into, key=lambda one: (order_of(one[0]), one[1] or 0)):
        slots_of: dict[tuple[frozenset[str], bool], list[str]] = {}
        for slot in ("", *SLOTS):
            if slot in into[receiver, at]:
                carried = at is not None and slot in ("k", "v")
                key = frozenset(into[receiver, at][slot]), carried
                slots_of.setdefault(key, []).append(slot)
        for (senders, carried), slots in slots_of.items():
            every = slots == [""] or slots == list(SLOTS)
            arrow = "->" if every else f"-[{','.join(slots)}]->"
            lines.setdefault((arrow, at, carried, senders), []).append(receiver)
    return [_line(*key, receivers) for key, receivers in lines.items()]


def _line(
    arrow: str, at: int | None, carried: bool, senders: frozenset[str], receivers: list[str]
) -> str:
    """One line; at a position both ends stand there, but for keys and values, which are written
    there and read later."""
    there = f"@[{at}]" if at is not None else ""
    here = "" if carried or receivers == [LOGITS.name] else there
    return f"{_set(senders, there)} {arrow} {_set(receivers, here)}"


def _set(nodes: Collection[str], place: str) -> str:
    parts = [f"{one}{place}" for one in _ranges(nodes)]
    return parts[0] if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _beside(circuit: Circuit, chosen: Chosen, layout: Layout) -> bytes:
    """The circuit file beside: with scores every edge that has one, else those that are kept."""
    assert circuit.edges is not None and chosen.edges is not None
    facts = circuit.model
    if facts.n_layers is None or facts.n_heads is None:
        raise UnusableFile(
            f"it does not say its model, of at least {facts.least[0]} layers and {facts.least[1]} "
            "heads, and its edges go into a file that has to",
            code="PD448", advice="name the model: `--model hf:ID`",
        )  # fmt: skip
    scored = any(entry.score is not None for entry in circuit.edges.values())
    names = [e for e in circuit.edges if scored or e in chosen.edges]
    edges = {
        e: Entry(kept=e in chosen.edges, score=circuit.edges[e].score)
        for e in sorted(names, key=_edge_order)
    }
    nodes = {str(c): Entry(kept=str(c) in chosen.nodes) for c in layout.components}
    made = Circuit(
        format=circuit.format, model=facts, edges=edges, nodes=nodes, ranks="edges", masks={},
        scores="", nan_first=False, cut=False, lost=(), remarks=(), places={},
    )  # fmt: skip
    return text_form(made)
