"""Gendered pronouns in a small trained Llama with grouped queries: found by sweeps, then judged.

The files are in tests/cases/stories260k; the model does not come with them, and without it the
tests skip.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedModel,
)

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine.load.source import ModelSource
from pathdsl.errors import ExitCode
from tests.cases.stories260k.make_rows import rows
from tests.engine.data_cases import SHARED

HERE = Path(__file__).parents[1] / "cases" / "stories260k"
STORIES = SHARED / "models" / "stories260K"
pytestmark = pytest.mark.skipif(not STORIES.is_dir(), reason=f"the model is not at {STORIES}")

SUPPORTED = (
    "behaves", "sufficient", "necessary", "minimal", "nearly_complete", "both_movers",
    "little_by_keys", "key_of_h2_moves_h2", "key_of_h3_moves_h3", "key_of_h2_leaves_h3",
    "h3_hardly_uses_values",
)  # fmt: skip
REFUTED = ("no_heads", "control")


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
    assert outcome.exit_code is ExitCode.AS_EXPECTED
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


def test_the_circuit_against_hooks_on_the_model(judged: FileOutcome) -> None:
    """One head, one key and one value of the group that heads 2 and 3 of layer 4 share.

    Hooks on `k_proj` cannot treat a key for one query head alone, so the model is written out with
    a stored key and value for each query head, which changes nothing that it computes.
    """
    shared = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    model = written_out(shared)
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    attention = model.model.layers[4].self_attn
    lost: dict[str, list[float]] = {"head": [], "key": [], "value": []}
    for row in map(json.loads, (HERE / "pronouns.jsonl").read_text().splitlines()):
        if row["split"] != "judge":
            continue
        right, wrong = (tokenizer.convert_tokens_to_ids(f"▁{row[c]}") for c in ("right", "wrong"))
        twin, prompt = (tokenizer(row[c], return_tensors="pt") for c in ("twin", "prompt"))
        with torch.no_grad():
            plain = model(**prompt).logits[0, -1]
            torch.testing.assert_close(plain, shared(**prompt).logits[0, -1])
            for name, module, where in (
                ("head", attention.o_proj, [-1]),
                ("key", attention.k_proj, slice(None)),
                ("value", attention.v_proj, row["positions"]["SUBJECT"]),
            ):
                with patched(module, where, entering=name == "head") as kept:
                    model(**twin)
                with patched(module, where, entering=name == "head", given=kept[0]):
                    changed = model(**prompt).logits[0, -1]
                difference = (plain - changed)[right] - (plain - changed)[wrong]
                lost[name].append(float(difference))
    assert judged.judgement is not None
    told = {r.name: r.estimate for r in (*judged.judgement.claims, *judged.judgement.quantities)}
    for name, estimate in (
        ("head", told["each_mover[a4.h2@END]"]),
        ("key", told["key_of_h2"]),
        ("value", told["value_read_by[a4.h2@END]"]),
    ):
        assert len(lost[name]) == 108
        assert estimate == pytest.approx(sum(lost[name]) / 108, abs=1e-4), name


def written_out(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with as many stored keys and values as query heads."""
    config = copy.deepcopy(model.config)
    config.num_key_value_heads = config.num_attention_heads
    weights = dict(model.state_dict())
    for name, weight in weights.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            heads = weight.unflatten(0, (model.config.num_key_value_heads, -1))
            weights[name] = heads.repeat_interleave(2, 0).flatten(0, 1)
    written = LlamaForCausalLM(config).eval()
    written.load_state_dict(weights)
    return written


@contextmanager
def patched(
    module: nn.Linear, where: slice | list[int], *, entering: bool, given: Tensor | None = None
) -> Iterator[list[Tensor]]:
    """Keep what enters or leaves a projection; put `given` in the place of head 2's part of it."""
    kept: list[Tensor] = []
    part = slice(2 * 8, 3 * 8)

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        kept.append(x.clone())
        if given is not None:
            x[:, where, part] = given[:, where, part]
        return x

    handle = (
        module.register_forward_pre_hook(lambda _, inputs: (change(inputs[0]),))
        if entering
        else module.register_forward_hook(lambda _, __, output: change(output))
    )
    try:
        yield kept
    finally:
        handle.remove()
