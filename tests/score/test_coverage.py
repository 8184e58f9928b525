"""How often intervals cover the truth in simulations, against their level and what the docs say.

Each bound is the Monte-Carlo error of the simulation at 99.9 %, without any other slack: where the
coverage of few prompts differs from the nominal one, the docs say the measured one.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pathdsl.score.quantity import Op, Part, Worst, difference, ratio
from tests.score.arrays import agg, bootstrap

LEVEL = 0.95
COUNT = 1000
DOCS = Path(__file__).parents[2] / "docs" / "semantics.md"


def error(level: float, count: int = COUNT) -> float:
    return float(3.3 * np.sqrt(level * (1 - level) / count))


def pair(r: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    y = r.gamma(4, 1, n)
    return {"x": 0.5 * y + r.normal(size=n), "y": y}


def clustered(r: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"x": np.repeat(r.normal(size=n), 5) + r.normal(0, 0.3, 5 * n)}


def normal(r: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {"x": r.normal(size=n)}


CASES = {
    "mean, normal": (normal, agg("x"), 0.0),
    "mean, exponential": (lambda r, n: {"x": r.exponential(size=n)}, agg("x"), 1.0),
    "ratio of means": (pair, ratio(agg("x"), agg("y")), 0.5),
    "mean, clusters of 5": (clustered, agg("x"), 0.0),
    "std, normal": (normal, agg("x", "std"), 1.0),
    "median, normal": (normal, agg("x", "median"), 0.0),
    "90% quantile, normal": (normal, agg("x", "quantile", q=0.9), 1.2815515655446004),
}


def coverage(draw, node, truth, n, clusters=None, count=COUNT, resamples=600) -> float:
    inside = 0
    for i in range(count):
        rng = np.random.default_rng([7, n, i])
        interval = bootstrap(draw(rng, n), resamples, i, clusters).interval(node, LEVEL)
        inside += interval.low <= truth <= interval.high
    return inside / count


def documented() -> list[object]:
    """The rows of the table of measured coverage: case, n and per cent."""
    table = DOCS.read_text(encoding="utf-8").partition("| covered at 95% |")[2].partition("\n\n")[0]
    head, _, *lines = table.splitlines()
    sizes = [int(n) for n in re.findall(r"n = (\d+)", head)]
    found = []
    for line in lines:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found += [(name, n, cell) for n, cell in zip(sizes, cells, strict=True) if cell != "none"]
    return found


def test_the_docs_name_all_cases() -> None:
    assert {name for name, _, _ in documented()} == set(CASES)


@pytest.mark.parametrize(("name", "n", "cell"), documented())
def test_coverage_is_what_the_docs_say(name: str, n: int, cell: str) -> None:
    draw, node, truth = CASES[name]
    clusters = np.repeat(np.arange(n), 5) if "clusters" in name else None
    got, said = coverage(draw, node, truth, n, clusters), float(cell.rstrip("%")) / 100
    print(f"{name}, n = {n}: covered {got:.3f} ± {error(said) / 3.3:.3f}, documented {said}")
    assert abs(got - said) <= error(said)
    if n >= 40 and name.startswith(("mean", "ratio", "median")):
        assert abs(got - LEVEL) <= error(LEVEL)


def test_rows_of_a_cluster_are_no_independent_evidence() -> None:
    assert coverage(clustered, agg("x"), 0.0, 40, count=300) < 0.75


def test_absolute_values_and_the_largest_of_many_keep_their_level() -> None:
    at_zero = Op(op="abs", args=(difference(agg("x"), agg("y")),))
    two = coverage(lambda r, n: {k: r.normal(size=n) for k in "xy"}, at_zero, 0.0, 40)
    members = tuple((f"k{i}", Op(op="abs", args=(agg(f"k{i}"),))) for i in range(8))

    def many(r, n):
        return {f"k{i}": r.normal(0.5 if i < 4 else 0.1, 1, n) for i in range(8)}

    largest = coverage(many, Worst(which="max", members=members), 0.5, 40, count=400)
    smallest = coverage(many, Worst(which="min", members=members), 0.1, 40, count=400)
    print(f"coverage: {two=:.3f} {largest=:.3f} {smallest=:.3f}")
    assert abs(two - LEVEL) <= error(LEVEL)
    assert min(largest, smallest) >= LEVEL - error(LEVEL, 400)


def test_the_worst_of_many_is_refuted_falsely_as_seldom_as_the_docs_say() -> None:
    """20 members at the threshold, that some interval lies above it by chance: 2.5 % nominally."""
    said = DOCS.read_text(encoding="utf-8").partition("resamples and in ")[2].partition("% with 2")
    level = float(said[0]) / 100
    count, names = 300, [f"k{i}" for i in range(20)]
    node = Worst(which="max", members=tuple((k, agg(k)) for k in names))
    wrong = power = 0
    for i in range(count):
        rng = np.random.default_rng([12, i])
        columns = {k: rng.normal(size=40) for k in names}
        wrong += bootstrap(columns, 2000, i).interval(node, LEVEL).low > 0
        columns["k7"] = columns["k7"] + 0.8
        power += bootstrap(columns, 2000, i).interval(node, LEVEL).low > 0
    print(f"worst of 20: false {wrong / count:.3f}, found {power / count:.3f}")
    assert level < 0.05 and abs(wrong / count - level) <= error(level, count)
    assert power / count > 0.9


def test_a_knockout_chosen_on_one_half_is_judged_fairly_on_the_other() -> None:
    fair = naive = found = 0
    names = [f"k{i}" for i in range(20)]
    count = 500
    for i in range(count):
        rng = np.random.default_rng([11, i])
        columns = {k: rng.normal(size=80) for k in names}
        b = bootstrap(columns, 600, i)
        search, judge = (Part(seed=i, side=side) for side in ("search", "judge"))

        def best(part, b=b):
            values = [b.evaluator.estimate(agg(k, part=part)) for k in names]
            return names[int(np.argmax(values))]

        fair += b.interval(agg(best(search), part=judge), LEVEL).low > 0
        naive += b.interval(agg(best(None)), LEVEL).low > 0
        columns["k3"] = columns["k3"] + 0.8
        b = bootstrap(columns, 600, i)
        found += b.interval(agg(best(search, b), part=judge), LEVEL).low > 0
    print(f"20 searched: false {fair / count:.3f}, same rows {naive / count:.3f}, found {found}")
    assert fair / count <= 0.025 + error(0.025, count)
    assert naive / count > 0.2 and found / count > 0.95
