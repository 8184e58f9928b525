"""The bound on units that were not patched alone: its formula, its level, when there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, ttest_ind

from benchmarks.bounds import WORLDS, misses
from pathdsl.score.statistics.unverified import (
    CONFIDENCES,
    FalseNegativeBound,
    false_negative_bound,
    least,
    random_subsets,
    subsets_for,
    welch,
)
from tests import seeds as counts


def subsets(count: int, units: int, share: float = 0.1, seed: int = 0) -> np.ndarray:
    return random_subsets([f"u{n}" for n in range(units)], count, share, seed)


def test_the_statistics_are_welchs() -> None:
    rng = np.random.default_rng(0)
    inside = subsets(60, 5, 0.3)
    values = rng.standard_normal(60) + 2 * inside[:, 1]
    difference, error, freedom = welch(values, inside)
    for n in range(5):
        theirs = ttest_ind(values[inside[:, n]], values[~inside[:, n]], equal_var=False)
        assert difference[n] / error[n] == pytest.approx(theirs.statistic, rel=1e-9)
        assert freedom[n] == pytest.approx(theirs.df, rel=1e-9)


def test_a_unit_that_alone_has_an_effect_is_bounded_by_it() -> None:
    inside = subsets(300, 50)
    found = false_negative_bound(np.where(inside[:, 7], -3.0, 0.0), inside)
    assert found.bound == pytest.approx(3.0, abs=1e-9)
    assert found.unit == 7


def test_no_effect_at_all_is_bounded_by_none() -> None:
    found = false_negative_bound(np.full(300, 0.25), subsets(300, 10))
    assert found.bound == 0.0


def test_subsets_by_prompts_are_averaged_over_prompts() -> None:
    rng = np.random.default_rng(1)
    inside = subsets(300, 8)
    effects = inside @ rng.standard_normal(8)
    by_prompt = effects[:, None] + np.array([-1.0, 0.5, 0.5])
    assert false_negative_bound(by_prompt, inside).bound == pytest.approx(
        false_negative_bound(effects, inside).bound, rel=1e-9
    )


def test_the_curve_rises_and_holds_the_number() -> None:
    rng = np.random.default_rng(2)
    inside = subsets(700, 20)
    found = false_negative_bound(inside @ rng.standard_normal(20), inside, confidence=0.9)
    bounds, levels = zip(*found.curve, strict=True)
    assert levels == CONFIDENCES
    assert list(bounds) == sorted(bounds)
    assert dict(zip(levels, bounds, strict=True))[0.9] == found.bound
    assert found.bound is not None
    assert found.confidence_of(found.bound) >= 0.9
    assert found.confidence_of(-1.0) == 0.0


def test_the_same_draws_give_the_same_bits_and_a_unit_is_drawn_by_its_name() -> None:
    inside = subsets(300, 20)
    values = inside @ np.arange(20.0) ** 0.5
    assert false_negative_bound(values, inside) == false_negative_bound(values, inside)
    names = [f"u{n}" for n in range(20)]
    turned = random_subsets(names[::-1], 300, 0.1, 0)
    assert np.array_equal(turned[:, ::-1], inside)
    assert not np.array_equal(random_subsets(names, 300, 0.1, 1), inside)
    assert set(inside.sum(axis=0)) == {30}


def test_there_is_no_bound_from_few_subsets() -> None:
    few = false_negative_bound(np.zeros(100), subsets(100, 5))
    assert few.bound is None and few.curve == () and few.unit == -1
    assert "the fewest are 10" in few.why and "300 subsets are enough" not in few.why
    assert str(subsets_for(0.95, 0.1)) in few.why
    assert "no bound on 5 unverified units" in str(few)
    # What a higher confidence lacks is left out of the curve alone.
    some = false_negative_bound(np.zeros(300), subsets(300, 5))
    assert [level for _, level in some.curve] == [0.5, 0.75, 0.9, 0.95]
    assert false_negative_bound(np.zeros(300), np.ones((300, 2), bool)).bound is None


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_as_many_subsets_as_are_said_to_be_enough_are(share: float, confidence: float) -> None:
    count = subsets_for(confidence, share)
    inside = subsets(count, 3, share)
    held = inside.sum(axis=0)
    assert min(held.min(), count - held.max()) >= least(confidence, share)
    assert false_negative_bound(np.zeros(count), inside, confidence=confidence).bound == 0.0


def test_a_metric_without_a_value_has_no_bound() -> None:
    values = np.zeros(300)
    values[4] = np.nan
    assert "no value" in false_negative_bound(values, subsets(300, 3)).why


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="subsets"):
        false_negative_bound(np.zeros(3), subsets(300, 3))
    with pytest.raises(ValueError, match="confidence"):
        false_negative_bound(np.zeros(300), subsets(300, 3), confidence=1.0)
    with pytest.raises(ValueError, match="share"):
        random_subsets(["a"], 10, 0.01, 0)


def test_the_report_says_what_is_bounded() -> None:
    found = FalseNegativeBound(
        bound=0.1234, confidence=0.95, curve=((0.1234, 0.95),), unit=0, units=1200, subsets=300,
        share=0.1, verified=40, why="",
    )  # fmt: skip
    assert str(found) == (
        "at 95% confidence none of 1,200 unverified units changes the metric by more than 0.123 "
        "on average inside random subsets of 10% of them (300 subsets); what one does in fewer "
        "than 9.5% of the subsets that hold it may be missed"
    )
    assert (1 - found.unseen) ** 30 == pytest.approx(0.05)


HOLDS = ["linear, heavy tails", "pairs interact", "saturates", "two together", "without five"]


@pytest.mark.parametrize("count", counts.samples("unverified"))
def test_it_holds_at_its_level(count: int) -> None:
    for name in HOLDS:
        found, _, wide = misses(WORLDS[name], 300, 0.1, count, levels=(0.95,))
        assert found[0.95] * count <= binom.ppf(0.999, count, 0.05), name
        assert 1.0 <= wide < 3.5, name


@pytest.mark.parametrize("count", counts.samples("unverified"))
def test_where_units_act_in_few_subsets_it_is_wider_than_students(count: int) -> None:
    """A unit and its only partner are together in three subsets of 300, or in none."""
    found, plain, _ = misses(WORLDS["two together"], 300, 0.1, count, levels=(0.95,))
    assert found[0.95] < plain[0.95]
