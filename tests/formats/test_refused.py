"""Files that are damaged, hostile or unclear end in a diagnostic with its repair."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from pathdsl.lang.rules import pages
from tests.cli.run import pathdsl
from tests.formats.cases import MODEL, imported

CFG = {"n_layers": 4, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 128}
EDGES: dict[str, Any] = {
    "input->a0.h1<v>": {"score": 0.9, "in_graph": True},
    "a0.h1->m2": {"score": -0.7, "in_graph": True},
    "m2->logits": {"score": 0.5, "in_graph": True},
    "input->logits": {"score": float("nan"), "in_graph": False},
}


def eap(**parts: Any) -> str:
    return json.dumps({"cfg": CFG, "nodes": {}, "edges": EDGES, **parts})


def pair(sender: str, receiver: str) -> str:
    return json.dumps([[sender, receiver]])


def acdc(*edge: Any) -> str:
    return json.dumps([[list(edge), 0.1]])


IN, OUT = ["blocks.1.hook_q_input", [None, None, 3]], ["blocks.0.attn.hook_result", [None, None, 1]]
TRACED = {"metadata": {}, "nodes": [], "links": []}
FEATURE = {
    "node_id": "0_7_2", "layer": "0", "ctx_idx": 2, "feature_type": "cross layer transcoder"
}  # fmt: skip
TEXTS = [
    # which format
    ("", "PD441", "in none of the formats"),
    ("hello", "PD441", "in none of the formats"),
    ('circuit c "C" {}', "PD441", "needs no import"),
    ("{}", "PD441", "in none of the formats"),
    ('{"pathdsl": "scores"}', "PD441", "--to eap-ig"),
    ('{"edges": {}}', "PD441", "cfg"),
    ("[]", "PD441", "`acdc` and `edge-pruning` and `interpbench`"),
    ("[1, 2]", "PD441", "in none"),
    # JSON
    ('{"cfg": {', "PD217", "line 1, column"),
    ("[" * 200 + "]" * 200, "PD217", "100 levels deep"),
    ('{"cfg": {}, "cfg": {}}', "PD217", "stands twice"),
    (eap().replace("-0.7", "1" * 5000), "PD217", "5,000 digits"),
    (eap().replace("-0.7", "1e999"), "PD217", "too large"),
    ("[(" * 60 + ")]" * 60, "PD217", "too deep"),
    ("[__import__('os').system('touch was-run')]", "PD217", "nor is it a list"),
    # EAP-IG
    (eap(cfg=3), "PD217", "`cfg`"),
    (eap(cfg={**CFG, "n_layers": "4"}), "PD217", "`n_layers`"),
    (eap(cfg={**CFG, "n_layers": 10**9}), "PD217", "`n_layers`"),
    (eap(cfg={**CFG, "parallel_attn_mlp": "no"}), "PD217", "`parallel_attn_mlp`"),
    (eap(cfg={**CFG, "n_heads": 5}), "PD217", "another model: heads a layer, 5 there and 4 here"),
    (eap(edges={**EDGES, "m2->a9.h1<q>": True}), "PD217", "no `a9.h1`"),
    (eap(edges={**EDGES, "m3->m2": True}), "PD217", "no edge `m3->m2`"),
    (eap(edges={**EDGES, "m2->a3.h1": True}), "PD217", "no edge `m2->a3.h1`"),
    (eap(edges={**EDGES, "nonsense": True}), "PD217", "edge `nonsense`"),
    (eap(edges={"m2->logits": {"score": [1]}}), "PD217", "where a number is wanted"),
    (eap(edges={"m2->logits": {"in_graph": 3}}), "PD217", "neither true nor false"),
    (eap(edges={}), "PD444", "keeps no edge"),
    (eap(nodes={"x": True}), "PD217", "node `x`"),
    (eap(nodes={"m2": {"neurons": [1, 0]}}), "PD217", "no list of truth values"),
    (eap(nodes={"m2": {"in_graph": True, "neurons": [True, False]}}), "PD226", "keeps 1 of the 2"),
    (json.dumps({"cfg": CFG, "nodes": {"input": False, "m2": True}}), "PD444", "`input` is not"),
    # ACDC
    (acdc("blocks.9.hook_q_input", [None, None, 3], *OUT), "PD217", "no `a9.h3`"),
    (acdc(*IN, "blocks.1.attn.hook_nonsense", []), "PD441", "in none"),
    (acdc(IN[0], [None], *OUT), "PD217", "without a number"),
    (acdc(IN[0], [0, None, 3], *OUT), "PD217", "one row of a batch"),
    (acdc(IN[0], [None, None, -3], *OUT), "PD217", "in an index"),
    (acdc(IN[0], [None, 2, 3], OUT[0], [None, 4, 1]), "PD217", "one position to another"),
    (acdc("blocks.1.hook_mlp_in", [None], *IN), "PD217", "starts at no output"),
    (acdc("blocks.1.attn.hook_result", [None, None, 2], "blocks.1.attn.hook_q", [None, None, 3]),
     "PD217", "another head's output"),
    (json.dumps([[[*IN, *OUT], 0.1], [[*IN, *OUT], 0.1]]), "PD217", "stands twice"),
    (acdc(*IN, "hook_embed", []), "PD444", "none of its 1 edges lies on a path"),
    (json.dumps([[[*IN, "hook_pos_embed", []], 0.1]]), "PD446", "`input` is their sum"),
    # lists of pairs
    (pair("a0.h3", "a1.h9.q"), "PD217", "no `a1.h9`"),
    (pair("nobody", "m2"), "PD217", "no writer `nobody`"),
    (pair("m1", "a3.h1"), "PD217", "no reader `a3.h1`"),
    (json.dumps([["tok_embeds", "m2"], ["pos_embeds", "m3"]]), "PD446", "`input` is their sum"),
    (pair("blocks.0.attn.hook_result", "blocks.1.hook_resid_post"), "PD217", "no output"),
    (pair("blocks.0.hook_mlp_out", "blocks.1.hook_resid_mid"), "PD217", "no node that reads"),
    # graphs of features
    (json.dumps({**TRACED, "nodes": [FEATURE, FEATURE]}), "PD443", "have one id: `0_7_2`"),
    (json.dumps({**TRACED, "nodes": [{**FEATURE, "layer": "x"}]}), "PD217", "the `layer` `x`"),
    (json.dumps({**TRACED, "nodes": [{**FEATURE, "ctx_idx": -1}]}), "PD217", "`ctx_idx`"),
    (json.dumps({**TRACED, "nodes": [FEATURE], "links": [{"source": "0_7_2", "target": "no"}]}),
     "PD217", "no node `no`"),
    (json.dumps(TRACED), "PD444", "no feature"),
    # CircuitKIT
    (json.dumps({"discovery_method": "x", "nodes": [{"node_type": "sae", "layer_idx": 1}]}),
     "PD217", "`sae`"),
    (json.dumps({"discovery_method": "x", "nodes": [{"node_type": "mlp", "layer_idx": "1"}]}),
     "PD217", "as a number"),
    (json.dumps({"discovery_method": "x", "nodes": [{"node_type": "mlp", "layer_idx": 1}] * 2}),
     "PD443", "stands twice"),
    (json.dumps({"node_scores": {"A0.1": 0.5, "MLP 1": 0.25}}), "PD444", "marks nothing"),
    # drawings
    ("graph { a -- b }", "PD217", "without directions"),
    ('digraph { "a0.h1" -> nobody }', "PD217", "`nobody` is no node"),
    ('digraph { m0 -> m1 [label = "q"] }', "PD217", "wanted no input"),
    ("digraph { m0 -> m1", "PD217", "line 1"),
    ("digraph { m0 -> { m1 } }", "PD217", "whole graph"),
    ("digraph { m1 -> m0 }", "PD217", "no edge `m1->m0`"),
    ("digraph " + "{" * 80 + "}" * 80, "PD217", "inside one another"),
    ("flowchart BT\n  m0 --> m1 --> nobody", "PD217", "line 2"),
    ("flowchart BT\n  m0 --> nobody", "PD217", "`nobody` is no node"),
    ("<graphml><graph edgedefault='directed'>", "PD217", "no XML"),
    ("<!DOCTYPE x [<!ENTITY a 'b'>]><graphml/>", "PD441", "none of the formats"),
    ("<graphml><!DOCTYPE x></graphml>", "PD217", "document type"),
    ("<graphml><graph edgedefault='undirected'/></graphml>", "PD217", "not directed"),
    ('{"directed": true, "nodes": [{"id": "rest of m3"}], "edges": []}', "PD217", "its neurons"),
    ('{"directed": true, "nodes": [{"id": "m3"}], "edges": [{"source": "m3"}]}', "PD217", "edge 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "said"), TEXTS)
def test_texts_that_are_refused(text: str, code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text(text)
    report = imported(tmp_path, "found.json", *MODEL)
    assert report["code"] == 2, report
    assert f"[{code}" in report["said"] and said in report["said"], report["said"]
    assert "Traceback" not in report["said"] and "bug in pathdsl" not in report["said"]
    assert not (tmp_path / "x.circuit").exists() and not Path("was-run").exists()


# ------------------------------------------------------------------------------- tensors, pickles


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("was-run", "w"))


def saved(content: object) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def graph(**parts: Any) -> dict[str, Any]:
    """A model of one layer and one head, two edges kept."""
    return {
        "cfg": {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": False, "d_model": 4},
        "src_nodes": ["input", "a0.h0", "m0"],
        "dst_nodes": ["a0.h0<q>", "a0.h0<k>", "a0.h0<v>", "m0", "logits"],
        "edges_scores": torch.arange(15.0).reshape(3, 5),
        "edges_in_graph": torch.ones(3, 5, dtype=torch.bool),
        "nodes_in_graph": torch.ones(3, dtype=torch.bool),
        **parts,
    }


def bomb() -> bytes:
    """An archive whose member unpacks to far more than it holds."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\0" * 10_000_000)
    return out.getvalue()


