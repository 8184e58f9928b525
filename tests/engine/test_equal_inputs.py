"""What is equal in the reference and the treated run: the literal tree, whatever is left out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pathdsl.engine.run import execute as executing
from pathdsl.engine.run.runner import Settings, execute, plan_cost
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import DataError, LanguageError, PlanError
from pathdsl.graph.paths.pathset import FULL, PathSet, minus
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans, mixed_copies
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import REFERENCE as PLAIN
from pathdsl.plan.steps import PlainResid
from pathdsl.plan.treated import TreatedSpec
from tests import seeds as counts
from tests.engine import engine_cases, test_families_tree, test_families_tree_b, test_routing
from tests.engine.family_cases import Exact
from tests.engine.tree_cases import (
    COLUMNS,
    REFERENCE,
    Opened,
    from_tree,
    logits,
    open_case,
)
from tests.engine.under_cases import Drawer, draw_blocks, under
from tests.graph.helpers import shape as shape_of
from tests.oracle.blocks import Blocks
from tests.oracle.cases import Case
from tests.oracle.strategies import draw_case, seeded_case
from tests.oracle.writer import Chooser

EXACT = 1e-9
SEEDS = (2, 4, 20, 69)
GATED = (200, 203, 206)
VERBS = ("scale", "set", "zero", "block", "only", "uniform", "copied", "move", "add")


def sharing(case: Case, rng: random.Random) -> Case:
    """The case with a paired treated value whose prompts begin like the reference prompts, and
    have some of their other tokens."""
    rows = []
    for row in case.rows:
        first = rng.randint(0, len(row.reference))
        pairs = enumerate(zip(row.reference, row.treated, strict=True))
        treated = tuple(
            one if at < first or rng.random() < 0.4 else other for at, (one, other) in pairs
        )
        rows.append(replace(row, treated=treated))
    return replace(case, rows=tuple(rows), treated="paired")


def shared(one: Opened, seed: int) -> Opened:
    """An opened case whose prompts share tokens."""
    case = sharing(one.case, random.Random(seed))
    again = open_case(case, model=one.adapter.model)  # type: ignore[attr-defined]
    return replace(again, frozen=one.frozen, routed=one.routed)


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT, err_msg=text)


def compare(one: Opened, tree: Callable[[Opened], np.ndarray] = from_tree) -> int:
    """Assert that the engine is the tree and costs no more; how many copies are left out."""
    runs = list(dict.fromkeys([one.run(one.treated), one.run(one.paths), one.run(FULL), REFERENCE]))
    plan, by_path = one.plan(runs), replace(one, by_value=False).plan(runs)
    found = logits(plan, one.adapter, one.task)
    same(found[0], tree(one), one.case.text)
    same(found[-1], one.plain("reference"), one.case.text)
    same(found[runs.index(one.run(FULL))], one.plain("treated"), one.case.text)
    same(found, logits(by_path, one.adapter, one.task), one.case.text)
    assert plan_cost(plan, 8).spent <= plan_cost(by_path, 8).spent
    return len(mixed_copies(by_path)) - len(mixed_copies(plan))


def test_engine_is_the_literal_tree_on_rows_that_share_tokens() -> None:
    left_out = []

    @settings(
        max_examples=counts.SAMPLES["shrinking"].default, deadline=None, derandomize=True,
        database=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=draw_case(), seed=st.integers(0, 2**16), frozen=st.booleans())
    def check(case: Case, seed: int, frozen: bool) -> None:
        try:
            one = open_case(sharing(case, random.Random(seed)))
        except LanguageError:
            assume(False)
            return
        left_out.append(compare(replace(one, frozen=frozen)))

    check()
    assert left_out


@pytest.mark.parametrize("frozen", [False, True])
def test_engine_is_the_literal_tree_on_seeds(frozen: bool) -> None:
    left_out = 0
    for seed in counts.CASES["tree"].default[:10]:
        try:
            one = shared(open_case(seeded_case(seed)), seed)
        except LanguageError:
            continue
        left_out += compare(replace(one, frozen=frozen))
    assert left_out > 5


@pytest.mark.parametrize("name", ["gemma2", "olmo2", "qwen3"])
def test_frozen_norms_of_gated_families(name: str) -> None:
    """Norms behind attention are of each reader; they are the reference run's."""
    with Exact(), torch.no_grad():
        for number, one in enumerate(test_families_tree.opened(name, GATED)):
            compare(replace(shared(one, number), frozen=True))


