"""Lists of pairs of names: `edges.json` of Edge-Pruning, and the ground truth of InterpBench.

    [["tok_embeds", "a0.h3.q"], ["a0.h3", "m2"], ["m2", "resid_post"]]
    [["blocks.0.attn.hook_result[3]", "blocks.1.hook_resid_post"]]

All pairs are kept and none has a score. InterpBench tells the inputs of a head not apart: an edge
into a head is one into its query, key and value.

Source: Bhaskar et al. 2024 (Edge-Pruning); Gupta et al. 2024 (InterpBench).
"""

from __future__ import annotations

import re
from dataclasses import replace

from pathdsl.graph.formats.acdc import join_inputs
from pathdsl.graph.formats.circuit import (
    SLOTS,
    Circuit,
    Edge,
    Entry,
    Lost,
    ModelFacts,
    UnusableFile,
    kind_of,
    model_of_names,
)
from pathdsl.graph.formats.names import hook_of
from pathdsl.graph.model.components import HEAD, INPUT, LOGITS

__all__ = [
    "is_interpbench", "is_pruned", "pruned_form", "read_interpbench", "read_pruned", "truth_form",
]  # fmt: skip

TOKENS, POSITIONS, END = "tok_embeds", "pos_embeds", "resid_post"
_READER = re.compile(r"(a\d{1,4}\.h\d{1,6})\.([qkv])|(m\d{1,4})", re.A)


def _pairs(content: object) -> list[tuple[int, str, str]] | None:
    if not isinstance(content, list) or not content:
        return None
    found = []
    for place, one in enumerate(content, 1):
        if not (isinstance(one, list) and len(one) == 2 and all(isinstance(x, str) for x in one)):
            return None
        found.append((place, one[0], one[1]))
    return found


def is_pruned(content: object) -> bool:
    """Whether it is a list of pairs by the names of Edge-Pruning."""
    found = _pairs(content)
    return found is not None and not any("hook_" in name for _, *pair in found for name in pair)


def is_interpbench(content: object) -> bool:
    """Whether it is a list of pairs of hooks."""
    found = _pairs(content)
    return found is not None and any("hook_" in name for _, *pair in found for name in pair)


def read_pruned(content: object) -> Circuit:
    """The edges of Edge-Pruning. Raises UnusableFile for a name that is none."""
    pairs = _pairs(content)
    assert pairs is not None
    parts: dict[str, set[Edge]] = {TOKENS: set(), POSITIONS: set()}
    found: dict[Edge, Entry] = {}
    for place, sender, receiver in pairs:
        part = sender if sender in parts else ""
        sent = INPUT.name if part else sender
        read = _READER.fullmatch(receiver)
        if kind_of(sent) is None or sent == LOGITS.name:
            raise UnusableFile(f"pair {place}: no writer `{sender[:60]}`")
        if read is None and receiver != END:
            raise UnusableFile(f"pair {place}: no reader `{receiver[:60]}`")
        into = LOGITS.name if read is None else read[1] or read[3]
        edge = Edge(sent, into, (read[2] or "") if read else "")
        if part:
            parts[part].add(edge)
        found[edge] = Entry(kept=True)
    join_inputs(parts[TOKENS], parts[POSITIONS])
    return _circuit("edge-pruning", found, model_of_names(n for e in found for n in e[:2]))


def read_interpbench(content: object) -> Circuit:
    """The edges of a ground truth. Raises UnusableFile for a hook that is no node."""
    pairs = _pairs(content)
    assert pairs is not None
    known = [hook_of(name) for _, *pair in pairs for name in pair]
    last = max((one.layer for one in known if one is not None), default=0)
    parts: dict[str, set[Edge]] = {"tokens": set(), "positions": set()}
    found: dict[Edge, Entry] = {}
    for place, sender, receiver in pairs:
        out, into = hook_of(sender), hook_of(receiver)
        sent = None
        if out is not None:
            if out.what in ("tokens", "positions") or (out.what == "pre" and out.layer == 0):
                sent = INPUT.name
            elif out.what == "result" and out.head is not None:
                sent = f"a{out.layer}.h{out.head}"
            elif out.what == "mlp_out":
                sent = f"m{out.layer}"
        if sent is None or out is None:
            raise UnusableFile(f"pair {place}: `{sender[:60]}` is no output of a node")
        slots: tuple[str, ...] = ("",)
        if into is not None and into.what in ("result", "slot", "fed") and into.head is not None:
            name = f"a{into.layer}.h{into.head}"
            slots = (into.slot,) if into.slot else SLOTS
        elif into is not None and into.what in ("mlp_in", "mlp_out"):
            name = f"m{into.layer}"
        elif into is not None and into.what == "post" and into.layer == last:
            name = LOGITS.name
        else:
            raise UnusableFile(f"pair {place}: `{receiver[:60]}` is no node that reads")
        for slot in slots:
            edge = Edge(sent, name, slot)
            if out.what in parts:
                parts[out.what].add(edge)
            found[edge] = Entry(kept=True)
    join_inputs(parts["tokens"], parts["positions"])
    least = model_of_names(name for edge in found for name in edge[:2])
    whole = any(edge.receiver == LOGITS.name for edge in found)
    return _circuit("interpbench", found, replace(least, n_layers=last + 1) if whole else least)


def _circuit(name: str, edges: dict[Edge, Entry], model: ModelFacts) -> Circuit:
    return Circuit(
        format=name, model=model, edges=edges, nodes={}, ranks="edges", masks={}, scores="",
        nan_first=False, cut=False, lost=(), remarks=(), places={},
    )  # fmt: skip


def pruned_form(circuit: Circuit) -> list[object]:
    """The pairs of Edge-Pruning; `input` is both of its writers."""
    assert circuit.edges is not None
    rows: list[object] = []
    for edge, entry in circuit.edges.items():
        if entry.kept:
            into = END if edge.receiver == LOGITS.name else edge.receiver
            into += f".{edge.slot}" if edge.slot else ""
            senders = (TOKENS, POSITIONS) if edge.sender == INPUT.name else (edge.sender,)
            rows += [[sender, into] for sender in senders]
    return rows


def truth_form(circuit: Circuit) -> tuple[list[object], tuple[Lost, ...]]:
    """The pairs of a ground truth, and the edges of which it says more than the circuit does."""
    assert circuit.edges is not None
    last = (circuit.model.n_layers or 1) - 1
    slots: dict[tuple[str, str], set[str]] = {}
    for edge, entry in circuit.edges.items():
        if entry.kept:
            slots.setdefault((edge.sender, edge.receiver), set()).add(edge.slot)
    parts = sum(kind_of(v) is HEAD and len(some) < len(SLOTS) for (_, v), some in slots.items())
    lost = Lost(what="slots", count=parts, why="it has edges into heads, not into q, k or v alone")
    return [[_hook(u, last), _hook(v, last)] for u, v in slots], (lost,) if parts else ()


def _hook(node: str, last: int) -> str:
    if node == INPUT.name:
        return "blocks.0.hook_resid_pre"
    if node == LOGITS.name:
        return f"blocks.{last}.hook_resid_post"
    if ".h" in node:
        layer, head = node[1:].split(".h")
        return f"blocks.{layer}.attn.hook_result[{head}]"
    return f"blocks.{node[1:]}.hook_mlp_out"
