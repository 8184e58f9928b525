"""Runs under interventions against the literal tree of the intervened model."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from pathdsl.errors import DataError, LanguageError, PlanError
from tests.engine.family_cases import Exact
from tests.engine.test_families_tree import opened as opened_families
from tests.engine.tree_cases import REFERENCE, Opened, open_case
from tests.engine.under_cases import Drawer, draw_blocks, under
from tests.oracle.strategies import seeded_case
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
        if {d.code for d in error.diagnostics} & {"PD231", "PD232", "PD227"}:
            return False
        raise
    text = f"{one.case.text}{one.case.run} {one.case.treated} {drawn.blocks}"
    for row in range(len(one.case.rows)):
        doings = drawn.doings(row)
        plain = drawer.plain(row, "reference", doings)["logits",][-1]
        np.testing.assert_allclose(found[1][row], plain, rtol=0, atol=EXACT, err_msg=text)
        tree = drawer.tree(row, doings)
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
        if one is None or one.case.treated == "mean":
            continue
        drawer = Drawer(one, Chooser(random.Random(seed).randint))
        done += compare(one, drawer, [[verb]])
    assert done >= 2


@pytest.mark.parametrize("seed", range(60, 90))
def test_several_actions_are_the_literal_tree(seed: int) -> None:
    one = cases(seed)
    if one is None or one.case.treated == "mean":
        return
    rng = random.Random(seed)
    drawer = Drawer(one, Chooser(rng.randint))
    verbs = [[rng.choice(VERBS) for _ in range(rng.randint(1, 2))] for _ in range(2)]
    compare(one, drawer, verbs)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "olmo2"])
def test_families(name: str) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in zip(range(100), opened_families(name, (2, 7, 13, 20)), strict=False):
            if one.case.treated == "mean":
                continue
            rng = random.Random(seed)
            drawer = Drawer(one, Chooser(rng.randint))
            verbs = [[rng.choice(VERBS) for _ in range(2)]]
            done += compare(one, drawer, verbs)
    assert done
