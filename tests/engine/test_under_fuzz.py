"""Drawn blocks of every kind, on four block structures, against the literal tree.

What `test_under_tree` leaves out: chains of blocks that set nodes to nodes, values that are read of
runs under blocks of their own, runs whose two sides stand under different blocks, and whether runs
have the same values alone and beside others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pathdsl.errors import DataError, LanguageError, PlanError
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec
from tests import seeds as counts
from tests.engine.family_cases import Exact
from tests.engine.test_families_tree import opened as opened_families
from tests.engine.test_families_tree_b import opened as opened_decoders
from tests.engine.test_under_tree import EXACT, VERBS, cases, compare
from tests.engine.tree_cases import REFERENCE, Opened, open_case
from tests.engine.under_cases import Drawer, Drawn, draw_blocks, under
from tests.oracle.blocks import Blocks
from tests.oracle.cases import Case, count_paths, kept_predicate
from tests.oracle.intervened import run_under
from tests.oracle.strategies import draw_case
from tests.oracle.writer import Chooser

ALL = (*VERBS, "same")
STRUCTURES = ("gpt2", "llama", "gemma2", "gpt_neox_parallel")


def some(first: int, more: int, *structures: str) -> pytest.MarkDecorator:
    """Six cases from `first` on for these structures; all structures and `more` in the long run."""
    found = []
    for name in STRUCTURES:
        for seeds in (range(first, first + 6), range(first + 6, first + more)):
            marks = () if name in structures and seeds[0] == first else (pytest.mark.long,)
            found.append(pytest.param(name, seeds, marks=marks, id=f"{name}-{seeds[0]}"))
    return pytest.mark.parametrize(("name", "seeds"), found)


def drawers(name: str, seeds: Sequence[int]) -> Iterator[tuple[Drawer, random.Random]]:
    """A drawer for each case of a block structure; norms are frozen in every third."""
    with ExitStack() as stack:
        if name == "gpt2":
            found: Any = (one for seed in seeds if (one := cases(seed)) is not None)
        else:
            stack.enter_context(Exact())
            stack.enter_context(torch.no_grad())
            decoder = name == "gpt_neox_parallel"
            found = (opened_decoders if decoder else opened_families)(name, tuple(seeds))
        for seed, one in enumerate(found):
            rng = random.Random(f"{name} {seed}")
            one = replace(one, frozen=seed % 3 == 2)
            parts = Blocks.of(one.adapter.model) if name == "gpt_neox_parallel" else None
            yield Drawer(one, Chooser(rng.randint), parts), rng


def refused(one: Opened, runs: Sequence[RunSpec]) -> np.ndarray | None:
    """The logits of the runs, or None where two actions meet or leave no key."""
    try:
        return one.logits(runs)
    except (PlanError, DataError) as error:
        if {d.code for d in error.diagnostics} & {"PD231", "PD232", "PD227"}:
            return None
        raise


@some(300, 12, "gpt2")
def test_chains_of_blocks(name: str, seeds: Sequence[int]) -> None:
    done = 0
    for drawer, rng in drawers(name, seeds):
        verbs = [["move"], [rng.choice(("move", "same", "set"))], [rng.choice(ALL), "move"]]
        done += compare(drawer.one, drawer, verbs[: rng.randint(2, 3)])
    assert done >= 3


@some(320, 12, "gpt2")
def test_what_is_added_on_a_mark_and_a_later_value_that_is_set(
    name: str, seeds: Sequence[int]
) -> None:
    done = 0
    for drawer, rng in drawers(name, seeds):
        done += compare(drawer.one, drawer, [["add"], ["set", rng.choice(ALL)]])
    assert done >= 3


@some(340, 12, "gpt2")
def test_values_of_runs_under_blocks_of_their_own(name: str, seeds: Sequence[int]) -> None:
    done = 0
    for drawer, rng in drawers(name, seeds):
        other = draw_blocks(drawer, [[rng.choice(VERBS)]])
        if refused(drawer.one, [under(REFERENCE, other.blocks)]) is None:
            continue
        drawer.other = other
        done += compare(drawer.one, drawer, [["set"], [rng.choice(ALL)]])
    assert done >= 3


@some(360, 16, "gpt2", "gemma2")
def test_sides_under_different_blocks(name: str, seeds: Sequence[int]) -> None:
    """`treat(P, treated: reference with c) with b`: b on both sides, c on the treated one."""
    done = 0
    for drawer, rng in drawers(name, seeds):
        one = drawer.one
        drawn = draw_blocks(drawer, [[rng.choice(ALL)], [rng.choice(VERBS)]])
        column = TreatedSpec(kind="paired", column="reference")
        run = replace(one.run(one.treated), treated=column)
        found = refused(one, [under(run, drawn.blocks[:1], drawn.blocks)])
        both, more = drawn.made[:1], drawn.made[1:]
        if found is None or (marks(both, 0, ("fix", "move")) and marks(more, 0, ())):
            continue
        done += 1
        for row in range(len(one.case.rows)):
            whole = drawer.plain(row, "reference", [make(row) for make in drawn.made])
            embedded = drawer.embedded(row, "reference")
            tree = run_under(
                drawer.parts, embedded, embedded, kept_predicate(one.case, row),
                len(embedded) - 1, [make(row) for make in both], treated_run=whole,
                treated_doings=[make(row) for make in more],
                frozen_to=drawer.frozen_to(row, both),
            )  # fmt: skip
            np.testing.assert_allclose(
                found[0][row], tree, rtol=0, atol=EXACT, err_msg=f"{one.case.text} {drawn.blocks}"
            )
    assert done >= 3


def marks(made: Sequence[Any], row: int, verbs: tuple[str, ...]) -> bool:
    """Whether some action on a mark is one of these, or any where none is named."""
    doings = [make(row) for make in made]
    return any(d.node[0] == "r" and (not verbs or d.verb in verbs) for d in doings)


@some(380, 9, "gpt2", "llama", "gpt_neox_parallel")
def test_runs_alone_and_beside_others(name: str, seeds: Sequence[int]) -> None:
    """What runs with and without blocks share changes no value."""
    for drawer, rng in drawers(name, seeds):
        one = drawer.one
        runs = [one.run(one.treated), REFERENCE, one.run(one.paths)]
        asked = list(runs)
        for _ in range(2):
            drawn = draw_blocks(drawer, [[rng.choice(ALL) for _ in range(2)]])
            new = [under(run, drawn.blocks) for run in runs]
            asked += new if refused(one, list(dict.fromkeys(new))) is not None else []
        asked = list(dict.fromkeys(asked))
        together = one.logits(asked)
        for place, run in enumerate(asked):
            np.testing.assert_allclose(one.logits([run])[0], together[place], rtol=0, atol=1e-10)


@pytest.mark.parametrize("count", counts.samples("blocks"))
def test_drawn_cases(count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=draw_case(), seed=st.integers(0, 2**16), frozen=st.booleans())
    def compared(case: Case, seed: int, frozen: bool) -> None:
        try:
            one = replace(open_case(case), frozen=frozen)
        except LanguageError:
            assume(False)
        assume(sum(count_paths(case, 0)) < 4000)
        rng = random.Random(seed)
        drawer = Drawer(one, Chooser(rng.randint))
        other: Drawn = draw_blocks(drawer, [[rng.choice(VERBS)]])
        if refused(one, [under(REFERENCE, other.blocks)]) is not None:
            drawer.other = other
        verbs = [
            [rng.choice(ALL) for _ in range(rng.randint(1, 2))] for _ in range(rng.randint(1, 3))
        ]
        assume(compare(one, drawer, verbs))

    compared()
