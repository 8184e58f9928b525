"""The engine against the literal tree, and the laws of runs on the engine's own numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from pathdsl.errors import LanguageError
from pathdsl.graph.paths.pathset import FULL, NONE, Combined, PathSet
from tests import seeds as counts
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.oracle.cases import Case
from tests.oracle.strategies import draw_case, seeded_case

EXACT = 1e-9


def opened(seeds: Iterable[int]) -> Iterator[Opened]:
    """The cases of some seeds that the language accepts."""
    for seed in seeds:
        try:
            yield open_case(seeded_case(seed))
        except LanguageError:
            continue


def without(left: PathSet, right: PathSet) -> PathSet:
    """`left - right`, written so that nothing is folded before it reaches the automaton."""
    return Combined(op="-", left=left, right=right)


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT, err_msg=text)


@pytest.mark.parametrize("seeds", counts.chunks("tree"))
def test_engine_is_the_literal_tree(seeds: tuple[int, ...]) -> None:
    """One plan holds the case's run and runs that share copies with it."""
    compared = 0
    for one in opened(seeds):
        runs = [one.run(one.treated), one.run(one.paths), REFERENCE]
        runs = list(dict.fromkeys(runs))
        found = one.logits(runs)
        same(found[0], from_tree(one), one.case.text)
        same(found[-1], one.plain("reference"), one.case.text)
        compared += 1
    assert compared * 2 >= len(seeds)


def test_laws_of_runs() -> None:
    for one in opened(counts.CASES["tree"].default):
        p, s = one.paths, one.scope if one.scope != FULL else one.treated
        rest = without(FULL, p)
        everything = Combined(op="|", left=p, right=rest)
        nothing = Combined(op="&", left=p, right=rest)
        either = Combined(op="|", left=p, right=s)
        both = Combined(op="&", left=p, right=s)
        pairs = {
            "keep(full) = reference": (without(FULL, everything), NONE),
            "keep(none) = treated": (without(FULL, nothing), FULL),
            "full - (full - P) = P": (without(FULL, rest), p),
            "not (P | S) = not P & not S": (
                without(FULL, either),
                Combined(op="&", left=rest, right=without(FULL, s)),
            ),
            "not (P & S) = not P | not S": (
                without(FULL, both),
                Combined(op="|", left=rest, right=without(FULL, s)),
            ),
            "P - S = P & not S": (
                without(p, s),
                Combined(op="&", left=p, right=without(FULL, s)),
            ),
        }
        runs = list(dict.fromkeys(one.run(t) for pair in pairs.values() for t in pair))
        found = dict(zip(runs, one.logits(runs), strict=True))
        for law, (left, right) in pairs.items():
            same(found[one.run(left)], found[one.run(right)], f"{law}\n{one.case.text}")
        same(found[one.run(NONE)], one.plain("reference"), one.case.text)
        if one.case.treated == "paired":
            same(found[one.run(FULL)], one.plain("treated"), one.case.text)


def test_runs_of_one_plan_do_not_change_each_other() -> None:
    for one in opened(range(100, 106)):
        runs = [one.run(t) for t in dict.fromkeys([one.treated, one.paths, FULL, NONE])]
        together = one.logits(runs)
        for place, run in enumerate(runs):
            same(one.logits([run])[0], together[place], one.case.text)


@pytest.mark.parametrize("count", counts.samples("shrinking"))
def test_engine_is_the_literal_tree_on_cases_that_shrink(count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=draw_case())
    def compare(case: Case) -> None:
        try:
            one = open_case(case)
        except LanguageError:
            assume(False)
            return
        same(one.logits([one.run(one.treated)])[0], from_tree(one), case.text)

    compare()
