"""How far rounding may move a quantity, what is exact, and what verdicts make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine.planner import Limits
from pathdsl.engine.proof import Proof
from pathdsl.engine.rounding import EPS, ROUNDING, allowance
from pathdsl.engine.store.store import Store
from pathdsl.score.quantity import Constant, Op, RowNumber, RowOp, difference, mean, ratio
from pathdsl.score.results import Verdict
from tests.score.arrays import agg, bootstrap, row
from tests.score.test_judge import claims

S, R, I = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE  # noqa: E741
X, Y, Z = agg("x"), agg("y"), agg("z")
NINE_MORE = RowOp(op="+", args=(row("y"), RowNumber(value=9.0)))
A = 0.1


def moved(node) -> float:
    rng = np.random.default_rng(3)
    columns = {name: rng.normal(4, 1, 50) for name in "xyz"}
    return bootstrap(columns, tolerance=A).evaluator.allowance(node)


# ------------------------------------------------------------------------------- to first order


def test_sums_add_and_differences_of_one_value_cancel() -> None:
    assert moved(X) == pytest.approx(A)
    assert moved(difference(X, Y)) == pytest.approx(2 * A)
    both = mean(RowOp(op="-", args=(row("x"), row("y"))), "t")
    assert moved(both) == pytest.approx(2 * A)
    assert moved(difference(both, difference(X, Y))) == 0.0
    assert moved(difference(X, X)) == moved(ratio(X, X)) == 0.0
    assert moved(difference(agg("x", "median"), agg("x", "median"))) == 0.0
    assert moved(agg("x", "median")) == moved(agg("x", "std")) == pytest.approx(A)


def test_what_stands_above_and_below_moves_a_ratio_once() -> None:
    """(x - y)/(z - y): the derivative to y is (q - 1)/(z - y), not (1 + q)/(z - y)."""
    node = ratio(difference(X, Y), difference(Z, Y))
    b = bootstrap({n: np.full(50, v) for n, v in (("x", 3.0), ("y", 1.0), ("z", 5.0))}, tolerance=A)
    assert b.evaluator.estimate(node) == 0.5
    assert b.evaluator.allowance(node) == pytest.approx((1 + 0.5 + 0.5) * A / 4)
    assert moved(ratio(difference(X, Y), difference(X, Y))) == 0.0


@pytest.mark.parametrize(
    "node",
    [
        difference(X, Y), ratio(X, Y), Op(op="*", args=(X, Y)), Op(op="abs", args=(X,)),
        Op(op="^", args=(X, Constant(value=2.0))), Op(op="neg", args=(X,)),
        ratio(difference(X, Y), difference(Z, Y)), Op(op="max", args=(X, Y)),
        mean(RowOp(op="/", args=(row("x"), NINE_MORE)), "t"),
        mean(RowOp(op="abs", args=(RowOp(op="-", args=(row("x"), row("y"))),)), "t"),
        mean(RowOp(op="max", args=(row("x"), row("y"))), "t"), agg("x", "quantile", q=0.9),
    ],
)  # fmt: skip
def test_no_rounding_moves_a_quantity_further(node) -> None:
    """Values moved at random by the allowance, each in its own direction."""
    rng, small = np.random.default_rng(5), 1e-6
    columns = {name: rng.normal(4, 1, 50) for name in "xyz"}
    b = bootstrap(columns, tolerance=small)
    bound, value = b.evaluator.allowance(node), b.evaluator.estimate(node)
    worst = 0.0
    for _ in range(200):
        shared = rng.choice([-1.0, 1.0], size=3)
        other = {
            name: x + small * (side if rng.random() < 0.5 else rng.choice([-1.0, 1.0], size=50))
            for (name, x), side in zip(columns.items(), shared, strict=True)
        }
        moved_to = bootstrap(other, tolerance=small).evaluator.estimate(node)
        worst = max(worst, abs(moved_to - value))
    assert bound / 5 <= worst <= bound * (1 + 1e-4)


def test_counts_are_exact() -> None:
    assert moved(agg("x", hits=True)) == 0.0
    assert moved(difference(agg("x", hits=True), agg("y", hits=True))) == 0.0
    assert moved(Constant(value=3.0)) == 0.0


# ------------------------------------------------------------------------------- verdicts


TEXT = """
claim nothing: mean(LD(treat(none)) - LD(reference)) >= 0.05 at 95% confidence
claim all: faithfulness(full) >= 100% at 95% confidence
claim same: mean(LD(keep(none)) - LD(treated)) ~= 0 within 0.01 at 95% confidence
claim above: mean(LD(reference)) >= {0} at 95% confidence
claim strictly: mean(LD(reference)) > {0} at 95% confidence
claim below: mean(LD(reference)) <= {0} at 95% confidence
claim under: mean(LD(reference)) < {0} at 95% confidence
claim near: mean(LD(reference)) ~= {0} within 0.01 at 95% confidence
claim point: mean(LD(reference)) >= {0}
claim far: mean(LD(reference)) >= 0
claim counted: accuracy(reference, answer: io) >= 100%
"""


def test_rounding_decides_no_claim_and_leaves_exact_ones_alone() -> None:
    _, session, _ = claims("let x: logits = mean(LD(reference))\n", scale=1e-9)
    value = float(session.metric("t", frozenset()).mean())
    found, _, _ = claims(TEXT.format(f"{value - 0.05:.6f}"), scale=1e-9, tolerance=0.1)
    verdicts = {name: claim.verdict for name, claim in found.items()}
    near = ("above", "strictly", "below", "under", "near", "point")
    exact = {"nothing": R, "all": S, "same": S, "far": S, "counted": S}
    assert verdicts == dict.fromkeys(near, I) | exact
    assert all("than rounding may move it, 0.1" in found[n].notes[-1] for n in near)
    assert all(found[n].settle_n is None for n in near)


# ------------------------------------------------------------------------------- how large it is


def proof(error: float, logits: float | None = None) -> Proof:
    table = ROUNDING["float32"]
    return Proof(code="PD630", name="", error=error, tolerance=table, compared="", logits=logits)


def test_the_allowance_follows_the_self_checks() -> None:
    eps = EPS["float32"]
    assert eps == 2.0**-23
    assert allowance([proof(0.0, 8.0), proof(6 * eps)], "float32") == 32 * eps * 8
    # 20 eps, rounded up to 32 eps, four times.
    assert allowance([proof(20 * eps), proof(0.0, 2.0)], "float32") == 4 * 32 * eps * 2
    assert allowance([proof(0.0, 0.5)], "float32") == 32 * eps
    table = ROUNDING["float32"]
    assert allowance([proof(0.0, 1000.0)], "float32") == table
    assert allowance([], "float32") == allowance([proof(1e-7)], "float32") == table
    assert allowance([proof(float("nan"), 1.0)], "float32") == table
    assert allowance([proof(1.0, 1.0)], "float32") == table
    for dtype in ("float16", "bfloat16"):
        assert allowance([proof(0.0, 1.0)], dtype) == ROUNDING[dtype]


MINI = """
circuit c {{ language = 1 }}
model mini = bundled("ioi-mini", dtype: {})
task ioi {{ data = mini_ioi(take: 40, seed: 0); reference = prompt; treated = prompt_abc; positions = [S2] }}
path suppress = {{a3.h1@END}} -> logits
metric LD: logits = logit(io) - logit(s)
"""  # noqa: E501
NULL = """
claim nothing: mean(LD(treat(none)) - LD(reference)) >= 0.05 at 95% confidence
claim less: mean(LD(reference) - LD(keep(full))) <= -0.05 at 95% confidence
claim all: faithfulness(full) >= 100% at 95% confidence
claim empty: faithfulness(none) > 0 at 95% confidence
"""


def check(folder: Path, text: str, store: Store | None = None, **options) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(text)
    outcome = check_file(str(path), CheckOptions(store=store, **options))
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return outcome


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_nothing_is_found_in_half_precision_where_nothing_is(tmp_path: Path, dtype: str) -> None:
    outcome = check(tmp_path, MINI.format(dtype) + NULL)
    claims = {claim.name: claim for claim in outcome.judgement.claims}
    assert claims["nothing"].interval == (0.0, 0.0)
    assert {name: claim.verdict for name, claim in claims.items()} == {
        "nothing": R, "less": R, "all": S, "empty": R
    }  # fmt: skip


def test_an_end_within_the_rounding_of_half_precision_is_open(tmp_path: Path) -> None:
    text = MINI.format("bfloat16") + "let e: logits = mean(LD(reference) - LD(treat(suppress)))\n"
    low, high = check(tmp_path, text).judgement.quantities[0].interval
    lines = [
        f"claim c{i}: mean(LD(reference) - LD(treat(suppress))) {rest} at 95% confidence\n"
        for i, rest in enumerate([
            f">= {low - 0.05}", f"> {low - 0.05}", f"<= {high + 0.05}", f"< {high + 0.05}",
            f">= {high + 0.05}", f"~= {low} within {high - low + 0.05}", f">= {low - 0.5}",
            f">= {high + 0.5}",
        ])
    ]  # fmt: skip
    found = check(tmp_path, text + "".join(lines)).judgement.claims
    assert [claim.verdict for claim in found] == [I] * 6 + [S, R]


EFFECT = "let e for h in {a3@END}: logits = mean(LD(reference) - LD(treat(through(h))))\n"


def test_the_allowance_depends_on_neither_store_nor_batches(tmp_path: Path) -> None:
    text = MINI.format("float32")
    with Store(tmp_path / "store") as store:
        check(tmp_path, text + EFFECT, store)
        found = [
            check(tmp_path, text + EFFECT, store), check(tmp_path, text + EFFECT),
            check(tmp_path, text + EFFECT + NULL, store), check(tmp_path, text + EFFECT + NULL),
            check(tmp_path, text + EFFECT, limits=Limits(memory=1_000_000)),
        ]  # fmt: skip
        # New runs beside stored ones, in other products: what is one run still has one value.
        edited = found[2]
        assert edited.tally is not None and edited.tally.stored and edited.tally.computed
    allowed = {outcome.session.allowance() for outcome in found}
    assert len(allowed) == 1 and 0 < allowed.pop() < ROUNDING["float32"]
    claims = {claim.name: claim for claim in edited.judgement.claims}
    assert claims["nothing"].interval == claims["less"].interval == (0.0, 0.0)
    assert claims["all"].estimate == 1.0


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e-3])
def test_squares_and_roots_within_rounding_of_zero_are_not_exact(value):
    # Half precision shows an effect of 0.01 as 0: `effect(P, as: rms) <= 0.05` was supported.
    b = bootstrap({"x": np.full(40, value), "y": np.zeros(40)}, tolerance=0.1)
    apart, alike = (RowOp(op="-", args=(row("x"), row(other))) for other in ("y", "x"))
    half = Constant(value=0.5)
    for square in (
        lambda d: RowOp(op="*", args=(d, d)),
        lambda d: RowOp(op="^", args=(d, RowNumber(value=2.0))),
    ):
        found = mean(square(apart), "t")
        assert 0.2**2 <= b.evaluator.allowance(found) <= 2 * 0.2**2 + 4e-4
        assert 0.2 <= b.evaluator.allowance(Op(op="^", args=(found, half))) <= 0.3
        assert b.evaluator.allowance(Op(op="^", args=(mean(square(alike), "t"), half))) == 0
    assert b.evaluator.allowance(Op(op="*", args=(agg("x"), agg("x")))) >= 0.01
