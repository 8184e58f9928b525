"""Gendered pronouns in a small trained Llama with grouped queries: found by sweeps, then judged.

The files are in tests/cases/stories260k; the model does not come with them, and without it the
tests skip.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from pathdsl.engine.source import ModelSource
from pathdsl.errors import ExitCode
from pathdsl.score.check import CheckOptions, FileOutcome, check_file
from tests.cases.stories260k.make_rows import rows
from tests.engine.data_cases import SHARED

HERE = Path(__file__).parents[1] / "cases" / "stories260k"
STORIES = SHARED / "models" / "stories260K"
pytestmark = pytest.mark.skipif(not STORIES.is_dir(), reason=f"the model is not at {STORIES}")

SUPPORTED = (
    "behaves", "sufficient", "necessary", "minimal", "nearly_complete", "each_mover[a4.h0@END]",
    "each_mover[a4.h2@END]", "little_by_keys", "key_of_h2_moves_h2", "key_of_h3_moves_h3",
    "key_of_h2_leaves_h3", "h3_hardly_uses_values",
)  # fmt: skip
REFUTED = ("not_complete", "six_heads", "no_heads", "control")


def checked(name: str) -> FileOutcome:
    model = ModelSource(kind="folder", location=str(STORIES), dtype="")
    outcome = check_file(str(HERE / name), CheckOptions(threads=1, models={"stories": model}))
    assert outcome.judgement is not None, [f"{d.code} {d.message}" for d in outcome.diagnostics]
    assert outcome.proofs and all(proof.holds for _, proof in outcome.proofs)
    return outcome


@pytest.fixture(scope="module")
def judged() -> FileOutcome:
    return checked("pronoun.circuit")


@pytest.fixture(scope="module")
def sweep() -> dict[str, float]:
    """Every quantity of the sweep."""
    outcome = checked("sweep.circuit")
    assert outcome.exit_code is ExitCode.NOTHING_TO_CHECK
    assert outcome.judgement is not None
    return {q.name: float(q.estimate or 0.0) for q in outcome.judgement.quantities}


def ranked(sweep: dict[str, float], name: str) -> list[str]:
    """The members of a let, without positions, the largest effect first."""
    found = {
        q.partition("[")[2].rstrip("]"): v for q, v in sweep.items() if q.startswith(f"{name}[")
    }
    return [label.partition("@")[0] for label in sorted(found, key=lambda m: -abs(found[m]))]


def heads_of(group: str) -> set[str]:
    """The heads that pronoun.circuit lists in a group."""
    text = (HERE / "pronoun.circuit").read_text(encoding="utf-8")
    line = re.search(rf"^group {group}\b[^{{]*{{([^}}]*)}}", text, re.MULTILINE)
    assert line is not None
    return set(re.findall(r"a\d\.h\d|m\d", line[1]))


def test_the_rows_are_what_the_script_writes() -> None:
    written = [json.loads(line) for line in (HERE / "pronouns.jsonl").read_text().splitlines()]
    assert written == rows(AutoTokenizer.from_pretrained(STORIES))
    splits = [
        {(row["split"], row[key]) for row in written} for key in ("pair", "sentence", "prompt")
    ]
    for seen in splits:  # nothing that was looked at to find the circuit judges it
        names = [value for _, value in seen]
        assert len(names) == len(set(names))


def test_every_claim_has_its_verdict(judged: FileOutcome) -> None:
    assert judged.judgement is not None
    verdicts = {c.name: str(c.verdict) for c in judged.judgement.claims}
    assert verdicts == {n: "supported" for n in SUPPORTED} | {n: "refuted" for n in REFUTED}
    assert all(c.n == 108 for c in judged.judgement.claims)
    assert judged.exit_code is ExitCode.AS_EXPECTED


def test_the_sweep_ranks_highest_what_the_circuit_names(sweep: dict[str, float]) -> None:
    assert set(ranked(sweep, "direct")[:2]) == heads_of("movers")
    assert set(ranked(sweep, "by_mlps")[:2]) == heads_of("movers")
    assert {ranked(sweep, "direct_mlp")[0]} == heads_of("after")
    writers = ranked(sweep, "into_values")
    assert set(writers[:4]) == {"m0", "m1", "m2", "m3"}
    assert {*[w for w in writers if w.startswith("a")][:6]} == heads_of("largest")


def test_the_sweep_finds_slot_and_position(sweep: dict[str, float]) -> None:
    assert sweep["by_value"] < 0.7 * sweep["total"]
    assert abs(sweep["by_query"]) < 0.05 * abs(sweep["by_value"])
    assert abs(sweep["by_key"]) < 0.05 * abs(sweep["by_value"])
    assert sweep["value_at_subject"] < 0.9 * sweep["by_value"]
    assert sweep["at_subject[r4]"] < 0.9 * sweep["total"] < sweep["at_end[r4]"] / 5
    assert sweep["at_end[r5]"] == pytest.approx(sweep["total"], abs=1e-4)


@contextmanager
def catching(layer: nn.Module, kept: list[Tensor], given: Tensor | None) -> Iterator[None]:
    """Keep what enters `o_proj`; put `given` in the place of head 2's part at the last token."""

    def hook(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        z = inputs[0].clone()
        kept.append(z.clone())
        if given is not None:
            part = z.shape[-1] // 8
            z[:, -1, 2 * part : 3 * part] = given[:, -1, 2 * part : 3 * part]
        return (z,)

    handle = layer.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_the_strongest_head_against_hooks_on_the_model(judged: FileOutcome) -> None:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    layer = model.model.layers[4].self_attn.o_proj
    lost = []
    for row in map(json.loads, (HERE / "pronouns.jsonl").read_text().splitlines()):
        if row["split"] != "judge":
            continue
        right, wrong = (tokenizer.convert_tokens_to_ids(f"▁{row[c]}") for c in ("right", "wrong"))
        twin: list[Tensor] = []
        with torch.no_grad():
            with catching(layer, twin, None):
                model(**tokenizer(row["twin"], return_tensors="pt"))
            ids = tokenizer(row["prompt"], return_tensors="pt")
            plain = model(**ids).logits[0, -1]
            with catching(layer, [], twin[0]):
                patched = model(**ids).logits[0, -1]
        lost.append((plain[right] - plain[wrong]) - (patched[right] - patched[wrong]))
    assert judged.judgement is not None
    claim = next(c for c in judged.judgement.claims if c.name == "each_mover[a4.h2@END]")
    assert claim.estimate == pytest.approx(float(torch.stack(lost).mean()), abs=1e-4)
