"""Fused attention: the same function as the written-out one, and no pattern held anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pathdsl.checking import machines
from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.engine.adapters import FAMILIES, Adapter, adapter_for, fuses
from pathdsl.engine.adapters.common import CausalAdapter
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.load.weights import load
from pathdsl.engine.run import attention, execute
from pathdsl.errors import LanguageError
from pathdsl.plan.readout import Measure
from pathdsl.plan.treated import TreatedSpec
from tests import seeds as counts
from tests.engine import decoder_cases, encoder_cases, engine_cases, family_cases, toy_cases
from tests.engine.engine_cases import COLUMNS, PAIRED, REFERENCE, SPECS, TASK, all_runs, values
from tests.engine.tree_cases import from_tree, open_case
from tests.oracle.strategies import seeded_case

BUILT = {
    **{name: family_cases.make for name in family_cases.EVERY},
    **{name: decoder_cases.make for name in ("gpt_neox", "opt")},
    "falcon": lambda name: decoder_cases.make(name, "sdpa"),  # its attention is set once
}
FUSING = sorted(
    name
    for name in BUILT
    if family_cases.EVERY.get(name, (name,))[0]
    not in ("gemma2", "gpt_oss", "granite_swa", "qwen3_5_text", "qwen3_5_moe_text", "qwen3_next")
)


@pytest.fixture
def no_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a pattern is worked out."""

    def never(*_: object) -> None:
        raise AssertionError("a pattern was worked out")

    monkeypatch.setattr(CausalAdapter, "mix", never)


def gpt2(**options: object) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=11, n_positions=12, n_embd=8, n_layer=2, n_head=2, **options)
    ).eval()


# ------------------------------------------------------------------------------- one attention


@pytest.mark.parametrize("name", FUSING)
def test_it_is_the_written_out_attention(name: str) -> None:
    model = BUILT[name](name).double()
    with family_cases.Exact(), torch.no_grad():
        adapters = [adapter_for(model, fused=fused) for fused in (False, True)]
        torch.manual_seed(1)
        n_heads, d_head = adapters[0].shape.n_heads, adapters[0].shape.d_head
        q = torch.randn(n_heads, 3, 4, d_head, dtype=torch.float64)
        k, v = torch.randn(2, n_heads, 3, 7, d_head, dtype=torch.float64)
        mask = torch.rand(3, 4, 7) < 0.5
        mask[:, :, 2] = True
        for layer in range(adapters[0].shape.n_layers):
            written, fused = (a.attend_masked(layer, q, k, v, mask)[0] for a in adapters)
            assert (written - fused).abs().max() < 1e-10
        both = adapters[1].attend_masked(0, q, k, v, mask, want_pattern=True)[1]
        assert both is not None and torch.allclose(both.sum(-1), torch.ones(()).double())


def test_a_query_that_sees_nothing_stays_finite() -> None:
    adapter = adapter_for(gpt2(), fused=True)
    q, k, v = torch.randn(3, 2, 1, 3, 4)
    mask = torch.zeros(1, 3, 3, dtype=torch.bool)
    assert torch.isfinite(adapter.attend_masked(0, q, k, v, mask)[0]).all()


@pytest.mark.parametrize("name", FUSING)
def test_the_models_own_fused_forward(name: str, no_patterns: None) -> None:
    model = BUILT[name](name)
    if name != "falcon":
        model.set_attn_implementation("sdpa")
    adapter = adapter_for(model, fused=True)
    ids, lengths = family_cases.some_ids(), torch.tensor([9, 5, 7])
    real = torch.arange(9) < lengths[:, None]
    with torch.no_grad():
        ours = adapter.decomposed_forward(ids, lengths)
        theirs = adapter.plain_forward(ids, lengths)
    assert torch.isfinite(ours).all()
    assert (ours - theirs)[real].abs().max() <= 1e-4 * max(1.0, float(theirs.abs().max()))


def test_which_models_fuse() -> None:
    assert {kind for kind in FAMILIES if not fuses({**toy_cases.SMALL, "model_type": kind})} == {
        "gpt_neo", "gptj", "gemma2", "bloom", "mpt", "gpt_oss", "granite_swa",
        "qwen3_5_text", "qwen3_5_moe_text", "qwen3_next",
    }  # fmt: skip
    assert not fuses({"model_type": "gpt2", "reorder_and_upcast_attn": True})
    assert not fuses({"model_type": "falcon", "alibi": True})
    for bent in ({"attn_scores_soft_cap": 2.0}, {"attn_coeff": 0.5}):
        assert not fuses({**toy_cases.SMALL, "model_type": toy_cases.TOY, **bent})
    for name in BUILT:
        model = BUILT[name](name)
        adapter = adapter_for(model)
        assert isinstance(adapter, CausalAdapter)
        if fuses(model.config.to_dict()):
            assert adapter.scaling(0) is not None


# ------------------------------------------------------------------------------- plans


