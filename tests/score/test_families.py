"""Families of claims: corrected p-values against scipy, laws, and levels end to end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pathdsl.score.results import Verdict
from pathdsl.score.scores.pvalues import binomial
from pathdsl.score.statistics.verdict import (
    CORRECTIONS,
    Rule,
    decide,
    invert,
)  # fmt: skip
from tests import seeds as counts
from tests.score.arrays import agg, bootstrap
from tests.score.fakes import task_data
from tests.score.test_pvalues import most
from tests.score.test_scores import UNITS as HEADS
from tests.score.test_scores import f, run, through

S, R, I = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE  # noqa: E741
holm, benjamini_hochberg = (CORRECTIONS[name].family for name in ("holm", "bh"))
families = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(families)
def test_bh_is_scipys_and_never_above_holm(p):
    bh, holms = CORRECTIONS["bh"].adjusted(p), CORRECTIONS["holm"].adjusted(p)
    assert bh == pytest.approx(stats.false_discovery_control(p))
    assert all(raw <= b + 1e-15 <= h + 2e-15 for raw, b, h in zip(p, bh, holms, strict=True))
    assert max(holms) <= 1.0
    order = np.argsort(p, kind="stable")
    for found in (bh, holms):
        assert (np.diff(np.array(found)[order]) >= 0).all()


@given(families, st.randoms())
def test_correction_depends_on_no_order(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    for method in ("bh", "holm"):
        moved = CORRECTIONS[method].adjusted([p[i] for i in order])
        assert moved == [CORRECTIONS[method].adjusted(p)[i] for i in order]


@given(families)
def test_holm_is_the_closure_of_bonferroni(p):
    """A member is rejected where Bonferroni rejects every set of members that holds it."""
    if len(p) > 7:
        p = p[:7]
    sets = [[i for i in range(len(p)) if mask >> i & 1] for mask in range(1, 2 ** len(p))]
    for i, corrected in enumerate(CORRECTIONS["holm"].adjusted(p)):
        closed = max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets if i in s)
        assert corrected == pytest.approx(closed)


@given(families, st.sampled_from([0.01, 0.05, 0.2]))
def test_sequential_verdicts_are_those_of_corrected_p_values(p, alpha):
    judges = [lambda level, x=x: S if x <= 1 - level else I for x in p]
    for method, judge in (("holm", holm), ("bh", benjamini_hochberg)):
        found = CORRECTIONS[method].adjusted(p)
        if any(abs(x - alpha) < 1e-9 for x in found):
            continue  # the last digit decides
        wanted = [S if x <= alpha else I for x in found]
        assert [j.verdict for j in judge(p, judges, alpha)] == wanted


def test_a_family_of_one_is_not_corrected():
    for method in ("holm", "bh"):
        assert CORRECTIONS[method].adjusted([0.03]) == [0.03]
    one = [lambda level: S if level <= 0.96 else I]
    for judge in (holm, benjamini_hochberg):
        (judged,) = judge([0.04], one, 0.05)
        assert judged.verdict is S and judged.level == pytest.approx(0.95)


FAMILY = (
    "claim each for h in {{a0.h0, a0.h1, a0.h2, a1.h0, a1.h1, a1.h2}}: "
    "sign_test(LD(treat(through(h))) - LD(reference) + {shift}, side: below) <= 5%"
    " at 95% confidence {by}\n"
)


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_p_values_of_a_family_are_corrected_themselves(method):
    text = FAMILY.format(shift=3.6, by=f"by {method}()")
    judgement, _, _ = run(text)
    plain = run(FAMILY.format(shift=3.6, by=""))[0].claims
    p = [claim.estimate for claim in plain]
    corrected = CORRECTIONS[method].adjusted(p)
    assert any(a <= 0.05 < b for a, b in zip(p, corrected, strict=True))  # the correction matters
    for claim, raw, after in zip(judgement.claims, p, corrected, strict=True):
        assert claim.verdict is (S if after <= 0.05 else R)
        assert claim.estimate == claim.p_value == raw
        assert any(note.startswith(f"p = {after:.3g} after correction") for note in claim.notes)
    assert [c.verdict for c in plain] == [S if x <= 0.05 else R for x in p]


def test_a_large_p_value_is_no_discovery_that_a_correction_makes_easier():
    text = FAMILY.format(shift=3.6, by="by holm()").replace("<= 5%", ">= 20%")
    judgement, _, _ = run(text)
    for claim in judgement.claims:
        assert claim.verdict is (S if claim.estimate >= 0.2 else R)


def test_family_error_of_sign_tests():
    """Six true nulls: Holm errs in some of them in 5 % of the families at most."""
    count, m, n = 2000, 6, 40
    rng = np.random.default_rng(61)
    table = np.array([binomial(k, n, 0.5, "above") for k in range(n + 1)])
    p = table[rng.binomial(n, 0.5, (count, m))]
    wrong = np.mean([min(CORRECTIONS["holm"].adjusted(list(row))) <= 0.05 for row in p])
    plain = (p.min(axis=1) <= 0.05).mean()
    real = table[rng.binomial(n, 0.85, count)]
    power = np.mean(
        [
            CORRECTIONS["holm"].adjusted([a, *row[1:]])[0] <= 0.05
            for a, row in zip(real, p, strict=True)
        ]
    )
    print(f"family error {wrong:.3f}, uncorrected {plain:.3f}, power {power:.3f}")
    assert wrong <= most(count) and plain > 0.15 and power > 0.95


@pytest.mark.parametrize("count", counts.samples("bh"))
def test_bh_over_bootstrap_intervals_keeps_the_rate_of_false_verdicts(count):
    """Six members of 60 prompts, four of them nulls: 5 % * 4/6 of the verdicts are false."""
    m, nulls = 6, 4
    rule = Rule(relation=">", threshold=0.0)
    false_share, found, refuted = [], 0, 0
    for i in range(count):
        rng = np.random.default_rng([62, i])
        columns = {f"x{k}": rng.normal(0.0 if k < nulls else 0.6, 1, 60) for k in range(m)}
        b = bootstrap(columns, 1000, i)
        intervals = [lambda c, k=k, b=b: b.interval(agg(f"x{k}"), c) for k in range(m)]
        judges = [lambda c, f=f: decide(rule, f(c)) for f in intervals]
        judged = benjamini_hochberg([invert(rule, f) for f in intervals], judges, 0.05)
        definite = np.array([j.verdict is not I for j in judged])
        false_share.append(definite[:nulls].sum() / max(1, definite.sum()))
        found += int(definite[nulls:].sum())
        refuted += sum(j.verdict is R for j in judged[nulls:])
    error = np.std(false_share) / np.sqrt(count)
    power = found / (count * (m - nulls))
    print(f"false {np.mean(false_share):.4f} ± {error:.4f}, power {power:.3f}, refuted {refuted}")
    assert np.mean(false_share) <= 0.05 * nulls / m + 3.1 * error
    assert power > 0.95 and refuted == 0


def test_expect_refuted_in_a_family():
    end = "at 95% confidence by bh() expect refuted\n"
    text = f"claim less for h in {{a0.h0, a1.h0, a1.h1}}: effect(through(h)) > 0 {end}"
    text += f"claim near for h in {{a0.h0, a1.h0}}: effect(through(h)) > -4 {end}"
    judgement, s, _ = run(text)
    for claim in judgement.claims:
        unit = next(h for h in HEADS if h.head in claim.name)
        change = f(s, through([unit])) - f(s, ())
        assert claim.estimate == pytest.approx(change.mean())
        assert claim.as_expected == (claim.verdict is R)
        assert claim.p_value is not None and claim.p_value > 0
    assert {c.verdict for c in judgement.claims if c.name.startswith("less")} == {R}
    assert any(not c.as_expected for c in judgement.claims if c.name.startswith("near"))


def test_a_threshold_equal_to_the_estimate_is_open_in_every_family():
    _, s, _ = run("let x = mean(LD(reference))\n")
    exact = f(s, ()).mean()
    for method in ("holm", "bh"):
        text = (
            f"claim at for h in {{a0.h0, a1.h0}}: mean(LD(reference)) + 0 * effect(through(h))"
            f" >= {exact:.12f} at 95% confidence by {method}()\n"
        )
        judgement, _, _ = run(text)
        assert {c.verdict for c in judgement.claims} == {I}
        assert all(c.settle_n is None and c.p_value > 0.5 for c in judgement.claims)


@pytest.mark.parametrize("shift", [2.0, 0.35])
def test_families_larger_than_the_resamples_can_tell_apart_are_judged_by_students_t(shift):
    """Holm's first of 50 members is judged at 99.9 %, for which 1,000 resamples have no tail."""
    x = np.random.default_rng(1).normal(shift, 1, 60)
    rule = Rule(relation=">", threshold=0.0)
    b = bootstrap({"x": x}, 1000)
    p = b.p_values(agg("x"))(0.0)
    judged = holm([p] * 50, [lambda c: decide(rule, b.interval(agg("x"), c))] * 50, 0.05)
    t = x.mean() / (x.std(ddof=1) / np.sqrt(60))
    if shift == 2:  # no resample lies so far out: a third of t counts
        assert p == pytest.approx(2 * stats.t.sf(t / 3, 59))
    assert judged[0].verdict is (S if shift == 2 else I)


def test_no_interval_is_said_once():
    tasks = {"t": task_data(20, clusters=np.arange(20) // 5)}
    text = "".join(f"let x{i} = mean(LD(reference)) * {i + 2}\n" for i in range(5))
    judgement, _, _ = run(
        text + "claim c: mean(LD(reference)) >= 3 at 95% confidence\n", tasks=tasks
    )
    (told,) = [d for d in judgement.diagnostics if d.code == "PD432"]
    assert "4 prompts or clusters are too few" in told.message and "`x0`" in told.message
    assert told.notes == ("no interval either: `x1`, `x2`, `x3` and 2 more",)
    assert all("too few" in q.notes[0] for q in judgement.quantities)
