"""A file whose prompts are messages, from its text to its lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from transformers import GPT2Config, GPT2LMHeadModel

from pathdsl import check
from pathdsl.cli import main as cli
from pathdsl.report.data.result import schema
from tests.engine.test_chat import CHATML, LLAMA, make

FILE = """circuit chat "A chat" {
  language = 1
}

model m = folder("chatty", dtype: float64)

task asked {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
  positions = [CITY]
  chat      = true
}

metric LD: logits = logit(yes) - logit(no)

let whole: logits = mean(LD(reference) - LD(treated))
let city: logits  = mean(LD(reference) - LD(treat(input@CITY ~> logits)))
let rest: logits  = mean(LD(reference) - LD(treat(full - (input@CITY ~> logits))))

claim small: mean(LD(reference) - LD(treat(input@CITY ~> a0.h0 ~> logits))) < 5 at 95% confidence
"""
CITIES = ["Paris", "Tokyo", "Delhi", "Osaka", "Cairo", "Lagos", "Lyons", "Milan", "Turin", "Derby"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of two layers with a chat template, ten rows, and a file."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=120, n_positions=100, n_embd=16, n_layer=2, n_head=2, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "chatty")
    make(CHATML).save_pretrained(tmp_path / "chatty")
    with (tmp_path / "rows.jsonl").open("w") as file:
        for one, other in zip(CITIES, ["Seoul"] * len(CITIES), strict=True):
            chats = {
                name: [{"role": "user", "content": f"Is {city} big?"}]
                for name, city in (("prompt", one), ("other", other))
            }
            file.write(json.dumps({**chats, "yes": "Y", "no": "N", "spans": {"CITY": [0, 3, 8]}}))
            file.write("\n")
    (tmp_path / "x.circuit").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


def test_a_check_says_which_template(folder: Path) -> None:
    said = check(folder / "x.circuit", store=None).to_dict()
    Draft202012Validator(schema()).validate(said)
    (file,) = said["files"]
    assert file["claims"][0]["verdict"] == "supported"
    values = {one["name"]: one["estimate"] for one in file["quantities"]}
    # Prompts differ in the city alone: what does not come from there is the reference's.
    assert abs(values["whole"]) > 1e-6 and abs(values["rest"]) < 1e-12
    (task,) = file["tasks"]
    assert (
        f"those of the chat template, sha256 {task['chat_template'][:12]}"
        in (file["methodology"]["task asked"])
    )


def test_another_template_is_a_drift(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lock", "x.circuit") == 0
    locked = json.loads((folder / "x.circuit.lock").read_text())["inputs"]["tasks"]["asked"]
    assert len(locked["chat_template"]) == 64
    assert run("check", "--locked", "x.circuit", "--no-cache") == 0
    # The same text of every prompt, by another template.
    (folder / "chatty" / "chat_template.jinja").write_text(CHATML + "{# #}")
    capsys.readouterr()
    assert run("check", "--locked", "x.circuit", "--format", "json", "--no-cache") == 1
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert [d["code"] for d in file["diagnostics"] if d["severity"] == "error"] == ["PD656"]
    (folder / "chatty" / "chat_template.jinja").write_text(LLAMA)
    assert run("check", "--locked", "x.circuit", "--no-cache") == 1