PICKLES = [
    (pickle.dumps([("blocks.0.hook_resid_pre", 1)]), "PD442", "class Safe(pickle.Unpickler)"),
    (pickle.dumps(Evil()), "PD442", "runs nothing of the file"),
    (pickle.dumps([1], protocol=0), "PD442", "can run code"),
    (b"\x80\x04garbage", "PD442", "can run code"),
    (saved({"a": Evil()}), "PD442", "can run code"),
    (saved(graph())[:2000], "PD447", "damaged or cut off"),
    (bomb(), "PD447", "unpacks to 10,000,000 bytes"),
    (saved(graph(edges_in_graph=torch.ones(2, 5))), "PD447", "of shape [2, 5], wanted [3, 5]"),
    (saved(graph(edges_scores="x")), "PD447", "`edges_scores` is missing"),
    (saved(graph(src_nodes=["input", "input", "m0"])), "PD447", "names a node twice"),
    (saved(graph(src_nodes=["input", "x", "m0"])), "PD447", "`x`"),
    (saved(graph(dst_nodes=3)), "PD447", "no list of names"),
    (saved(graph(edges_scores=torch.ones(1).expand(10**6, 10**6))), "PD447", "than it holds"),
    (saved(graph(edges_scores=torch.ones(3, 5, dtype=torch.complex64))), "PD447", "complex64"),
    (saved(graph(edges_scores=torch.ones(3, 5).to_sparse())), "PD447", "wanted numbers"),
    (saved([torch.ones(3)]), "PD441", "none of the formats"),
    (saved({"blocks.0.hook_q_input": torch.ones(2, 3)}), "PD447", "wanted [2, 1]"),
    (saved({"blocks.0.hook_mlp_in": torch.ones(2)}), "PD447", "number of heads"),
    (b"PK\x03\x04", "PD447", "damaged"),
    (b"\xff\xfe\x00", "PD217", "not UTF-8"),
]


