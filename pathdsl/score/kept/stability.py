"""Whether other prompts of the same kind would have given the same circuit; from kept scores.

A bootstrap sample of the prompts (of their clusters, where they have some) weights each, the
weighted means are ranked anew, and the circuit is taken by the same rule. One product of matrices
makes the means of all samples. What comes of it:

- the selection frequency of each edge: the share of samples whose circuit has it;
- the mean pairwise Jaccard index of these circuits, 1 where all are the same;
- `steady` edges: the interval of their score does not contain 0.

Means that are equal in exact arithmetic stay equal: edges with the same scores on all prompts are
summed once, so that names decide between them and not the last digit.

Source: Méloux et al. 2025 (arXiv:2510.00845) for the measure; bootstrap selection frequencies are
those of Meinshausen and Bühlmann 2010 (stability selection).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pathdsl.draws import Draws
from pathdsl.score.kept.graph import EdgeGraph

__all__ = [
    "Rivals",
    "Stability",
    "Subject",
    "bootstrap_weights",
    "circuits_of",
    "jaccard",
    "mean_jaccard",
    "rivals",
    "stability",
    "steady",
    "top_of_each",
]

BLOCK = 64
"""Samples whose means are made at once: fixed, so that the bits do not follow the memory."""
EDGES = 4096
Choose = Callable[[np.ndarray], np.ndarray]
"""From (edges,) means to (edges,) bool."""


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Edges of both over edges of either; 1 for two empty circuits."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def generator_of(seed: int, *names: str) -> np.random.Generator:
    """What draws for a purpose, by any seed."""
    return np.random.default_rng(Draws(seed, "kept scores", *names).below(1 << 63))


def bootstrap_weights(clusters: Sequence[int], count: int, seed: int) -> np.ndarray:
    """(count, rows) float64: what part each row has in each sample; rows of one sum to 1.

    As many clusters are drawn, with replacement, as there are.
    """
    _, unit = np.unique(np.asarray(clusters), return_inverse=True)
    n = int(unit.max()) + 1
    generator = generator_of(seed, "bootstrap")
    drawn = generator.integers(0, n, size=(count, n)) + np.arange(count)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)[:, unit]
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _means(values: np.ndarray, weights: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of (samples, edges) weighted means of (edges, rows) values."""
    different, where = np.unique(values, axis=0, return_inverse=True)
    equal = len(different) < len(values)
    columns = np.ascontiguousarray(different.T if equal else values.T)
    for start in range(0, len(weights), BLOCK):
        means = weights[start : start + BLOCK] @ columns
        yield means[:, where.ravel()] if equal else means


def top_of_each(
    graph: EdgeGraph, values: np.ndarray, weights: np.ndarray, n: int, *, signed: bool
) -> np.ndarray:
    """(samples, edges) bool: the n edges that rank first in each sample, equal ones by name.

    By how far the metric falls where `signed`, the negative of the mean, else by absolute mean.
    `values` is (edges, rows), `weights` (samples, rows). Nothing is pruned.
    """
    n = min(n, len(graph))
    found = np.zeros((len(weights), len(graph)), dtype=bool)
    start = 0
    for means in _means(values, weights):
        keys = np.negative(means, out=means) if signed else np.abs(means, out=means)
        cut = _cut(keys, n)
        block = keys >= cut
        for i in np.flatnonzero(block.sum(axis=1) > n):  # equal ones at the cut
            equal = np.flatnonzero((keys[i] == cut[i])[graph.by_name])
            surplus = int(block[i].sum()) - n
            block[i, graph.by_name[equal[len(equal) - surplus :]]] = False
        found[start : start + len(block)] = block
        start += len(block)
    return found


def _cut(keys: np.ndarray, n: int) -> np.ndarray:
    """(samples, 1): the n-th largest key of each sample, (samples, edges)."""

    def nth(some: np.ndarray) -> np.ndarray:
        place = some.shape[1] - n
        return np.partition(some, place, axis=1)[:, place, None]

    # Most edges are far below the cut in all samples: what is below a guess of it everywhere can
    # be left out wherever the cut turns out to be above the guess.
    guess = 0.8 * float(nth(keys[:1])[0, 0])
    high = keys.max(axis=0) >= guess
    if guess > 0 and n <= high.sum() < len(high):
        found = nth(keys[:, high])
        if (found >= guess).all():
            return found
    return nth(keys)


def circuits_of(values: np.ndarray, weights: np.ndarray, choose: Choose) -> np.ndarray:
    """(samples, edges) bool: the circuit of each sample by any rule."""
    return np.array([choose(one) for means in _means(values, weights) for one in means])


