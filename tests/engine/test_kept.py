"""Plain runs and constants are made once for a check, and what is kept changes no bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.planner import Limits
from pathdsl.engine.run.kept import BlockRun, Kept, block_rows
from pathdsl.engine.run.plain import plain_run
from pathdsl.engine.run.runner import Settings, execute, expect, rows_per_batch
from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.build import build_plans
from pathdsl.plan.liveness import cost, share_of
from pathdsl.plan.outputs import Plan
from pathdsl.plan.steps import PLAIN_KINDS
from pathdsl.plan.treated import TreatedSpec
from tests.engine.engine_cases import COLUMNS, MEAN, PAIRED, REFERENCE, SPECS, adapter_of, make_task
from tests.engine.engine_cases import treat as treat_

LONG = make_task((5, 3, 5, 4, 3, 5, 4, 1, 3, 1), seed=3)
FLOATS = torch.float32
"""In float64 these products have the same bits in any company."""


def the_plan(names: str, spec: TreatedSpec) -> Plan:
    """The reference run and runs of some path sets, all logits of each."""
    runs = [*([] if spec.by_draw else [REFERENCE]), *(treat_(name, spec) for name in names)]
    requests = [(run, measure) for run in runs for measure in COLUMNS]
    (plan,) = build_plans(adapter_of(FLOATS).shape, "t", LONG.valid, position_mask(LONG), requests)
    return plan


def run(plan: Plan, kept: Kept | None = None, **options: object) -> list[bytes]:
    """The values of a plan, bit for bit."""
    given_ = Settings(**options)  # type: ignore[arg-type]
    found = execute(plan, LONG, adapter_of(FLOATS), given_, kept=kept)
    return [found[key].tobytes() for key in sorted(found, key=str)]


# ------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_values_have_the_same_bits_whatever_plans_came_before(spec: TreatedSpec, rows: int) -> None:
    plans = [the_plan(names, spec) for names in ("q", "cv", "q")]
    memory = 2 * rows * max(cost(plan, 4, None).row_bytes for plan in plans)
    alone = [run(plan, memory=memory) for plan in plans]
    for room in (0, 3_000, 1 << 30):
        kept = Kept(room)
        assert [run(plan, kept, memory=memory) for plan in plans] == alone
        assert kept.held <= room
    assert [run(plan, kept, memory=memory) for plan in reversed(plans)] == alone[::-1]


def test_one_run_of_each_block_and_column() -> None:
    """The reference run, the mean's and the paired one, expected or known, for three plans."""
    kept = Kept(1 << 30)
    paired, mean = the_plan("qcv", PAIRED), the_plan("ebr", MEAN)
    null = Settings(null_pair=True, rows=range(4))
    for plan in (paired, mean):
        for one in (Settings(), null):
            expect(plan, LONG, adapter_of(FLOATS), one, kept)
    for plan in (mean, paired, paired, mean):
        run(plan, kept)
        run(plan, kept, null_pair=True, rows=range(4))
        assert kept.begun == 2 * LONG.n_rows  # `prompt` and `other`


def of_block(rows: int) -> BlockRun:
    """The first rows of the task, as one block."""
    lengths, adapter = LONG.lengths[:rows], adapter_of(FLOATS)
    ids = torch.from_numpy(LONG.prompts["prompt"][:rows, : lengths.max()].copy())
    return BlockRun(
        name=bytes([rows]), adapter=adapter, embedded=lambda: adapter.embed(ids), lengths=lengths
    )


KEYS = [
    (kind, number)
    for kind in PLAIN_KINDS
    for number in range(5 if kind == "resid" else 1 if kind == "input" else 2)
    if kind not in ("scale_final", "routing")
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_kept_value_is_that_of_the_whole_run(data: st.DataObject) -> None:
    """Whatever was asked for before, kept, dropped, or begun in the middle."""
    kept = Kept(data.draw(st.sampled_from([0, 2_000, 10_000, 1 << 30])))
    with torch.no_grad():
        for _ in range(data.draw(st.integers(1, 6))):
            block = of_block(data.draw(st.integers(1, 4)))
            rng = np.random.default_rng(data.draw(st.integers(0, 99)))
            keys = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True))
            share = data.draw(st.sampled_from([0.2, 0.8, 1.0]))
            wanted = {key: block.real & (rng.random(block.real.shape) < share) for key in keys}
            if data.draw(st.booleans()):
                kept.next_plan()
            if data.draw(st.booleans()):
                kept.expect(of_block(2), {key: of_block(2).real for key in keys})
            left = kept.lacks(block, wanted)
            through = kept.through
            found = kept.block(block, wanted, keep=data.draw(st.booleans()))
            assert kept.through - through >= left * len(block.lengths)
            assert kept.held <= kept.room
            places = {key: torch.from_numpy(np.flatnonzero(one)) for key, one in wanted.items()}
            whole = plain_run(
                block.adapter, block.embedded(), torch.from_numpy(block.lengths), places
            )
            assert {*whole} == {key for key in keys if key in found.values}
            for key, value in whole.items():
                assert torch.equal(found.at(key, wanted[key]), value)