def fused_twin(adapter: Adapter) -> Adapter:
    return adapter_for(adapter.model, fused=True)


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Copies are fused however few queries they have, two at a time; how many queries went."""
    monkeypatch.setattr(attention, "FEW_QUERIES", 0)
    monkeypatch.setattr(attention, "QUERY_BLOCK", 2)
    monkeypatch.setattr(attention, "MAX_SIDES", 400)
    sizes: list[int] = []
    attend = CausalAdapter.attend_masked

    def watched(self: CausalAdapter, *args: Any, **options: Any) -> Any:
        if self.fused and self.shape.causal:  # in others plain runs come here, too
            sizes.append(args[1].shape[-2])
        return attend(self, *args, **options)

    monkeypatch.setattr(CausalAdapter, "attend_masked", watched)
    yield sizes
    assert not sizes or max(sizes) <= 2


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_plans_with_relations(
    spec: TreatedSpec, in_blocks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [REFERENCE, *all_runs(spec)]
    wanted = values(runs)
    monkeypatch.setattr(attention, "_pattern", None)  # fails where a pattern is worked out
    found = values(runs, adapter=fused_twin(engine_cases.adapter_of()))
    assert in_blocks
    assert max(float(np.abs(found[key] - wanted[key]).max()) for key in wanted) <= 1e-10


@pytest.mark.parametrize("few", [0, 3, 64])
def test_patterns_are_worked_out_where_they_are_read(
    few: int, in_blocks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether copies are fused or not, and nothing of other queries is kept."""
    monkeypatch.setattr(attention, "FEW_QUERIES", few)
    looks = [
        Measure(kind="attention", head=(layer, head), query=query, key=key)
        for layer in (0, 1) for head in (0, 1)
        for query, key in (("END", "A"), ("S", "S"), ("END", "S"))
    ]  # fmt: skip
    runs, kept = [REFERENCE, *all_runs(PAIRED)], 0
    attend = execute.attend_group

    def watched(*args: Any) -> Any:
        nonlocal kept
        flat, pattern = attend(*args)
        if pattern is not None:
            kept += 1
            asked = TASK.valid[args[4].start : args[4].stop]
            ends, places = asked.sum(axis=1) - 1, TASK.positions["S"]
            for row, queries in enumerate(pattern[1].tolist()):
                assert {q for q in queries if q >= 0} <= {int(ends[row]), *places[row]}
        return flat, pattern

    monkeypatch.setattr(execute, "attend_group", watched)
    found = [
        values(runs, [*looks, *COLUMNS], adapter=adapter)
        for adapter in (engine_cases.adapter_of(), fused_twin(engine_cases.adapter_of()))
    ]
    assert kept
    for key, value in found[0].items():
        np.testing.assert_allclose(found[1][key], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seeds", counts.chunks("fused"))
def test_plans_are_the_literal_tree(seeds: tuple[int, ...], in_blocks: list[int]) -> None:
    compared = 0
    for seed in seeds:
        try:
            one = open_case(seeded_case(seed))
        except LanguageError:
            continue
        one = replace(one, adapter=fused_twin(one.adapter))
        found = one.logits([one.run(one.treated), REFERENCE])
        np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=1e-9)
        compared += 1
    assert compared * 2 >= len(seeds) and in_blocks


@pytest.mark.parametrize("name", ["modernbert", "bert"])
def test_plans_that_look_both_ways_are_the_literal_tree(name: str, in_blocks: list[int]) -> None:
    with family_cases.Exact(), torch.no_grad():
        for one in encoder_cases.opened(name, range(6)):
            wanted = encoder_cases.from_tree(one)
            one = replace(one, adapter=fused_twin(one.adapter))
            found = one.logits([one.run(one.treated)])
            np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-9)


# ------------------------------------------------------------------------------- when it is chosen

FILE = """
circuit c { language = 1 }
model toy = bundled("induction-2l")
task copy {
  data      = induction(take: 6, seed: 0)
  reference = prompt
  treated   = prompt_other
}
path main = a1.h2@END -> logits
metric LD: logits = logit(answer) - logit(wrong)
metric A          = attention(a1.h2, END -> [1])
let x = mean(%s(treat(main)))
"""


@pytest.mark.parametrize(
    ("length", "metric", "chosen"),
    [
        (1, "LD", "sdpa"),
        (1, "A", "sdpa"),
        (10_000, "LD", "eager"),
    ],
)
def test_the_methodology_says_which(
    length: int, metric: str, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "LONG_PROMPT", length)
    path = tmp_path / "x.circuit"
    text = FILE % metric
    path.write_text(text if metric == "A" else text.replace("metric A", "# metric A"))
    outcome = check_file(str(path), CheckOptions())
    assert outcome.methodology["attention"] == chosen, outcome.diagnostics


@pytest.mark.parametrize(
    ("options", "fused", "chosen"),
    [
        ({}, True, "sdpa"),
        ({}, False, "eager"),
        ({"reorder_and_upcast_attn": True}, True, "eager"),
    ],
)
def test_loading(options: dict[str, object], fused: bool, chosen: str, tmp_path: Path) -> None:
    gpt2(**options).save_pretrained(tmp_path)
    loaded = load(ModelSource(kind="folder", location=str(tmp_path)), fused=fused)
    torch.set_deterministic_debug_mode("default")
    assert loaded.facts["attention"] == chosen == loaded.model.config._attn_implementation
    assert loaded.adapter.fused == (chosen == "sdpa")
