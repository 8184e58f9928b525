"""PD501 on models that are too small for the control that it asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import vet_file
from pathdsl.errors import Diagnostic
from tests.engine.toy_cases import make

HEAD = """circuit c "C" {
  language = 1
}
model m = folder("one")
task t {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
}
metric LD: logits = logit(good) - logit(bad)
"""
ENOUGH = "claim enough: faithfulness(P) >= 80% at 95% confidence\n"
DIRECT = "a0.h0 -> logits; a0.h1 -> logits; input -> logits"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("undrawn")
    make("attn_only", n_layers=1, n_heads=2).save_pretrained(place / "one")
    make("no_norm", n_layers=1).save_pretrained(place / "with_mlp")
    gpt2 = {"n_embd": 768, "n_head": 12, "n_layer": 12, "vocab_size": 50257, "n_positions": 1024}
    (place / "large").mkdir()
    (place / "large" / "config.json").write_text(json.dumps({"model_type": "gpt2", **gpt2}))
    rows = [
        {"id": str(k), "prompt": [1, 2, k], "other": [1, 5, k], "good": 5, "bad": 6}
        for k in range(3)
    ]
    (place / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return place


def told(folder: Path, text: str, model: str = "one") -> list[Diagnostic]:
    _, faults = vet_file(str(folder / "x.circuit"), HEAD.replace("one", model) + text)
    return [one for one in faults if one.code == "PD501" or one.severity.value == "error"]


@pytest.mark.parametrize(
    ("paths", "model", "why"),
    [
        ("through({a0.h0, a0.h1})", "one", "it names 2 heads and the model has no others"),
        ("through(m0)", "with_mlp", "it names 1 MLP and the model has no others"),
    ],
)
def test_edges_are_asked_for_where_no_nodes_are_left(
    folder: Path, paths: str, model: str, why: str
) -> None:
    file = f"path P = {paths}\n{ENOUGH}"
    (found,) = told(folder, file, model)
    assert found.notes == (f"no `random_like(P)` can be drawn on this model: {why}",)
    assert "random_edges(like: P, by: walks, seed: 0)" in found.help
    assert told(folder, file + found.help.strip("`") + "\n", model) == []


def test_what_can_be_drawn_is_asked_for(folder: Path) -> None:
    (found,) = told(folder, f"path P = through(a0.h0)\n{ENOUGH}")
    assert "random_like(P, seed: 0)" in found.help and not found.notes


def test_a_set_like_which_there_is_no_other(folder: Path) -> None:
    inputs = "input -> a0.h0; input -> a0.h1"
    text = f"path P = edges {{ {inputs}; {DIRECT} }}\n{ENOUGH}"
    (found,) = told(folder, text)
    assert found.message.startswith("no random set like `P` can be drawn on this model")
    assert "random_" not in found.help
    path = folder / "x.circuit"
    path.write_text(HEAD + text)
    outcome = check_file(str(path), CheckOptions(store=None))
    assert found in outcome.diagnostics  # judged, it says the same


def test_a_large_model_is_told_in_a_note(folder: Path) -> None:
    mlps = ", ".join(f"m{layer}" for layer in range(9))
    (found,) = told(folder, f"path P = within({{{mlps}}})\n{ENOUGH}", "large")
    assert "it names 9 MLPs and the model has 3 others" in found.notes[0]
