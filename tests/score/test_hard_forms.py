"""Quantities whose form once gave a wrong verdict, or took time beyond measure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pathdsl.score.quantity import Constant, Half, Op, difference, mean
from pathdsl.score.statistics.design import design_of, part_mask
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from pathdsl.score.statistics.verdict import Rule, decide
from tests.score.arrays import ArraySession, agg, bootstrap, row
from tests.score.fakes import task_data


def op(name, *args):
    return Op(op=name, args=tuple(Constant(value=a) if isinstance(a, float) else a for a in args))


def supported(node, columns, threshold=0.0, seed=0):
    """Whether `node > threshold` is supported at 95%."""
    b = bootstrap(columns, count=300, seed=seed, tolerance=0.0)
    if b.undefined(node, 0.95):
        return False
    rule = Rule(relation=">", threshold=threshold)
    return decide(rule, b.interval(node, 0.95)).value == "supported"


@pytest.mark.parametrize("kind", ["mean", "median"])
@pytest.mark.parametrize("exponent", [0.1, 0.5, 1.5])
def test_a_root_of_what_may_be_below_zero_is_no_evidence_that_it_is_above(kind, exponent):
    # No resample below 0 has a root: 55% of these were supported.
    node = op("^", agg("x", kind), exponent)
    draws = (np.random.default_rng(seed).normal(size=40) for seed in range(150))
    found = sum(supported(node, {"x": x}, seed=i) for i, x in enumerate(draws))
    assert found <= 9  # of 150 by 2.5%; the chance of more is 0.5%


def test_a_root_of_what_is_never_below_zero_is_that_of_its_ends():
    x = np.random.default_rng(0).normal(size=40) ** 2
    b = bootstrap({"x": x})
    inner, root = b.interval(agg("x"), 0.95), b.interval(op("^", agg("x"), 0.5), 0.95)
    assert (root.low**2, root.high**2) == pytest.approx((inner.low, inner.high))


def test_at_the_level_of_a_family_a_denominator_must_be_told_from_zero_as_well():
    # A is far above 0 and B is 0 but for noise: at 95% one B in twenty passes for another number.
    node, passed = op("/", agg("a"), agg("b")), 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        b = bootstrap({"a": rng.normal(3, 1, 40), "b": rng.normal(size=40)}, count=300, seed=seed)
        if b.undefined(node, 0.95):
            continue
        passed += 1
        p, below = b.p_values(node)(0.0), b.p_values(agg("b"))(0.0)
        assert p >= below * (1 - 1e-9)
        interval = b.interval(node, 1 - 0.9 * below)
        assert interval.pair() is None
        assert "a denominator may be 0" in interval.why
    assert passed >= 5


def test_shares_that_no_resample_moves_hold_together_by_bonferroni():
    names = [f"s{i}" for i in range(8)]
    b = bootstrap({name: np.ones(40) for name in names}, tolerance=0.0)
    node = op("max", *[agg(name, hits=True) for name in names])
    interval = b.interval(node, 0.95)
    assert interval.low == pytest.approx((0.05 / 16) ** (1 / 40))
    assert interval.high == 1.0


@pytest.mark.parametrize(
    "step",
    [
        lambda e, x: op("max", e, e),
        lambda e, x: op("max", e, op("+", e, 1.0)),
        lambda e, x: op("max", e, op("min", e, x)),
        lambda e, x: op("neg", op("max", e, op("min", e, x))),
        lambda e, x: op("+", op("max", e, op("min", e, x)), 0.5),
        lambda e, x: op("abs", op("-", op("max", e, x), op("*", 0.5, e))),
    ],
)
def test_what_names_the_one_before_twice_sixty_times_takes_no_time(step):
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=40), "y": rng.normal(size=40)}
    e = op("max", agg("x"), agg("y"))
    for _ in range(60):
        e = step(e, agg("x"))
    b = bootstrap(columns, count=100)
    for node in (e, op("neg", e), op("*", 2.0, e), op("-", 1.0, op("abs", e))):
        interval = b.interval(node, 0.95)
        assert interval.low <= b.evaluator.estimate(node) <= interval.high


def test_tasks_on_the_same_rows_are_drawn_together_whatever_their_reference() -> None:
    """Noising and denoising: a sum of two tasks that differ in their reference column only."""
    missed = apart = 0
    for i in range(300):
        rng = np.random.default_rng([51, i])
        x = rng.normal(size=40)
        session = ArraySession({"x": x, "u.x": x + 0.05 * rng.normal(size=40)})
        node = Op(op="+", args=(agg("x"), agg("x", task="u")))
        found = Bootstrap(Evaluator(session), count=300, seed=i).interval(node, 0.95)
        apart += not found.low <= 0 <= found.high
        session.tasks = {name: replace(d, drawn="rows") for name, d in session.tasks.items()}
        found = Bootstrap(Evaluator(session), count=300, seed=i).interval(node, 0.95)
        missed += not found.low <= 0 <= found.high
    print(f"missed {missed / 3:.1f} %, drawn apart {apart / 3:.1f} %")
    assert missed / 300 <= 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / 300) < apart / 300


def test_halves_of_tasks_on_the_same_rows_are_their_own() -> None:
    data = {
        name: replace(task_data(40, name, key=f"key {name}"), drawn="rows") for name in ("t", "u")
    }
    node = difference(*(mean(row("x", task=n), n, part=Half(seed=0, side="judge")) for n in "tu"))
    design = design_of(node, data)
    inside = {n: part_mask(data[n], Half(seed=0, side="judge")) for n in "tu"}
    assert (inside["t"] != inside["u"]).any()
    assert {s.key for s in design.strata} == {"rows"}
    drawn = sum((s.unit >= 0).astype(int) for s in design.strata)
    assert (drawn == (inside["t"] | inside["u"])).all() and design.n == drawn.sum()
