"""What each format says, on small files, and the traps of each."""

from __future__ import annotations

import io
import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch

from pathdsl.engine.load.tensors import read_tensors
from pathdsl.graph.formats.circuit import Circuit, edge_text
from pathdsl.graph.formats.content import content_of
from pathdsl.graph.formats.records import CARRIED, FORMATS, read_content
from tests.cli.run import pathdsl
from tests.formats.cases import MODEL, imported, path_of
from tests.formats.test_refused import CFG, EDGES, FEATURE, TRACED, eap, graph, saved

CHAIN = {"input->a0.h1<q>", "input->a0.h1<k>", "input->a0.h1<v>", "a0.h1->m2", "m2->logits"}


def read(content: object, name: str = "") -> Circuit:
    text = content if isinstance(content, str) else json.dumps(content)
    return read_content(content_of(text.encode()), name)


def kept(circuit: Circuit) -> set[str]:
    return {edge_text(e) for e, one in (circuit.edges or {}).items() if one.kept}


def hook(layer: int, what: str, *index: int | None) -> list[Any]:
    return [f"blocks.{layer}.{what}", list(index)]


def chain_of_acdc(direct: tuple[str, ...] = ("q", "k", "v", "mlp")) -> list[Any]:
    head = (None, None, 1)
    rows = [[*hook(0, f"hook_{s}_input", *head), *hook(0, "hook_resid_pre", None)] for s in "qkv"]
    rows += [
        [*hook(2, "hook_mlp_in", None), *hook(0, "attn.hook_result", *head)],
        [*hook(3, "hook_resid_post", None), *hook(2, "hook_mlp_out", None)],
    ]
    for one in direct:
        if one == "mlp":
            rows.append([*hook(2, "hook_mlp_out", None), *hook(2, "hook_mlp_in", None)])
        else:
            rows.append([*hook(0, "attn.hook_result", *head), *hook(0, f"attn.hook_{one}", *head)])
    return [[row, 0.25] for row in rows]


DOT = 'digraph P { rankdir = BT; input -> "a0.h1" [label = "q,k,v"]; "a0.h1" -> m2 -> logits }'
MERMAID = 'flowchart BT\n  a["input"] -->|q,k,v| b(["a0.h1"])\n  b --> c{{"m2"}}; c ==> logits\n'
NODE_LINK = nx.node_link_data(
    nx.DiGraph([("input", "a0.h1"), ("a0.h1", "m2"), ("m2", "logits")]), edges="edges"
)
KIT = {
    "schema": "1.0", "model_id": "gpt2", "discovery_method": "eap", "threshold": 0.1,
    "nodes": [
        {"layer_idx": 0, "node_type": "head", "index": 1, "importance": 0.5, "name": "A0.1"},
        {"layer_idx": 2, "node_type": "mlp", "index": 0, "importance": 1.0, "name": "MLP 2"},
    ],
    "edges": [
        {"src_id": "input", "dst_id": "A0.1", "weight": 0.5, "attribution": -0.25},
        {"src_id": "A0.1", "dst_id": "MLP 2", "weight": 1.0, "attribution": 0.5},
        {"src_id": "MLP 2", "dst_id": "logits", "weight": 0.1, "attribution": -0.05},
    ],
}  # fmt: skip
SAME: dict[str, object] = {
    "acdc": chain_of_acdc(),
    "edge-pruning": [
        *([f"{part}_embeds", f"a0.h1.{s}"] for s in "qkv" for part in ("tok", "pos")),
        ["a0.h1", "m2"], ["m2", "resid_post"],
    ],
    "interpbench": [
        ["hook_embed", "blocks.0.attn.hook_result[1]"],
        ["blocks.0.attn.hook_result[1]", "blocks.2.mlp.hook_post"],
        ["blocks.2.mlp.hook_post", "blocks.3.hook_resid_post"],
    ],
    "circuitkit": KIT, "node-link": NODE_LINK, "dot": DOT, "mermaid": MERMAID,
    "graphml": "\n".join(nx.generate_graphml(nx.node_link_graph(NODE_LINK, edges="edges"))),
    "eap-ig": {"cfg": CFG, "edges": {name: True for name in sorted(CHAIN)}},
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_one_circuit_in_every_format_that_is_text(name: str, tmp_path: Path) -> None:
    content = SAME[name]
    circuit = read(content)
    assert circuit.format == name and kept(circuit) == CHAIN
    assert kept(read(content, name)) == CHAIN
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "found.txt").write_text(text)
    assert imported(tmp_path, "found.txt", *MODEL)["edges"] == 5
    wanted = path_of((tmp_path / "x.circuit").read_text())
    head = (
        'circuit c { language = 1 }\nmodel m = bundled("ioi-mini")\n'
        "task t { data = mini_ioi(take: 4); reference = prompt; treated = prompt_abc }\n"
        "metric LD: logits = logit(io)\n"
    )
    (tmp_path / "c.circuit").write_text(
        head + f'path p = edges("found.txt")\npath r = {wanted}\nlet x = overlap(p, r)\n'
    )
    drawn = [
        json.loads(pathdsl("graph", "c.circuit", "--path", one, "--format", "json",
                           cwd=tmp_path).stdout)["edges"]
        for one in ("p", "r")
    ]  # fmt: skip
    assert drawn[0] == drawn[1] and len(drawn[0]) == 3


