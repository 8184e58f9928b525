"""Rows that cross in two fields: variance, resamples, intervals, and what else counts rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.crossed import blocks, other_ways
from benchmarks.crossed import row as simulated
from pathdsl.checking.check import check_file
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode, LanguageError
from pathdsl.score.judge import judge
from pathdsl.score.quantity import Constant, Half, Op, difference, mean, ratio
from pathdsl.score.results import Verdict
from pathdsl.score.statistics.alike import joined
from pathdsl.score.statistics.crossed import Table, Variance
from pathdsl.score.statistics.design import design_of, generator_of, part_mask, searched_rows
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from tests import seeds as counts
from tests.score.arrays import ArraySession, agg, row
from tests.score.fakes import Algebra, task_data, world


def grid(i: int, j: int, each: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.divmod(np.repeat(np.arange(i * j), each), j))


def of(labels, influence) -> Variance:
    table = Table(*labels)
    return table.variance(table.effects(influence))


def crossed(columns, labels, count: int = 1000, **options) -> Bootstrap:
    """A bootstrap over rows that cross by two arrays of labels."""
    session = ArraySession(columns, clusters=labels[0], **options)
    session.tasks = {n: replace(data, crossed=labels[1]) for n, data in session.tasks.items()}
    return Bootstrap(Evaluator(session), count=count)


# ------------------------------------------------------------------------------- the variance


def test_the_variance_of_a_full_table_by_hand() -> None:
    """I/(I-1) sum R^2, the same by columns, and the residual mean square over N."""
    labels, rng = grid(4, 6), np.random.default_rng(1)
    y = rng.normal(size=(4, 1)) + rng.normal(size=(1, 6)) + rng.normal(size=(4, 6))
    d = (y - y.mean()).ravel()
    found = of(labels, d)
    by_row, by_column = y.mean(1) - y.mean(), y.mean(0) - y.mean()
    assert found.rows == pytest.approx((by_row**2).sum() / 3 / 4)
    assert found.columns == pytest.approx((by_column**2).sum() / 5 / 6)
    residual = y - y.mean(1, keepdims=True) - y.mean(0, keepdims=True) + y.mean()
    assert found.cells == pytest.approx((residual**2).sum() / 15 / 24, rel=1e-6)
    assert found.total == max(found.rows, found.columns, found.rows + found.columns - found.cells)
    assert (found.df_rows, found.df_columns, found.df_cells) == pytest.approx((3, 5, 15))
    below = found.rows**2 / 3 + found.columns**2 / 5 + found.cells**2 / 15
    assert found.df == pytest.approx(max(3, found.total**2 / below))


def test_the_residuals_of_an_uneven_table_are_those_of_weighted_least_squares() -> None:
    rng = np.random.default_rng(2)
    cell = rng.integers(0, 30, 80)
    labels = np.divmod(cell, 6)
    d = rng.normal(size=80)
    d -= d.mean()
    cells, place = np.unique(cell, return_inverse=True)
    size = np.bincount(place)
    design = np.zeros((len(cells), 11))
    design[np.arange(len(cells)), cells // 6] = design[np.arange(len(cells)), 5 + cells % 6] = 1
    w = np.sqrt(size)
    means = np.bincount(place, d) / size
    fit, _, rank, _ = np.linalg.lstsq(design * w[:, None], means * w, rcond=None)
    r = size * (means - design @ fit) / 80
    want = len(cells) / (len(cells) - rank) * (r**2).sum()
    assert of(labels, d).cells == pytest.approx(want, rel=1e-6)


def test_leaving_out_a_large_cluster_moves_the_mean_further() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 3, 0, 1, 2])
    x = np.array([1.0, 2.0, 0.5, 3.0, 1.5, 2.5, 9.0])
    left = np.array([x[labels[0] != one].mean() for one in range(3)])
    want = 2 / 3 * ((left - x.mean()) ** 2).sum()
    found = of(labels, x - x.mean())
    assert found.rows == pytest.approx(want)
    assert found.df_rows == pytest.approx(49 / (16 + 4 + 1) - 1)


def test_one_row_of_a_table_is_clusters_of_its_columns() -> None:
    column = np.repeat(np.arange(7), 2)
    x = np.random.default_rng(3).normal(size=14)
    found = of((np.zeros(14), column), x - x.mean())
    means = x.reshape(7, 2).mean(1)
    assert found.total == pytest.approx(means.var(ddof=1) / 7)
    assert found.df == pytest.approx(6)
    nothing = of((np.zeros(3), np.zeros(3)), np.array([-1.0, 0, 1]))
    assert (nothing.total, nothing.df) == (0.0, 0.0)


def test_cells_that_share_nothing_are_counted() -> None:
    assert Table(*grid(4, 7)).units == 4
    assert Table(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 1])).units == 2
    assert Table(np.arange(5), np.arange(5)).units == 5


def test_resampled_covariances_are_those_of_the_drawn_tables() -> None:
    """Each drawn row and column as one of its own, however often it was drawn."""
    rng = np.random.default_rng(4)
    cell = rng.integers(0, 12, 25)
    labels = np.divmod(cell, 4)
    sums = rng.normal(size=(25, 2))
    table = Table(*labels)
    means, covariances = table.resamples(sums, 30, np.random.default_rng(8))
    rows, columns = table._draw(30, np.random.default_rng(8))
    compared = 0
    for b in range(30):
        drawn_rows = np.repeat(np.arange(3), rows[b].astype(int))
        drawn_columns = np.repeat(np.arange(4), columns[b].astype(int))
        new = [
            (i, j, at)
            for i, one in enumerate(drawn_rows) for j, other in enumerate(drawn_columns)
            for at in np.flatnonzero((table.row == one) & (table.column == other))
        ]  # fmt: skip
        if not new:
            assert np.isnan(means[b]).all()
            continue
        i, j, at = np.array(new).T
        x = sums[at]
        assert means[b] == pytest.approx(x.mean(0))
        d = x - x.mean(0)
        want = np.zeros((2, 2))
        for own, n in ((i, 3), (j, 4)):
            sizes = [max(len(x) - (own == k).sum(), 1e-300) for k in range(n)]
            each = np.stack([d[own == k].sum(0) / sizes[k] for k in range(n)])
            want += (n - 1) / n * each.T @ each
        if max(np.bincount(i).max(), np.bincount(j).max()) < len(x):  # else one holds all
            compared += 1
            assert covariances[b] == pytest.approx(want)
    assert compared > 20


# ------------------------------------------------------------------------------- quantities


def test_gradients_reach_differences_ratios_and_parts() -> None:
    labels, rng = grid(6, 8), np.random.default_rng(5)
    x, y = rng.normal(3, 1, 48), rng.normal(5, 1, 48)
    b = crossed({"x": x, "y": y}, labels)
    node = ratio(agg("x"), agg("y"))
    design = design_of(node, b.evaluator.session.tasks)
    found = b.leaves.of(node).pivot
    q, c = x.mean() / y.mean(), 0.5
    assert found.estimate == pytest.approx(q)
    want = of(labels, x - x.mean() - c * (y - y.mean()))
    assert found.error(c) == pytest.approx(want.se) and found.freedom(c) == pytest.approx(want.df)
    means, covariance = Table(*labels).resamples(
        np.stack([x, y], axis=1), 1000, generator_of(0, design.strata[0])
    )
    slope = np.array([1.0, -c])
    error = np.sqrt(np.einsum("i,bij,j->b", slope, covariance, slope))
    pivots = (means @ slope - (x.mean() - c * y.mean())) / error
    assert found.scaled(c) == pytest.approx(pivots[~np.isnan(pivots)])
    spread = crossed({"x": x}, labels).interval(agg("x", "std"), 0.95)
    assert spread.low < x.std(ddof=1) < spread.high and spread.method == "hull"


def test_the_interval_of_a_ratio_has_the_values_that_the_score_does_not_exclude() -> None:
    labels, rng = grid(6, 8), np.random.default_rng(6)
    y = 2 + rng.normal(size=6)[labels[0]] ** 2 + rng.random(48)
    b = crossed({"x": 0.5 * y + rng.normal(size=48), "y": y}, labels)
    found = b.interval(ratio(agg("x"), agg("y")), 0.95)
    for c, inside in (
        (found.low + 1e-6, True), (found.low - 1e-3, False), (found.high - 1e-6, True),
        (found.high + 1e-3, False),
    ):  # fmt: skip
        score = difference(agg("x"), Op(op="*", args=(Constant(value=c), agg("y"))))
        low, high = (lambda i: (i.low, i.high))(b.interval(score, 0.95))
        assert (low <= 0 <= high) is inside


def test_a_task_of_its_own_beside_crossed_rows_adds_its_variance() -> None:
    labels, rng = grid(6, 8), np.random.default_rng(7)
    x, other = rng.normal(size=48), rng.normal(0, 5, 30)
    session = ArraySession({"x": x, "u.z": other})
    session.tasks["t"] = replace(session.tasks["t"], clusters=labels[0], crossed=labels[1])
    b = Bootstrap(Evaluator(session), count=500)
    found = b.interval(difference(agg("x"), agg("z", task="u")), 0.95)
    alone = other.std(ddof=1) / np.sqrt(30)
    assert (found.high - found.low) / 2 > 2.0 * alone
    assert found.low < x.mean() - other.mean() < found.high


def test_what_has_no_interval_over_crossed_rows_says_so() -> None:
    b = crossed({"x": np.random.default_rng(8).normal(size=48)}, grid(6, 8))
    for node in (agg("x", "median"), agg("x", "quantile", q=0.9)):
        found = b.interval(node, 0.95)
        assert not found.known and "order statistic" in found.why
    one = crossed({"x": np.arange(4.0)}, (np.zeros(4, int), np.zeros(4, int)))
    assert "too few for an interval" in one.interval(agg("x"), 0.95).why
    flat = crossed({"x": np.ones(48)}, grid(6, 8)).interval(agg("x"), 0.95)
    assert "constant sample" in flat.why


def test_shares_over_crossed_rows_are_exact_only_where_all_are_alike() -> None:
    labels = grid(6, 8)
    alike = crossed({"x": np.ones(48)}, labels).interval(agg("x", hits=True), 0.95)
    # Six cells share nothing: 6 of 6.
    assert (alike.low, alike.high) == pytest.approx((0.025 ** (1 / 6), 1.0))
    hits = (np.random.default_rng(9).random(48) < 0.6).astype(float)
    some = crossed({"x": hits}, labels).interval(agg("x", hits=True), 0.95)
    assert some.method == "hull" and some.low < hits.mean() < some.high


# ------------------------------------------------------------------------------- halves and tests


def test_halves_share_no_cluster_of_either_field() -> None:
    data = replace(task_data(60), clusters=grid(6, 10)[0], crossed=grid(6, 10)[1])
    search, judge_on = (part_mask(data, Half(seed=0, side=s)) for s in ("search", "judge"))
    for field in (data.clusters, data.crossed):
        assert not set(field[search]) & set(field[judge_on])
    assert search.sum() == judge_on.sum() == 15
    node = mean(row("x"), "t", part=Half(seed=0, side="judge"))
    assert searched_rows(node, {"t": data}) == 15
    assert searched_rows(agg("x"), {"t": data}) == 0


@pytest.mark.parametrize(
    "test",
    [
        "sign_test(LD(reference))", "binomial_test(LD(reference), share: 50%)",
        "independence_test(LD(reference), LD(treated))",
    ],
)  # fmt: skip
def test_tests_that_count_rows_are_refused(test: str) -> None:
    data = replace(task_data(48), clusters=grid(6, 8)[0], crossed=grid(6, 8)[1])
    program, resolver, session = world(f"claim a: {test} <= 5%\n", tasks={"t": data})
    with pytest.raises(LanguageError, match="PD434"):
        judge(program, resolver, session, algebra=Algebra())


# ------------------------------------------------------------------------------- files


HEAD = """circuit c "x" { language = 1 }
model m = bundled("induction-2l")
task t { data = jsonl("a.jsonl"); reference = prompt; treated = other; FIELDS }
metric LD: logits = logit(right) - logit(wrong)
"""


def rows(names: int, sentences: int) -> list[dict[str, object]]:
    return [
        {
            "prompt": [1 + i, 1 + j, 7, 1 + i], "other": [1 + i, 1 + j, 8, 1 + i], "right": 2,
            "wrong": 3, "name": f"n{i}", "sentence": j, "pair": f"{i} {j}", "one": "x",
        }
        for i in range(names) for j in range(sentences)
    ]  # fmt: skip


def checked(folder: Path, fields: str, text: str, data=None) -> FileOutcome:
    data = rows(7, 8) if data is None else data
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in data))
    path = folder / "x.circuit"
    path.write_text(HEAD.replace("FIELDS", fields) + text)
    return check_file(str(path), CheckOptions())


CLAIM = "claim c: mean(LD(reference, task: t)) > -100 at 95% confidence\n"


def test_a_file_with_crossed_rows_is_judged(tmp_path: Path) -> None:
    found = {
        fields: checked(tmp_path, fields, "let x: logits = mean(LD(reference, task: t))\n" + CLAIM)
        for fields in ("cluster = [name, sentence]", "cluster = name", "cluster = sentence", "")
    }
    width = {}
    for fields, outcome in found.items():
        assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
        assert outcome.judgement.claims[0].verdict is Verdict.SUPPORTED
        low, high = outcome.judgement.quantities[0].interval
        width[fields] = high - low
    both = found["cluster = [name, sentence]"]
    assert width["cluster = [name, sentence]"] > 3 * width[""]
    assert "rows crossed by name and sentence" in both.methodology["task t"]
    (few,) = [d.message for d in both.diagnostics if d.code == "PD504"]
    assert few == "7 by 8 crossed clusters of 56 prompts of task `t` for an interval"
    again = checked(tmp_path, "cluster = [name, sentence]", CLAIM)
    assert again.judgement.claims == both.judgement.claims


def test_one_name_at_a_time_is_judged_over_its_sentences(tmp_path: Path) -> None:
    fields = "cluster = [name, sentence]; split_by = name"
    outcome = checked(tmp_path, fields, CLAIM)
    (claim,) = outcome.judgement.claims
    assert len(claim.parts) == 7 and all(part.n == 8 for part in claim.parts)
    assert all(part.interval is not None for part in claim.parts)


def test_a_part_with_one_name_has_the_clusters_of_its_sentences(tmp_path: Path) -> None:
    text = 'task part = t where name == "n0"\nlet x: logits = mean(LD(reference, task: part))\n'
    part = checked(tmp_path, "cluster = [name, sentence]", text + CLAIM)
    assert part.judgement is not None, [d.message for d in part.diagnostics]
    (found,) = part.judgement.quantities
    assert found.n == 8 and found.interval is not None
    assert len(np.unique(part.tasks["part"].clusters)) == 1


@pytest.mark.parametrize("fields", ["[name, sentence, one]", "[name]", "[name, name]", "[]"])
def test_three_fields_are_refused(tmp_path: Path, fields: str) -> None:
    outcome = checked(tmp_path, f"cluster = {fields}", CLAIM)
    (found,) = [d for d in outcome.diagnostics if d.code == "PD115"]
    assert "one field of the rows, or two that cross, `[pair, sentence]`" in found.message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("[name, one]", "`one` has the same value"),
        ("[name, pair]", "each value of `pair` stands beside one value of `name` only"),
        ("[pair, sentence]", "each value of `pair` stands beside one value of `sentence` only"),
    ],
)  # fmt: skip
def test_fields_that_do_not_cross_are_refused(tmp_path: Path, fields: str, said: str) -> None:
    outcome = checked(tmp_path, f"cluster = {fields}", CLAIM)
    assert outcome.exit_code is ExitCode.WRONG_INPUT
    (found,) = [d for d in outcome.diagnostics if d.code == "PD360"]
    assert said in found.message and "cluster = " in found.help


def test_another_second_field_is_another_task(tmp_path: Path) -> None:
    """Tasks that share rows are drawn together; these are not drawn alike."""
    fields = ("cluster = name", "cluster = [name, sentence]", "cluster = [sentence, name]")
    found = [checked(tmp_path, one, CLAIM) for one in fields]
    assert len({outcome.tasks["t"].key for outcome in found}) == 3
    assert found[0].tasks["t"].crossed is None
    assert found[1].tasks["t"].crossed.tolist() == found[2].tasks["t"].clusters.tolist()
    locks = [lock_of(outcome, CheckOptions())["inputs"]["tasks"]["t"] for outcome in found]
    assert [(one["cluster"], one.get("crossed")) for one in locks] == [
        ("name", None), ("name", "sentence"), ("sentence", "name")
    ]  # fmt: skip
    assert len({json.dumps(one["marks"]) for one in locks}) == 3


# ------------------------------------------------------------------------------- levels


@pytest.mark.parametrize("count", counts.samples("crossed"))
@pytest.mark.parametrize(
    ("name", "population", "of"),
    [
        ("9 × 12", "normal", "mean"), ("20 × 20, a quarter of the cells", "normal", "mean"),
        ("9 × 12, 0 to 9 a cell", "exponential", "mean"), ("9 × 12", "normal", "ratio"),
    ],
)  # fmt: skip
def test_intervals_over_crossed_rows_hold_their_level(
    name: str, population: str, of: str, count: int
) -> None:
    """Misses within the error of the simulation; one way misses far more."""
    found = simulated(name, population, "both", count, of=of, seed=3)
    print(name, population, of, {k: round(float(v), 2) for k, v in found.items()})
    error = 330 * np.sqrt(0.05 * 0.95 / count)
    assert found["hull"] <= 5 + error and found["one way"] > 8
    assert found["hull 99"] <= 0.625 + 330 * np.sqrt(0.00625 / count)


def test_connected_groups_are_one_where_fields_cross_and_wide_where_they_are_few() -> None:
    """Why rows that share a value are no single cluster with all that they are connected to."""
    assert joined(*grid(9, 12)).max() == 0
    names = [*blocks()]
    assert [int(joined(*blocks()[name]).max()) + 1 for name in names] == [12, 3, 1]
    few = other_ways(names[1], "normal", 150)
    print({k: round(float(v), 2) for k, v in few.items()})
    assert few["both"] <= 5 + 330 * np.sqrt(0.05 * 0.95 / 150)
    assert few["cells"] > 20 and few["width of groups"] > 1.4 * few["width"]
