"""Whole checks on a small trained model with token ids, and on a model shaped like GPT-2 small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import torch

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.load.weights import load
from pathdsl.errors import ExitCode
from tests.engine.data_cases import SHARED

SORT = SHARED / "models" / "gpt-nano-sort"

SORT_FILE = """
circuit sort {{ language = 1 }}
model sorter = folder("{model}", dtype: float32)
task sort {{
  data = jsonl("rows.jsonl")
  reference = prompt
  treated = other
  positions = [LAST]
}}
metric L: logits = logit(answer) - logit(wrong)
metric P_answer: prob = prob(answer)
let total: logits = mean(L(reference) - L(treated))
let by_head for h in attn: logits = mean(L(reference) - L(treat(through(h))))
let sure: prob = mean(P_answer(reference))
let right = accuracy(reference, answer: answer)
claim sorts: accuracy(reference, answer: answer) >= 90% at 95% confidence
claim whole: faithfulness(all, metric: L) >= 99% at 95% confidence
claim heads_carry: mean(L(reference) - L(treat(through(attn)))) > 1 at 95% confidence
claim control: mean(L(treat(all)) - L(reference)) > 0 at 95% confidence expect refuted
path all = within(attn, mlp)
"""

GPT2_FILE = """
circuit shaped { language = 1 }
model big = folder("big")
task t {
  data = jsonl("rows.jsonl")
  reference = prompt
  treated = other
  positions = [S]
}
group early @S = { a0.h1, a2.h3 }
group late @END = { a8.h6, a9.h9, a10.h0 }
path main = input ~> early (-> mlp)* -[k,v]-> late ~> logits
metric L: logits = logit(io) - logit(s)
let moved: logits = mean(abs(L(keep(main)) - L(reference)))
let direct: logits = mean(abs(L(treat(late -> logits)) - L(reference)))
claim something_moves: mean(abs(L(treat(main)) - L(reference))) > 0 at 95% confidence
"""


def write_rows(folder: Path, rows: list[dict[str, object]]) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def sort_rows(n: int = 40) -> list[dict[str, object]]:
    """Six digits and two of the sorted ones; the answer is the third; the other prompt differs."""
    rows: list[dict[str, object]] = []
    inputs = list(product(range(3), repeat=6))
    for number in range(0, len(inputs), 5):
        digits = list(inputs[number])
        other = list(inputs[(number * 7 + 3) % len(inputs)])
        ordered, theirs = sorted(digits), sorted(other)
        if ordered[2] == theirs[2]:
            continue
        rows.append(
            {
                "id": "".join(map(str, digits)),
                "prompt": digits + ordered[:2],
                "other": other + theirs[:2],
                "answer": ordered[2],
                "wrong": theirs[2],
                "positions": {"LAST": 5},
            }
        )
    return rows[:n]


def failures(outcome: FileOutcome) -> list[str]:
    return [f"{d.code}: {d.message} {d.notes}" for d in outcome.diagnostics]


@pytest.mark.skipif(not SORT.is_dir(), reason=f"the sorting model is not at {SORT}")
def test_the_sorting_model(tmp_path: Path) -> None:
    write_rows(tmp_path, sort_rows())
    (tmp_path / "sort.circuit").write_text(SORT_FILE.format(model=SORT))
    options = CheckOptions(threads=1, allow_outside=True)
    outcome = check_file(str(tmp_path / "sort.circuit"), options)
    assert outcome.judgement is not None, failures(outcome)
    verdicts = {c.name: str(c.verdict) for c in outcome.judgement.claims}
    assert outcome.exit_code is ExitCode.AS_EXPECTED, verdicts
    proofs = {proof.code for _, proof in outcome.proofs}
    assert proofs == {"PD630", "PD631", "PD632", "PD633", "PD634"}
    assert all(proof.holds for _, proof in outcome.proofs)
    quantities = {q.name: q.estimate for q in outcome.judgement.quantities}
    assert quantities["right"] == 1.0 and quantities["sure"] > 0.9
    assert len([name for name in quantities if name.startswith("by_head[")]) == 9
    assert "gpt-nano-sort" in outcome.methodology["model"]


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a random model of GPT-2 small's shape and few tokens, with rows for it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("shaped")
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=12, n_head=12, n_embd=768, vocab_size=64, n_positions=32,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).eval().save_pretrained(folder / "big")
    generator = torch.Generator().manual_seed(1)
    rows = []
    for number in range(6):
        length = 8 + number % 3
        ids = torch.randint(0, 64, (2, length), generator=generator).tolist()
        rows.append({"id": f"r{number}", "prompt": ids[0], "other": ids[1], "io": 3, "s": 5,
                     "positions": {"S": 2 + number % 2}})  # fmt: skip
    write_rows(folder, rows)
    (folder / "t.circuit").write_text(GPT2_FILE)
    yield folder


def test_the_shape_of_gpt2_small(shaped: Path) -> None:
    outcome = check_file(str(shaped / "t.circuit"), CheckOptions(threads=1))
    assert outcome.judgement is not None, failures(outcome)
    assert len(outcome.proofs) == 5 and all(proof.holds for _, proof in outcome.proofs)
    assert outcome.exit_code is ExitCode.AS_EXPECTED
    assert all(q.estimate > 0 for q in outcome.judgement.quantities)


def test_the_parts_make_the_whole(shaped: Path) -> None:
    loaded = load(ModelSource(kind="folder", location=str(shaped / "big")))
    ids = torch.tensor([[1, 5, 9, 2, 63, 0, 7, 7], [4, 4, 4, 8, 1, 0, 0, 0]])
    lengths = torch.tensor([8, 5])
    with torch.no_grad():
        whole = loaded.adapter.plain_forward(ids, lengths)
        parts = loaded.adapter.decomposed_forward(ids, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(parts[row, :length], whole[row, :length], rtol=0, atol=1e-4)
