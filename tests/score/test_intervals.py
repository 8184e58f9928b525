"""Intervals: against scipy, against their nominal coverage, and in their special cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pathdsl.score.evaluate import _statistic
from pathdsl.score.intervals import Interval
from pathdsl.score.quantity import Constant, Op, Worst, difference, lift_worst, ratio
from pathdsl.score.shares import clopper_pearson
from tests.score.arrays import agg, bootstrap


def widened(level: float, n: int) -> float:
    """The level at which the normal quantile is that of the interval of n clusters."""
    return float(2 * stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, n - 1)) - 1)


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
            data,
            statistic,
            paired=True,
            n_resamples=20_000,
            confidence_level=widened(0.95, 50),
            rng=np.random.default_rng(2),
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
        confidence_level=widened(0.95, 30),
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert got.low == pytest.approx(want.low, abs=0.03 * (want.high - want.low))
    assert got.high == pytest.approx(want.high, abs=0.03 * (want.high - want.low))


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
    clustered = bootstrap({"x": hits}, clusters=np.arange(20) // 3)
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


@pytest.mark.parametrize(
    ("n", "level", "node", "needed"),
    [
        (5, 0.95, agg("x"), 6), (6, 0.95, agg("x"), 0), (7, 0.99, agg("x"), 8),
        (5, 0.95, agg("x", "median"), 6), (35, 0.95, agg("x", "quantile", q=0.9), 36),
        (36, 0.95, agg("x", "quantile", q=0.9), 0), (35, 0.95, agg("x", "quantile", q=0.1), 36),
        (3, 0.75, agg("x"), 0), (2, 0.75, difference(agg("x"), Constant(value=1.0)), 3),
    ],
)  # fmt: skip
def test_no_interval_where_all_values_may_lie_on_one_side(n, level, node, needed):
    found = bootstrap({"x": np.random.default_rng(0).normal(size=n)}).interval(node, level)
    assert found.known == (needed == 0)
    if needed:
        assert f"{n} prompts or clusters are too few" in found.why
        assert f"{needed} or more" in found.why


def test_clusters_count_and_not_their_prompts():
    x = np.random.default_rng(0).normal(size=200)
    for clusters, known in ((5, False), (6, True), (1, False)):
        found = bootstrap({"x": x}, clusters=np.arange(200) % clusters).interval(agg("x"), 0.95)
        assert found.known == known
    among = np.where(np.arange(200) < 4, 1.0, 0.0)
    b = bootstrap({"x": x * among, "y": among}, 2000)
    assert "4 prompts" in b.interval(ratio(agg("x"), agg("y")), 0.95).why


def test_no_interval_where_no_resample_lies_in_the_tail():
    b = bootstrap({"x": np.random.default_rng(0).normal(size=60)}, 1000)
    assert b.interval(agg("x"), 0.998).known
    found = b.interval(agg("x"), 0.9999)
    assert not found.known and "1,000 resamples are too few" in found.why
    assert "`bootstrap(20000)`" in found.why
    # Bonferroni over 60 members needs more resamples than one member does.
    members = tuple((str(i), difference(agg("x"), Constant(value=float(i)))) for i in range(60))
    worst = b.interval(Worst(which="max", members=members), 0.95)
    assert worst.low == -np.inf and np.isfinite(worst.high) and "too few" in worst.why


@given(
    x=st.lists(st.floats(-5, 5), min_size=8, max_size=14),
    copies=st.integers(2, 4),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_copies_of_the_rows_of_a_cluster_change_nothing(x, copies, seed):
    y = np.cos(x) + 3
    rows = np.arange(len(x))
    once = bootstrap({"x": np.array(x), "y": y}, 200, seed)
    columns = {"x": np.repeat(x, copies), "y": np.repeat(y, copies)}
    many = bootstrap(columns, 200, seed, clusters=np.repeat(rows, copies))
    for node in (agg("x"), ratio(agg("x"), agg("y"))):
        one, other = (b.interval(node, 0.9) for b in (once, many))
        assert one.method == other.method
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)


@given(x=st.lists(st.floats(-5, 5), min_size=8, max_size=30), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_moves_end_points_by_the_noise_of_resampling_only(x, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    one, other = (bootstrap({"x": np.array(v)}, 4000) for v in (x, np.array(x)[order]))
    found = [b.interval(agg("x"), 0.8) for b in (one, other)]
    assert one.evaluator.estimate(agg("x")) == pytest.approx(other.evaluator.estimate(agg("x")))
    spread = np.std(x)
    for end in ("low", "high"):
        assert getattr(found[0], end) == pytest.approx(
            getattr(found[1], end), abs=0.1 * spread + 1e-9
        )


def test_an_average_named_twice_is_taken_once(monkeypatch):
    b = bootstrap({"x": np.arange(1.0, 41.0), "y": np.arange(2.0, 42.0)}, 200)
    taken = []
    real = type(b.evaluator)._aggregate
    monkeypatch.setattr(
        type(b.evaluator), "_aggregate", lambda self, a, w: taken.append(a) or real(self, a, w)
    )
    node = ratio(difference(agg("x"), agg("y")), difference(agg("y"), agg("x")))
    assert b.evaluator.values(node, None) == pytest.approx([-1.0])
    assert len(taken) == 2
