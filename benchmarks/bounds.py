"""How often the bound on unverified units is below the truth, in worlds where the truth is known.

    python -m benchmarks.bounds [--samples N]

A world gives the effect of treating any subset of its units. The truth is the largest average
effect of a unit inside random subsets, by formula. Of each sample it is told how often the bound
was below it, in per cent, and how many times the truth the median bound is. `plain`: with Student's
quantile alone. The table stands in docs/levels.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.stats import t as student

from pathdsl.score.statistics.unverified import false_negative_bound, least, welch

__all__ = ["WORLDS", "World", "misses"]

UNITS = 40
GATES = 5
STEPS = 20
SIZES = ((300, 0.1), (600, 0.1), (100, 0.5), (300, 0.5))
LEVELS = (0.9, 0.95, 0.99)
RESAMPLES = 1_000
Effect = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`effect` takes (subsets, units) of 0 and 1; `truth` takes the share of a subset."""

    effect: Effect
    truth: Callable[[float], float]


def _linear(weights: np.ndarray) -> World:
    return World(effect=lambda x: x @ weights, truth=lambda p: float(np.abs(weights).max()))


def _pairs(weights: np.ndarray, together: np.ndarray) -> World:
    both = together + together.T
    return World(
        effect=lambda x: x @ weights + ((x @ together) * x).sum(axis=1),
        truth=lambda p: float(np.abs(weights + p * both.sum(axis=1)).max()),
    )


def _saturating(weights: np.ndarray) -> World:
    def truth(p: float) -> float:
        rng = np.random.default_rng(0)
        x = (rng.random((400_000, UNITS)) < p).astype(np.float64)
        return float(max(
            abs(np.mean(np.tanh(rest + w) - np.tanh(rest)))
            for n, w in enumerate(weights) for rest in [x @ weights - x[:, n] * w]
        ))  # fmt: skip

    return World(effect=lambda x: np.tanh(x @ weights), truth=truth)


def _backup(p: float) -> float:
    """The effect is the number of five units that are treated, less one: k others are."""
    return float(sum(
        comb(4, k) * p**k * (1 - p) ** (4 - k) * (k - max(k - 1, 0)) for k in range(5)
    ))  # fmt: skip


def worlds(seed: int = 0) -> dict[str, World]:
    """Worlds by name."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(UNITS)
    heavy = rng.standard_t(2, UNITS)
    together = np.triu(rng.standard_normal((UNITS, UNITS)), 1) * 3 / np.sqrt(UNITS)
    small = 0.002 * normal
    small[:3] = 0

    def gate(of: Effect, truth: Callable[[float], float]) -> World:
        return World(
            effect=lambda x: x[:, 0] * of(x) + x @ small,
            truth=lambda p: max(truth(p), float(np.abs(small).max())),
        )

    return {
        "linear, normal": _linear(normal),
        "linear, heavy tails": _linear(heavy),
        "linear, equal": _linear(np.ones(UNITS)),
        "pairs interact": _pairs(0.3 * normal, together),
        "saturates": _saturating(normal),
        "backup": World(effect=lambda x: np.maximum(x[:, :5].sum(axis=1) - 1, 0), truth=_backup),
        "two together": gate(lambda x: x[:, 1], lambda p: p),
        "three together": gate(lambda x: x[:, 1] * x[:, 2], lambda p: p * p),
        "with any of five": gate(
            lambda x: x[:, 1 : 1 + GATES].any(axis=1) * 1.0, lambda p: 1 - (1 - p) ** GATES
        ),
        "without five": gate(
            lambda x: 1.0 - x[:, 1 : 1 + GATES].any(axis=1), lambda p: (1 - p) ** GATES
        ),
        "multiplied": gate(
            lambda x: np.exp(0.5 * x[:, 1 : 1 + STEPS].sum(axis=1)),
            lambda p: (1 - p + p * np.exp(0.5)) ** STEPS,
        ),
    }


WORLDS = worlds()


def drawn(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """As `random_subsets`, by a faster generator."""
    held = round(share * count)
    return np.asarray(rng.random((count, UNITS)).argsort(axis=0) < held)


def misses(
    world: World, count: int, share: float, samples: int, levels: Sequence[float] = LEVELS,
    seed: int = 1,
) -> tuple[dict[float, float], dict[float, float], float]:  # fmt: skip
    """Shares of samples whose bound is below the truth by level: of the bound, and with Student's
    quantile alone; and how many times the truth the median bound at 95% is.

    A level for which the subsets are too few is left out.
    """
    rng = np.random.default_rng(seed)
    truth = world.truth(round(share * count) / count)
    known = [level for level in levels if least(level, share) <= min(share, 1 - share) * count]
    missed, plain = dict.fromkeys(known, 0), dict.fromkeys(known, 0)
    widths = []
    for _ in range(samples):
        inside = drawn(rng, count, share)
        values = world.effect(inside.astype(np.float64))
        difference, error, freedom = welch(values, inside)
        curve = false_negative_bound(values, inside, resamples=RESAMPLES).curve
        bounds = {level: bound for bound, level in curve}
        for level in known:
            student_only = (np.abs(difference) + student.ppf(level, freedom) * error).max()
            missed[level] += bounds[level] < truth * (1 - 1e-3)
            plain[level] += student_only < truth * (1 - 1e-3)
        widths.append(bounds.get(0.95, np.nan) / truth)
    return (
        {level: n / samples for level, n in missed.items()},
        {level: n / samples for level, n in plain.items()},
        float(np.median(widths)),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounds", description=__doc__)
    parser.add_argument("--samples", type=int, default=400)
    samples = parser.parse_args().samples
    heads = [f"{count} of {100 * share:g}%" for count, share in SIZES]
    print("| world | " + " | ".join(heads) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    for name, world in WORLDS.items():
        cells = []
        for count, share in SIZES:
            found, plain, wide = misses(world, count, share, samples)
            shown = [f"{100 * found[v]:.1f}" if v in found else "none" for v in LEVELS]
            alone = f"{100 * plain[0.95]:.1f}" if 0.95 in plain else "none"
            cells.append(f"{' / '.join(shown)}; {alone} ({wide:.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
