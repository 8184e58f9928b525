"""`pathdsl doctor`: models that can be checked, and every kind of one that cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from transformers import LlamaConfig, LlamaForCausalLM

import pathdsl.checking.doctor as doctor_module
import pathdsl.engine.run.execute as execute_module
from pathdsl.checking.doctor import Graph, diagnose, random_task
from pathdsl.cli import main as cli
from pathdsl.cli.doctor import Dtype, read_model
from pathdsl.engine.adapters.llama import LlamaAdapter
from pathdsl.engine.load.source import DTYPES, ModelSource
from pathdsl.graph.model.shape import ModelShape
from pathdsl.report.text.doctor import NEEDED, doctor_report
from pathdsl.report.text.style import View
from tests.graph.network import count_edges, count_paths, graph_of

Capture = pytest.CaptureFixture[str]
CODES = ["PD630", "PD631", "PD632", "PD633", "PD634"]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_deterministic_debug_mode("default")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with grouped queries."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=19, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(saved, tmp_path / "llama"))


def run(*arguments: str) -> int:
    return cli._run(["doctor", *arguments], False)


def configure(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# ------------------------------------------------------------------------------- can be checked


def test_a_bundled_model(capsys: Capture) -> None:
    assert run("bundled:ioi-mini") == 0
    told = capsys.readouterr()
    assert told.err == "" and told.out.splitlines()[-1] == "this model can be checked"
    for fact in (
        'bundled("ioi-mini")',
        "gpt2 (GPT2LMHeadModel)",
        "4, each of 4 heads and an MLP after them",
        "9 LayerNorm",
        "21 senders",
        "456,976 from",
        "563,200",
        "2.3 MB in float32",
        "64 prompts of 15 tokens",
        "bos `<bos>`",
    ):
        assert fact in told.out
    assert told.out.count("  holds\n") == len(CODES) and "FAILS" not in told.out


def test_a_llama_with_grouped_queries_as_json(folder: Path, capsys: Capture) -> None:
    arguments = (str(folder), "--format", "json", "--dtype", "float64", "--threads", "1")
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert str(folder.parent) not in text
    found = json.loads(text)
    assert (found["model"], found["checkable"], found["exit_code"]) == ('folder("llama")', True, 0)
    structure = found["structure"]
    assert (structure["heads"], structure["kv_heads"], structure["windows"]) == (4, 2, [None] * 2)
    assert structure["norms"] == {"LlamaRMSNorm": 5} and not structure["parallel"]
    assert found["graph"] == {"senders": 11, "edges": 12 + 5 + 72 + 10 + 11, "paths": str(26**2)}
    assert found["memory"]["weights_bytes"] == 8 * found["parameters"]
    assert found["memory"]["total_bytes"] > found["memory"]["weights_bytes"]
    assert found["tokenizer"] is None and found["diagnostics"] == found["needed"] == []
    assert [proof["code"] for proof in found["proofs"]] == CODES
    assert all(proof["holds"] for proof in found["proofs"])
    assert found["proofs"][1]["error"] > 0  # something was compared
    assert run(*arguments) == 0 and capsys.readouterr().out == text
    assert run(*arguments, "--seed", "1") == 0
    other = json.loads(capsys.readouterr().out)
    assert [p["error"] for p in other["proofs"]] != [p["error"] for p in found["proofs"]]


def test_grouped_queries_and_no_tokenizer_in_words(folder: Path, capsys: Capture) -> None:
    assert run("llama,dtype=float64") == 0
    told = capsys.readouterr().out
    assert "2, each read by 2 heads" in told and "float64" in told
    assert "none: prompts and answers are token ids" in told


def test_a_narrow_terminal_gets_narrow_lines() -> None:
    told = doctor_report(diagnose(read_model("ioi-mini")), View(width=60))
    assert max(map(len, told.splitlines())) <= 60 and "1e-04  holds" in told


def test_a_model_without_mlps_and_with_few_positions(capsys: Capture) -> None:
    """The one bundled for induction has a short context and no use for MLPs."""
    assert run("induction-2l") == 0
    assert "this model can be checked" in capsys.readouterr().out


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("has_mlp", [False, True])
def test_the_counts_are_those_of_the_graph(parallel: bool, has_mlp: bool) -> None:
    shape = ModelShape(
        family="gpt2", n_layers=3, n_heads=2, d_model=4, d_head=2, d_mlp=8, d_vocab=5,
        n_positions=6, parallel=parallel, has_mlp=has_mlp,
    )  # fmt: skip
    counts, graph = Graph.of(shape), graph_of(shape)
    assert counts.edges == count_edges(graph) and counts.paths == count_paths(graph)
    assert counts.senders == len(graph) - 1
    task = random_task(shape, 0)
    assert task.lengths.tolist() == [6, 3, 1, 1] and task.prompts["other"].max() < 5
    assert not (task.prompts["prompt"] == task.prompts["other"]).all()


# ------------------------------------------------------------------------------- refused


def refused(capsys: Capture, code: str, exit_code: int, *arguments: str) -> dict[str, object]:
    """What JSON says of a refusal; text must say the same."""
    assert run(*arguments) == exit_code
    told = capsys.readouterr()
    assert told.err == "" and told.out.splitlines()[-1] == f"this model cannot be checked: {code}"
    assert f"[{code}" in told.out and "\nNeeded\n" in told.out
    assert run(*arguments, "--format", "json") == exit_code
    text = capsys.readouterr().out
    assert str(Path.cwd()) not in text
    found: dict[str, object] = json.loads(text)
    assert not found["checkable"] and found["exit_code"] == exit_code
    assert [fault["code"] for fault in found["diagnostics"]] == [code]  # type: ignore[index, attr-defined]
    assert found["needed"]
    return found


def test_a_folder_without_weights(folder: Path, capsys: Capture) -> None:
    (folder / "model.safetensors").unlink()
    found = refused(capsys, "PD602", 3, "llama")
    assert found["structure"]["layers"] == 2 and found["parameters"] is None  # type: ignore[index]
    (fault,) = found["diagnostics"]  # type: ignore[misc]
    assert fault["message"].startswith("`llama` has no weights")
    assert fault["help"] == "pathdsl doctor folder:PATH"
    refused(capsys, "PD602", 3, str(folder))


def test_a_folder_with_pickles_only(folder: Path, capsys: Capture) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    found = refused(capsys, "PD603", 3, "folder:llama")
    assert "safetensors" in found["needed"][0]  # type: ignore[index]


def test_an_unknown_architecture(folder: Path, capsys: Capture) -> None:
    configure(folder, model_type="mamba")
    found = refused(capsys, "PD607", 2, "llama")
    assert found["structure"] is found["graph"] is None


def test_no_folder_no_config_and_no_such_bundled_model(folder: Path, capsys: Capture) -> None:
    refused(capsys, "PD600", 2, "./nowhere")
    refused(capsys, "PD613", 2, "bundled:nowhere")
    (folder / "config.json").unlink()
    refused(capsys, "PD601", 2, "llama")


def test_a_model_that_the_engine_does_not_reproduce(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlp = LlamaAdapter.mlp
    monkeypatch.setattr(LlamaAdapter, "mlp", lambda self, *given: 1.01 * mlp(self, *given))
    assert run("llama") == 3
    told = capsys.readouterr().out
    assert "FAILS" in told and "adapter that reproduces" in told
    last = told.splitlines()[-1]
    assert last.startswith("this model cannot be checked: PD630, PD631")


@pytest.mark.parametrize("name", ["ioi-mini", "frac-prevs", "llama"])
def test_copies_of_heads_that_come_out_wrong(
    folder: Path, name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small plan computes copies: where they, and they alone, are off, the null pair shows."""
    attend = execute_module.attend_group

    def scaled(*given: Any) -> Any:
        z, pattern = attend(*given)
        return z * 1.01, pattern

    monkeypatch.setattr(execute_module, "attend_group", scaled)
    assert run(name, "--format", "json") == 3
    found = json.loads(capsys.readouterr().out)
    assert [p["code"] for p in found["proofs"] if not p["holds"]] == ["PD634"]


