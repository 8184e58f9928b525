"""Batches, draws and treated values: what changes results and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

import pathdsl.engine.run.runner as runner
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.data.treated import mean_groups, noise_values, resample_rows
from pathdsl.engine.meter import Meter
from pathdsl.engine.rounding import ROUNDING
from pathdsl.engine.run.execute import BatchExecution
from pathdsl.engine.run.runner import Part, Settings, execute, rows_per_batch, rows_within
from pathdsl.graph.paths.pathset import FULL, NONE
from pathdsl.plan.build import build_plans
from pathdsl.plan.liveness import cost
from pathdsl.plan.steps import parts_of
from pathdsl.plan.treated import TreatedSpec
from tests.engine.engine_cases import (
    COLUMNS,
    MEAN,
    NOISE,
    PAIRED,
    REFERENCE,
    RESAMPLE,
    SPECS,
    TASK,
    ZERO,
    adapter_of,
    all_runs,
    hf,
    logits,
    make_task,
    path_sets,
    plain,
    prompt,
    treat,
    values,
)  # fmt: skip

KINDS = [pytest.param(spec, id=spec.kind) for spec in SPECS]


def distance(left: dict, right: dict) -> float:
    assert left.keys() == right.keys()
    return max(float(np.abs(left[key] - right[key]).max()) for key in left)


def the_plan(runs: list, task=TASK):
    requests = [(run, m) for run in runs for m in COLUMNS]
    (plan,) = build_plans(adapter_of().shape, "t", task.valid, position_mask(task), requests)
    return plan


# ------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("spec", KINDS)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-10), (torch.float32, 1e-4)],
                         ids=["float64", "float32"])  # fmt: skip
def test_the_memory_limit_changes_rounding_only(
    spec: TreatedSpec, dtype: torch.dtype, close: float
) -> None:
    adapter, runs = adapter_of(dtype), [REFERENCE, *all_runs(spec)]
    whole = values(runs, adapter=adapter, memory=1 << 40)
    each = cost(the_plan([run for run in runs if run != REFERENCE]), 8, None).row_bytes
    for memory in (1, 2 * each, 4 * each):
        assert distance(values(runs, adapter=adapter, memory=memory), whole) <= close


def test_batches_follow_from_plan_and_limit() -> None:
    plan = the_plan(all_runs(PAIRED))
    assert rows_per_batch(plan, 8, 1) == 1
    assert rows_per_batch(plan, 8, 1 << 40) == TASK.n_rows
    each = cost(plan, 8, None).row_bytes
    assert [rows_per_batch(plan, 8, n * each) for n in (2, 3)] == [2, 3]
    weighed = cost(plan, 8, None)
    some = replace(weighed, macs=TASK.n_rows * runner.BATCH_MACS["cpu"] // 2)
    assert rows_within(plan, some, 1 << 40, "cpu") == 2
    assert rows_within(plan, replace(some, macs=1 << 80), 1 << 40, "cpu") == 1
    assert rows_within(plan, some, 1 << 40, "cuda") == TASK.n_rows


@pytest.mark.parametrize("spec", KINDS)
def test_steps_within_a_batch_are_told_and_add_up(
    spec: TreatedSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathdsl.engine.meter.OFTEN", 0.0)
    plan = the_plan(all_runs(spec))
    seen: list[tuple[int, int]] = []
    meter = Meter(lambda what, done, total: seen.append((done, total)))
    execute(plan, TASK, adapter_of(), Settings(), meter)
    total = cost(plan, 8, runner.vocab_columns(plan)).spent
    assert len(seen) > 10 and seen == sorted(seen) and seen[-1][0] == seen[-1][1]
    assert abs(seen[-1][1] - total) <= total * 0.01  # the estimate that is printed
    assert seen[-2][0] >= seen[-1][1] * 0.9  # layers of a plain run that nobody reads do not count


class Known:
    """Parts by what they are of, as a store would keep them."""

    def __init__(self, parts: Iterable[tuple[Part, np.ndarray]] = ()) -> None:
        self.parts = dict(parts)
        self.asked: list[Part] = []
        self.new: dict[Part, np.ndarray] = {}

    def ahead(self, parts: Sequence[Part]) -> Sequence[Part]:
        return parts[::-1]  # sums are added up in their own order whichever is looked for first

    def found(self, part: Part, shape: tuple[int, int]) -> np.ndarray | None:
        self.asked.append(part)
        found = self.parts.get(part)
        assert found is None or found.shape == shape
        return found

    def keep(self, part: Part, numbers: np.ndarray) -> None:
        self.new[part] = numbers


@pytest.mark.parametrize("spec", KINDS)
def test_parts_have_the_same_bits_wherever_they_were_computed(spec: TreatedSpec) -> None:
    plan = the_plan(all_runs(spec))
    settings = Settings(memory=2 * cost(plan, 8, None).row_bytes)
    nothing = Known()
    whole = execute(plan, TASK, adapter_of(), settings, None, nothing)
    parts = list(nothing.new.items())
    assert len(parts) >= 2
    rng = np.random.default_rng(0)
    for n_known in range(len(parts) + 1):
        order = rng.permutation(len(parts))[:n_known]
        known = Known(parts[place] for place in order)  # any of them, in any order
        again = execute(plan, TASK, adapter_of(), settings, None, known)
        assert all(again[key].tobytes() == whole[key].tobytes() for key in whole)
        values = {part for part, _ in parts if part.kind == "values"}
        assert {part for part in known.new if part.kind == "values"} == values - {*known.parts}
        for part, numbers in known.new.items():
            assert numbers.tobytes() == nothing.new[part].tobytes()
    # Two halves, as two machines compute them, are one.
    halves = [Known(parts[half::2]) for half in (0, 1)]
    for half in halves:
        execute(plan, TASK, adapter_of(), settings, None, half)
    merged = Known([*halves[1].new.items(), *halves[0].new.items()])
    assert all(
        values.tobytes() == whole[key].tobytes()
        for key, values in execute(plan, TASK, adapter_of(), settings, None, merged).items()
    )
    assert not merged.new


@pytest.mark.parametrize("spec", KINDS)
def test_the_same_bits_every_time(spec: TreatedSpec) -> None:
    runs = all_runs(spec)
    one, two = values(runs, memory=4000), values(runs, memory=4000)
    assert all(np.array_equal(one[key], two[key]) for key in one)


def test_rows_do_not_see_each_other() -> None:
    """A row of another length beside it changes nothing; nor does padding."""
    together = {run: logits(run)[0] for run in all_runs(PAIRED)}
    for row in range(TASK.n_rows):
        alone = only(row)
        for run, found in together.items():
            np.testing.assert_allclose(logits(run, task=alone)[0, 0], found[row], atol=1e-10)
    dirty = {name: ids + 7 * ~TASK.valid for name, ids in TASK.prompts.items()}
    for run, found in together.items():
        again = logits(run, task=replace(TASK, prompts=dirty))[0]
        np.testing.assert_allclose(again, found, atol=1e-10)


def only(row: int):
    length = int(TASK.lengths[row])
    return replace(
        TASK,
        row_ids=(TASK.row_ids[row],),
        prompts={name: ids[[row], :length] for name, ids in TASK.prompts.items()},
        lengths=TASK.lengths[[row]],
        answers={name: (ids[row],) for name, ids in TASK.answers.items()},
        positions={name: (places[row],) for name, places in TASK.positions.items()},
        labels={name: (label[row],) for name, label in TASK.labels.items()},
        clusters=TASK.clusters[[row]],
    )


def test_keys_that_no_prompt_of_a_batch_has() -> None:
    """A prompt of one token has no token before it."""
    task = make_task((1, 3, 1, 2))
    for run in all_runs(PAIRED):
        one = logits(run, task=task)
        np.testing.assert_allclose(logits(run, task=task, memory=1), one, atol=1e-10)


# ------------------------------------------------------------------------------------- treated


def test_plain_runs_are_the_unmodified_model() -> None:
    np.testing.assert_allclose(logits(REFERENCE)[0], plain(), atol=1e-10)
    np.testing.assert_allclose(logits(treat(FULL))[0], plain("other"), atol=1e-10)
    np.testing.assert_allclose(logits(treat(NONE))[0], plain(), atol=1e-10)


def test_each_draw_is_a_paired_run() -> None:
    rows = resample_rows(TASK, RESAMPLE)
    assert rows.shape == (3, TASK.n_rows)
    for name, paths in path_sets().items():
        found = logits(treat(paths, RESAMPLE))
        for draw in range(3):
            theirs = TASK.prompts["other"][rows[draw]]
            drawn = replace(TASK, prompts={**TASK.prompts, "drawn": theirs})
            paired = treat(paths, TreatedSpec(kind="paired", column="drawn"))
            np.testing.assert_allclose(
                found[draw], logits(paired, task=drawn)[0], atol=1e-10, err_msg=name
            )
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_noise_of_no_size_is_nothing() -> None:
    silent = replace(NOISE, scale=0.0)
    for run in all_runs(silent):
        np.testing.assert_allclose(logits(run)[0], plain(), atol=1e-10)


def test_noise_is_added_to_the_embeddings() -> None:
    adapter = adapter_of()
    weights = adapter.model.transformer.wte.weight.detach()
    noise = noise_values(TASK, NOISE, np.arange(TASK.n_rows), 8, float(weights.std(correction=0)))
    found = logits(treat(FULL, NOISE))[0]
    for row in range(TASK.n_rows):
        length = int(TASK.lengths[row])
        embedded = weights[prompt(row)] + torch.from_numpy(noise[row, :length])
        with torch.no_grad():
            out = adapter.model(inputs_embeds=embedded[None]).logits[0, -1]
        np.testing.assert_allclose(found[row], out.numpy(), atol=1e-10)
    assert np.abs(found - plain()).max() > 1e-2


def test_mean_constants_by_hand() -> None:
    """`keep(none)`: each component's own mean output per token index, summed and read out."""
    model = adapter_of().model
    caught: list[dict[str, torch.Tensor]] = []
    for row in range(TASK.n_rows):
        seen: dict[str, torch.Tensor] = {}
        handles = [
            model.transformer.drop.register_forward_hook(
                lambda _m, _i, out, seen=seen: seen.update(input=out[0])
            )
        ]
        for layer, block in enumerate(model.transformer.h):
            handles += [
                block.attn.c_proj.register_forward_hook(
                    lambda _m, _i, out, seen=seen, name=f"a{layer}": seen.update({name: out[0]})
                ),
                block.mlp.register_forward_hook(
                    lambda _m, _i, out, seen=seen, name=f"m{layer}": seen.update({name: out[0]})
                ),
            ]
        hf(prompt(row, "other"))
        for handle in handles:
            handle.remove()
        caught.append(seen)
    groups = mean_groups(TASK, MEAN)
    assert len(set(groups)) < TASK.n_rows
    found = logits(treat(FULL, MEAN))[0]
    for row in range(TASK.n_rows):
        peers = [caught[i] for i in range(TASK.n_rows) if groups[i] == groups[row]]
        total = sum(torch.stack([peer[name] for peer in peers]).mean(0) for name in caught[row])
        with torch.no_grad():
            wanted = model.lm_head(model.transformer.ln_f(total[-1]))
        np.testing.assert_allclose(found[row], wanted.numpy(), atol=1e-10)


