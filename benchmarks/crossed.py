"""How often intervals over crossed rows miss the truth.

    python -m benchmarks.crossed [SAMPLES]

Prompts lie in the cells of a table of two fields, names and sentences; a value is the sum of an
effect of its name, of its sentence and of the prompt itself. One table has unequal numbers of
prompts in its cells, one lacks cells, in one a name has eight times as many prompts as another. A
ratio is that of A to B with A = B/2 + value · B. Misses are in per cent, at 95% and 99.375% (a
family of eight by Holm); widths are those at 95%, as multiples of the standard error that is true.
`one way` is Student's t with clusters by the better of the two fields, known beforehand. A second
table has other ways to read two fields: rows that are connected by shared values as one cluster
(`groups`), and rows that share both values (`cells`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from scipy.stats import t as student

from pathdsl.score.statistics.alike import joined
from pathdsl.score.statistics.crossed import Table
from pathdsl.score.statistics.pivot import Cells, Pivot, Spread

LEVELS = (0.05, 0.00625)
RESAMPLES = 1000
Generator = np.random.Generator

EFFECTS = {"both": (1.0, 1.0, 1.0), "rows only": (1.0, 0.0, 1.0), "neither": (0.0, 0.0, 1.0)}
POPULATIONS: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "normal": lambda r, n: r.standard_normal(n),
    "exponential": lambda r, n: r.exponential(size=n) - 1,
    "t3": lambda r, n: r.standard_t(3, n) / np.sqrt(3),
}


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Row and column of each prompt, by the name of the table."""
    r = np.random.default_rng(1)
    found = {f"{i} × {j}": _full(i, j, 1) for i, j in ((5, 12), (9, 12), (20, 20), (40, 40))}
    found["9 × 12, two a cell"] = _full(9, 12, 2)
    found["20 × 20, a quarter of the cells"] = _some(_full(20, 20, 1), r.random(400) < 0.25)
    uneven = r.poisson(1.5, 108) * np.where(r.random(108) < 0.1, 3, 1)
    found["9 × 12, 0 to 9 a cell"] = _full(9, 12, uneven)
    share = np.outer([8, 4, 2, 1, 1, 1, 1, 1, 1], np.ones(12)).ravel()
    found["9 × 12, names 8:4:2:1:…"] = _full(9, 12, r.poisson(150 * share / share.sum()))
    return found


