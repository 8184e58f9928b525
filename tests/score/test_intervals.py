"""Intervals: against scipy, against their nominal coverage, and in their special cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pathdsl.score.quantity import Constant, Op, Worst, difference, ratio
from pathdsl.score.statistics.design import design_of
from pathdsl.score.statistics.ends import Interval
from pathdsl.score.statistics.evaluate import _statistic
from pathdsl.score.statistics.lattice import leaves, named_members
from pathdsl.score.statistics.moments import Moments
from pathdsl.score.statistics.shares import clopper_pearson
from tests.score.arrays import agg, bootstrap


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
    node = agg("x", kind, q=0.9 if kind == "quantile" else 0.5)
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


def hull(theta, error, pivots, tail, df):
    """The ends as the docs write them, from T* of every resample."""
    t, pivots, count = stats.t.ppf(1 - tail, df), np.sort(pivots), len(pivots)
    k = int(tail * (count + 1))
    low, high = pivots[count - k], -pivots[k - 1]
    return theta - np.clip(low, t, 3 * t) * error, theta + np.clip(high, t, 3 * t) * error


def drawn(b, node):
    """(resamples, units) counts of a quantity of one stratum."""
    design = design_of(node, b.evaluator.session.tasks)
    return np.concatenate([counts[0] for counts in b.leaves.resamples.unit_counts(design)])


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99375])
def test_a_mean_has_the_hull_of_students_t_and_the_studentised_bootstrap(level):
    x, tail = np.random.default_rng(1).exponential(size=40), (1 - level) / 2
    b = bootstrap({"x": x}, count=2000)
    pivots = []
    for w in drawn(b, agg("x")):
        sample = np.repeat(x, w.astype(int))
        pivots.append((sample.mean() - x.mean()) / (sample.std() / np.sqrt(39)))
    want = hull(x.mean(), x.std(ddof=1) / np.sqrt(40), np.array(pivots), tail, 39)
    got = b.interval(agg("x"), level)
    assert got.method == "hull" and got.pair() == pytest.approx(want, rel=1e-9)


def test_the_ends_of_a_quotient_are_where_the_hull_of_the_difference_is_at_zero():
    rng = np.random.default_rng(2)
    y = rng.gamma(4, 1, 40)
    x = 0.5 * y + rng.normal(size=40)
    b = bootstrap({"x": x, "y": y}, count=2000)
    for node in (
        ratio(agg("x"), agg("y")),
        ratio(Op(op="neg", args=(agg("x"),)), Op(op="neg", args=(agg("y"),))),
    ):
        low, high = b.interval(node, 0.95).pair()
        weights = drawn(b, node)
        for c, end in ((low, 0), (high, 1)):
            d = x - c * y
            mean = weights @ d / 40
            error = np.sqrt((weights @ d**2 / 40 - mean**2) / 39)
            pivots, spread = (mean - d.mean()) / error, d.std(ddof=1) / np.sqrt(40)
            found = hull(d.mean(), spread, pivots, 0.025, 39)
            assert found[end] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(
    "node",
    [
        agg("x"), agg("x", "std"), ratio(agg("x"), agg("y")),
        Op(op="*", args=(agg("x"), agg("y"))), difference(ratio(agg("x"), agg("y")), agg("z")),
        difference(ratio(agg("x"), agg("y")), ratio(agg("z"), agg("y"))),
        Op(op="^", args=(ratio(agg("x"), agg("y")), Constant(value=0.3))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("clusters", [None, np.arange(60) % 23])
def test_p_values_are_those_of_the_intervals(node, clusters):
    rng = np.random.default_rng(4)
    columns = {"x": rng.exponential(size=60), "y": rng.gamma(4, 1, 60), "z": rng.normal(size=60)}
    b = bootstrap(columns, 1000, clusters=clusters)
    p_value, theta = b.p_values(node), b.evaluator.estimate(node)
    low, high = b.interval(node, 0.95).pair()
    for c in (low, high, theta + 0.7 * (high - theta), theta + 1.5 * (low - theta)):
        p, step = p_value(c), 2.1 / 1001  # p-values come in steps of two resamples
        if p > 2 * step:
            inside, outside = (b.interval(node, 1 - p - s * step) for s in (-1, 1))
            assert inside.low <= c <= inside.high
            assert not outside.low <= c <= outside.high
    assert p_value(low) == pytest.approx(0.05, abs=2.1 / 1001)
    assert p_value(theta) == pytest.approx(1.0)


@given(
    values=st.lists(st.tuples(*[st.floats(-5, 5)] * 3), min_size=8, max_size=12),
    labels=st.lists(st.integers(0, 5), min_size=12, max_size=12),
    node=st.deferred(lambda: SMOOTH),
)
@settings(max_examples=150, deadline=None)
def test_the_gradient_is_that_of_differences_and_the_value_that_of_the_evaluator(
    values, labels, node
):
    x = np.array(values)
    columns = {"x": x[:, 0], "y": x[:, 1] + 8, "z": x[:, 2]}
    b = bootstrap(columns, 4, clusters=np.array(labels[: len(x)]))
    design = design_of(node, b.evaluator.session.tasks)
    if not design.strata:
        return
    moments = Moments((node,), b.evaluator, design)
    at = moments.values(moments.totals)
    want = b.evaluator.estimate(node)
    assert at[moments.outputs[0]][0] == pytest.approx(want, rel=1e-9, abs=1e-9)
    slopes = moments.gradient(moments.outputs[0], moments.totals, at)[0]
    for place, slope in enumerate(slopes):
        h = 1e-6 * max(1.0, abs(moments.totals[0, place]))
        step = np.zeros_like(moments.totals)
        step[0, place] = h
        moved = (moments.values(moments.totals + s * step) for s in (1, -1))
        up, down = (found[moments.outputs[0]][0] for found in moved)
        if "std" not in repr(node):  # its factor n/(n - 1) is held
            assert (up - down) / (2 * h) == pytest.approx(slope, rel=1e-4, abs=1e-4)


MEANS = st.sampled_from([agg("x"), agg("y"), agg("z"), Constant(value=2.0), agg("y", "std")])
SMOOTH = st.recursive(
    MEANS,
    lambda inner: st.one_of(
        st.builds(lambda op, a, b: Op(op=op, args=(a, b)), st.sampled_from("+-*"), inner, inner),
        st.builds(lambda a: Op(op="neg", args=(a,)), inner),
        st.builds(lambda a: ratio(a, agg("y")), inner),
    ),
    max_leaves=6,
)
ANY = st.recursive(
    st.sampled_from([agg("x"), agg("y"), agg("z"), Constant(value=0.5), Constant(value=-2.0)]),
    lambda inner: st.one_of(
        st.builds(
            lambda op, a, b: Op(op=op, args=(a, b)),
            st.sampled_from(["+", "-", "*", "max", "min"]), inner, inner,
        ),
        st.builds(lambda op, a: Op(op=op, args=(a,)), st.sampled_from(["neg", "abs"]), inner),
        st.builds(lambda a: ratio(a, agg("y")), inner),
        st.builds(lambda a: Op(op="^", args=(a, Constant(value=2.0))), inner),
        st.builds(
            lambda w, a, b: Worst(which=w, members=(("a", a), ("b", b))),
            st.sampled_from(["max", "min"]), inner, inner,
        ),
    ),
    max_leaves=8,
)  # fmt: skip


@given(node=ANY, seed=st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_a_form_equals_what_was_written_and_its_interval_holds_the_estimate(node, seed):
    rng = np.random.default_rng(seed)
    columns = {k: rng.normal(m, 1, 30) for k, m in (("x", 0), ("y", 5), ("z", -0.4))}
    b = bootstrap(columns, 60)
    value = b.evaluator.estimate(node)
    slack = 1e-9 * (1 + abs(value))
    form = b.lattice.form(node)
    assert b.evaluator.estimate(form) == pytest.approx(value, rel=1e-9, abs=1e-9)
    ends = b.interval(node, 0.9)
    assert ends.low - slack <= value <= ends.high + slack


def test_forms_with_their_extremes_outside():
    x, y, z = agg("x"), agg("y"), agg("z")
    b = bootstrap({k: np.random.default_rng(i).normal(i, 1, 40) for i, k in enumerate("xyz")}, 200)

    def absolute(node):
        return Op(op="abs", args=(node,))

    form = b.lattice.form
    assert form(ratio(absolute(x), z)) == absolute(ratio(x, z))
    most, least = (Op(op=op, args=(x, y)) for op in ("max", "min"))
    assert len(leaves(form(difference(most, least)))) == 4
    assert len(leaves(form(difference(most, z)))) == 2
    total = Op(op="+", args=(absolute(x), absolute(y)))
    plus, minus = Op(op="+", args=(x, y)), Op(op="-", args=(x, y))
    assert leaves(form(total)) == (plus, minus)
    # A square hides an absolute value, and a product of what may be 0 has a bias like one.
    assert form(Op(op="*", args=(x, x))) == form(Op(op="^", args=(x, Constant(value=2.0))))
    assert leaves(form(Op(op="*", args=(x, x)))) == (x,)
    assert leaves(form(Op(op="*", args=(x, z)))) == (Op(op="*", args=(x, z)),)
    other = bootstrap({"x": b.evaluator.vector(x), "z": b.evaluator.vector(x)[::-1].copy()}, 200)
    assert leaves(other.lattice.form(Op(op="*", args=(x, z)))) == (x, z)
    nested = ratio(z, Op(op="+", args=(most, Constant(value=9.0))))
    assert b.interval(nested, 0.95).note and not b.interval(difference(most, z), 0.95).note


@pytest.mark.parametrize(("q", "level"), [(0.5, 0.95), (0.5, 0.99), (0.9, 0.95), (0.3, 0.8)])
def test_quantiles_of_independent_prompts_have_scipys_exact_ends(q, level):
    x = np.random.default_rng(0).normal(0, 1, 60)
    b = bootstrap({"x": x})
    node = agg("x", "median") if q == 0.5 else agg("x", "quantile", q=q)
    found = b.interval(node, level)
    tail = (1 + level) / 2
    above = stats.quantile_test(x, p=q, alternative="greater").confidence_interval(tail)
    below = stats.quantile_test(x, p=q, alternative="less").confidence_interval(tail)
    assert found.pair() == (above.low, below.high)
    assert found.method == "order statistics"
    half = Op(op="/", args=(node, Constant(value=-2.0)))
    assert b.interval(half, level).pair() == (-below.high / 2, -above.low / 2)


def test_other_quantiles_have_percentiles():
    x = np.random.default_rng(0).normal(0, 1, 60)
    b = bootstrap({"x": x}, clusters=np.arange(60) // 2)
    assert b.interval(agg("x", "median"), 0.95).method == "percentile"
    both = difference(agg("x", "median"), agg("x"))
    assert bootstrap({"x": x}).interval(both, 0.95).method == "percentile"


def test_shares_are_exact_through_arithmetic_with_numbers_and_not_for_clusters():
    hits = np.array([1.0] * 18 + [0.0] * 2)
    share = agg("x", hits=True)
    b = bootstrap({"x": hits})
    low, high = clopper_pearson(18, 20, 0.95)
    assert b.interval(share, 0.95) == Interval(low=low, high=high, method="Clopper-Pearson")
    errors = b.interval(difference(Constant(value=1.0), share), 0.95)
    assert (errors.low, errors.high) == pytest.approx((1 - high, 1 - low))
    assert b.interval(agg("x"), 0.95).method == "hull"  # a logit that happens to be 0 or 1
    clustered = bootstrap({"x": hits}, clusters=np.arange(20) // 3)
    assert clustered.interval(share, 0.95).method == "hull"


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
    assert bootstrap({"x": noisy}, tolerance=1e-9).interval(agg("x"), 0.95).method == "hull"


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


def test_members_keep_their_names_through_arithmetic():
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
        ratio(worst, agg("x")),
    ):
        form = b.lattice.form(node)
        assert [name for name, _ in named_members(form)] == ["a", "b"]
        assert b.evaluator.estimate(form) == pytest.approx(b.evaluator.estimate(node))
        assert b.interval(node, 0.95).method == "2 together: hull"
    assert not named_members(b.lattice.form(ratio(agg("x"), worst)))


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
        (5, 0.95, agg("x"), 6), (6, 0.95, agg("x"), 0), (7, 0.99, agg("x"), 20),
        (9, 0.95, agg("x"), 0),
        (5, 0.95, agg("x", "median"), 6), (35, 0.95, agg("x", "quantile", q=0.9), 36),
        (36, 0.95, agg("x", "quantile", q=0.9), 0), (35, 0.95, agg("x", "quantile", q=0.1), 36),
        (3, 0.75, agg("x"), 0), (2, 0.75, difference(agg("x"), Constant(value=1.0)), 3),
        (19, 0.96, agg("x"), 20), (20, 0.96, agg("x"), 0), (19, 0.95, agg("x"), 0),
        (12, 0.99, agg("x", "median"), 0),
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


def test_beyond_the_resamples_ends_are_capped_or_withheld():
    x = np.random.default_rng(0).normal(size=60)
    b = bootstrap({"x": x}, 1000)
    error, far = x.std(ddof=1) / np.sqrt(60), 3 * stats.t.ppf(0.99995, 59)
    found = b.interval(agg("x"), 0.9999)
    assert found.pair() == pytest.approx((x.mean() - far * error, x.mean() + far * error))
    assert "bootstrap(20000)" in found.note
    apart = bootstrap({"x": x}, 1000, clusters=np.arange(60) // 2)
    assert apart.interval(agg("x", "median"), 0.99).known
    none = apart.interval(agg("x", "median"), 0.9999)
    assert not none.known and "1,000 resamples are too few" in none.why
    assert "`bootstrap(20000)`" in none.why


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


@given(n=st.integers(25, 60), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_moves_end_points_by_the_noise_of_resampling_only(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=n)
    one, other = (bootstrap({"x": v}, 4000) for v in (x, rng.permutation(x)))
    found = [b.interval(agg("x"), 0.8) for b in (one, other)]
    assert one.evaluator.estimate(agg("x")) == pytest.approx(other.evaluator.estimate(agg("x")))
    for end in ("low", "high"):
        assert getattr(found[0], end) == pytest.approx(getattr(found[1], end), abs=0.1 * x.std())


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


def test_a_seed_may_be_below_0():
    from tests.score.test_scores import run

    judgement, *_ = run(
        "let p = independence_test(LD(keep(C)), LD(reference), draws: 50, seed: -2)\n"
        "claim c: faithfulness(C) > 0 at 95% confidence by bootstrap(500, seed: -1)\n"
    )
    assert judgement.claims[0].interval is not None and judgement.quantities[0].estimate > 0
