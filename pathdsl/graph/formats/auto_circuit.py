"""auto-circuit: prune scores, one tensor for each module that reads, heads by senders.

The file marks nothing: a size or a threshold on the absolute score says what is kept. A score is
the gradient of the loss by the mask of an edge, summed over batches: its sign is that of minus the
answer difference, and it grows with the number of batches. Column i is the i-th sender: `Resid
Start`, and then layer by layer the heads and the MLP. NaN ranks before all numbers there.

Source: `PruneScores` of auto-circuit 1.0 (Miller et al. 2024).
"""

from __future__ import annotations

import re

from pathdsl.graph.formats.circuit import Array, Circuit, Edge, Entry, ModelFacts, UnusableFile
from pathdsl.graph.model.components import INPUT, LOGITS

__all__ = ["is_tensors", "read", "tensor_form"]

SCORES = (
    "the gradient of the loss, minus the answer difference, by the mask of an edge, summed over "
    "batches: it grows with their number"
)
_MODULE = re.compile(r"blocks\.(\d{1,4})\.hook_(?:([qkv])_input|(mlp_in)|resid_post)", re.A)


def is_tensors(content: object) -> bool:
    """Whether it holds tensors by the names of modules that read."""
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(k, str) and _MODULE.fullmatch(k) for k in content)
        and all(isinstance(v, Array) for v in content.values())
    )


def read(content: object) -> Circuit:
    """The edges and their scores. Raises UnusableFile where sizes do not make one model."""
    assert isinstance(content, dict)
    modules = {name: _MODULE.fullmatch(name) for name in content}
    layers = 1 + max(int(found[1]) for found in modules.values() if found)
    heads = {
        content[n].shape[-2] for n, f in modules.items() if f and f[2] and len(content[n].shape) > 1
    }
    if len(heads) != 1:
        raise UnusableFile("its modules do not agree on the number of heads", code="PD447")
    (n_heads,) = heads
    last = f"blocks.{layers - 1}.hook_resid_post"
    has_mlp = any(found and found[3] for found in modules.values())
    senders = [INPUT.name]
    for layer in range(layers):
        senders += [f"a{layer}.h{head}" for head in range(n_heads)]
        senders += [f"m{layer}"] if has_mlp else []
    step = n_heads + int(has_mlp)
    first_mlp = content.get("blocks.0.hook_mlp_in")
    parallel = None
    if isinstance(first_mlp, Array) and first_mlp.shape:
        parallel = first_mlp.shape[-1] == 1
    edges: dict[Edge, Entry] = {}
    for name, found in sorted(modules.items()):
        assert found is not None
        layer, slot, mlp = int(found[1]), found[2] or "", found[3]
        if not slot and not mlp and name != last:
            raise UnusableFile(f"`{name}` reads behind a layer that is not the last", code="PD447")
        wide = 1 + layer * step if slot else 1 + layer * step + (0 if parallel else n_heads)
        wide = len(senders) if name == last else wide
        shape = (n_heads, wide) if slot else (wide,)
        array: Array = content[name]
        if array.shape[-len(shape) :] != shape or len(array.shape) > len(shape) + 1:
            raise UnusableFile(
                f"`{name}` is of shape {list(array.shape)}, wanted {list(shape)}, with or without "
                "positions in front",
                code="PD447",
            )
        places = array.shape[0] if len(array.shape) > len(shape) else None
        rows = n_heads if slot else 1
        for place in range(places or 1):
            for head in range(rows):
                receiver = f"a{layer}.h{head}" if slot else f"m{layer}" if mlp else LOGITS.name
                for column in range(wide):
                    score = array.values[(place * rows + head) * wide + column]
                    edge = Edge(senders[column], receiver, slot, None if places is None else place)
                    edges[edge] = Entry(kept=None, score=float(score))
    return Circuit(
        format="auto-circuit",
        model=ModelFacts(n_layers=layers, n_heads=n_heads, parallel=parallel),
        edges=edges, nodes={}, ranks="edges", masks={}, scores=SCORES, nan_first=True, cut=True,
        lost=(), remarks=(), places={},
    )  # fmt: skip


def tensor_form(circuit: Circuit) -> dict[str, object]:
    """Prune scores of a circuit of edges: the score of each, minus the fall of the metric kept."""
    assert circuit.edges is not None
    layers, heads = circuit.model.n_layers or 0, circuit.model.n_heads or 0
    parallel, step = bool(circuit.model.parallel), heads + 1
    column = {INPUT.name: 0}
    for layer in range(layers):
        column |= {f"a{layer}.h{h}": 1 + layer * step + h for h in range(heads)}
        column[f"m{layer}"] = (layer + 1) * step
    found: dict[str, object] = {}
    flat: dict[str, tuple[int, list[float]]] = {}
    for layer in range(layers):
        wide = 1 + layer * step
        for slot in "qkv":
            flat[f"blocks.{layer}.hook_{slot}_input"] = (wide, [0.0] * (wide * heads))
        wide += 0 if parallel else heads
        flat[f"blocks.{layer}.hook_mlp_in"] = (wide, [0.0] * wide)
    wide = 1 + layers * step
    end = f"blocks.{layers - 1}.hook_resid_post"
    flat[end] = (wide, [0.0] * wide)
    for edge, entry in circuit.edges.items():
        if edge.slot:
            layer, head = (int(one) for one in edge.receiver[1:].split(".h"))
            name = f"blocks.{layer}.hook_{edge.slot}_input"
        else:
            head = 0
            name = (
                end if edge.receiver == LOGITS.name else f"blocks.{edge.receiver[1:]}.hook_mlp_in"
            )
        wide, values = flat[name]
        values[head * wide + column[edge.sender]] = entry.score or 0.0
    for name, (wide, values) in flat.items():
        shape = (heads, wide) if name.endswith("_input") else (wide,)
        found[name] = Array(shape=shape, values=values, truth=False)
    return found