def _full(rows: int, columns: int, each: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.divmod(np.repeat(np.arange(rows * columns), each), columns)
    return row, column


def _some(table: tuple[np.ndarray, np.ndarray], kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return table[0][kept], table[1][kept]


def sample(
    r: Generator, row: np.ndarray, column: np.ndarray, population: str, effects: tuple[float, ...]
) -> np.ndarray:
    """(prompts,) values with mean 0."""
    draw = POPULATIONS[population]
    values = effects[2] * draw(r, len(row))
    values += effects[0] * draw(r, int(row.max()) + 1)[row]
    values += effects[1] * draw(r, int(column.max()) + 1)[column]
    return values


def pivot(table: Table, values: np.ndarray, r: Generator, resamples: int = RESAMPLES) -> Pivot:
    """The mean of values over a table, with its pivots."""
    mean = float(values.mean())
    means, covariances = table.resamples(values[:, None], resamples, r)
    zero, nothing = np.zeros(len(means)), table.effects(0 * values)
    return Pivot(
        above=mean, below=1.0, divided=False, above_drawn=means[:, 0], below_drawn=zero + 1,
        drawn=Spread(covariances[:, 0, 0], zero, zero), limit=np.inf,
        samples=(Cells(table=table, above=table.effects(values - mean), below=nothing),),
    )  # fmt: skip


def one_way(cluster: np.ndarray, values: np.ndarray, tail: float) -> bool:
    """Whether Student's interval with these clusters misses 0."""
    n = int(cluster.max()) + 1
    sums = np.bincount(cluster, values - values.mean()) / len(values)
    se = np.sqrt(n / (n - 1) * (sums**2).sum())
    return bool(abs(values.mean()) > student.ppf(1 - tail, n - 1) * se)


def row(
    name: str, population: str, effects: str, samples: int, *, of: str = "mean", seed: int = 7
) -> dict[str, float]:
    """Misses in per cent and the width of one case."""
    labels = tables()[name]
    table = Table(*labels)
    r = np.random.default_rng([seed, len(name), len(population), len(effects), len(of)])
    missed = np.zeros((4, len(LEVELS)))
    widths, means = np.zeros(2), []
    for _ in range(samples):
        values = sample(r, *labels, population, EFFECTS[effects])
        if of == "ratio":  # A - cB at the true c
            values = values * (2 + 0.5 * np.abs(sample(r, *labels, "normal", (1, 1, 1))))
        found = pivot(table, values, r)
        means.append(found.estimate)
        for i, alpha in enumerate(LEVELS):
            t = float(student.ppf(1 - alpha / 2, found.freedom(0.0))) * found.error(0.0)
            low, high = found.ends(alpha / 2)
            ways = [one_way(cluster, values, alpha / 2) for cluster in labels]
            missed[:, i] += ways[0], ways[1], abs(found.estimate) > t, low > 0 or high < 0
            if i == 0:
                widths += 2 * t, high - low
    missed *= 100 / samples
    width = widths / samples / np.std(means)
    return {
        "one way": missed[:2, 0].min(), "t": missed[2, 0], "t 99": missed[2, 1],
        "hull": missed[3, 0], "hull 99": missed[3, 1], "t width": width[0], "width": width[1],
    }  # fmt: skip


def blocks() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Tables whose names and sentences meet in parts of it only, or in few cells."""
    found = {}
    for count, side in ((12, 3), (3, 6)):
        inner, (row, column) = np.repeat(np.arange(count), side**2) * side, _full(side, side, 1)
        found[f"{count} blocks of {side} × {side}"] = (
            inner + np.tile(row, count), inner + np.tile(column, count)
        )  # fmt: skip
    cells = np.unique(np.random.default_rng(0).integers(0, 144, 60))
    found[f"{len(cells)} cells of 12 × 12"] = np.divmod(cells, 12)
    return found


def other_ways(name: str, population: str, samples: int) -> dict[str, float]:
    """Misses in per cent at 95% and widths in true standard errors; nan for a single group."""
    row, column = blocks()[name]
    table, r = Table(row, column), np.random.default_rng([5, len(name), len(population)])
    connected, cells = joined(row, column), np.unique(row * 1000 + column, return_inverse=True)[1]
    missed, widths, means = np.zeros(3), np.zeros(2), []
    n = int(connected.max()) + 1
    for _ in range(samples):
        values = sample(r, row, column, population, EFFECTS["both"])
        low, high = pivot(table, values, r, 300).ends(LEVELS[0] / 2)
        means.append(values.mean())
        missed[0] += low > 0 or high < 0
        missed[1] += one_way(connected, values, LEVELS[0] / 2) if n > 1 else np.nan
        missed[2] += one_way(cells, values, LEVELS[0] / 2)
        sums = np.bincount(connected, values - values.mean()) / len(values)
        se = np.sqrt(n / (n - 1) * (sums**2).sum()) if n > 1 else np.nan
        widths += high - low, 2 * student.ppf(1 - LEVELS[0] / 2, n - 1) * se
    missed, widths = missed * 100 / samples, widths / samples / np.std(means)
    return {
        "both": missed[0], "groups": missed[1], "cells": missed[2],
        "width": widths[0], "width of groups": widths[1],
    }  # fmt: skip


def run(samples: int, tell: Callable[[str], None]) -> None:
    """Print the table of docs/levels.md."""
    tell(f"{samples} samples, {RESAMPLES} resamples")
    tell("| prompts | effects of | values | one way | t | hull | width of t | of the hull |")
    tell("|---|---|---|---|---|---|---|---|")
    cases = [
        (name, population, effects, "mean")
        for name in tables() for population in ("normal", "exponential") for effects in EFFECTS
        if effects == "both" or name in ("9 × 12", "20 × 20", "9 × 12, names 8:4:2:1:…")
    ]  # fmt: skip
    cases += [(name, "t3", "both", "mean") for name in ("9 × 12", "20 × 20")]
    cases += [
        (name, population, "both", "ratio")
        for name in ("9 × 12", "20 × 20", "9 × 12, 0 to 9 a cell")
        for population in ("normal", "exponential")
    ]
    for name, population, effects, of in cases:
        found = row(name, population, effects, samples, of=of)
        values = population if of == "mean" else f"{population}, ratio"
        tell(
            f"| {name} | {effects} | {values} | {found['one way']:.1f} "
            f"| {found['t']:.1f} / {found['t 99']:.2f} | {found['hull']:.1f} / "
            f"{found['hull 99']:.2f} | {found['t width']:.2f} | {found['width']:.2f} |"
        )
    tell("")
    tell("| prompts | values | misses | of groups | of cells | width | of groups |")
    tell("|---|---|---|---|---|---|---|")
    for name in blocks():
        for population in ("normal", "exponential"):
            other = other_ways(name, population, samples)
            tell(
                f"| {name} | {population} | {other['both']:.1f} | {other['groups']:.1f} "
                f"| {other['cells']:.1f} | {other['width']:.2f} | {other['width of groups']:.2f} |"
            )


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, lambda line: print(line, flush=True))