@pytest.mark.parametrize(("data", "code", "said"), PICKLES)
def test_bytes_that_are_refused(data: bytes, code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "found.pt").write_bytes(data)
    report = imported(tmp_path, "found.pt")
    assert report["code"] == 2, report
    assert f"[{code}" in report["said"] and said in report["said"], report["said"]
    assert "Traceback" not in report["said"] and not (tmp_path / "was-run").exists()


def test_the_script_that_converts_runs_nothing_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "e.pkl").write_bytes(pickle.dumps(Evil()))
    said = imported(tmp_path, "e.pkl")["said"]
    lines = said.partition("runs nothing of the file:\n")[2].partition("\n  = more")[0]
    script = "\n".join(line[10:] for line in lines.splitlines())
    for data, code in ((pickle.dumps(Evil()), 1), (pickle.dumps([("a", 1), (None, 2.5)]), 0)):
        (tmp_path / "e.pkl").write_bytes(data)
        words = [sys.executable, "-c", script]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code and not (tmp_path / "was-run").exists()
    assert json.loads((tmp_path / "e.pkl.json").read_text()) == [["a", 1], [None, 2.5]]


def test_what_a_threshold_keeps_is_said_or_refused(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text(eap())
    for options, said in (
        (("--top", "3", "--threshold", "1"), "two ways to choose"),
        (("--signed",), "orders nothing"), (("--nan", "last"), "orders nothing"),
        (("--top", "0"), "no circuit at all"), (("--top", "x"), "wanted a count or a share"),
        (("--threshold", "0"), "leaves nothing out"), (("--threshold", "nan"), "leaves nothing"),
        (("--from", "eapig"), "did you mean `eap-ig`"), (("--from", "acdc"), "no file of ACDC"),
        (("--answer", "a b"), "no name of a column"), (("--model", "hub:x"), "cannot read"),
        (("--level", "nodes"), "PD444"), (("--top", "2"), "PD445"),
        (("--top", "9", "--nan", "last"), "more than the 3 edges"),
    ):  # fmt: skip
        report = imported(tmp_path, "found.json", *options)
        assert report["code"] == 2 and said in " ".join(report["said"].split()), (options, report)
    assert imported(tmp_path, "found.json", "--threshold", "0.4")["edges"] == 3
    assert "PD444" in imported(tmp_path, "found.json", "--threshold", "0.4", "--signed")["said"]
    said = imported(tmp_path, "found.json", "--threshold", "9")["said"]
    assert "PD444" in said and "a smaller `--threshold`" in said
    done = imported(tmp_path, "found.json", "--model", "ioi-mini", "--threshold", "0.4")
    assert done["code"] == 0 and 'bundled("ioi-mini")' in (tmp_path / "x.circuit").read_text()
    some = {**EDGES, "m2->logits": {"score": 0.7}}
    (tmp_path / "found.json").write_text(eap(edges=some))
    assert "says nothing of `m2->logits`" in imported(tmp_path, "found.json")["said"]
    (tmp_path / "list.json").write_text(acdc(*IN, *OUT))
    report = imported(tmp_path, "list.json", "--top", "5%")
    assert "PD448" in report["said"] and "a share of a model" in report["said"]
    tied = {**EDGES, "m2->logits": {"score": 0.7}}
    (tmp_path / "found.json").write_text(eap(edges=tied))
    report = imported(tmp_path, "found.json", "--top", "2", "--nan", "last")
    assert "PD229" in report["said"] and "`--top 1` or `--top 3`" in report["said"]


def test_files_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text(eap())
    assert pathdsl("import", "found.json", cwd=tmp_path).returncode == 0
    again = pathdsl("import", "found.json", cwd=tmp_path)
    assert again.returncode == 2 and "`--force` writes over it" in again.stderr
    assert pathdsl("import", "gone.json", cwd=tmp_path).returncode == 2
    assert pathdsl("import", ".", cwd=tmp_path).returncode == 2
    odd = pathdsl("import", "found.json", "-o", "found.txt", cwd=tmp_path)
    assert odd.returncode == 2 and "ends in `.circuit`" in odd.stderr


def test_rows_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text(eap())
    row = {"prompt": [1], "otherwise": [2], "answer": 3, "wrong": 4}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "rows.csv").write_text("prompt,other,answer\na,b,c\n")
    for rows, said in (
        ("rows.jsonl", "no column `other`, `--treated` names another: did you mean `otherwise`?"),
        ("rows.csv", "no column `wrong`, `--wrong` names another: it has `prompt`, `other`"),
        ("gone.jsonl", "No such file"), ("found.circuit", "is no source of rows"),
        ("mini_ioi(take: 4)", "no column `other`, `--treated` names another"),
        (".", "PD377"),
    ):  # fmt: skip
        report = imported(tmp_path, "found.json", "--rows", rows)
        assert report["code"] == 2
        assert said in " ".join(report["said"].split()), report
    assert imported(tmp_path, "found.json", "--rows", "rows.csv", "--wrong", "")["code"] == 0


def test_placeholders_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text(eap())
    done = pathdsl("import", "found.json", cwd=tmp_path)
    assert "fill in the model and the rows: pathdsl lint found.circuit" in done.stdout
    told = pathdsl("lint", "found.circuit", cwd=tmp_path).stdout
    assert told.count("[PD440]") == 2 and "error" in told


def test_many_edges_want_a_model(tmp_path: Path) -> None:
    heads = [f"a{layer}.h{h}" for layer in range(9) for h in range(12)]
    rows = [["tok_embeds", f"{one}.{slot}"] for one in heads for slot in "qkv"]
    rows += [[one, "resid_post"] for one in heads]
    rows += [[heads[i], f"{heads[j]}.q"] for i in range(7) for j in range(12, 108) if j >> i & 1]
    (tmp_path / "edges.json").write_text(json.dumps(rows))
    report = imported(tmp_path, "edges.json")
    assert "PD448" in report["said"] and "at least 9 layers and 12 heads" in report["said"]


def test_every_code_of_formats_is_shown_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [code for code in pages() if "PD440" <= code <= "PD459" and code not in here] == []