def test_zero_leaves_the_biases() -> None:
    model = adapter_of().model
    with torch.no_grad():
        total = sum(block.attn.c_proj.bias for block in model.transformer.h)
        wanted = model.lm_head(model.transformer.ln_f(total))
    for row in logits(treat(FULL, ZERO))[0]:
        np.testing.assert_allclose(row, wanted.numpy(), atol=1e-10)


def test_keep_full_of_constants_is_the_reference() -> None:
    for spec in (MEAN, ZERO):
        np.testing.assert_allclose(logits(treat(NONE, spec))[0], plain(), atol=1e-10)


def test_several_treated_values_in_one_plan() -> None:
    runs = [run for spec in (PAIRED, ZERO, MEAN, NOISE) for run in all_runs(spec)]
    together = values(runs)
    for run in runs:
        alone = values([run])
        assert distance(alone, {key: together[key] for key in alone}) <= 1e-10


def test_the_null_pair_is_the_reference_run() -> None:
    reference = plain()
    for spec in SPECS:
        found = values(all_runs(spec), null_pair=True)
        for (_, measure), value in found.items():
            wanted = reference[:, COLUMNS.index(measure)]
            np.testing.assert_allclose(value, np.broadcast_to(wanted, value.shape), atol=1e-10)


def test_only_the_first_rows() -> None:
    whole, few = logits(treat("q")), logits(treat("q"), rows=range(3))
    assert few.shape[1] == 3
    np.testing.assert_allclose(few, whole[:, :3], atol=1e-10)
    assert logits(treat("q", MEAN), rows=range(2)).shape[1] == 2
    np.testing.assert_allclose(
        logits(treat("q", MEAN), rows=range(2)), logits(treat("q", MEAN))[:, :2], atol=1e-10
    )


