"""`correlation`: its values against numpy and scipy, its intervals against simulated truths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.errors import Severity
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.signatures.correlations import RANKED
from pathdsl.score.quantity import Constant, Correlation, Op
from pathdsl.score.statistics.correlated import of_members, of_prompts
from tests import seeds as counts
from tests.score.arrays import agg, bootstrap

HEAD = """circuit c {
  language = 1
}

model mini = bundled("ioi-mini", dtype: float64)

task ioi {
  data      = mini_ioi(take: 30, seed: 3)
  reference = prompt
  treated   = prompt_abc
}

metric LD: logits = logit(io) - logit(s)

let direct for h in a3: logits = mean(LD(treat(h -> logits)) - LD(reference))
let total for g in a3: logits = effect(through(g))
let other for h in a2: logits = effect(through(h))
let two for h in {a3.h1, a3.h2}: logits = effect(through(h))
let pairs for h in a3, g in a2: logits = effect(through({h, g}))
let plain: logits = mean(LD(reference))

"""
NOISE = np.random.default_rng


def over_prompts(kind: str) -> Correlation:
    return Correlation(ranked=RANKED[kind], names=(), xs=(agg("x"),), ys=(agg("y"),))


def over_members(kind: str, count: int) -> Correlation:
    names = tuple(f"m{i}" for i in range(count))
    sides = [tuple(agg(f"{side}{i}") for i in range(count)) for side in "xy"]
    return Correlation(ranked=RANKED[kind], names=names, xs=sides[0], ys=sides[1])


def plain(kind: str, x: np.ndarray, y: np.ndarray) -> float:
    return float((stats.spearmanr if RANKED[kind] else stats.pearsonr)(x, y).statistic)


# -------------------------------------------------------------------------------------------------
# Values
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RANKED)
@pytest.mark.parametrize("ties", [False, True])
def test_over_prompts_it_is_that_of_scipy(kind: str, ties: bool) -> None:
    x, y = NOISE(0).normal(size=(2, 50)) + 1e6
    y = y + x
    if ties:
        x, y = np.round(x), np.round(y)
    weights = NOISE(1).integers(0, 4, size=(20, 50)).astype(float)
    found = of_prompts(x, y, weights, ranked=RANKED[kind])
    repeated = [np.repeat(np.arange(50), w.astype(int)) for w in weights]
    wanted = [plain(kind, x[rows], y[rows]) for rows in repeated]
    assert found == pytest.approx(wanted, abs=1e-9)
    made = bootstrap({"x": x, "y": y})
    estimate = made.evaluator.estimate(over_prompts(kind))
    assert estimate == pytest.approx(plain(kind, x, y), abs=1e-9)


@pytest.mark.parametrize("kind", RANKED)
def test_over_members_it_is_that_of_scipy(kind: str) -> None:
    x, y = NOISE(0).normal(size=(2, 9, 4))
    x[3] = x[4]
    found = of_members(x, y, ranked=RANKED[kind])
    assert found == pytest.approx([plain(kind, x[:, b], y[:, b]) for b in range(4)], abs=1e-12)


@pytest.mark.parametrize("kind", RANKED)
def test_a_constant_has_no_correlation(kind: str) -> None:
    made = bootstrap({"x": np.full(40, 3.0), "y": NOISE(0).normal(size=40)})
    assert made.undefined(over_prompts(kind), 0.95)
    columns = {f"x{i}": NOISE(i).normal(size=40) for i in range(6)}  # members alike but for noise
    columns |= {f"y{i}": i + NOISE(i).normal(size=40) / 10 for i in range(6)}
    told = bootstrap(columns).undefined(over_members(kind, 6), 0.95)
    assert "first argument" in told


def test_noise_that_is_a_third_of_the_differences_is_told() -> None:
    columns = {f"x{i}": i / 2 + 4 * NOISE(i).normal(size=40) for i in range(6)}
    columns |= {f"y{i}": i + NOISE(9 + i).normal(size=40) / 10 for i in range(6)}
    told = bootstrap(columns).undefined(over_members("pearson", 6), 0.95)
    assert "first argument" in told


@pytest.mark.parametrize("kind", RANKED)
def test_ends_lie_between_minus_one_and_one_and_map_through_arithmetic(kind: str) -> None:
    x = NOISE(0).normal(size=25)
    made = bootstrap({"x": x, "y": x + NOISE(1).normal(size=25) / 20})
    node = over_prompts(kind)
    low, high = made.interval(node, 0.95).pair()
    assert -1 <= low < made.evaluator.estimate(node) < high <= 1
    twice = Op(op="*", args=(Constant(value=2.0), node))
    assert made.interval(twice, 0.95).pair() == pytest.approx((2 * low, 2 * high))


def test_rows_of_one_cluster_count_once() -> None:
    x, y = np.repeat(NOISE(0).normal(size=(2, 25)), 4, axis=1)
    apart = bootstrap({"x": x, "y": y}).interval(over_prompts("pearson"), 0.95)
    joined = bootstrap({"x": x, "y": y}, clusters=np.repeat(np.arange(25), 4))
    wide = joined.interval(over_prompts("pearson"), 0.95)
    assert wide.high - wide.low > 1.6 * (apart.high - apart.low)


def test_few_prompts_have_none() -> None:
    x, y = NOISE(0).normal(size=(2, 4))
    assert bootstrap({"x": x, "y": y}).interval(over_prompts("spearman"), 0.95).why


# -------------------------------------------------------------------------------------------------
# Levels and power: the tables of docs/levels.md
# -------------------------------------------------------------------------------------------------

PROMPTS = {
    "normal": lambda r, n: r.normal(size=n),
    "exponential": lambda r, n: np.exp(r.normal(size=n)),
    "t3": lambda r, n: r.standard_t(3, size=n),
}


def of_samples(kind: str, values: str, rho: float, n: int, samples: int) -> tuple[float, float]:
    """Shares of samples of prompts whose interval misses the truth, and lies above 0."""
    draw, r = PROMPTS[values], NOISE(7)

    def sample(size: int) -> tuple[np.ndarray, np.ndarray]:
        x, other = draw(r, size), draw(r, size)
        return x, rho * x + np.sqrt(1 - rho**2) * other

    truth = np.mean([plain(kind, *sample(100_000)) for _ in range(4)]) if RANKED[kind] else rho
    missed = above = 0
    for seed in range(samples):
        x, y = sample(n)
        made = bootstrap({"x": x, "y": y}, count=400, seed=seed)
        low, high = made.interval(over_prompts(kind), 0.95).pair()
        missed += not low <= truth <= high
        above += low > 0
    return missed / samples, above / samples


def of_noisy_members(
    kind: str, rho: float, noise: float, shared: float, samples: int, count: int = 12, n: int = 40
) -> tuple[float, float, float]:
    """The same of samples of prompts over fixed members, and the share without a verdict.

    `noise` is that of a member's mean over what sets the members apart, `shared` the correlation
    of a prompt's noise in x and in y.
    """
    r = NOISE(7)
    pattern, _ = np.linalg.qr((u := NOISE(5).normal(size=(count, 2))) - u.mean(axis=0))
    x, y = np.sqrt(count) * pattern.T
    y = rho * x + np.sqrt(1 - rho**2) * y
    truth = float(of_members(x[:, None], y[:, None], ranked=RANKED[kind])[0])
    missed = above = undefined = 0
    for seed in range(samples):
        e, f = r.laplace(size=(2, count, n)) / np.sqrt(2)
        f = shared * e + np.sqrt(1 - shared**2) * f
        scale = noise * np.sqrt(n)
        columns = {f"x{i}": x[i] + scale * e[i] for i in range(count)}
        columns |= {f"y{i}": y[i] + scale * f[i] for i in range(count)}
        made = bootstrap(columns, count=400, seed=seed)
        node = over_members(kind, count)
        if made.undefined(node, 0.95):
            undefined += 1
            continue
        low, high = made.interval(node, 0.95).pair()
        missed += not low - 1e-9 <= truth <= high + 1e-9
        above += low > 0
    return missed / samples, above / samples, undefined / samples


@pytest.mark.parametrize("kind", RANKED)
@pytest.mark.parametrize("count", counts.samples("correlated"))
def test_prompts_hold_their_level_and_have_power(kind: str, count: int) -> None:
    bound = 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / count)
    for values in ("normal", "exponential"):
        assert of_samples(kind, values, 0.0, 40, count)[0] < bound + 0.02
    missed, found = of_samples(kind, "normal", 0.6, 40, count)
    assert missed < bound and found > 0.85


@pytest.mark.parametrize("kind", RANKED)
@pytest.mark.parametrize("count", counts.samples("correlated"))
def test_noisy_members_hold_their_level_and_have_power(kind: str, count: int) -> None:
    bound = 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / count)
    for shared in (0.0, 0.9):
        assert of_noisy_members(kind, 0.0, 0.3, shared, count)[0] < bound + 0.02
    missed, found, _ = of_noisy_members(kind, 0.8, 0.1, 0.0, count)
    assert missed < bound and found > (0.3 if RANKED[kind] else 0.95)
    # Members that do not differ but by noise have no correlation, however alike the noise is.
    missed, found, undefined = of_noisy_members(kind, 0.0, 3.0, 0.9, count)
    assert undefined > 0.9 and found < bound


# -------------------------------------------------------------------------------------------------
# In files
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("correlation(direct, total)", "PD113"),
        ("correlation(direct, by: pearson)", "PD113"),
        ("correlation(direct, total, by: kendall)", "PD110"),
        ("correlation(direct, total, by: pearson, over: head)", "PD117"),
        ("correlation(direct, LD(reference), by: pearson)", "PD136"),
        ("correlation(direct, plain, by: pearson)", "PD136"),
        ("correlation(direct, pairs, by: pearson)", "PD136"),
        ("correlation(plain, plain, by: pearson)", "PD405"),
        ("correlation(direct[a3.h1], total[a3.h1], by: pearson)", "PD405"),
        ("correlation(LD(reference), 1, by: pearson)", "PD405"),
        ("correlation(nope, total, by: pearson)", "PD101"),
        ("correlation(2 * direct, total, by: pearson)", "PD127"),
        ("correlate(direct, total, by: pearson)", "PD101"),
    ],
)
def test_what_cannot_be_correlated(written: str, code: str) -> None:
    found = lint_file("c.circuit", HEAD + f"let x = {written}\n")[1]
    assert code in [d.code for d in found if d.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("correlation(direct, other, by: pearson)", "PD237"),
        ("correlation(two, two, by: pearson)", "PD237"),
    ],
)
def test_members_that_do_not_fit(written: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "c.circuit"
    path.write_text(HEAD + f"let x = {written}\n")
    found = check_file(str(path), CheckOptions(store=None)).diagnostics
    assert code in [d.code for d in found if d.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        ("correlation(direct, total, by: pearson) <= 1", True),
        ("correlation(direct, total, by: spearman) > 1", False),
        ("correlation(direct, direct, by: spearman) > 0.5", True),
    ],
)
def test_a_claim_that_a_range_decides_is_told(claim: str, holds: bool) -> None:
    found = lint_file("c.circuit", HEAD + f"claim x: {claim} at 95% confidence\n")[1]
    (told,) = [d for d in found if d.code == "PD526"]
    assert ("cannot fail" in told.message) is holds


def test_a_file_of_correlations(tmp_path: Path) -> None:
    lines = (
        "let rho = correlation(direct, total, by: pearson)\n"
        "let r   = correlation(LD(reference), LD(treat(through(a3.h1))), by: spearman)\n\n"
        "claim alike: correlation(direct, total, by: pearson) > 0.5 at 95% confidence\n"
    )
    text = HEAD + lines
    assert format_text(text, "c.circuit") == text
    path = tmp_path / "c.circuit"
    path.write_text(text)
    judged = check_file(str(path), CheckOptions(store=None)).judgement
    assert judged is not None
    found = {one.name: one.estimate for one in judged.quantities}
    sides = [[found[f"{name}[a3.h{i}]"] for i in range(4)] for name in ("direct", "total")]
    assert found["rho"] == pytest.approx(plain("pearson", *map(np.array, sides)), abs=1e-9)
    assert {one.unit for one in judged.quantities if one.name in ("rho", "r")} == {"none"}
    (claim,) = judged.claims
    assert claim.verdict.value == "supported" and not claim.instead


def test_a_declared_name_wins() -> None:
    head = HEAD.partition("let direct")[0]
    text = head + "metric correlation: logits = logit(io)\nlet x = mean(correlation(reference))\n"
    found = lint_file("c.circuit", text)[1]
    assert [d for d in found if d.severity is Severity.ERROR] == []


def test_ranks_that_all_but_agree_have_a_useful_interval() -> None:
    """1 is infinite on Fisher's scale, and a resample of few ranks is often 1."""
    node, missed, low_ends = over_members("spearman", 16), 0, []
    for sample in range(60):
        drawn = NOISE(sample)
        x = drawn.normal(size=16)
        true = np.stack([x, x + 0.1 * drawn.normal(size=16)])
        noisy = true[:, :, None] + 0.02 * 40**0.5 * drawn.normal(size=(2, 16, 40))
        columns = {f"{'xy'[side]}{i}": noisy[side, i] for side in (0, 1) for i in range(16)}
        low, high = bootstrap(columns).interval(node, 0.95).pair()
        missed += not low <= plain("spearman", *true) <= high
        low_ends.append(low)
    assert missed <= 6
    assert np.quantile(low_ends, 0.25) > 0.5 and min(low_ends) > -0.5
