"""How often the step from which a condition holds lies outside of what is told of it.

    python -m benchmarks.emergence [--samples N]

A quantity of the same prompts is measured at twelve steps, half of its variance being of the
prompt, and its true value at each step is known: `rises` from below the threshold to above it,
`crosses` it back and forth, lies `at` it, `falls` below it at the end, or creeps through it,
`slow`. Where it lies at the threshold, `> 0` never holds, and `>= 0` at every step. The table
stands in docs/levels.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from benchmarks.levels import (
    POPULATIONS,
    RESAMPLES,
    Generator,
    Rows,
    Tell,
    average,
    bootstrap,
    run_suites,
)
from pathdsl.lang import ast
from pathdsl.lang.syntax.parse import parse
from pathdsl.score.claims import Question
from pathdsl.score.emerging import EmergenceResult, Kept, emerged

__all__ = ["CASES", "WORLDS", "emergences", "judged", "truth_of"]

STEPS = tuple(range(100, 1300, 100))
WORLDS: Mapping[str, tuple[float, ...]] = {
    "rises": (-1, -1, -1, -1, -0.5, 0.5, 1, 1, 1, 1, 1, 1),
    "crosses": (-1, 0.6, 0.6, -0.4, 0.5, -0.3, 0.3, -0.3, 0.4, 0.4, 0.4, 0.4),
    "at": (0,) * 12,
    "falls": (-1, -1, 0.5, 1, 1, 1, 1, 1, 1, 1, 0.5, -0.2),
    "slow": (-0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25),
}
"""The true value at each step, less the threshold, in standard deviations over prompts."""
CASES = (
    ("normal", 40), ("normal", 200), ("t3", 40), ("real", 40), ("exponential", 40), ("hits", 40),
    ("hits", 200),
)  # fmt: skip
"""Values of single prompts and their number; `hits` are 0 or 1, of which the mean is a share."""


def truth_of(world: Sequence[float], relation: str) -> int | None:
    """The step from which the condition holds; None for never."""
    holds = [x > 0 if relation == ">" else x >= 0 for x in world]
    failing = [i for i, one in enumerate(holds) if not one]
    first = failing[-1] + 1 if failing else 0
    return STEPS[first] if first < len(STEPS) else None


def judged(
    r: Generator, seed: int, population: str, n: int, world: Sequence[float], relation: str
) -> EmergenceResult:
    """One sample: values of n prompts at every step, and what is told of the emergence."""
    text = f"claim c: emerges(mean(x(reference)) {relation} 0) <= 600 at 95% confidence"
    (claim,) = parse(text, "levels.circuit")[0].statements
    assert isinstance(claim, ast.ClaimDecl)
    hits = population == "hits"
    node = average("x", hits=hits)
    threshold = 0.7 if hits else 0.0
    shared = r.standard_normal(n) if hits else POPULATIONS[population](r, n)
    kept: list[Kept | str] = []
    for true in world:
        own = r.standard_normal(n) if hits else POPULATIONS[population](r, n)
        x = (shared + own) / np.sqrt(2)
        if hits:
            share = np.clip(threshold + true * np.sqrt(threshold * (1 - threshold)), 0.005, 0.995)
            x = (_uniform(x) < share).astype(float)
        else:
            x = x + true * _deviation(population)
        one = Kept()
        question = Question(
            member="", indices={}, over="", node=node, relation=relation, threshold=threshold
        )
        one.take(claim, question, bootstrap({"x": x}, seed, RESAMPLES))
        kept.append(one)
    (found,) = emerged(claim, STEPS, kept)
    return found


@cache
def _deviation(population: str) -> float:
    """The standard deviation over prompts of values of a population."""
    return float(POPULATIONS[population](np.random.default_rng(0), 200_000).std())


def _uniform(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def emergences(
    samples: int,
    tell: Tell,
    cases: Sequence[tuple[str, int]] = CASES,
    worlds: Sequence[str] = tuple(WORLDS),
) -> Rows:
    """Too early (`upper` before the truth), too late (`lower` behind it), and how wide it is.

    In per cent of samples. `exact` are those in which one step alone is left; `width` is the mean
    number of steps that are, never among them.
    """
    rows: Rows = []
    for population, n in cases:
        for world in worlds:
            for relation in (">", ">=") if world == "at" else (">=",):
                truth = truth_of(WORLDS[world], relation)
                at = len(STEPS) if truth is None else STEPS.index(truth)
                early = late = exact = width = 0
                for i in range(samples):
                    r = np.random.default_rng([47, n, i])
                    found = judged(r, i, population, n, WORLDS[world], relation)
                    low, high = (
                        len(STEPS) if one is None else STEPS.index(one)
                        for one in (found.lower, found.upper)
                    )
                    early += high < at
                    late += low > at
                    exact += low == high
                    width += high - low + 1
                row = {"values": population, "n": n, "world": world, "relation": relation,
                       "samples": samples, "early": 100 * early / samples,
                       "late": 100 * late / samples, "exact": 100 * exact / samples,
                       "width": width / samples}  # fmt: skip
                rows.append(row)
                tell(json.dumps(row))
    return rows


def main() -> None:
    """Print a line of JSON for each case and world."""
    run_suites("python -m benchmarks.emergence", __doc__, {"emergences": (emergences, 400)})


if __name__ == "__main__":
    main()