def mean_jaccard(circuits: np.ndarray) -> float:
    """The mean over all pairs of circuits, (circuits, edges) bool; 1 for one circuit alone."""
    count = len(circuits)
    if count < 2:
        return 1.0
    often = circuits.sum(axis=0)
    some = circuits[:, (often > 0) & (often < count)].astype(np.float32)
    shared = (some @ some.T).astype(np.float64) + int((often == count).sum())
    sizes = circuits.sum(axis=1).astype(np.float64)
    either = sizes[:, None] + sizes[None, :] - shared
    index = np.divide(shared, either, out=np.ones_like(shared), where=either > 0)
    return float((index.sum() - np.trace(index)) / (count * (count - 1)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stability:
    """What bootstrap samples of the prompts make of a circuit.

    `frequency`: (edges,) float64, in which share of the samples an edge is chosen. `jaccard`: the
    mean over pairs of samples; `to_found`: the mean with the circuit that all prompts gave.
    `samples`, `rows` and `clusters` count what it is from.
    """

    frequency: np.ndarray
    jaccard: float
    to_found: float
    samples: int
    rows: int
    clusters: int


def stability(
    graph: EdgeGraph,
    values: np.ndarray,
    clusters: Sequence[int],
    *,
    choose: Choose | None,
    n: int,
    signed: bool,
    samples: int,
    seed: int,
) -> Stability:
    """The stability of a circuit, dangling edges taken out of every sample's as of the circuit.

    `values` is (edges, rows). `choose` is the rule, from means to edges; None for the n edges
    that rank first, which needs a hundredth of the time.
    """
    weights = bootstrap_weights(clusters, samples, seed)
    whole = np.full((1, values.shape[1]), 1 / values.shape[1])
    if choose is None:
        chosen = top_of_each(graph, values, weights, n, signed=signed)
        found = top_of_each(graph, values, whole, n, signed=signed)
    else:
        chosen, found = circuits_of(values, weights, choose), circuits_of(values, whole, choose)
    chosen, found = graph.on_a_path(chosen), graph.on_a_path(found)
    shared = (chosen & found).sum(axis=1)
    either = (chosen | found).sum(axis=1)
    to_found = np.divide(shared, either, out=np.ones(len(shared)), where=either > 0)
    return Stability(
        frequency=chosen.mean(axis=0),
        jaccard=mean_jaccard(chosen),
        to_found=float(to_found.mean()),
        samples=samples,
        rows=values.shape[1],
        clusters=len(set(clusters)),
    )


def steady(
    values: np.ndarray,
    clusters: Sequence[int],
    *,
    level: float,
    samples: int,
    seed: int,
) -> np.ndarray:
    """(edges,) bool: edges whose bootstrap percentile interval does not contain 0.

    Of edges without any effect a share of `1 - level` passes. Source: Nikankin et al. 2025
    (arXiv:2510.25786), whose interval is mean ± z · standard deviation of 20 samples.
    """
    weights = bootstrap_weights(clusters, samples, seed)
    tail = (1 - level) / 2
    passed = []
    for start in range(0, len(values), EDGES):
        means = values[start : start + EDGES] @ weights.T
        low, high = np.quantile(means, (tail, 1 - tail), axis=1)
        passed.append((low > 0) | (high < 0))
    return np.concatenate(passed)


# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A circuit to compare: `chosen` is (edges,) bool, `values` (rows,) float64 its score on rows
    that found none of the circuits compared."""

    name: str
    chosen: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """Two circuits beside one another.

    `difference` of their mean scores, the first less the second, with `low` and `high`, the ends of
    its interval over the same prompts. `verdict`: "equal" where the interval lies within the
    margin, "different" where it lies outside of it, otherwise "undecided". They are `rivals` where
    they are equal and share less than was asked. `keeps` are the mean scores; `idle` are two of
    which neither is further than the margin above 0, so that being equal says nothing of them.
    """

    names: tuple[str, str]
    shared: int
    sizes: tuple[int, int]
    jaccard: float
    difference: float
    low: float
    high: float
    verdict: Literal["equal", "different", "undecided"]
    rivals: bool
    keeps: tuple[float, float]
    idle: bool


def rivals(
    circuits: Sequence[Subject],
    clusters: Sequence[int],
    *,
    margin: float,
    shared: float,
    level: float,
    samples: int,
    seed: int,
) -> tuple[Rivals, ...]:
    """Every pair of circuits, judged on the same held-out rows.

    `margin`: how far scores may lie apart and be called equal; `shared`: below which Jaccard index
    two equal circuits are rivals. The interval is that of the difference prompt by prompt (two
    intervals that overlap say nothing of equality). "Equal" by the interval of level `level` errs
    with a probability of at most `(1 - level) / 2`: two one-sided tests (Schuirmann 1987).
    """
    weights = bootstrap_weights(clusters, samples, seed)
    tail = (1 - level) / 2
    found = []
    for i, one in enumerate(circuits):
        for other in circuits[i + 1 :]:
            apart = one.values - other.values
            low, high = (float(q) for q in np.quantile(weights @ apart, (tail, 1 - tail)))
            verdict: Literal["equal", "different", "undecided"] = "undecided"
            if -margin <= low and high <= margin:
                verdict = "equal"
            elif low > margin or high < -margin:
                verdict = "different"
            index = jaccard(one.chosen, other.chosen)
            keeps = (float(one.values.mean()), float(other.values.mean()))
            idle = max(keeps) <= margin
            found.append(
                Rivals(
                    names=(one.name, other.name),
                    shared=int((one.chosen & other.chosen).sum()),
                    sizes=(int(one.chosen.sum()), int(other.chosen.sum())),
                    jaccard=index,
                    difference=float(apart.mean()),
                    low=low,
                    high=high,
                    verdict=verdict,
                    rivals=verdict == "equal" and index < shared and not idle,
                    keeps=keeps,
                    idle=idle,
                )
            )
    return tuple(found)
