"""What `pathdsl doctor` says of families that it does not know: which are like them, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from pathdsl.cli import main as cli
from pathdsl.engine.load import resembling
from pathdsl.graph.model.families import SHAPES
from pathdsl.report.text.doctor import RESEMBLES

Capture = pytest.CaptureFixture[str]
KNOWN = ("gpt2", "gptj", "gpt_neox", "opt", "llama", "mistral", "gemma", "stablelm")
SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 40, "num_attention_heads": 4,
    "num_key_value_heads": 4, "head_dim": 16, "vocab_size": 50, "max_position_embeddings": 32,
}  # fmt: skip


def test_every_known_family_can_be_compared() -> None:
    """Also those that are no part of `transformers`, which are none that another could be."""
    mine = resembling.resemblance({"model_type": "mine", **SIZES, "rms_norm_eps": 1e-5})
    helium = resembling.resemblance({"model_type": "helium"})
    assert mine is not None and mine.nearest == "llama"
    assert helium is not None and helium.nearest in CONFIG_MAPPING_NAMES


@pytest.fixture
def capsys(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Capture]:
    """In a folder of its own, and with some known families: those added later change no answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resembling, "SHAPES", {kind: SHAPES[kind] for kind in KNOWN})
    yield capsys


def told(capsys: Capture, config: Mapping[str, Any], code: str = "PD607") -> tuple[str, Any]:
    """The report as text on one line, and what JSON says under `resembles`."""
    folder = Path("model")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    assert cli._run(["doctor", "./model"], False) == 2
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == f"this model cannot be checked: {code}"
    assert cli._run(["doctor", "./model", "--format", "json"], False) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["structure"] is None and not found["proofs"]  # nothing was computed
    return " ".join(text.split()), found["resembles"]


def test_one_that_differs_in_code_alone(capsys: Capture) -> None:
    """Helium: Llama's modules under the same names, rotated by neighbours."""
    text, found = told(capsys, {"model_type": "helium", **SIZES})
    assert RESEMBLES in text and "`helium` is most like `llama`: 6 of 11 classes" in text
    assert {"rotate_half", "apply_rotary_pos_emb", "RMSNorm.forward"} <= set(found["code"])
    assert not found["modules"] and found["refused"] is None


def test_one_that_differs_in_modules(capsys: Capture) -> None:
    text, found = told(capsys, {"model_type": "nanochat", **SIZES, "final_logit_softcapping": 9.5})
    assert "`model.layers.N.mlp.fc1` (Linear) is not in" in text
    near = found["nearest"]
    assert f"`model.layers.N.mlp.gate_proj` of `{near}` is missing" in found["modules"]
    assert "`final_logit_softcapping: 9.5`" in found["config"]
    assert "MLP.forward" in found["code"] and "Attention.forward" in found["code"]


@pytest.mark.parametrize("field", ["num_hidden_layers", "num_attention_heads", "num_local_experts"])
def test_counts_that_would_take_an_hour_to_build(capsys: Capture, field: str) -> None:
    """They are not built: the config alone is compared, or another refusal comes first."""
    folder = Path("model")
    folder.mkdir()
    config = {"model_type": "helium", **SIZES, field: 10**9}
    (folder / "config.json").write_text(json.dumps(config))
    assert cli._run(["doctor", "./model", "--format", "json"], False) == 2
    found = json.loads(capsys.readouterr().out)["resembles"]
    assert found["nearest"] == "llama" and found["same"] is None


def test_one_like_none(capsys: Capture) -> None:
    text, found = told(capsys, {"model_type": "mamba"})
    assert "`mamba` is like none that is known" in text
    assert found["nearest"] is None and not found["modules"]


@pytest.mark.parametrize("code", ["PD607", "PD604"])
def test_an_invented_one(capsys: Capture, code: str) -> None:
    """By its config alone; code that comes with a model is not run for it."""
    own = {"auto_map": {"AutoModelForCausalLM": "mine.Model"}} if code == "PD604" else {}
    config = {"model_type": "mine", **SIZES, "rms_norm_eps": 1e-5, "use_magic": True, **own}
    text, found = told(capsys, config, code)
    assert "`mine` is most like `llama`: by the fields of its config" in text
    assert found["config"] == ["`use_magic: true`"] and found["same"] is None
    assert found["refused"] is None


def test_one_that_could_not_be_read_as_its_nearest(capsys: Capture) -> None:
    config = {"model_type": "mine", **SIZES, "hidden_size": "wide", "rms_norm_eps": 1e-5}
    text, found = told(capsys, config)
    assert found["refused"] == "config has no integer `hidden_size`"
    assert "its config cannot be read: config has no integer" in text


def test_names_that_nobody_would_see(capsys: Capture) -> None:
    config = {"model_type": "mi\u202ene", **SIZES, "rms_norm_eps": 1e-5, "a\u001b[31m": 1}
    text, _ = told(capsys, config)
    assert "mi[U+202E]ne" in text and "\u001b" not in text


@pytest.mark.parametrize("config", [{"model_type": 3}, {}, {"model_type": ["llama"]}, {"x": 1}])
def test_no_model_type(capsys: Capture, config: dict[str, object]) -> None:
    text, _ = told(capsys, config)
    assert "PD607" in text


def test_parts_of_a_model_that_reads_images(capsys: Capture) -> None:
    vision = {"model_type": "clip_vision_model"}
    text, found = told(
        capsys, {"model_type": "llava", "text_config": {"model_type": "llama", **SIZES},
                 "vision_config": vision},
    )  # fmt: skip
    assert "`llama` in `text_config` is a known one" in text
    assert "`text_config`: `llama`, can be taken apart alone" in found["parts"]
    assert "`vision_config`: `clip_vision_model`, no node stands for it" in found["parts"]


def test_an_unknown_part_that_reads_text(capsys: Capture) -> None:
    config = {"model_type": "llava", "text_config": {"model_type": "helium", **SIZES}}
    text, found = told(capsys, {**config, "vision_config": {"model_type": "clip_vision_model"}})
    assert "`helium` in `text_config` is most like `llama`" in text
    assert (found["part"], found["family"]) == ("text_config", "helium")


def test_an_encoder_beside_a_decoder(capsys: Capture) -> None:
    text, found = told(capsys, {"model_type": "t5", "is_encoder_decoder": True})
    assert found["nearest"] is None and "is like none" not in text
    assert "`encoder` (`T5Stack`): reads one text" in text
    assert "`decoder` (`T5Stack`): reads the encoder through" in text
    assert "EncDecAttention" in text
