"""Shares of single prompts, how they spread, and which speak against a claim."""

from __future__ import annotations

import numpy as np
import pytest

from pathdsl.score.prompts import spread_of
from tests.score.fakes import PATHS
from tests.score.test_scores import UNITS as HEADS
from tests.score.test_scores import C, f, run, through, value


def test_shares_of_an_effect_are_the_signed_changes_of_single_prompts():
    text = "claim hurts: effect(through(a1.h0)) < -4 at 95% confidence\n"
    judgement, s, _ = run(text)
    claim = judgement.claims[0]
    change = f(s, through([h for h in HEADS if h.head == "a1.h0"])) - f(s, ())
    spread = claim.prompts
    assert (spread.least, spread.most) == pytest.approx((change.min(), change.max()))
    assert spread.quartiles == pytest.approx(np.quantile(change, (0.25, 0.5, 0.75)))
    assert spread.n == 40
    assert spread.negative == (change < 0).sum()
    assert spread.satisfied == (change < -4).sum()
    assert 0 < spread.satisfied < 40
    worst = sorted(range(40), key=lambda i: -change[i])[:5]
    assert [row.index for row in claim.worst] == worst
    assert [row.value for row in claim.worst] == pytest.approx(change[worst])


def test_shares_of_a_ratio_are_to_first_order_and_its_terms_spread_as_measured():
    judgement, s, _ = run("claim good: faithfulness(C, as: ratio) >= 50% at 95% confidence\n")
    claim = judgement.claims[0]
    m, c = f(s, ()), f(s, PATHS - C)
    n = len(m)
    left = np.array([np.delete(c, i).mean() / np.delete(m, i).mean() for i in range(n)])
    shares = n * c.mean() / m.mean() - (n - 1) * left
    assert claim.prompts.quartiles == pytest.approx(np.quantile(shares, (0.25, 0.5, 0.75)))
    assert claim.prompts.satisfied == (shares >= 0.5).sum()
    of = {term.text: term.prompts for term in claim.terms}
    assert of["F(reference)"].most == pytest.approx(m.max())
    assert of["F(keep(C))"].quartiles == pytest.approx(np.quantile(c, (0.25, 0.5, 0.75)))
    assert of["F(keep(C))"].satisfied is None


def test_a_searched_score_spreads_over_the_half_that_judges():
    judgement, _, _ = run(
        "claim whole: completeness(C, knockouts: greedy(2, seed: 0, runs: 1)) <= 9\n"
    )
    claim = judgement.claims[0]
    assert claim.prompts.n == claim.n == 20
    assert claim.prompts.satisfied <= 20


@pytest.mark.parametrize(
    "expression", ["median(LD(reference))", "paths(C)", "max(mean(LD(reference)), 1)"]
)
def test_what_is_no_mean_of_prompts_has_no_spread(expression):
    assert value(expression)[0].prompts is None


def test_what_rounding_sets_apart_is_no_spread():
    """A ratio of a run with itself is 1 on each prompt, though shares differ in their last digits;
    values that lie within the check's allowance are one."""
    rows = 1 + 1e-7 * np.array([0.0, 1, -1, 2])
    apart = spread_of(rows)
    assert apart.least < apart.most
    one = spread_of(rows, moved=2e-7)
    assert one.least == one.most == pytest.approx(1 + 5e-8, abs=1e-12)
    assert spread_of(rows, moved=1e-7).least < 1
    quantity = value("mean(LD(reference)) / mean(LD(reference)) * 0.1 + 0.2")[0]
    assert quantity.prompts.least == quantity.prompts.most == pytest.approx(0.3)
    claim = run("claim zero: mean(LD(keep(C)) - LD(keep(C))) ~= 0 within 1\n")[0].claims[0]
    assert claim.prompts.least == claim.prompts.most == 0
    assert claim.prompts.negative == 0


def test_a_let_has_its_spread():
    got, s, _ = value("mean(LD(reference))")
    assert got.prompts.least == pytest.approx(f(s, ()).min())
    assert got.prompts.satisfied is None
