"""All bundled folders load offline and are small; `ioi-mini` identifies indirect objects."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel, TokenizersBackend

from pathdsl.engine.toy.model import ToyModel
from pathdsl.models import DATA, MODELS, bundled, names, truth
from pathdsl.models.build import attention_mini, attention_mini_card, induction_mini
from pathdsl.models.build.ioi_mini import accuracy, build_tokenizer, story
from pathdsl.models.build.ioi_mini_tuned import sentence, tune
from pathdsl.models.build.reuse_mini import CHECKPOINTS
from pathdsl.models.build.reuse_mini import accuracy as accuracy_of
from pathdsl.models.build.reuse_mini_data import build_tokenizer as reuse_tokenizer
from pathdsl.tasks import get
from pathdsl.tasks.mini_induction import held_out
from pathdsl.tasks.mini_ioi import UNSEEN_NAMES, pairs

MEBIBYTE = 1 << 20


@cache
def ioi_mini() -> tuple[GPT2LMHeadModel, TokenizersBackend]:
    folder = bundled("ioi-mini")
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(
        folder
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_folders_hold_what_they_should(model) -> None:
    folder = bundled(model.name)
    files = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "MODEL_CARD.md"} <= files
    assert ("truth.json" in files) is model.hand_built
    assert ("tokenizer.json" in files) is not model.hand_built
    assert not {path.suffix for path in folder.iterdir()} & {".bin", ".pt", ".pkl", ".py"}
    assert get(model.task).name == model.task
    config = json.loads((folder / "config.json").read_text())
    if model.name == "attention-mini":
        assert config["model_type"] == "pathdsl_toy" and config["attn_only"]
        return
    assert "generation_config.json" in files
    assert config["architectures"] == ["GPT2LMHeadModel"]
    assert config["resid_pdrop"] == config["attn_pdrop"] == config["embd_pdrop"] == 0


def test_registry_names_every_folder_and_no_other() -> None:
    assert {path.name for path in DATA.iterdir()} == set(names())
    with pytest.raises(KeyError):
        bundled("../build")
    with pytest.raises(KeyError):
        truth("ioi-mini")


def test_all_models_together_are_small() -> None:
    sizes = [path.stat().st_size for path in DATA.rglob("*") if path.is_file()]
    assert sum(sizes) < 15 * 10**6 and max(sizes) < 4 * MEBIBYTE


@pytest.mark.parametrize(("split", "least"), [("test", 0.99), ("train", 0.99), ("names", 0.6)])
def test_ioi_mini_identifies_indirect_objects(split: str, least: float) -> None:
    model, tokenizer = ioi_mini()
    assert accuracy(model, tokenizer, split, take=200)["top1"] >= least


def test_the_tuned_model_has_learned_the_other_names() -> None:
    folder = bundled("ioi-mini-tuned")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.get_vocab() == ioi_mini()[1].get_vocab()
    for split in ("names", "test"):
        assert accuracy(model, tokenizer, split, take=200)["top1"] >= 0.97


def test_tuning_begins_with_the_bundled_model_and_is_repeated_bit_for_bit() -> None:
    base, _ = ioi_mini()
    untouched, one, two = (tune(steps)[0].state_dict() for steps in (0, 2, 2))
    assert all(torch.equal(untouched[key], value) for key, value in base.state_dict().items())
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["transformer.wte.weight"], untouched["transformer.wte.weight"])


def test_no_sentence_of_the_tuning_has_two_of_the_other_names() -> None:
    seen = pairs("train")
    texts = [sentence(i, seen) for i in range(600)]
    counts = [
        len({word.strip(".,") for word in text.split()} & set(UNSEEN_NAMES)) for text in texts
    ]
    assert counts == [i % 2 for i in range(600)]


def test_ioi_mini_needs_the_second_subject() -> None:
    model, tokenizer = ioi_mini()
    rows = get("mini_ioi").rows(take=60)
    swapped = 0
    for row in rows:
        ids = tokenizer(row["prompt_swap"], return_tensors="pt").input_ids
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
        swapped += int(logits.argmax() == tokenizer.convert_tokens_to_ids(row["s"]))
    assert swapped >= 58


def test_tokenizer_of_the_folder_is_the_scripts() -> None:
    _, tokenizer = ioi_mini()
    built = build_tokenizer()
    assert tokenizer.get_vocab() == built.get_vocab()
    text = get("ioi").rows(take=1)[0]["prompt"]
    assert tokenizer(text).input_ids == built(text).input_ids
    assert tokenizer(text).input_ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in tokenizer(text).input_ids


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("ioi-mini", build_tokenizer),
        ("reuse-mini", reuse_tokenizer),
        ("induction-mini", induction_mini.build_tokenizer),
        ("attention-mini", attention_mini.build_tokenizer),
    ],
)
def test_tokenizers_are_saved_as_they_ship(name: str, build, tmp_path: Path) -> None:
    build().save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / file).read_bytes() == (bundled(name) / file).read_bytes()


def test_unseen_names_stand_outside_the_pattern_only() -> None:
    seen = pairs("train")
    stories = [story(i, seen) for i in range(2000)]
    patterns = [story(i, seen, alone=True) for i in range(2000)]
    assert any(name in text for text in stories for name in UNSEEN_NAMES)
    words = {word.strip(".,") for text in patterns for word in text.split()}
    assert not words & set(UNSEEN_NAMES)


@pytest.mark.parametrize(
    ("task", "least"),
    [("mini_ioi", 0.97), ("mini_colored_objects", 0.97), ("mini_greater_than", 0.9)],
)
def test_reuse_mini_does_three_tasks_on_what_was_held_out(task: str, least: float) -> None:
    folder = bundled("reuse-mini")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert accuracy_of(model, tokenizer, task, "test", 100) >= least


def test_checkpoints_of_reuse_mini_are_bundled_and_learn() -> None:
    wanted = {f"reuse-mini-step-{step}" for step in CHECKPOINTS}
    assert wanted == {name for name in names() if name.startswith("reuse-mini-step-")}
    found = []
    for step in (CHECKPOINTS[0], CHECKPOINTS[-1]):
        folder = bundled(f"reuse-mini-step-{step}")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        found.append(accuracy_of(model, tokenizer, "mini_ioi", "test", 60))
    assert found[0] < 0.3 and found[1] > 0.9


@pytest.mark.parametrize("split", ["test", "train"])
def test_induction_mini_completes_pairs_that_training_never_had(split: str) -> None:
    folder = bundled("induction-mini")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert induction_mini.accuracy(model, tokenizer, split, 300) >= 0.99
    assert sum(path.stat().st_size for path in folder.iterdir()) < MEBIBYTE


def test_training_of_induction_mini_has_no_pair_that_is_held_out() -> None:
    again = 0
    for index in range(100):
        parts = induction_mini.line(index)
        assert sum(map(len, parts)) == induction_mini.LENGTH
        pairs = [part for part in parts if len(part) == 2]
        assert not any(held_out(*pair) for pair in pairs)
        assert len({word for part in {*parts} for word in part}) == sum(map(len, {*parts}))
        again += len(pairs) - len({*pairs})
    assert again > 500


@cache
def of_attention_mini() -> tuple[ToyModel, TokenizersBackend]:
    folder = bundled("attention-mini")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("split", ["test", "train"])
@pytest.mark.parametrize("task", attention_mini.TASKS)
def test_attention_mini_does_both_tasks_on_what_was_held_out(task: str, split: str) -> None:
    model, tokenizer = of_attention_mini()
    assert attention_mini.accuracy(model, tokenizer, task, split, 300) >= 0.96


def test_attention_mini_is_small_and_has_no_mlps() -> None:
    sizes = [path.stat().st_size for path in bundled("attention-mini").iterdir()]
    assert sum(sizes) < 200_000
    assert not any("mlp" in name for name, _ in of_attention_mini()[0].named_parameters())


@pytest.mark.parametrize("task", attention_mini.TASKS)
def test_the_card_of_attention_mini_is_what_is_measured(task: str) -> None:
    of = attention_mini_card.Measured(*of_attention_mini(), task)
    card = (bundled("attention-mini") / "MODEL_CARD.md").read_text(encoding="utf-8")
    column = attention_mini_card.PAIRED[task][0]
    looks, losses = next(iter(of.looks().values())), of.losses(column)
    lines = [line for line in card.split(f"`{task}`:")[1].splitlines() if line.startswith("| a")]
    header = card.split(f"`{task}`:")[1].split("| head | ")[1].split(" |\n")[0].split(" | ")
    at = header.index(column.removeprefix("prompt_"))
    for line, look, loss in zip(lines, looks.flatten(), losses.flatten(), strict=False):
        _, *cells = line.strip("| ").split(" | ")
        assert abs(float(cells[0]) - look) < 0.01 and abs(float(cells[at]) - loss) < 0.02


def test_training_of_attention_mini_describes_no_neighbours_that_are_held_out() -> None:
    tokenizer = of_attention_mini()[1]
    for index in range(200):
        text = attention_mini.method(index)
        (defined,) = re.findall(r"\(self, (.*)\):", text)
        arguments, described = defined.split(", "), re.findall(r":param (\w+):", text)
        assert not any(held_out(*pair) for pair in pairwise(arguments))
        assert described in (arguments, arguments[1:]) and 4 <= len(arguments) <= 6
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids
    ids, labels = attention_mini.of_docstrings(0, tokenizer)
    rows, places = (labels != attention_mini.IGNORED).nonzero(as_tuple=True)
    read = tokenizer.convert_ids_to_tokens(ids[rows, places - 1].unique().tolist())
    assert read == [attention_mini.PARAM]
    assert torch.equal(ids[rows, places], labels[rows, places])


def test_a_step_of_the_training_of_attention_mini_is_repeated_bit_for_bit(tmp_path: Path) -> None:
    one, two = (attention_mini.train(tmp_path / name, 2).state_dict() for name in "ab")
    assert all(torch.equal(one[key], two[key]) for key in one)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