def test_every_record_says_what_it_carries() -> None:
    names = [one.name for one in FORMATS]
    assert len(set(names)) == len(names)
    for one in FORMATS:
        assert one.carries <= set(CARRIED) and one.reads is not None
        assert one.ending.startswith(".") and one.title
        assert not one.known({}) and not one.known([]) and not one.known("") and not one.known(3)


# ------------------------------------------------------------------------------- EAP-IG


def test_tensors_and_json_of_eap_ig_differ() -> None:
    """The `.pt` has marks and scores of nodes; JSON recomputes nodes from edges."""
    out_of = torch.tensor([True, False, True])
    tensors = read_content(read_tensors(saved(graph(nodes_in_graph=out_of))))
    assert kept(tensors) == {"input->m0", "input->logits", "m0->logits"}
    assert any("of which a node is not" in one for one in tensors.remarks)
    text = json.loads(eap(nodes={"m2": {"in_graph": False}}))
    assert "m2->logits" in kept(read(text))
    assert any("recomputes nodes from edges" in one for one in read(text).remarks)
    scored = graph(nodes_scores=torch.tensor([1.0, 2.0, 3.0]), edges_scores=torch.zeros(3, 5))
    ranked = read_content(read_tensors(saved(scored)))
    assert ranked.ranks == "nodes" and ranked.nodes["m0"].score == 3.0


def test_cells_that_are_no_edges(tmp_path: Path) -> None:
    circuit = read_content(read_tensors(saved(graph())))
    assert len(kept(circuit)) == 3 + 2 + 3
    assert "no edges of a model (not pruned): 7" in circuit.remarks[0]
    parallel = graph()
    parallel["cfg"]["parallel_attn_mlp"] = True
    assert "a0.h0->m0" not in kept(read_content(read_tensors(saved(parallel))))


def test_parts_of_outputs_are_refused(tmp_path: Path) -> None:
    half = torch.tensor([[True] * 4, [True, False, True, False], [True] * 4])
    for mask, code in ((half, "PD226"), (torch.ones(3, 4, dtype=torch.bool), "")):
        (tmp_path / "n.pt").write_bytes(saved(graph(neurons_in_graph=mask)))
        report = imported(tmp_path, "n.pt")
        assert report["code"] == (2 if code else 0) and code in report.get("said", "")
    assert torch.load(io.BytesIO(saved(graph())), weights_only=True)["cfg"]["n_heads"] == 1


def test_marks_without_scores_and_scores_without_marks(tmp_path: Path) -> None:
    bare = {name: {"in_graph": True} for name in CHAIN}
    (tmp_path / "a.json").write_text(json.dumps({"cfg": CFG, "edges": bare}))
    assert imported(tmp_path, "a.json")["edges"] == 5
    assert "none of its edges has a score" in imported(tmp_path, "a.json", "--top", "3")["said"]
    ranking = {name: {"score": k} for k, name in enumerate(sorted(CHAIN), 1)}
    (tmp_path / "a.json").write_text(json.dumps({"cfg": CFG, "edges": ranking}))
    assert "`--top 200`" in imported(tmp_path, "a.json")["said"]
    assert imported(tmp_path, "a.json", "--top", "5")["edges"] == 5
    nodes = {"input": {"in_graph": True}, "a0.h1": {"in_graph": True, "score": 0.5},
             "m2": {"in_graph": True, "score": -3.0},
             "m3": {"in_graph": False, "score": 1.0}}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"cfg": CFG, "nodes": nodes}))
    assert imported(tmp_path, "a.json")["nodes"] == 2
    assert path_of((tmp_path / "x.circuit").read_text()) == "within(a0.h1, m2)"
    assert imported(tmp_path, "a.json", "--top", "2")["nodes"] == 2
    assert path_of((tmp_path / "x.circuit").read_text()) == "within(m[2..3])"