def test_memory_that_runs_out_while_proving(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def fails(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(doctor_module, "_prove", fails)
    found = refused(capsys, "PD620", 3, "llama")
    assert found["diagnostics"][0]["help"] == "--dtype bfloat16"  # type: ignore[index]

    def breaks(*_: object) -> None:
        raise RuntimeError("shapes")

    monkeypatch.setattr(doctor_module, "_prove", breaks)
    with pytest.raises(RuntimeError, match="shapes"):
        diagnose(ModelSource(kind="folder", location=str(folder)))


def test_what_is_needed_is_said_of_codes_that_exist() -> None:
    from pathdsl.lang.rules import name_of

    assert all(name_of(code) for code in NEEDED)


# ------------------------------------------------------------------------------- the argument


@pytest.mark.parametrize(
    ("text", "kind", "location"),
    [
        ("gpt2", "hf", "gpt2"),
        ("owner/name@main", "hf", "owner/name"),
        ("hf:owner/name", "hf", "owner/name"),
        ("ioi-mini", "bundled", "ioi-mini"),
        ("bundled:balance,dtype=float64", "bundled", "balance"),
        ("./x", "folder", "x"),
        ("folder:x=y", "folder", "x=y"),
        ("llama", "folder", "llama"),
    ],
)
def test_what_a_text_means(folder: Path, text: str, kind: str, location: str) -> None:
    source = read_model(text)
    wanted = str(folder.parent / location) if kind == "folder" else location
    assert (source.kind, source.location) == (kind, wanted)
    assert source.dtype == ("float64" if "float64" in text else "float32")
    assert source.revision == ("main" if "@" in text else "")


@pytest.mark.parametrize("text", ["", "folder:", "hf:@main,dtype=int8", "x,dtype=", "x,dtype=a"])
def test_texts_that_mean_no_model(text: str, capsys: Capture) -> None:
    assert run(text) == 2
    assert "Invalid value" in capsys.readouterr().err


def test_dtypes() -> None:
    assert {dtype.value for dtype in Dtype} == set(DTYPES)
    assert read_model("ioi-mini", Dtype.BFLOAT16).dtype == "bfloat16"
    assert read_model("ioi-mini,dtype=float16", Dtype.FLOAT16).dtype == "float16"
    with pytest.raises(typer.BadParameter, match="differ"):
        read_model("ioi-mini,dtype=float16", Dtype.FLOAT64)
