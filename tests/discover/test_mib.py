"""The exported folder by the rules of the leaderboard's loader, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pathdsl.discover.mib import MODELS, all_edges, importances
from pathdsl.graph.files.eap import read_edges_file
from pathdsl.graph.files.ranking import read_ranking
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.decoders import gpt2_shape
from pathdsl.graph.paths.pathset import Listed
from pathdsl.lang.rules import pages
from pathdsl.score.attribution import Scored
from pathdsl.score.kept.file import write_kept
from tests.cli.run import pathdsl
from tests.discover.cases import edges_of, kept_of

CONFIG = {
    "model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50257,
}  # fmt: skip
SOURCE = """circuit c { language = 1 }
model m = folder("gpt2", dtype: float64)
task ioi {
  data      = mini_ioi(take: 4, seed: 0)
  reference = prompt
  treated   = prompt_abc
}
path few    = edges {
  input -> a0.h1 -[q]-> a9.h6 -> logits
  input -> m11 -> logits
}
path nodes  = within(a0.h1, m[0..3])
path placed = within(a0.h1@END, mlp)
path both   = full - (through(m3) & through(m5))
path parts  = through(m3.n[0..7])
"""
LAYOUT = Layout(gpt2_shape(CONFIG))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "c.circuit").write_text(SOURCE)
    return tmp_path


def loaded(path: Path, layout: Layout) -> dict[str, tuple[float, bool]]:
    """The file as the loader reads it: three keys, every name known, `logits` skipped."""
    content = json.loads(path.read_text())
    assert set(content) >= {"cfg", "nodes", "edges"}
    cfg = content["cfg"]
    n_layers, n_heads = cfg["n_layers"], cfg["n_heads"]
    assert cfg["d_model"] == layout.shape.d_model  # it makes room for neurons before it looks
    nodes = {"input"}
    edges: set[str] = set()
    writers = ["input"]
    for layer in range(n_layers):
        heads = [f"a{layer}.h{head}" for head in range(n_heads)]
        edges |= {f"{u}->{h}<{slot}>" for u in writers for h in heads for slot in "qkv"}
        read = writers if cfg["parallel_attn_mlp"] else writers + heads
        edges |= {f"{u}->m{layer}" for u in read}
        writers = [*writers, *heads, f"m{layer}"]
        nodes |= {*heads, f"m{layer}"}
    edges |= {f"{u}->logits" for u in writers}
    for name, node in content["nodes"].items():
        if name != "logits":
            assert name in nodes and isinstance(node["in_graph"], bool)
    assert set(content["edges"]) == edges  # a name that is missing would keep the score 0
    return {name: (e["score"], e["in_graph"]) for name, e in content["edges"].items()}


def test_a_set_of_edges(folder: Path) -> None:
    done = pathdsl("export", "c.circuit:few", "--to", "mib", "-o", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "32,491 edges, 7 in `few`; scores 1 and 0" in done.stdout
    assert "at least two tasks and two models" in done.stdout
    path = folder / "out" / "ioi_gpt2" / "importances.json"
    edges = loaded(path, LAYOUT)
    inside = {name for name, (_, chosen) in edges.items() if chosen}
    assert inside == {
        "input->a0.h1<q>", "input->a0.h1<k>", "input->a0.h1<v>", "a0.h1->a9.h6<q>",
        "a9.h6->logits", "input->m11", "m11->logits",
    }  # fmt: skip
    assert all(score == float(chosen) for score, chosen in edges.values())
    # and our own reader takes it for the same circuit
    back = read_edges_file(path, LAYOUT)
    assert isinstance(back, Listed)
    assert sum(edge.senders.bit_count() for edge in back.edges) == 7
    again = pathdsl("export", "c.circuit:few", "--to", "mib", "-o", "more", cwd=folder)
    assert again.returncode == 0
    assert (folder / "more/ioi_gpt2/importances.json").read_bytes() == path.read_bytes()


def test_scores_that_were_kept(folder: Path) -> None:
    units = edges_of(LAYOUT)
    values = np.random.default_rng(0).normal(size=(len(units), 3))
    write_kept(folder / "c.scores.json", kept_of(Scored(units=units, values=values)))
    done = pathdsl("export", "c.circuit", "--to", "mib", "-o", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (
        "no circuit, a ranking alone; scores of `eap`, the mean fall over 3 prompts" in done.stdout
    )
    path = folder / "out/ioi_gpt2/importances.json"
    edges = loaded(path, LAYOUT)
    names = all_edges(LAYOUT)
    assert [edges[name][0] for name in names] == (-values.mean(axis=1)).tolist()
    assert not any(chosen for _, chosen in edges.values())
    ranking = read_ranking(path, LAYOUT, signed=True)
    assert list(ranking.scores) == sorted(-values.mean(axis=1), reverse=True)
    done = pathdsl("export", "ioi_gpt2=c.circuit:nodes", "--to", "mib", "-o", "b", cwd=folder)
    assert done.returncode == 0, done.stderr
    both = loaded(folder / "b/ioi_gpt2/importances.json", LAYOUT)
    assert [both[name][0] for name in names] == (-values.mean(axis=1)).tolist()
    assert {name for name, (_, chosen) in both.items() if chosen} >= {"input->m0", "m3->logits"}


def test_two_cells(folder: Path) -> None:
    other = SOURCE.replace("task ioi", "task mcqa").replace('"gpt2"', '"qwen"')
    qwen = {**CONFIG, "n_layer": 24, "n_head": 14, "n_embd": 896}
    (folder / "qwen").mkdir()
    (folder / "qwen" / "config.json").write_text(json.dumps(qwen))
    (folder / "d.circuit").write_text(other)
    sources = ("c.circuit:few", "d.circuit:few")
    done = pathdsl("export", *sources, "--to", "mib", "-o", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["ioi_gpt2", "mcqa_qwen2.5"]
    assert "at least two" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["c.circuit:placed"], "`placed` is not all paths over its edges"),
        (["c.circuit:both"], "`both` is not all paths over its edges"),
        (["c.circuit:parts"], "`parts` tells neurons apart"),
        (["c.circuit:nope"], "no path set `nope`"),
        (["none.circuit:few"], "none.circuit"),
        (["c.circuit"], "states no hypothesis"),
        (["ioi_gpt3=c.circuit:few"], "`ioi_gpt3` is no cell of the benchmark"),
        (["../x=c.circuit:few"], "`../x` is no name for a file"),
        (["ioi_llama3=c.circuit:few"], "has 32 layers of 32 heads"),
        (
            ["c.circuit:few", "ioi_gpt2=c.circuit:nodes"],
            "two sources are `ioi_gpt2/importances.json`",
        ),
        (["c.circuit:few", "d.circuit:few", "--scores", "x.json"], "`--scores` is of one source"),
        (["c.circuit:few", "--scores", "none.scores.json"], "cannot be read"),
        (["c.circuit:few", "--scores", "gpt2/config.json"], "it is no index of scores"),
        (["c.circuit:few", "--task", "oi"], "did you mean `ioi`?"),
    ],
)
def test_what_is_refused(arguments: list[str], said: str, folder: Path) -> None:
    done = pathdsl("export", *arguments, "--to", "mib", "-o", "out", cwd=folder)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not (folder / "out").exists() and "Traceback" not in done.stderr


def test_a_task_without_a_cell_is_asked_for(folder: Path) -> None:
    (folder / "c.circuit").write_text(SOURCE.replace("task ioi", "task mine"))
    done = pathdsl("export", "c.circuit:few", "--to", "mib", "-o", "out", cwd=folder)
    assert done.returncode == 2 and "PD246" in done.stderr and "PD246" in pages()
    assert "`ioi_gpt2=FILE:PATH`" in done.stderr


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    (folder / "out").write_text("")
    done = pathdsl("export", "c.circuit:few", "--to", "mib", "-o", "out", cwd=folder)
    assert done.returncode == 2 and "`-o out` names a file" in done.stderr


def test_every_edge_needs_a_score() -> None:
    with pytest.raises(Exception, match="32,490 of the model's 32,491 edges have no score"):
        importances(LAYOUT, None, {"input->logits": 1.0})
    assert (12, 12, 768) == MODELS["gpt2"]


def test_a_circuit_file_of_any_model(folder: Path) -> None:
    units = edges_of(LAYOUT)
    values = np.random.default_rng(0).normal(size=(len(units), 3))
    write_kept(folder / "c.scores.json", kept_of(Scored(units=units, values=values)))
    done = pathdsl(
        "export", "c.circuit", "b=c.circuit:few", "--to", "eap-ig", "-o", ".", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "leaderboard" not in done.stdout
    ranking = read_ranking(folder / "c.json", LAYOUT, signed=False)
    assert list(ranking.scores) == sorted(abs(values.mean(axis=1)), reverse=True)
    assert isinstance(read_edges_file(folder / "b.json", LAYOUT), Listed)
