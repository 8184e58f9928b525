"""Attribution graphs of circuit-tracer and Neuronpedia: weighted edges between features.

A feature of layer L at token p is part of what `m3` writes there, and no node by itself. What can
be said is where: the MLPs with features or errors in the graph, at their tokens, joined by any
heads. All else is reported. The index of a feature is that of its `node_id`; `feature` may be a
pairing of layer and index, the index, or null, and is looked at to compare. Two nodes of one id,
which an error and a feature of layer 0 can have, leave open which one a link means.

Source: `create_graph_files` of circuit-tracer (Ameisen et al. 2025; Hanna et al. 2025), and the
graph schema of Neuronpedia.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from pathdsl.graph.formats.circuit import (
    Circuit,
    Entry,
    Lost,
    UnusableFile,
    kind_of,
    listed_names,
    model_of_names,
    number,
)

__all__ = ["is_graph", "read"]

_FIELDS = {
    "influence": "a share of the influence on the output, of a feature",
    "activation": "of a feature",
    "clerp": "words on a feature",
    "token_prob": "of an output token",
}
MOST_PLACES = 1_000_000


def is_graph(content: object) -> bool:
    """Whether it has lists `nodes` and `links`, and `metadata` or `qParams`."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("nodes"), list)
        and isinstance(content.get("links"), list)
        and bool({"metadata", "qParams"} & set(content))
    )


def read(content: object) -> Circuit:
    """The MLPs at tokens. Raises UnusableFile for nodes of one id and links that lead nowhere."""
    assert isinstance(content, dict)
    ids: Counter[str] = Counter()
    places: dict[str, set[int]] = {}
    types: Counter[str] = Counter()
    fields: Counter[str] = Counter()
    differing = 0
    for place_, one in enumerate(content["nodes"], 1):
        if not isinstance(one, dict) or not isinstance(one.get("node_id"), str):
            raise UnusableFile(f"node {place_} of the graph has no `node_id`")
        name, kind = one["node_id"], str(one.get("feature_type", "")).lower().strip()
        ids[name] += 1
        types[_type(kind)] += 1
        if _type(kind) in ("features", "errors"):
            layer, place, differs = _where(one, name)
            places.setdefault(f"m{layer}", set()).add(place)
            differing += differs and _type(kind) == "features"
        for key in _FIELDS:
            fields[key] += one.get(key) not in (None, "", 0.0)
    if twice := sorted(name for name, count in ids.items() if count > 1):
        raise UnusableFile(
            f"several nodes have one id: {listed_names(twice)}; a link to it may mean any of them",
            code="PD443",
            advice="give each node an id of its own where the graph is made: an error node of "
            "layer L is `0_L_P` for circuit-tracer, and so may a feature of layer 0 be",
        )
    weights = 0
    for place_, one in enumerate(content["links"], 1):
        if not isinstance(one, dict):
            raise UnusableFile(f"link {place_} of the graph is no object")
        for key in ("source", "target"):
            if not isinstance(one.get(key), str) or one[key] not in ids:
                raise UnusableFile(
                    f"link {place_} of the graph has no node `{str(one.get(key))[:60]}`"
                )
        weights += number(one.get("weight"), f"link {place_}") is not None
    if not places:
        raise UnusableFile("the graph has no feature, and so names no MLP", code="PD444")
    metadata = content.get("metadata") if isinstance(content.get("metadata"), dict) else {}
    assert isinstance(metadata, dict)
    lost = [
        Lost(what=f"{what}, node by node", count=count,
             why="a feature is no node: where it stands is said, `m3@[2]`, and which not")
        for what, count in sorted(types.items()) if what in ("features", "errors")
    ]  # fmt: skip
    lost += [
        Lost(what=what, count=count, why="`input` and `logits` stand for all of them")
        for what, count in sorted(types.items()) if what in ("embeddings", "output tokens")
    ]  # fmt: skip
    lost += [
        Lost(what=f"nodes of type `{what[:40]}`", count=count, why="unknown to this reader")
        for what, count in sorted(types.items())
        if what not in ("features", "errors", "embeddings", "output tokens")
    ]
    why = "between features; the path set has every path over these MLPs"
    lost.append(Lost(what="links with weights", count=weights, why=why))
    lost += [
        Lost(what=f"`{key}`", count=count, why=_FIELDS[key])
        for key, count in fields.items() if count
    ]  # fmt: skip
    if prompt := metadata.get("prompt"):
        lost.append(Lost(what=f"its prompt, {str(prompt)[:60]!r}", why="give it as a row"))
    for key in sorted((set(content) | set(metadata)) - {"nodes", "links", "prompt", "metadata",
                                                        "scan"}):  # fmt: skip
        value = content.get(key, metadata.get(key))
        if value not in (None, "", [], {}):
            lost.append(Lost(what=f"its `{key[:40]}`", why="no part of a circuit"))
    remarks = [
        "the tool keeps attention as it is on the prompt and has no nodes for heads, so every head "
        "may join these MLPs"
    ]
    if differing:
        remarks.append(f"`feature` of {differing:,} nodes is neither the index of their `node_id` "
                       "nor its pairing with the layer; `node_id` counts")  # fmt: skip
    scan = metadata.get("scan")
    facts = model_of_names(places)
    return Circuit(
        format="attribution-graph",
        model=replace(facts, name=str(scan)[:200] if isinstance(scan, str) else ""),
        edges=None, nodes={name: Entry(kept=True) for name in places}, ranks="nodes", masks={},
        scores="", nan_first=False, cut=False, lost=tuple(lost), remarks=tuple(remarks),
        places={name: tuple(sorted(some)) for name, some in places.items()}, attention=True,
    )  # fmt: skip


def _type(kind: str) -> str:
    if "error" in kind:
        return "errors"
    if "transcoder" in kind:
        return "features"
    if "embedding" in kind:
        return "embeddings"
    return "output tokens" if "logit" in kind else kind or "unknown"


def _where(one: dict[str, object], name: str) -> tuple[int, int, bool]:
    """Layer and token of a node, and whether its `feature` is another than its id says."""
    layer, place = one.get("layer"), one.get("ctx_idx")
    if isinstance(layer, str) and layer.isdecimal() and len(layer) < 5:
        layer = int(layer)
    parts = name.split("_")
    if place is None and parts[-1].isdecimal() and len(parts[-1]) < 8:
        place = int(parts[-1])
    for value, key, most in ((layer, "layer", 9_999), (place, "ctx_idx", MOST_PLACES)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise UnusableFile(f"node `{name[:60]}` has the `{key}` `{str(value)[:40]}`")
    assert isinstance(layer, int) and isinstance(place, int) and kind_of(f"m{layer}")
    feature = one.get("feature")
    index = (
        int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() and len(parts[1]) < 12 else None
    )
    if not isinstance(feature, int) or index is None:
        return layer, place, False
    pairing = (layer + index) * (layer + index + 1) // 2 + index
    return layer, place, feature not in (index, pairing)