def test_many_edges_go_into_a_file_beside(tmp_path: Path) -> None:
    names = [f"a0.h{h}->a{k}.h{j}<{s}>" for k in (1, 2, 3) for j in range(4) for s in "qkv"
             for h in range(4) if (k * 17 + j * 5 + h * 3 + ord(s)) % 3]  # fmt: skip
    names += [f"input->a{k}.h{j}<{s}>" for k in range(4) for j in range(4) for s in "qkv"]
    names += [
        f"a{k}.h{j}->m{m}" for m in range(4) for k in range(m) for j in range(4) if (j + k) % 2
    ]
    names += [f"a{k}.h{j}->logits" for k in range(4) for j in range(4)]
    names += [f"a1.h{j}->a3.h{i}<{s}>" for j in range(4) for i in range(4) for s in "qkv" if i != j]
    names += [f"a2.h{j}->a3.h{i}<k>" for j in range(4) for i in range(4) if i + j != 3]
    (tmp_path / "a.json").write_text(json.dumps({"cfg": CFG, "edges": dict.fromkeys(names, True)}))
    from pathdsl.discover import imported as writer

    most, writer.MOST_LINES = writer.MOST_LINES, 5
    try:
        report = imported(tmp_path, "a.json", *MODEL, "--rows", "mini_ioi(take: 4)",
                          "--treated", "prompt_abc", "--answer", "io", "--wrong", "s")  # fmt: skip
    finally:
        writer.MOST_LINES = most
    assert report["written"] == ["x.circuit", "x.edges.json"]
    assert path_of((tmp_path / "x.circuit").read_text()) == 'edges("x.edges.json")'
    done = pathdsl("lint", "x.circuit", cwd=tmp_path)
    assert done.returncode == 0 and "1 file: no faults" in done.stdout, done.stdout
    beside = read((tmp_path / "x.edges.json").read_text())
    assert len(kept(beside)) == report["edges"]


# ------------------------------------------------------------------------------- auto-circuit, ACDC


def test_prune_scores_have_positions(tmp_path: Path) -> None:
    """A sequence dimension is the token at which an input reads, or is written for keys, values."""
    shapes = {f"blocks.{k}.hook_{s}_input": (3, 1, 1 + 2 * k) for k in range(2) for s in "qkv"}
    shapes |= {"blocks.0.hook_mlp_in": (3, 2), "blocks.1.hook_mlp_in": (3, 4)}
    shapes |= {"blocks.1.hook_resid_post": (3, 5)}
    scores = {name: torch.zeros(shape) for name, shape in shapes.items()}
    scores["blocks.1.hook_k_input"][1, 0, 2] = 3.0  # m0 into the key of a1.h0 at token 1
    scores["blocks.0.hook_mlp_in"][1, 0] = -2.0  # input into m0 at token 1
    scores["blocks.1.hook_resid_post"][2, 3] = 1.0  # a1.h0 to the logits at token 2
    (tmp_path / "p.pt").write_bytes(saved(scores))
    report = imported(tmp_path, "p.pt", "--top", "3")
    assert report["edges"] == 3
    path = path_of((tmp_path / "x.circuit").read_text())
    assert path.split("\n")[1:-1] == [
        "  input@[1] -> m0@[1]", "  m0@[1] -[k]-> a1.h0", "  a1.h0@[2] -> logits"
    ]  # fmt: skip
    head = (tmp_path / "x.circuit").read_text()
    assert "minus the answer difference" in " ".join(head.replace("#", "").split())


def test_acdc_needs_the_edges_of_direct_computation() -> None:
    assert kept(read(chain_of_acdc())) == CHAIN
    cut = read(chain_of_acdc(direct=("q", "mlp")))
    assert kept(cut) == CHAIN - {"input->a0.h1<k>", "input->a0.h1<v>"}
    assert any("its node does not read in this circuit, and so out: 2" in r for r in cut.remarks)
    assert kept(read(chain_of_acdc(direct=()))) == CHAIN  # a list of the graph's edges alone
    printed = str([(("blocks.0.hook_mlp_in", [slice(None)], "hook_embed", []), 0.5)])
    assert kept(read(printed)) == {"input->m0"} or "slice" in printed


def test_a_list_as_python_prints_it() -> None:
    rows = [tuple(row) for row, _ in chain_of_acdc()]
    assert kept(read(str([(row, 0.25) for row in rows]))) == CHAIN
    text = str(rows).replace("[None, None, 1]", "TorchIndex([None, None, 1])")
    assert kept(read(text)) == CHAIN
    assert kept(read(str(rows).replace("[None, None, 1]", "[:, :, 1]"))) == CHAIN
    assert kept(read('[["blocks.3.hook_resid_post", "[:]", "hook_embed", "[:]"]]')) == {
        "input->logits"
    }


# ------------------------------------------------------------------------------- features


