"""Exact tests over the prompts: by hand, against scipy, and their level and power."""

from __future__ import annotations

import tracemalloc
from itertools import permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pathdsl.errors import LanguageError
from pathdsl.score.scores.pvalues import binomial
from pathdsl.score.statistics.hsic import _factor, _width, independence
from tests.score.fakes import HEADER, task_data
from tests.score.test_scores import PATHS, C, f, run, value

ALPHA = 0.05


def most(count: int, level: float = ALPHA) -> float:
    """The largest share of `count` simulations that a test of this level shows, at 99.9 %."""
    return level + 3.1 * np.sqrt(level * (1 - level) / count)


# -------------------------------------------------------------------------------------------------
# Counts
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "n"), [(0, 6), (6, 6), (3, 17), (88, 100)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_tails_are_sums_of_binomial_terms_and_scipys(hits: int, n: int, share: float) -> None:
    terms = [comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    above, below = sum(terms[hits:]), sum(terms[: hits + 1])
    assert binomial(hits, n, share, "above") == pytest.approx(above)
    assert binomial(hits, n, share, "below") == pytest.approx(below)
    assert binomial(hits, n, share, "both") == pytest.approx(min(1, 2 * min(above, below)))
    for side, name in (("above", "greater"), ("below", "less")):
        want = stats.binomtest(hits, n, share, name).pvalue
        assert binomial(hits, n, share, side) == pytest.approx(want)
    if share == 0.5:
        want = stats.binomtest(hits, n, share).pvalue
        assert binomial(hits, n, share, "both") == pytest.approx(want)


def test_sign_test_of_per_prompt_differences_by_hand() -> None:
    got, s, _ = value("sign_test(LD(keep(C)) - 0.45 * LD(reference), side: above)", n=25)
    x = f(s, PATHS - C) - 0.45 * f(s, ())
    above = int((x > 0).sum())
    assert 0 < above < 25
    assert got.estimate == pytest.approx(sum(comb(25, k) for k in range(above, 26)) / 2**25)
    assert got.interval == (got.estimate, got.estimate)
    assert got.notes == (f"{above} above 0, {25 - above} below, 0 ties left out",)
    both, _, _ = value("sign_test(LD(keep(C)) - 0.45 * LD(reference))", n=25)
    assert both.estimate == pytest.approx(stats.binomtest(above, 25, 0.5).pvalue)


def test_values_within_rounding_are_ties() -> None:
    got, _, _ = value("sign_test(LD(reference) - LD(reference))")
    assert got.estimate == 1.0 and "0 above 0, 0 below, 40 ties" in got.notes[0]
    got, s, _ = value("sign_test(max(LD(reference) - 15, 0), side: above)", tolerance=0.5)
    sure = int((f(s, ()) - 15 > 0.5).sum())
    assert got.estimate == pytest.approx(0.5**sure)


def test_binomial_test_counts_what_rounding_may_move_against_the_claim() -> None:
    text = "binomial_test(LD(keep(C)) - 8, share: {}, side: {})"
    for tolerance in (1e-9, 0.25):
        _, s, _ = value(text.format("50%", "above"), tolerance=tolerance)
        x = f(s, PATHS - C) - 8
        sure, possible = int((x > tolerance).sum()), int((x > -tolerance).sum())
        assert (sure < possible) == (tolerance > 0.1)
        for side, hits in (("above", sure), ("below", possible)):
            got, _, _ = value(text.format("70%", side), tolerance=tolerance)
            assert got.estimate == pytest.approx(binomial(hits, 40, 0.7, side))
    # An exact 0 is no hit: shares of hits are counted as they are.
    header = HEADER + "metric best: none = top1(io)\n"
    got, s, _ = value("binomial_test(best(keep(C)), share: 60%, side: below)", header=header)
    hits = int((f(s, PATHS - C) > 12).sum())
    assert got.estimate == pytest.approx(stats.binomtest(hits, 40, 0.6, "less").pvalue)
    assert got.notes == (f"{hits} of 40 above 0",)


def test_a_cluster_is_one_value() -> None:
    tasks = {"t": task_data(40, clusters=np.arange(40) // 4)}
    got, s, _ = value("sign_test(LD(keep(C)) - 9, side: above)", tasks=tasks)
    means = (f(s, PATHS - C) - 9).reshape(10, 4).mean(axis=1)
    above = int((means > 0).sum())
    assert got.estimate == pytest.approx(stats.binomtest(above, 10, 0.5, "greater").pvalue)


def test_a_denominator_of_zero_gives_no_p_value() -> None:
    judgement, _, _ = run(
        "claim c: sign_test(LD(keep(C)) / (LD(reference) - LD(reference))) <= 5%"
        " at 95% confidence\n"
    )
    assert judgement.claims[0].verdict == "undefined" and not judgement.claims[0].as_expected


def test_claims_about_p_values_are_definite_and_measured_in_one_round() -> None:
    text = """
    claim better: sign_test(LD(reference) - LD(keep(C)), side: above) <= 5% at 95% confidence
    claim worse:  sign_test(LD(reference) - LD(keep(C)), side: below) <= 5% at 95% confidence
    """.replace("\n    ", "\n")
    judgement, s, _ = run(text)
    assert [c.verdict for c in judgement.claims] == ["supported", "refuted"]
    assert "40 above 0, 0 below, 0 ties left out" in judgement.claims[0].notes
    assert len(s.rounds) == 1


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("independence_test(LD(reference, task: t), 1)", "PD423"),
        ("sign_test(1)", "PD423"),
        ("independence_test(LD(reference, task: t), LD(reference, task: u))", "PD427"),
    ],
)
def test_what_has_no_pairs_of_values_is_a_fault(expression: str, code: str) -> None:
    header = HEADER + 'task u { data = jsonl("u.jsonl"); reference = prompt; treated = other }\n'
    tasks = {"t": task_data(8), "u": task_data(8, "u")}
    with pytest.raises(LanguageError) as caught:
        value(expression, header=header, tasks=tasks)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_level_and_power_of_the_sign_test() -> None:
    """Clustered rows: 30 clusters of 4; unclustered counting would break the level."""
    count, n, size = 2000, 30, 4
    error = np.sqrt(ALPHA * (1 - ALPHA) / count)
    wrong = naive = right = 0
    for i in range(count):
        rng = np.random.default_rng([31, i])
        common = rng.standard_cauchy(n)  # heavy tails, where a t-test has no power
        rows = np.repeat(common, size) + 0.2 * rng.normal(size=n * size)
        means = rows.reshape(n, size).mean(axis=1)
        wrong += binomial(int((means > 0).sum()), n, 0.5, "both") <= ALPHA
        naive += binomial(int((rows > 0).sum()), n * size, 0.5, "both") <= ALPHA
        right += binomial(int((means + 1 > 0).sum()), n, 0.5, "both") <= ALPHA
    print(f"level {wrong / count:.3f} ± {error:.3f}, by rows {naive / count:.3f}")
    print(f"power {right / count:.3f}")
    # The exact level is that of the largest tails below 5 %: 9 or fewer of 30 on one side.
    exact = 2 * stats.binom.cdf(9, n, 0.5)
    assert abs(wrong / count - exact) <= 3.3 * error
    assert wrong / count <= most(count) and naive / count > 0.2
    # P(median shifted by 1 above 0) is 3/4 for a Cauchy, up to the noise of the cluster means.
    power = stats.binom.sf(20, n, 0.75)
    assert abs(right / count - power) <= 0.05


def test_level_and_power_of_the_binomial_test() -> None:
    count, n, share = 4000, 60, 0.8
    rng = np.random.default_rng(32)
    table = {k: binomial(k, n, share, "above") <= ALPHA for k in range(n + 1)}
    for truth in (0.8, 0.95):
        hits = rng.binomial(n, truth, count)
        got = np.mean([table[int(k)] for k in hits])
        first = min(k for k, rejects in table.items() if rejects)
        exact = stats.binom.sf(first - 1, n, truth)
        error = np.sqrt(exact * (1 - exact) / count)
        print(f"share {truth}: rejected {got:.3f} ± {error:.3f}, exactly {exact:.3f}")
        assert abs(got - exact) <= 3.3 * error
    assert stats.binom.sf(first - 1, n, share) <= ALPHA and exact > 0.8


# -------------------------------------------------------------------------------------------------
# Independence
# -------------------------------------------------------------------------------------------------


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """tr(K H L H) / (n - 1)^2, element by element."""
    n = len(x)

    def kernel(v: np.ndarray) -> np.ndarray:
        gaps = [abs(a - b) for a in v for b in v if a != b]
        width = np.median(gaps)
        return np.array([[np.exp(-((a - b) ** 2) / (2 * width**2)) for b in v] for a in v])

    h = np.eye(n) - 1 / n
    return float(np.trace(kernel(x) @ h @ kernel(y) @ h)) / (n - 1) ** 2


def test_independence_by_hand_and_among_all_permutations() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=6)
    y = x**2 + 0.3 * rng.normal(size=6)
    found, p = independence(x, y, 4000, 0)
    assert found == pytest.approx(hsic(x, y))
    every = [hsic(x, y[list(order)]) for order in permutations(range(6))]
    exact = np.mean([value >= found - 1e-12 for value in every])
    error = np.sqrt(exact * (1 - exact) / 4000)
    assert abs(p - exact) <= 3.3 * error + 1 / 4001
    assert independence(x, y, 4000, 0) == (found, p)
    assert independence(x, y, 100, 1)[1] >= 1 / 101


def test_independence_of_runs_is_that_of_their_values() -> None:
    expression = "independence_test(LD(treat(C)), LD(reference), draws: 200, seed: 3)"
    got, s, _ = value(expression)
    found, p = independence(f(s, C), f(s, ()), 200, 3)
    assert got.estimate == p
    assert got.notes == (f"HSIC {found:.3g} over 40, 200 permutations",)
    constant, _, _ = value("independence_test(LD(reference) - LD(reference), LD(reference))")
    assert constant.estimate == 1.0 and "constant" in constant.notes[0]


def test_level_and_power_of_the_independence_test() -> None:
    """A dependence without correlation, which a test of correlation would not see."""
    count, n, draws = 400, 40, 99
    error = np.sqrt(ALPHA * (1 - ALPHA) / count)
    wrong = right = correlated = 0
    for i in range(count):
        rng = np.random.default_rng([33, i])
        x, noise = rng.normal(size=n), rng.normal(size=n)
        wrong += independence(x, noise, draws, i)[1] <= ALPHA
        y = x**2 + 0.5 * noise
        right += independence(x, y, draws, i)[1] <= ALPHA
        correlated += stats.spearmanr(x, y).pvalue <= ALPHA
    print(f"level {wrong / count:.3f} ± {error:.3f}, power {right / count:.3f}")
    print(f"rank correlation finds {correlated / count:.3f}")
    assert ALPHA - 3.3 * error <= wrong / count <= most(count)  # 5 of 100: exactly the level
    assert right / count > 0.9 and correlated / count < 0.3


def test_factors_of_a_kernel_give_the_kernel_and_its_width() -> None:
    """Without the matrices of n^2 entries, up to rounding; ties and heavy tails included."""
    rng = np.random.default_rng(8)
    samples = [
        rng.normal(size=1300), rng.standard_cauchy(1300), rng.integers(0, 4, 1301) * 1.0,
        np.r_[np.zeros(900), rng.normal(size=400)], rng.exponential(size=200), np.arange(2.0),
    ]  # fmt: skip
    for x in samples:
        gaps = np.abs(x[:, None] - x[None, :])
        width = np.median(gaps[gaps > 0])
        assert _width(x) == pytest.approx(width, rel=1e-12)
        factor = _factor(x)
        assert np.abs(factor @ factor.T - np.exp(-(gaps**2) / (2 * width**2))).max() < 1e-11
        assert factor.shape[1] < 150
    assert _width(np.full(1200, 3.0)) == _width(np.full(3, 3.0)) == 1.0


@given(
    x=st.lists(st.floats(-9, 9), min_size=2, max_size=25),
    scale=st.sampled_from([0.01, 1.0, -30.0]),
    shift=st.floats(-5, 5),
)
@settings(max_examples=40, deadline=None)
def test_independence_does_not_depend_on_unit_or_order(x, scale, shift) -> None:
    x = np.round(np.array(x), 3)
    y = np.cos(3 * x)
    found, _ = independence(x, y, 1, 0)
    assert found >= 0
    assert independence(y, x, 1, 0)[0] == pytest.approx(found, abs=1e-9)
    assert independence(scale * x + shift, y, 1, 0)[0] == pytest.approx(found, abs=1e-6)
    order = np.argsort(y)
    assert independence(x[order], y[order], 1, 0)[0] == pytest.approx(found, abs=1e-9)


def test_independence_of_thousands_of_prompts_takes_little_memory() -> None:
    """Two matrices of 6,000 squared numbers would take 576 MB; the factors take a few."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=6000)
    tracemalloc.start()
    _, dependent = independence(x, x**2 + 3 * rng.normal(size=6000), 40, 0)
    _, independent = independence(x, rng.normal(size=6000), 40, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"peak {peak / 1e6:.0f} MB")
    assert peak < 30e6
    assert dependent == 1 / 41 and independent > 0.05