def test_frozen_routing() -> None:
    with Exact(), torch.no_grad():
        for one in test_families_tree.opened("mixtral", (203, 208)):
            compare(replace(shared(one, 1), routed=True), test_routing.from_tree)


@pytest.mark.parametrize("name", ["gptj", "gpt_neo_local"])
def test_parallel_and_windowed_layers(name: str) -> None:
    def tree(one: Opened) -> np.ndarray:
        return from_tree(one, Blocks.of(one.adapter.model))  # type: ignore[attr-defined]

    with Exact(), torch.no_grad():
        cases = test_families_tree_b.opened(name, (300, 305, 307))
        assert sum(compare(shared(one, number), tree) for number, one in enumerate(cases)) > 0


@pytest.mark.parametrize("verb", VERBS)
def test_each_action_is_the_literal_tree(verb: str) -> None:
    done = 0
    for seed in SEEDS:
        try:
            one = shared(open_case(seeded_case(seed)), seed)
        except LanguageError:
            continue
        rng = random.Random(seed)
        drawer = Drawer(one, Chooser(rng.randint))
        try:
            drawn = draw_blocks(drawer, [[verb]])
            found = one.logits(
                [under(one.run(one.treated), drawn.blocks), under(one.run(FULL), drawn.blocks)]
            )
        except (PlanError, DataError):
            continue
        for row in range(len(one.case.rows)):
            text = f"{one.case.text} {drawn.blocks}"
            same(found[0][row], drawer.tree(row, drawn.made), text)
            doings = [make(row) for make in drawn.made]
            same(found[-1][row], drawer.plain(row, "treated", doings)["logits",][-1], text)
        done += 1
    assert done


def of_columns(**columns: list[list[int]]) -> engine_cases.TaskData:
    """The engine's task with these tokens in columns of two rows of 5 and 4 tokens."""
    task = engine_cases.make_task((5, 4))
    prompts = {"prompt": [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]], **columns}
    return replace(task, prompts={name: np.array(ids) for name, ids in prompts.items()})


TWO = of_columns(other=[[1, 2, 3, 4, 9], [6, 1, 8, 9, 0]], more=[[5, 2, 3, 4, 5], [6, 7, 8, 2, 0]])


def path_set(text: str) -> PathSet:
    program, faults = load_program("a.circuit", f"path p = {text}\n")
    assert not faults, faults
    return Resolver(program, engine_cases.adapter_of().shape).path_set(program.paths["p"].path)


def planned(runs: list[RunSpec], by_value: bool = True, task: engine_cases.TaskData = TWO):
    planner = engine_cases.planner(task, treated=runs[0].treated, by_value=by_value)
    (plan,) = planner.plans([(run, m) for run in runs for m in engine_cases.COLUMNS])
    found = execute(plan, task, engine_cases.adapter_of(), Settings())
    ends = [
        np.stack([found[n, m] for m in engine_cases.COLUMNS], -1) for n in range(len(plan.outputs))
    ]
    return plan, np.stack(ends)


def test_each_treated_column_has_equal_tokens_of_its_own() -> None:
    specs = [TreatedSpec(kind="paired", column=name) for name in ("other", "more")]
    names = engine_cases.path_sets()
    runs = [replace(engine_cases.treat(name, spec)) for spec in specs for name in names]
    plan, found = planned(runs)
    by_path, wanted = planned(runs, by_value=False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT)
    assert plan_cost(plan, 8).spent < plan_cost(by_path, 8).spent
    for place, run in enumerate(runs):
        _, alone = planned([run])
        np.testing.assert_allclose(found[place], alone[0], rtol=0, atol=EXACT)


