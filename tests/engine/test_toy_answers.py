"""Answers where logits are of something else than the vocabulary, and whole checks without a
tokenizer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pathdsl.graph.check import check_graph
from pathdsl.graph.model.families import toy_shape
from tests.cli.run import pathdsl
from tests.engine.data_cases import SHAPE, TOKENIZER, both, faults_of, one_fault
from tests.engine.toy_cases import SMALL, make
from tests.graph.helpers import program

OUT = replace(SHAPE, d_vocab_out=3)


def test_ids_are_numbers_of_logits() -> None:
    rows = [{"prompt": [1, 2], "io": 2}, {"prompt": [2, 1], "io": [0, 1]}]
    found, _ = both(rows, answer_columns=["io"], shape=OUT)
    assert found.answers["io"] == ((2,), (0, 1))
    assert found.first_answers["io"] == (("2", 2),)  # and not the token of that id
    for tokenizer in (TOKENIZER, None):
        said = one_fault("PD332", [{"prompt": [1], "io": 3}], answer_columns=["io"], shape=OUT,
                         tokenizer=tokenizer)  # fmt: skip
        assert "there is no logit 3: the model has 3 (0 to 2)" in said


def test_ids_beyond_the_vocabulary() -> None:
    """More logits than tokens: an answer may be one that no prompt holds."""
    wide = replace(SHAPE, d_vocab_out=SHAPE.d_vocab + 5)
    found, _ = both([{"prompt": [1], "io": SHAPE.d_vocab + 4}], answer_columns=["io"], shape=wide)
    assert found.answers["io"] == ((SHAPE.d_vocab + 4,),)
    one_fault("PD332", [{"prompt": [SHAPE.d_vocab], "io": 1}], answer_columns=["io"], shape=wide)


def test_texts_are_no_logits() -> None:
    rows = [{"prompt": "a", "io": "a"}]
    said = one_fault("PD383", rows, answer_columns=["io"], shape=OUT)
    assert "3 logits are not those of its tokens" in said
    rows = [{"prompt": "a", "io": "1"}]
    assert "ids: [io]" in one_fault("PD383", rows, answer_columns=["io"], shape=OUT)
    rows = [{"prompt": [1], "io": "1"}]
    (fault,) = faults_of(rows, answer_columns=["io"], shape=OUT, tokenizer=None)
    assert fault.code == "PD342" and fault.help == "ids: [io]"


@pytest.mark.parametrize("text, label", [
    ("metric C: none = copy_score(a0.h1, of: [END])\n", "of the logit of a token"),
    ("metric C: logits = logit(next)\n", "of the logit of a token"),
    ("task t {\n  data = jsonl(\"r\")\n  reference = p\n  answers = whole\n}\n", "as tokens"),
])  # fmt: skip
def test_what_is_of_a_token(text: str, label: str) -> None:
    (fault,) = check_graph(program(text), toy_shape({**SMALL, "d_vocab_out": 3}))
    assert fault.code == "PD383" and label in fault.label
    assert not check_graph(program(text), toy_shape({**SMALL, "d_vocab_out": 11}))


ADDITION = """circuit addition "Does the MLP add?" {
  language = 1
}

model toy = folder("model")

task add {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
}

path through_mlp = input -> any -> m0@END -> logits

metric LD: logits = logit(answer) - logit(wrong)

claim some: faithfulness(through_mlp) >= 20% at 95% confidence
"""


@pytest.fixture
def addition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One layer, no norms, 12 tokens and 11 logits, no tokenizer: rows of numbers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make(n_layers=1, d_vocab=12, d_vocab_out=11, unembed_bias=False).save_pretrained("model")
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(24):
        a, b, c = (int(one) for one in rng.integers(0, 11, 3))
        rows.append({"prompt": [a, b, 11], "other": [a, c, 11],
                     "answer": (a + b) % 11, "wrong": (a + b + 1) % 11})  # fmt: skip
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("add.circuit").write_text(ADDITION)
    return tmp_path


def test_a_file_on_numbers(addition: Path) -> None:
    for verb in ("lint", "plan", "check", "check"):
        found = pathdsl(verb, "add.circuit", cwd=addition)
        assert found.returncode in (0, 1) and "error[" not in found.stdout, found
    assert "some" in found.stdout
    found = pathdsl("doctor", "model", cwd=addition)
    assert found.returncode == 0 and "this model can be checked" in found.stdout
    assert "11 logits" in found.stdout and "answers are numbers of logits" in found.stdout