def test_a_graph_of_features_says_where(tmp_path: Path) -> None:
    features = [
        FEATURE, {**FEATURE, "node_id": "3_17_1", "layer": "3", "ctx_idx": 1, "feature": 227},
        {**FEATURE, "node_id": "3_5_1", "layer": 3, "ctx_idx": 1, "feature": 5},
        {**FEATURE, "node_id": "0_1_0", "layer": "1", "ctx_idx": 0,
         "feature_type": "mlp reconstruction error", "feature": -1},
        {**FEATURE, "node_id": "E_2_2", "layer": "E", "feature_type": "embedding"},
        {**FEATURE, "node_id": "4_3_2", "layer": "4", "feature_type": "logit"},
    ]  # fmt: skip
    links = [{"source": "E_2_2", "target": "0_7_2", "weight": 0.5}]
    data = {**TRACED, "metadata": {"scan": "gemma-2-2b", "prompt": "A b"}, "nodes": features,
            "links": links, "qParams": {"pinnedIds": ["0_7_2"]}}  # fmt: skip
    (tmp_path / "g.json").write_text(json.dumps(data))
    report = imported(tmp_path, "g.json", *MODEL)
    text = (tmp_path / "x.circuit").read_text()
    assert path_of(text) == "within(m0@[2], m1@[0], m3@[1], attn)"
    lost = {one["what"]: one["count"] for one in report["not_carried"]}
    assert lost["features, node by node"] == 3 and lost["errors, node by node"] == 1
    assert lost["links with weights"] == 1 and lost["its prompt, 'A b'"] == 1
    assert lost["its `qParams`"] == 1 and not any("`feature`" in one for one in report["remarks"])
    features[1]["feature"] = 99
    (tmp_path / "g.json").write_text(json.dumps(data))
    assert "`feature` of 1 nodes" in " ".join(imported(tmp_path, "g.json", *MODEL)["remarks"])
    (tmp_path / "c.circuit").write_text(
        'circuit c { language = 1 }\nmodel m = bundled("ioi-mini")\npath p = edges("g.json")\n'
        "task t { data = mini_ioi(take: 4); reference = prompt; treated = prompt_abc }\n"
    )
    done = pathdsl("graph", "c.circuit", "--path", "p", cwd=tmp_path)
    assert done.returncode == 2 and "[PD446]" in done.stderr and "pathdsl import" in done.stderr


# ------------------------------------------------------------------------------- CircuitKIT


def test_artifacts_keep_the_sign_of_edges(tmp_path: Path) -> None:
    circuit = read(KIT)
    scores = {edge_text(e): one.score for e, one in (circuit.edges or {}).items()}
    assert scores["input->a0.h1<q>"] == -0.25 and circuit.model.name == "gpt2"
    assert "weights of edges" in [one.what for one in circuit.lost]
    nodes = read({**KIT, "edges": []})
    assert nodes.edges is None and set(nodes.nodes) == {"a0.h1", "m2"}
    assert "signs of importance" in [one.what for one in nodes.lost]
    listed = read(["A0.1", "MLP 3"])
    assert set(listed.nodes) == {"a0.h1", "m3"}
    (tmp_path / "n.pt").write_bytes(saved(["A0.1", "MLP 3"]))
    assert imported(tmp_path, "n.pt")["nodes"] == 2
    assert path_of((tmp_path / "x.circuit").read_text()) == "within(a0.h1, m3)"
    (tmp_path / "s.json").write_text(json.dumps({"node_scores": {"A0.1": -2.0, "MLP 3": 1.0}}))
    assert imported(tmp_path, "s.json", "--top", "1")["nodes"] == 1
    assert path_of((tmp_path / "x.circuit").read_text()) == "within(a0.h1)"
    neurons = {**KIT, "edges": [], "nodes": [{"layer_idx": 1, "node_type": "neuron", "index": n}
                                             for n in (7, 3)]}  # fmt: skip
    (tmp_path / "k.json").write_text(json.dumps(neurons))
    assert imported(tmp_path, "k.json", *MODEL)["nodes"] == 2
    assert path_of((tmp_path / "x.circuit").read_text()) == "within(m1.n[3,7])"
    assert pathdsl("graph", "x.circuit", cwd=tmp_path).returncode == 2  # PD440: rows
    assert not math.isnan(EDGES["m2->logits"]["score"])


def test_a_truth_value_for_each_edge_of_acdc(tmp_path: Path) -> None:
    marks = {
        (row[0], tuple(row[1]), row[2], tuple(row[3])): not row[0].endswith("hook_q_input")
        for row, _ in chain_of_acdc()
    }
    (tmp_path / "edges.pth").write_bytes(saved(OrderedDict(marks)))
    report = imported(tmp_path, "edges.pth", *MODEL)
    assert report["format"] == "acdc" and report["edges"] == 4
    assert "input -[k,v]-> a0.h1" in (tmp_path / "x.circuit").read_text()
