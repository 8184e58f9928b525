"""Runs under interventions against the literal tree of the intervened model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import DataError, LanguageError, PlanError
from pathdsl.graph.paths.pathset import FULL, Pos
from pathdsl.plan.runs import Action, Block, Target
from pathdsl.plan.treated import TreatedSpec
from tests import seeds as counts
from tests.engine.family_cases import Exact
from tests.engine.test_families_tree import opened as opened_families
from tests.engine.test_families_tree_b import opened as opened_decoders
from tests.engine.tree_cases import REFERENCE, Opened, open_case
from tests.engine.under_cases import Drawer, draw_blocks, under
from tests.oracle.blocks import Blocks
from tests.oracle.cases import Case, count_paths, kept_predicate
from tests.oracle.gated import Gated
from tests.oracle.intervened import run_under
from tests.oracle.strategies import draw_case, seeded_case
from tests.oracle.writer import Chooser

EXACT = 1e-9
SEEDS = (2, 4, 5, 7, 13, 15, 16, 20)
VERBS = ("scale", "set", "zero", "block", "only", "uniform", "copied", "move", "add")


def compare(one: Opened, drawer: Drawer, verbs: list[list[str]]) -> bool:
    """Whether the case could be drawn; asserts that engine and tree agree."""
    drawn = draw_blocks(drawer, verbs)
    runs = [one.run(one.treated), REFERENCE]
    asked = [under(run, drawn.blocks) for run in runs] + runs
    try:
        found = one.logits(asked)
    except (PlanError, DataError) as error:
        if {d.code for d in error.diagnostics} & {"PD225", "PD231", "PD232", "PD227"}:
            return False
        raise
    text = f"{one.case.text}{one.case.run} {one.case.treated} {drawn.blocks}"
    for row in range(len(one.case.rows)):
        doings = [make(row) for make in drawn.made]
        plain = drawer.plain(row, "reference", doings)["logits",][-1]
        np.testing.assert_allclose(found[1][row], plain, rtol=0, atol=EXACT, err_msg=text)
        tree = drawer.tree(row, drawn.made)
        np.testing.assert_allclose(found[0][row], tree, rtol=0, atol=EXACT, err_msg=text)
        tree = drawer.tree(row, ())
        np.testing.assert_allclose(found[2][row], tree, rtol=0, atol=EXACT, err_msg=text)
    return True


def cases(seed: int) -> Opened | None:
    case = seeded_case(seed)
    try:
        return open_case(case)
    except LanguageError:
        return None


@pytest.mark.parametrize("verb", VERBS)
def test_each_action_is_the_literal_tree(verb: str) -> None:
    done = 0
    for seed in SEEDS:
        one = cases(seed)
        if one is None:
            continue
        drawer = Drawer(one, Chooser(random.Random(seed).randint))
        done += compare(one, drawer, [[verb]])
    assert done >= 2


@pytest.mark.parametrize("seeds", counts.chunks("actions"))
def test_several_actions_are_the_literal_tree(seeds: tuple[int, ...]) -> None:
    (seed,) = seeds
    one = cases(seed)
    if one is None:
        return
    rng = random.Random(seed)
    drawer = Drawer(one, Chooser(rng.randint))
    verbs = [[rng.choice(VERBS) for _ in range(rng.randint(1, 2))] for _ in range(2)]
    compare(one, drawer, verbs)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("seeds", counts.chunks("carried"))
def test_the_part_of_an_intervention_that_goes_by_a_path_set(
    seeds: tuple[int, ...], frozen: bool
) -> None:
    (seed,) = seeds
    one = cases(seed)
    if one is not None:
        compare_parts(replace(one, frozen=frozen), random.Random(seed))


def compare_parts(
    one: Opened, rng: random.Random, parts: object = None, drawer: Drawer | None = None,
    verbs: Sequence[str] = VERBS,
) -> None:  # fmt: skip
    """`treat(P, treated: reference with b)`: engine and tree agree."""
    drawer = drawer or Drawer(one, Chooser(rng.randint), parts)
    drawn = draw_blocks(drawer, [[rng.choice(verbs) for _ in range(2)]])
    column = TreatedSpec(kind="paired", column="reference")
    runs = [replace(one.run(paths), treated=column) for paths in (one.treated, FULL)]
    asked = [under(run, (), drawn.blocks) for run in runs]
    asked = [*dict.fromkeys(asked), under(REFERENCE, drawn.blocks)]
    try:
        found = one.logits(asked)
    except (PlanError, DataError) as error:
        assert {d.code for d in error.diagnostics} & {"PD231", "PD232", "PD227"}
        return
    np.testing.assert_allclose(found[-2], found[-1], rtol=0, atol=EXACT)
    for row in range(len(one.case.rows)):
        doings = [make(row) for make in drawn.made]
        run = drawer.plain(row, "reference", doings)
        embedded = drawer.embedded(row, "reference")
        tree = run_under(
            drawer.parts, embedded, embedded, kept_predicate(one.case, row),
            len(embedded) - 1, (), treated_run=run, treated_doings=doings,
            frozen_to=drawer.frozen_to(row, ()), neurons=drawer.neurons,
        )  # fmt: skip
        np.testing.assert_allclose(
            found[0][row], tree, rtol=0, atol=EXACT, err_msg=f"{one.case.text} {drawn.blocks}"
        )


@pytest.mark.parametrize("name", ["gpt_neox_parallel", "gptj", "opt", "bloom", "falcon_two_norms"])
def test_decoders(name: str) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in enumerate(opened_decoders(name, (2, 7, 13, 20))):
            rng = random.Random(seed)
            drawer = Drawer(one, Chooser(rng.randint), Blocks.of(one.adapter.model))
            done += compare(one, drawer, [[rng.choice(VERBS)], [rng.choice(VERBS)]])
    assert done


@pytest.mark.parametrize(
    "name",
    [
        "llama",
        "qwen3",
        "gemma2",
        "olmo2",
        "gpt_oss",
        "granite_swa",
        "qwen2_moe",
        "qwen3_5",
    ],
)
def test_families(name: str) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in zip(range(100), opened_families(name, (2, 7, 13, 20)), strict=False):
            rng = random.Random(seed)
            drawer = Drawer(one, Chooser(rng.randint))
            verbs = [[rng.choice(VERBS) for _ in range(2)]]
            done += compare(one, drawer, verbs)
    assert done


# ------------------------------------------------------------------------------- frozen norms


@pytest.mark.parametrize("seeds", counts.chunks("held"))
def test_frozen_norms_are_those_of_the_plain_run_under_the_same_blocks(
    seeds: tuple[int, ...],
) -> None:
    (seed,) = seeds
    one = cases(seed)
    if one is None:
        return
    rng = random.Random(seed)
    drawer = Drawer(replace(one, frozen=True), Chooser(rng.randint))
    verbs = [[rng.choice(VERBS) for _ in range(rng.randint(1, 2))] for _ in range(2)]
    compare(drawer.one, drawer, verbs)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gemma3", "olmo2"])
def test_frozen_norms_of_families(name: str) -> None:
    done = 0
    with Exact(), torch.no_grad():
        found = opened_families(name, (2, 5, 7, 13, 16, 20))
        for seed, one in zip(range(100), found, strict=False):
            rng = random.Random(seed)
            drawer = Drawer(replace(one, frozen=True), Chooser(rng.randint))
            done += compare(drawer.one, drawer, [[rng.choice(VERBS) for _ in range(2)]])
            compare_parts(drawer.one, rng)
    assert done >= 2


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("name", ["mixtral", "gpt_oss"])
def test_frozen_routings_of_mixtures(name: str, norms: bool) -> None:
    done = 0
    with Exact(), torch.no_grad():
        found = opened_families(name, (2, 5, 7, 13, 16, 20))
        for seed, one in zip(range(100), found, strict=False):
            rng = random.Random(seed)
            model = one.adapter.model  # type: ignore[attr-defined]
            parts = replace(Gated.of(model), norms=norms, routing=True)
            held = replace(one, frozen=norms, routed=True)
            drawer = Drawer(held, Chooser(rng.randint), parts)
            done += compare(held, drawer, [[rng.choice(VERBS) for _ in range(2)]])
            compare_parts(held, rng, parts)
    assert done >= 2


@pytest.mark.parametrize("name", ["gpt_neox_parallel", "gptj", "opt", "mpt"])
def test_frozen_norms_of_decoders(name: str) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in enumerate(opened_decoders(name, (2, 7, 13, 20))):
            rng, parts = random.Random(seed), Blocks.of(one.adapter.model)
            drawer = Drawer(replace(one, frozen=True), Chooser(rng.randint), parts)
            done += compare(drawer.one, drawer, [[rng.choice(VERBS)], [rng.choice(VERBS)]])
            compare_parts(drawer.one, rng, parts)
    assert done


@pytest.mark.parametrize("count", counts.samples("blocks"))
def test_drawn_cases_are_the_literal_tree(count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=draw_case(), seed=st.integers(0, 2**16))
    def compared(case: Case, seed: int) -> None:
        try:
            one = open_case(case)
        except LanguageError:
            assume(False)
        assume(sum(count_paths(case, 0)) < 4000)
        rng = random.Random(seed)
        drawer = Drawer(one, Chooser(rng.randint))
        assume(compare(one, drawer, [[rng.choice(VERBS)], [rng.choice(VERBS)]]))

    compared()


@pytest.mark.parametrize("seed", (2, 5, 7, 16))
def test_the_null_pair_holds_under_interventions(seed: int) -> None:
    one = cases(seed)
    assert one is not None
    drawer = Drawer(one, Chooser(random.Random(seed).randint))
    for verb in VERBS:
        blocks = draw_blocks(drawer, [[verb]]).blocks
        run = one.run(one.treated)
        column = replace(run, treated=TreatedSpec(kind="paired", column="reference"))
        runs = [run, under(run, blocks), under(REFERENCE, blocks), under(column, (), blocks)]
        try:
            plan = one.plan([*dict.fromkeys(runs), REFERENCE])
        except PlanError:
            continue
        proof = prove_null_pair(plan, one.task, one.adapter, 1e-12)
        assert proof.holds, (verb, proof)


# ------------------------------------------------------------------------------- sharing


def test_what_a_block_does_not_reach_is_shared() -> None:
    """The reference run up to the block, and every copy that does not see it."""
    one = cases(2)
    assert one is not None
    last = one.adapter.shape.n_layers - 1
    head = Target(kind="head", layer=last, head=0, at=Pos(name="END"))
    block = (Block(name="b", actions=(Action(verb="scale", targets=(head,), number=2.0),)),)
    run = one.run(one.treated)
    alone, both = one.plan([run]), one.plan([run, under(run, block)])
    added = [type(both.steps[n]).__name__ for n in both.alive if n >= len(alone.steps)]
    assert added.count("HeadCopy") == 0  # the head itself is shared: only its value is another
    assert added.count("ValueCopy") >= 1
    plain = one.plan([REFERENCE, under(REFERENCE, block)])
    assert [type(plain.steps[n]).__name__ for n in plain.alive].count("HeadCopy") == 0


def test_a_plan_of_runs_without_blocks_is_as_it_was() -> None:
    one = cases(2)
    assert one is not None
    head = Target(kind="head", layer=0, head=0)
    block = (Block(name="b", actions=(Action(verb="scale", targets=(head,), number=2.0),)),)
    run = one.run(one.treated)
    alone, both = one.plan([run]), one.plan([run, under(run, block)])
    assert both.steps[: len(alone.steps)] == alone.steps
