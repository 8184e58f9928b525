"""ACDC: a list of edges by hooks of TransformerLens, the receiver first.

    [[["blocks.1.hook_q_input", [null, null, 3], "blocks.0.attn.hook_result", [null, null, 1]],
      0.03]]

Besides the edges of the graph the list has those of direct computation, by which a head's output
reads its own query, key and value, and an MLP's output its input. Where a list has any, an edge
into an input without one has no effect and is not in the circuit. All listed edges are kept, and of
a `.pth` with a truth value for each edge those that are true.

Source: `TLACDCExperiment.save_edges` of ACDC (Conmy et al. 2023).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from pathdsl.graph.formats.circuit import (
    SLOTS,
    Circuit,
    Edge,
    Entry,
    Lost,
    ModelFacts,
    UnusableFile,
    edge_text,
    listed_names,
    model_of_names,
    number,
)
from pathdsl.graph.formats.names import Hook, hook_of
from pathdsl.graph.model.components import INPUT, LOGITS

__all__ = ["is_list", "join_inputs", "literal_form", "read"]

SCORES = "how far the metric of the search rose when the edge was removed"
_INDEX = re.compile(r"(?:TorchIndex\()?\[([^\[\]]*)\]\)?")


def is_list(content: object) -> bool:
    """Whether it is a list of (receiver, index, sender, index), each alone or with an effect."""
    if not isinstance(content, list) or not content:
        return False
    first = content[0]
    if isinstance(first, list) and len(first) == 2 and isinstance(first[0], list):
        first = first[0]
    return (
        isinstance(first, list)
        and len(first) == 4
        and all(isinstance(first[i], str) and hook_of(first[i]) for i in (0, 2))
    )


def read(content: object) -> Circuit:
    """The edges of the graph. Raises UnusableFile, with the place in the list, for what is none."""
    assert isinstance(content, list)
    found: dict[Edge, Entry] = {}
    computed: set[tuple[str, str, int | None]] = set()
    direct = 0
    parts: dict[str, set[Edge]] = {}
    last = 0
    rows = []
    for place, item in enumerate(content, 1):
        effect = None
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], list):
            item, effect = item
            if not isinstance(effect, bool):
                effect = number(effect, f"edge {place} of the list")
        if not isinstance(item, list) or len(item) != 4:
            raise UnusableFile(f"entry {place} of the list is no edge: receiver, index, sender, "
                               "index, and an effect")  # fmt: skip
        receiver, sender = (_end(item[i], item[i + 1], place) for i in (0, 2))
        rows.append((place, receiver, sender, effect))
        last = max(last, receiver[0].layer, sender[0].layer)
    for place, (into, head, at), (out, sending, where), effect in rows:
        if into.what in ("result", "mlp_out"):
            if out.what not in ("slot", "fed", "mlp_in") or out.layer != into.layer:
                raise UnusableFile(f"edge {place} of the list leads into an output")
            if into.what == "result" and head != sending:
                raise UnusableFile(f"edge {place} of the list leads to another head's output")
            direct += 1
            if effect is False:
                continue
            name = f"a{into.layer}.h{head}" if into.what == "result" else f"m{into.layer}"
            computed.add((name, out.slot, where))
            continue
        if into.what == "slot" and out.what == "fed":
            continue  # a placeholder: the same value under two names
        name = _receiver(into, head, last, place)
        sent = _sender(out, sending, place)
        if None not in (at, where) and at != where:
            raise UnusableFile(f"edge {place} of the list crosses from one position to another")
        edge = Edge(sent, name, into.slot, at if where is None else where)
        if out.what in ("tokens", "positions"):
            if effect is not False:
                parts.setdefault(out.what, set()).add(edge)
        elif edge in found:
            raise UnusableFile(f"edge {place} of the list, `{edge_text(edge)}`, stands twice")
        mark = isinstance(effect, bool)
        found[edge] = Entry(kept=effect is not False, score=None if mark else effect)
    join_inputs(parts.get("tokens", set()), parts.get("positions", set()))
    remarks = []
    if direct:
        remarks.append(f"{direct:,} edges of direct computation join inputs of a node with its "
                       "output, and are no edges of the graph")  # fmt: skip
        cut = [
            e for e in found
            if found[e].kept and e.receiver != LOGITS.name
            and not {(e.receiver, e.slot, e.at), (e.receiver, e.slot, None)} & computed
        ]  # fmt: skip
        if cut:
            remarks.append(
                "edges into an input that its node does not read in this circuit, and so out: "
                f"{len(cut):,}, {listed_names(map(edge_text, cut))}"
            )
        for edge in cut:
            found[edge] = found[edge]._replace(kept=False)
    lost: tuple[Lost, ...] = ()
    if not any(one.score is not None for one in found.values()):
        lost = (Lost(what="effects", why="the list has none, and so ranks nothing"),)
    return Circuit(
        format="acdc", model=_facts(found, last), edges=found, nodes={}, ranks="edges", masks={},
        scores=SCORES, nan_first=False, cut=False, lost=lost, remarks=tuple(remarks), places={},
    )  # fmt: skip


def _facts(found: Iterable[Edge], last: int) -> ModelFacts:
    """The last layer is known where something leads to `logits`."""
    least = model_of_names(name for edge in found for name in edge[:2])
    whole = any(edge.receiver == LOGITS.name for edge in found)
    return replace(least, n_layers=last + 1) if whole else least


def join_inputs(tokens: set[Edge], positions: set[Edge]) -> None:
    """Raise PD446 where one part of `input` feeds what the other does not."""
    if not positions or tokens == positions:
        return
    one = sorted(tokens ^ positions)
    raise UnusableFile(
        "the token and the position embedding feed different inputs, "
        f"{listed_names(map(edge_text, one))} from one of them alone, and `input` is their sum",
        code="PD446",
        advice="search again with one node for both",
    )  # fmt: skip


def _end(hook: object, index: object, place: int) -> tuple[Hook, int | None, int | None]:
    """What one end is, with its head and its position, None for all."""
    known = hook_of(hook) if isinstance(hook, str) else None
    if known is None:
        raise UnusableFile(f"edge {place} of the list has no such hook as `{str(hook)[:60]}`")
    if isinstance(index, str):
        written = _INDEX.fullmatch(index.strip())
        if written is None:
            raise UnusableFile(f"edge {place} of the list has the index `{index[:40]}`")
        words = [one.strip() for one in written[1].split(",") if one.strip()]
        index = [int(one) if one.isdecimal() and len(one) < 7 else None for one in words]
    if not isinstance(index, list) or len(index) > 4:
        raise UnusableFile(f"edge {place} of the list has an index that is no list")
    numbers = []
    for one in index:
        if one is not None and (isinstance(one, bool) or not isinstance(one, int) or one < 0):
            raise UnusableFile(f"edge {place} of the list has `{str(one)[:40]}` in an index")
        numbers.append(one)
    if numbers and numbers[0] is not None:
        raise UnusableFile(f"edge {place} of the list is of one row of a batch")
    of_heads = known.what in ("fed", "slot", "result")
    head = known.head
    if of_heads and head is None:
        head = numbers[2] if len(numbers) > 2 else None
        if head is None:
            raise UnusableFile(f"edge {place} of the list names a layer's heads without a number")
    return known, head, numbers[1] if len(numbers) > 1 else None


def _receiver(hook: Hook, head: int | None, last: int, place: int) -> str:
    if hook.what in ("fed", "slot"):
        return f"a{hook.layer}.h{head}"
    if hook.what == "mlp_in":
        return f"m{hook.layer}"
    if hook.what == "post" and hook.layer == last:
        return LOGITS.name
    raise UnusableFile(f"edge {place} of the list leads into the residual stream of a layer")


def _sender(hook: Hook, head: int | None, place: int) -> str:
    if hook.what == "result":
        return f"a{hook.layer}.h{head}"
    if hook.what == "mlp_out":
        return f"m{hook.layer}"
    if hook.what in ("tokens", "positions") or (hook.what == "pre" and hook.layer == 0):
        return INPUT.name
    raise UnusableFile(f"edge {place} of the list starts at no output of a node")


def literal_form(circuit: Circuit) -> list[object]:
    """The list of a circuit of edges, those of direct computation with it, receivers first."""
    assert circuit.edges is not None
    layers = circuit.model.n_layers or 0
    kept = [edge for edge, entry in circuit.edges.items() if entry.kept]
    rows: list[object] = []
    for edge in kept:
        score = circuit.edges[edge].score
        rows.append([[*_hook_in(edge, layers), *_hook_out(edge.sender)], score])
    for node, slot in dict.fromkeys((e.receiver, e.slot) for e in kept):
        if slot in SLOTS:
            layer, head = node[1:].split(".h")
            index = [None, None, int(head)]
            names = f"blocks.{layer}.attn.hook_result", f"blocks.{layer}.attn.hook_{slot}"
            rows.append([[names[0], index, names[1], index], None])
        elif node != LOGITS.name:
            layer = node[1:]
            names = f"blocks.{layer}.hook_mlp_out", f"blocks.{layer}.hook_mlp_in"
            rows.append([[names[0], [None], names[1], [None]], None])
    return rows


def _hook_in(edge: Edge, layers: int) -> tuple[str, list[int | None]]:
    if edge.slot:
        layer, head = edge.receiver[1:].split(".h")
        return f"blocks.{layer}.hook_{edge.slot}_input", [None, None, int(head)]
    if edge.receiver == LOGITS.name:
        return f"blocks.{layers - 1}.hook_resid_post", [None]
    return f"blocks.{edge.receiver[1:]}.hook_mlp_in", [None]


def _hook_out(node: str) -> tuple[str, list[int | None]]:
    if node == INPUT.name:
        return "blocks.0.hook_resid_pre", [None]
    if ".h" in node:
        layer, head = node[1:].split(".h")
        return f"blocks.{layer}.attn.hook_result", [None, None, int(head)]
    return f"blocks.{node[1:]}.hook_mlp_out", [None]
