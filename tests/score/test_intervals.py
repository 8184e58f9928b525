"""Intervals: against scipy, against their nominal coverage, and in their special cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pathdsl.score.evaluate import _statistic
from pathdsl.score.intervals import Interval, clopper_pearson
from pathdsl.score.quantity import Constant, Op, Part, Worst, difference, lift_worst, ratio
from tests.score.arrays import agg, bootstrap

SIMULATIONS = 600


def covered(count: int, level: float = 0.95, slack: float = 0.0) -> tuple[float, float]:
    """Where the share of `count` simulations falls with a chance of 99.9 % at the nominal level."""
    error = 3.3 * np.sqrt(level * (1 - level) / count)
    return level - slack - error, level + error + slack


@given(
    x=st.lists(st.floats(-100, 100), min_size=2, max_size=12),
    data=st.data(),
    kind=st.sampled_from(["mean", "std", "median", "quantile"]),
)
@settings(max_examples=200, deadline=None)
def test_weights_are_repetitions(x, data, kind):
    w = data.draw(st.lists(st.integers(0, 3), min_size=len(x), max_size=len(x)))
    repeated = np.repeat(x, w)
    if len(repeated) < 2:
        return
    node = agg("x", kind, q=0.9)
    got = _statistic(node, np.array(x), np.array([w], float), np.ones(len(x), bool))[0]
    want = {
        "mean": np.mean,
        "std": lambda v: np.std(v, ddof=1),
        "median": np.median,
        "quantile": lambda v: np.quantile(v, 0.9),
    }[kind](repeated)
    assert got == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 17), (199, 200)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_clopper_pearson_is_scipys(hits, n, level):
    want = stats.binomtest(hits, n).proportion_ci(level, method="exact")
    assert clopper_pearson(hits, n, level) == pytest.approx((want.low, want.high))


def test_bca_agrees_with_scipy():
    rng = np.random.default_rng(1)
    x, y = rng.exponential(1, 50), rng.exponential(2, 50) + 1
    b = bootstrap({"x": x, "y": y}, count=20_000)
    for node, data, statistic in (
        (agg("x"), (x,), np.mean),
        (
            ratio(agg("x"), agg("y")),
            (x, y),
            lambda u, v, axis=-1: u.mean(axis) / v.mean(axis),
        ),
        (agg("x", "std"), (x,), lambda u, axis=-1: np.std(u, axis, ddof=1)),
    ):
        want = stats.bootstrap(
            data, statistic, paired=True, n_resamples=20_000, rng=np.random.default_rng(2)
        ).confidence_interval
        got = b.interval(node, 0.95)
        width = want.high - want.low
        assert got.low == pytest.approx(want.low, abs=0.03 * width)
        assert got.high == pytest.approx(want.high, abs=0.03 * width)
        assert got.method == "BCa"


def test_two_samples_pool_their_accelerations_as_in_scipy():
    rng = np.random.default_rng(3)
    x, y = rng.exponential(1, 30), rng.exponential(1, 60)
    b = bootstrap({"x": x, "u.y": y}, count=20_000)
    got = b.interval(difference(agg("x"), agg("y", task="u")), 0.95)
    want = stats.bootstrap(
        (x, y),
        lambda u, v, axis=-1: u.mean(axis) - v.mean(axis),
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert got.low == pytest.approx(want.low, abs=0.03 * (want.high - want.low))
    assert got.high == pytest.approx(want.high, abs=0.03 * (want.high - want.low))


def coverage(draw, node, truth, clusters=None, count=SIMULATIONS, resamples=600) -> float:
    inside = 0
    for i in range(count):
        rng = np.random.default_rng([7, i])
        interval = bootstrap(draw(rng), resamples, i, clusters).interval(node, 0.95)
        inside += interval.low <= truth <= interval.high
    return inside / count


def test_coverage_of_means_ratios_and_clusters():
    low, high = covered(SIMULATIONS, slack=0.02)  # BCa is approximate at n = 40
    skewed = coverage(lambda r: {"x": r.exponential(1, 40)}, agg("x"), 1.0)

    def pair(r):
        y = r.gamma(4, 1, 40)
        return {"x": 0.5 * y + r.normal(0, 1, 40), "y": y}

    of_ratio = coverage(pair, ratio(agg("x"), agg("y")), 0.5)

    def groups(r):
        return {"x": np.repeat(r.normal(0, 1, 40), 5) + r.normal(0, 0.3, 200)}

    clusters = np.repeat(np.arange(40), 5)
    by_cluster = coverage(groups, agg("x"), 0.0, clusters)
    ignored = coverage(groups, agg("x"), 0.0)
    print(f"coverage: {skewed=:.3f} {of_ratio=:.3f} {by_cluster=:.3f} {ignored=:.3f}")
    assert all(low <= c <= high for c in (skewed, of_ratio, by_cluster))
    assert ignored < 0.75


def test_absolute_values_and_the_largest_of_many_keep_their_level():
    low, _ = covered(SIMULATIONS, slack=0.02)
    at_zero = Op(op="abs", args=(difference(agg("x"), agg("y")),))
    pair = coverage(lambda r: {k: r.normal(0, 1, 40) for k in "xy"}, at_zero, 0.0)
    members = tuple((f"k{i}", Op(op="abs", args=(agg(f"k{i}"),))) for i in range(8))

    def many(r):
        return {f"k{i}": r.normal(0.5 if i < 4 else 0.1, 1, 40) for i in range(8)}

    largest = coverage(many, Worst(which="max", members=members), 0.5, count=200)
    smallest = coverage(many, Worst(which="min", members=members), 0.1, count=200)
    print(f"coverage: {pair=:.3f} {largest=:.3f} {smallest=:.3f}")
    assert pair >= low
    assert min(largest, smallest) >= covered(200, slack=0.02)[0]


def test_a_knockout_chosen_on_one_half_is_judged_fairly_on_the_other():
    fair = naive = 0
    names = [f"k{i}" for i in range(20)]
    count = 200
    for i in range(count):
        rng = np.random.default_rng([11, i])
        b = bootstrap({k: rng.normal(0, 1, 40) for k in names}, 600, i)
        search, judge = (Part(seed=i, side=side) for side in ("search", "judge"))

        def best(part, b=b):
            values = [b.evaluator.estimate(agg(k, part=part)) for k in names]
            return names[int(np.argmax(values))]

        fair += b.interval(agg(best(search), part=judge), 0.95).low > 0
        naive += b.interval(agg(best(None)), 0.95).low > 0
    print(f"false effects of 20 searched: split {fair / count:.3f}, same rows {naive / count:.3f}")
    assert fair / count <= 0.025 + 0.02 + 3.3 * np.sqrt(0.025 / count)
    assert naive / count > 0.2


def test_percentile_for_statistics_that_are_not_smooth():
    x = np.random.default_rng(0).normal(0, 1, 60)
    b = bootstrap({"x": x})
    for node in (agg("x", "median"), agg("x", "quantile", q=0.9)):
        assert b.interval(node, 0.95).method == "percentile"
    least = Op(op="min", args=(agg("x"), agg("x", "std")))
    assert b.interval(least, 0.95).method == "percentile"


def test_shares_are_exact_through_arithmetic_with_numbers_and_not_for_clusters():
    hits = np.array([1.0] * 18 + [0.0] * 2)
    share = agg("x", hits=True)
    b = bootstrap({"x": hits})
    low, high = clopper_pearson(18, 20, 0.95)
    assert b.interval(share, 0.95) == Interval(low=low, high=high, method="Clopper-Pearson")
    errors = b.interval(difference(Constant(value=1.0), share), 0.95)
    assert (errors.low, errors.high) == pytest.approx((1 - high, 1 - low))
    assert b.interval(agg("x"), 0.95).method == "BCa"  # a logit that happens to be 0 or 1
    clustered = bootstrap({"x": hits}, clusters=np.arange(20) // 2)
    assert clustered.interval(share, 0.95).method == "BCa"


def test_constant_samples():
    few, many = bootstrap({"x": np.full(29, 2.0)}), bootstrap({"x": np.full(30, 2.0)})
    assert few.interval(agg("x"), 0.95).method == "none"
    assert not few.interval(agg("x"), 0.95).known
    assert many.interval(agg("x"), 0.95).pair() == (2.0, 2.0)
    templates = bootstrap({"x": np.full(60, 2.0)}, clusters=np.arange(60) // 3)
    assert templates.interval(agg("x"), 0.95).method == "none"  # 20 clusters
    # Rounding noise is no spread.
    noisy = 2 + 1e-7 * np.random.default_rng(0).normal(size=20)
    assert bootstrap({"x": noisy}, tolerance=1e-5).interval(agg("x"), 0.95).method == "none"
    assert bootstrap({"x": noisy}, tolerance=1e-9).interval(agg("x"), 0.95).method == "BCa"


def test_denominators_that_may_be_zero():
    rng = np.random.default_rng(0)
    columns = {
        "x": rng.normal(1, 1, 40),
        "zero": rng.normal(0, 1, 40),
        "one": rng.normal(1, 0.1, 40),
    }
    b = bootstrap(columns)
    assert "contains 0" in b.undefined(ratio(agg("x"), agg("zero")), 0.95)
    assert not b.undefined(ratio(agg("x"), agg("one")), 0.95)
    inside = difference(Constant(value=1.0), ratio(agg("x"), agg("zero")))
    assert b.undefined(Worst(which="max", members=(("k", inside),)), 0.95)
    assert "is 0" in b.undefined(ratio(agg("x"), Constant(value=0.0)), 0.95)
    assert not bootstrap({"x": np.full(5, 2.0)}).undefined(ratio(agg("x"), agg("x")), 0.95)


def test_the_worst_is_lifted_through_monotone_arithmetic():
    members = (("a", agg("a")), ("b", agg("b")))
    columns = {k: np.random.default_rng(i).normal(i, 1, 40) for i, k in enumerate("abx")}
    b = bootstrap(columns)
    worst = Worst(which="max", members=members)
    for node in (
        difference(worst, agg("x")),
        difference(agg("x"), worst),
        Op(op="*", args=(Constant(value=-2.0), worst)),
        Op(op="/", args=(worst, Constant(value=4.0))),
        Op(op="neg", args=(worst,)),
    ):
        lifted = lift_worst(node)
        assert isinstance(lifted, Worst)
        assert b.evaluator.estimate(lifted) == pytest.approx(b.evaluator.estimate(node))
        assert b.interval(node, 0.95).method == "worst of 2, BCa"
    assert not isinstance(lift_worst(ratio(agg("x"), worst)), Worst)


def test_intervals_are_the_same_every_time_and_nest():
    columns = {"x": np.random.default_rng(0).exponential(1, 50)}
    node = agg("x")
    first, second = bootstrap(columns).interval(node, 0.9), bootstrap(columns).interval(node, 0.9)
    assert first == second
    assert bootstrap(columns, seed=1).interval(node, 0.9) != first
    wider = bootstrap(columns).interval(node, 0.99)
    assert wider.low < first.low < first.high < wider.high