# ------------------------------------------------------------------------------- blocks


@given(
    n_pos=st.integers(1, 2000), memory=st.integers(1, 1 << 34), layers=st.integers(1, 48),
    width=st.sampled_from([8, 64, 768, 4096]),
)  # fmt: skip
def test_a_block_is_a_power_of_two_within_the_limit(
    n_pos: int, memory: int, layers: int, width: int
) -> None:
    shape = ModelShape(
        family="gpt2", n_layers=layers, n_heads=4, d_model=width, d_head=width // 4,
        d_mlp=4 * width, d_vocab=50, n_positions=2000,
    )  # fmt: skip
    rows = block_rows(shape, n_pos, memory)
    assert rows & (rows - 1) == 0 and (rows == 1 or rows * n_pos <= 1024)
    stream = 4 * rows * n_pos * width * layers
    assert rows == 1 or stream <= share_of(memory)
    assert block_rows(shape, n_pos, 2 * memory) >= rows


@pytest.mark.parametrize("times", [1, 3, 8, 50])
def test_batches_are_made_up_of_blocks_or_blocks_of_batches(times: int) -> None:
    plan = the_plan("qcvebrkw", PAIRED)
    memory = 2 * times * cost(plan, 4, None).row_bytes
    step, block = rows_per_batch(plan, 4, memory), block_rows(plan.shape, plan.masks.n_pos, memory)
    assert step % block == 0 or block % step == 0 or step == LONG.n_rows


# ------------------------------------------------------------------------------- a check


GREEDY = """
circuit c { language = 1 }
model toy = bundled("induction-2l")
task copy {
  data      = induction(take: 24, seed: 0)
  reference = prompt
  treated   = TREATED
}
task again = copy { treated = prompt_other }
path main = within(a0.h0, a0.h1, a0.h2, a1.h0, a1.h1, a1.h2, mlp)
metric LD: logits = logit(answer) - logit(wrong)
let worst = completeness(main, task: copy, metric: LD, knockouts: greedy(3, seed: 0))
let other: logits = mean(LD(treat(a1.h2 -> logits), task: again))
"""


def checked(folder: Path, treated: str, memory: int) -> FileOutcome:
    (folder / "x.circuit").write_text(GREEDY.replace("TREATED", treated))
    limits = Limits(memory=memory)
    outcome = check_file(str(folder / "x.circuit"), CheckOptions(limits=limits))
    assert outcome.judgement is not None and outcome.session is not None
    return outcome


@pytest.mark.parametrize("treated", ["prompt_other", "mean(prompt_other)", "zero"])
def test_a_search_makes_each_plain_run_once(tmp_path: Path, treated: str) -> None:
    outcome = checked(tmp_path, treated, 256_000_000)
    session = outcome.session
    assert len(outcome.plans) >= 3  # rounds of the search, and another task on the same rows
    assert session.kept.begun == 2 * 24  # type: ignore[union-attr]
    assert sum(one.plain_runs for one in outcome.costs) == 2


def test_a_search_without_room_gives_the_same_within_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for anything kept, bit by bit; under another limit up to rounding."""
    memory = 400_000

    def said(outcome: FileOutcome) -> list[tuple[str, bytes]]:
        found = outcome.session
        assert found is not None
        return [
            (f"{one.label} {measure}", found.value(one, measure).tobytes())
            for one, measures in found.asked.items()
            for measure in measures
        ]

    whole = checked(tmp_path, "prompt_other", memory)
    begun = whole.session.kept.begun  # type: ignore[union-attr]
    monkeypatch.setattr(Kept, "_make_room", lambda self, size, name: False)
    without = checked(tmp_path, "prompt_other", memory)
    assert said(without) == said(whole)
    assert without.session.kept.begun > begun  # type: ignore[union-attr]