@pytest.mark.parametrize("treated", [engine_cases.NOISE, engine_cases.RESAMPLE])
def test_noise_and_resampled_prompts(treated: TreatedSpec) -> None:
    """Noise is at its positions alone; what is resampled has equal tokens in every draw."""
    first = [[7, *range(1 + row % 2, 5 + row % 2)] for row in range(6)]
    task = engine_cases.make_task((5,) * 6)
    task = replace(task, prompts={"prompt": np.array(first), "other": np.array(first[::-1])})
    runs = engine_cases.all_runs(treated)
    plan, found = planned(runs, task=task)
    by_path, wanted = planned(runs, by_value=False, task=task)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT)
    assert plan_cost(plan, 8).spent < plan_cost(by_path, 8).spent


@pytest.mark.parametrize("treated", [engine_cases.ZERO, engine_cases.MEAN])
def test_constants_are_equal_nowhere(treated: TreatedSpec) -> None:
    runs = engine_cases.all_runs(treated)
    assert planned(runs)[0].steps == planned(runs, by_value=False)[0].steps


def test_paths_that_begin_at_equal_tokens_alone_are_the_reference_run() -> None:
    late = of_columns(other=[[1, 2, 3, 4, 9], [6, 7, 8, 2, 0]])
    runs = [
        engine_cases.treat(path_set(text)) for text in ("input@[0] ~> logits", "through(a0.h1@[1])")
    ]
    plan, found = planned([*runs, replace(engine_cases.REFERENCE)], task=late)
    final = PlainResid(stage=4, source=PLAIN)
    assert all(plan.steps[output.resid] == final for output in plan.outputs)
    assert not mixed_copies(plan)
    np.testing.assert_array_equal(found[0], found[2][:1])
    np.testing.assert_array_equal(found[1], found[2][:1])


def test_a_treated_run_stands_in_where_the_reference_run_is_read_for_nothing_else() -> None:
    """Of a circuit's own run alone the reference run is its input, and costs no layer."""
    circuit = engine_cases.treat(minus(FULL, path_set("within(m0, a1.h1)")))
    plan, found = planned([circuit])
    by_path, wanted = planned([circuit], by_value=False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT)
    assert plan.lent and not by_path.lent
    assert plan_cost(plan, 8).plain_of[PLAIN] == plan_cost(by_path, 8).plain_of[PLAIN]
    whole, _ = planned([circuit, engine_cases.REFERENCE])
    assert not whole.lent


def test_one_token_moves_all_where_attention_is_not_causal() -> None:
    shape = replace(shape_of(2, 2), causal=False)
    valid = np.ones((2, 4), bool)
    run = RunSpec(task="t", kind="treated", treated=engine_cases.PAIRED)
    (plan,) = build_plans(
        shape, "t", valid, lambda pos: valid & (np.arange(4) == 3), [(run, COLUMNS[0])],
        moved=lambda spec: ~valid,
    )  # fmt: skip
    assert plan.steps[plan.outputs[0].resid] == PlainResid(stage=4, source=-2)


def test_the_null_pair_goes_through_the_copies_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = engine_cases.all_runs(engine_cases.PAIRED)
    plan, _ = planned([*runs, engine_cases.REFERENCE])
    adapter = engine_cases.adapter_of()
    assert mixed_copies(plan)
    assert prove_null_pair(plan, TWO, adapter, 1e-12).holds
    attend = executing.attend_group
    monkeypatch.setattr(executing, "attend_group", lambda *given: (1.01 * attend(*given)[0], None))
    assert not prove_null_pair(plan, TWO, adapter, 1e-12).holds
