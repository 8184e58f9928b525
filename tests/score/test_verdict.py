"""Verdicts and families: special cases one by one, and the level of Holm and of BH."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, stdtrit

from pathdsl.score.results import Verdict
from pathdsl.score.statistics.ends import Interval
from pathdsl.score.statistics.verdict import (
    CORRECTIONS,
    Rule,
    decide,
    in_doubt,
    invert,
    settle,
    smallest,
)  # fmt: skip
from tests import seeds as counts
from tests.score.arrays import agg, bootstrap

S, R, I, U = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.UNDEFINED  # noqa: E741
holm, benjamini_hochberg = (CORRECTIONS[name].family for name in ("holm", "bh"))
ends = st.floats(-10, 10)


def interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high, method="hull")


@pytest.mark.parametrize(
    ("relation", "low", "high", "want"),
    [
        (">=", 1.1, 2, S), (">=", 0, 0.9, R), (">=", 0.5, 1.5, I), (">=", 0, 1.0, I),
        (">", 1.0, 2, I), (">", 1.1, 2, S), ("<=", 1.1, 2, R), ("<", 0, 1.0, I), ("<", 0, 0.9, S),
        ("~=", 0.95, 1.05, S), ("~=", 0.9, 1.2, I), ("~=", 1.2, 1.3, R), ("~=", 0.5, 1.5, I),
        ("~=", 0.2, 0.8, R), (">=", -np.inf, np.inf, I), ("<=", -np.inf, 0.5, S),
        ("<=", 2, np.inf, R), ("~=", 2, np.inf, R),
    ],
)  # fmt: skip
@pytest.mark.parametrize("exact", [False, True])
def test_one_claim(relation, low, high, want, exact):
    rule = Rule(relation=relation, threshold=1.0, within=0.1, tolerance=1e-5, exact=exact)
    assert decide(rule, interval(low, high)) is want


@pytest.mark.parametrize(
    ("relation", "low", "high", "equal"),
    [
        (">=", 1.0, 2, S), (">=", 1 - 1e-6, 2, S), (">=", 1 + 1e-6, 2, S), (">", 1 + 1e-6, 2, I),
        (">", 0, 1.0, R), ("<=", 0, 1.0, S), ("<=", 0, 1 + 1e-6, S), ("<", 1.0, 2, R),
        ("<", 1 - 1e-6, 2, R), ("~=", 0.9, 1.1, S), ("~=", 1.1, 1.3, I), ("~=", 0.8, 0.9, I),
    ],
)  # fmt: skip
def test_an_end_at_the_threshold(relation, low, high, equal):
    """Rounding leaves every relation open; what is exact and equal to the threshold is decided."""
    rule = Rule(relation=relation, threshold=1.0, within=0.1, tolerance=1e-5)
    assert decide(rule, interval(low, high)) is I
    assert decide(replace(rule, exact=True), interval(low, high)) is equal


def test_a_null_effect_is_not_above_zero():
    rule = Rule(relation=">", threshold=0.0, tolerance=1e-5)
    for found in (interval(0.0, 0.0), interval(-1e-7, 1e-7)):
        assert decide(rule, found) is I
        assert decide(replace(rule, exact=True), found) is R
        assert "than rounding may move it, 1e-05" in in_doubt(rule, found)
    assert "an end" in in_doubt(rule, interval(1e-6, 2.0)) and not in_doubt(rule, interval(-1, 1))


def test_rounding_wider_than_a_margin_leaves_equivalence_open():
    rule = Rule(relation="~=", threshold=0.0, within=0.05, tolerance=0.1)
    assert decide(rule, interval(0.0, 0.0)) is I
    assert decide(rule, interval(0.3, 0.4)) is R


@given(ends, ends, ends, st.sampled_from([">", ">=", "<", "<="]))
def test_opposite_claims_never_agree(a, b, threshold, relation):
    found = interval(min(a, b), max(a, b))
    opposite = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}[relation]
    one, other = (
        decide(Rule(relation=r, threshold=threshold), found) for r in (relation, opposite)
    )
    assert {one, other} in ({S, R}, {I})


@given(ends, ends, ends, st.floats(0, 3), st.sampled_from([">", ">=", "<", "<=", "~="]))
def test_a_wider_interval_is_never_more_definite(a, b, threshold, more, relation):
    low, high = min(a, b), max(a, b)
    rule = Rule(relation=relation, threshold=threshold, within=0.5)
    narrow, wide = (
        decide(rule, interval(low, high)),
        decide(rule, interval(low - more, high + more)),
    )
    assert wide in (narrow, I)


def test_p_values_invert_the_interval():
    rng = np.random.default_rng(5)
    b = bootstrap({"x": rng.normal(0.3, 1, 60)}, 4000)
    rule = Rule(relation=">", threshold=0.0)
    p = invert(rule, lambda level: b.interval(agg("x"), level))
    assert decide(rule, b.interval(agg("x"), 1 - 1.02 * p)) is not I
    assert decide(rule, b.interval(agg("x"), 1 - 0.98 * p)) is I
    hits = bootstrap({"x": np.array([1.0] * 15 + [0.0] * 5)})
    share = agg("x", hits=True)
    from scipy.stats import binomtest

    p = invert(Rule(relation=">", threshold=0.5), lambda level: hits.interval(share, level))
    assert p == pytest.approx(2 * binomtest(15, 20, 0.5, "greater").pvalue, rel=0.01)


def from_p(p: float, side: Verdict = S):
    return lambda level: side if p <= 1 - level + 1e-12 else I


def test_holm_by_hand():
    p = [0.04, 0.001, 0.012, 0.03]
    judged = holm(p, [from_p(x) for x in p], 0.05)
    # 0.001 <= .05/4, 0.012 <= .05/3, 0.03 > .05/2: it and all later ones are inconclusive.
    assert [j.verdict for j in judged] == [I, S, S, I]
    assert [j.level for j in judged] == pytest.approx([0.95, 1 - 0.05 / 4, 1 - 0.05 / 3, 0.975])
    mixed = holm([0.001, 0.002], [from_p(0.001, R), from_p(0.002)], 0.05)
    assert [j.verdict for j in mixed] == [R, S]


def test_an_undefined_member_keeps_its_verdict_and_counts():
    judged = holm([0.02, 1.0], [from_p(0.02), lambda level: U], 0.05)
    assert [j.verdict for j in judged] == [S, U]
    judged = holm([0.03, 1.0], [from_p(0.03), lambda level: U], 0.05)
    assert [j.verdict for j in judged] == [I, U]  # 0.03 > 0.05 / 2


def test_benjamini_hochberg_by_hand():
    p = [0.001, 0.02, 0.03, 0.035, 0.5]
    judged = benjamini_hochberg(p, [from_p(x) for x in p], 0.05)
    assert [j.verdict for j in judged] == [S, S, S, S, I]  # 0.035 <= 4 * .05/5: all four pass
    assert judged[0].level == pytest.approx(1 - 4 * 0.05 / 5)
    none = benjamini_hochberg([0.2, 0.3], [from_p(0.2), from_p(0.3)], 0.05)
    assert [j.verdict for j in none] == [I, I]


@pytest.mark.parametrize("count", counts.samples("holm"))
def test_holm_keeps_the_level_of_a_family_of_nulls(count):
    m, wrong, plain = 8, 0, 0
    rule = Rule(relation=">", threshold=0.0)
    for i in range(count):
        rng = np.random.default_rng([13, i])
        b = bootstrap({f"x{k}": rng.normal(0, 1, 60) for k in range(m)}, 1000, i)
        nodes = [agg(f"x{k}") for k in range(m)]
        ps = [invert(rule, lambda c, n=n, b=b: b.interval(n, c)) for n in nodes]
        judges = [lambda c, n=n, b=b: decide(rule, b.interval(n, c)) for n in nodes]
        wrong += any(j.verdict is not I for j in holm(ps, judges, 0.05))
        plain += any(judge(0.95) is not I for judge in judges)
    print(
        f"any false verdict in a family of {m}: holm {wrong / count:.3f}, none {plain / count:.3f}"
    )
    assert wrong / count <= 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / count)
    assert plain / count > 0.25


def test_settling():
    rule = Rule(relation=">=", threshold=0.8)
    # Half-width 0.2 at n = 50 towards a threshold 0.1 away: four times as many, for even odds.
    assert settle(rule, 0.9, interval(0.7, 1.1), 50, 0.95, 0.5) in (200, 201)
    # (1.96 + 0.8416)^2 / 1.96^2 = 2.0432 times that for 80 %.
    assert settle(rule, 0.9, interval(0.7, 1.1), 50, 0.95) in (409, 410)
    assert settle(rule, 0.8, interval(0.7, 0.9), 50, 0.95) is None
    assert settle(rule, 0.9, interval(-np.inf, np.inf), 50, 0.95) is None
    near = Rule(relation="~=", threshold=0.0, within=0.2)
    assert settle(near, 0.1, interval(-0.1, 0.3), 50, 0.95, 0.5) in (200, 201)
    # Both margins inside: each may be missed in 10 % of the samples, (1.96 + 1.2816)^2 / 1.96^2.
    assert settle(near, 0.0, interval(-0.4, 0.4), 50, 0.95) in (547, 548)


def standard(n: int, rng: np.random.Generator) -> np.ndarray:
    """A sample whose mean is exactly 0 and whose standard deviation is exactly 1."""
    x = rng.normal(size=n)
    return (x - x.mean()) / x.std(ddof=1)


@pytest.mark.parametrize("count", counts.samples("settled"))
@pytest.mark.parametrize(
    ("rule", "truth", "size"),
    [
        (Rule(relation=">", threshold=0.0), 0.25, 1),
        (Rule(relation=">", threshold=0.0), 0.25, 4),
        (Rule(relation="~=", threshold=0.0, within=0.3), 0.0, 1),
    ],
)
def test_so_many_prompts_settle_a_claim_in_four_of_five_samples(rule, truth, size, count):
    """Power at the number that an inconclusive claim is told, prompts in clusters of `size`."""
    n = 40

    def sample(units, rng, exact):
        x = standard(units, rng) if exact else rng.normal(size=units)
        return {"x": np.repeat(truth + x, size)}, np.repeat(np.arange(units), size)

    columns, clusters = sample(n, np.random.default_rng(1), True)
    first = bootstrap(columns, 4000, 0, clusters)
    found = first.interval(agg("x"), 0.95)
    assert decide(rule, found) is I
    needed = settle(rule, first.evaluator.estimate(agg("x")), found, n * size, 0.95)
    settled = 0
    for i in range(count):
        columns, clusters = sample(round(needed / size), np.random.default_rng([17, i]), False)
        again = bootstrap(columns, 600, i, clusters).interval(agg("x"), 0.95)
        settled += decide(rule, again) is S
    error = np.sqrt(0.8 * 0.2 / count)
    print(f"{needed} prompts settled {settled / count:.3f} ± {error:.3f} of the samples")

    def power(units):
        z, root = stdtrit(units - 1, 0.975), np.sqrt(units)
        gaps = [truth] if rule.relation == ">" else [rule.within, rule.within]
        return sum(ndtr(gap * root - z) for gap in gaps) - (len(gaps) - 1)

    assert abs(settled / count - power(needed / size)) <= 3.3 * error
    # The wider side of the interval counts, here at most 9 % wider than the mean of the two.
    fewest = next(units for units in range(2, 1000) if power(units) >= 0.8)
    assert fewest - 1 <= needed / size <= 1.09**2 * fewest + 1


@pytest.mark.parametrize("relation", [">", ">=", "<", "~="])
@pytest.mark.parametrize("threshold", [0.0, 0.12, 0.3, -0.2])
def test_p_values_by_formula_are_those_by_trying_levels(relation, threshold):
    b = bootstrap({"x": np.random.default_rng(3).normal(0.1, 1, 80)}, 4000)
    rule = Rule(relation=relation, threshold=threshold, within=0.15)
    formula, estimate = b.p_values(agg("x")), b.evaluator.estimate(agg("x"))
    want = invert(rule, lambda level: b.interval(agg("x"), level))
    assert smallest(rule, estimate, formula) == pytest.approx(want, abs=2.1 / 4001, rel=2e-3)


@pytest.mark.parametrize("count", counts.samples("equivalence"))
def test_level_and_power_of_equivalence(count):
    """At the margin `~= at 95%` is supported in 2.5 % of the samples; well inside it, in most."""
    rule = Rule(relation="~=", threshold=0.0, within=0.3)
    n, shares = 150, {}
    for truth in (0.3, 0.0):
        supported = 0
        for i in range(count):
            x = np.random.default_rng([19, i]).normal(truth, 1, n)
            supported += decide(rule, bootstrap({"x": x}, 600, i).interval(agg("x"), 0.95)) is S
        shares[truth] = supported / count
    error = np.sqrt(0.025 * 0.975 / count)
    print(f"supported at the margin {shares[0.3]:.3f} ± {error:.3f}, inside it {shares[0.0]:.3f}")
    assert abs(shares[0.3] - 0.025) <= 3.3 * error
    assert shares[0.0] > 0.85  # 2 Phi(0.3 sqrt(150) - 1.96) - 1 = 0.91


def test_benjamini_hochberg_keeps_the_rate_of_false_verdicts():
    """Of 20 members 14 are nulls: false verdicts among the definite ones are 5 % * 14/20."""
    m, nulls, count = 20, 14, 3000
    rng = np.random.default_rng(23)
    false_share, found = [], 0
    for _ in range(count):
        p = np.concatenate([rng.uniform(size=nulls), ndtr(-np.abs(rng.normal(3.5, 1, m - nulls)))])
        judged = benjamini_hochberg(list(p), [from_p(x) for x in p], 0.05)
        definite = np.array([j.verdict is not I for j in judged])
        false_share.append(definite[:nulls].sum() / max(1, definite.sum()))
        found += int(definite[nulls:].sum())
    error = np.std(false_share) / np.sqrt(count)
    power = found / (count * (m - nulls))
    print(f"false discoveries {np.mean(false_share):.4f} ± {error:.4f}, power {power:.3f}")
    assert abs(np.mean(false_share) - 0.05 * nulls / m) <= 3.3 * error
    assert power > 0.8