# ------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_short_floats_stay_near(dtype: torch.dtype) -> None:
    """Against the same rounded weights in float32; relative to the largest logit."""
    from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
    from tests.engine.engine_cases import CONFIG
    from tests.oracle.cases import build_model

    def rounded() -> torch.nn.Module:
        return build_model(CONFIG, 5, 0.2).to(dtype)

    short, single = Gpt2Adapter(rounded()), Gpt2Adapter(rounded().float())
    runs = [REFERENCE, *all_runs(PAIRED), *all_runs(ZERO)]
    low, high = values(runs, adapter=short), values(runs, adapter=single)
    scale = max(1.0, max(float(np.abs(v).max()) for v in high.values()))
    assert 0 < distance(low, high) / scale <= ROUNDING[str(dtype).removeprefix("torch.")]


# ------------------------------------------------------------------------------------- memory


def test_values_are_freed_after_their_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[set[int]] = []
    most: list[int] = []
    run, slot = BatchExecution.run, BatchExecution._slot

    def watched_run(self: BatchExecution, *tick: object) -> None:
        run(self, *tick)
        left.append(set(self.values))

    def watched_slot(self: BatchExecution, numbers: tuple[int, ...]) -> None:
        slot(self, numbers)
        most.append(len(self.values))

    monkeypatch.setattr(BatchExecution, "run", watched_run)
    monkeypatch.setattr(BatchExecution, "_slot", watched_slot)
    plan = the_plan(all_runs(PAIRED))
    execute(plan, TASK, adapter_of(), Settings(memory=1 << 40))
    finals = {n for o in plan.outputs for n, _ in parts_of(plan.steps, o.resid)}
    assert left == [finals]
    assert max(most) < len(plan.alive)


def test_no_gradient_is_kept() -> None:
    torch.set_grad_enabled(True)
    values(all_runs(PAIRED))
    assert torch.is_grad_enabled()
    assert all(p.grad is None for p in adapter_of().model.parameters())
