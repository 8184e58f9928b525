r"""A certificate for each edge: in, out, or no word, by votes of random subsamples of the prompts.

A circuit is selected on each of many random subsamples of m of the n prompts (clusters, where they
have some). Let p be the probability that the circuit of a subsample has the edge. With the exact
interval of Clopper and Pearson for p from the votes,

    in       the interval lies above 1/2
    out      it lies below 1/2
    abstain  it contains 1/2

What it certifies: that the majority of *all* subsamples of these prompts would decide so, wrong
with a probability of at most `1 - level` for one edge, or for all edges together where `together`
(Bonferroni). `radius` is how many of the n prompts may be replaced by any others without changing
the majority: with r replaced, a subsample has none of them with probability
q = C(n - r, m) / C(n, m), so p moves by at most 1 - q. It says nothing of whether the edge is in
the mechanism, nor of prompts of another kind.

Source: Certified Circuits, 2026 (arXiv:2602.22968); Clopper and Pearson 1934 for the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.kept.stability import Choose, circuits_of, generator_of, top_of_each
from pathdsl.score.statistics.shares import clopper_pearson

__all__ = ["ABSTAIN", "IN", "OUT", "Certificate", "certificate", "certified", "subsamples"]

IN, OUT, ABSTAIN = 1, -1, 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """`verdict`: (edges,) int, one of IN, OUT and ABSTAIN. `votes`: (edges,) int of `samples`.

    `low` and `high`: (edges,) float64, the interval of the probability of a vote. `radius`:
    (edges,) int, how many prompts may be replaced, 0 where it abstains. `drawn` of `units` prompts
    or clusters are in a subsample.
    """

    verdict: np.ndarray
    votes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    radius: np.ndarray
    samples: int
    drawn: int
    units: int
    level: float
    together: bool

    def told(self, chosen: np.ndarray, units: str) -> str:
        """What it says of a circuit, (edges,) bool, in one sentence; `units` are "prompts" or
        "clusters"."""
        inside, outside = (self.verdict == one for one in (IN, OUT))
        counts = [int((chosen & mask).sum()) for mask in (inside, ~inside & ~outside, outside)]
        radius = int(self.radius[chosen & inside].min(initial=self.units))
        most = f", though up to {radius} of {self.units} {units} be replaced"
        most = most if counts[0] and radius else ""
        more = int((inside & ~chosen).sum())
        return (
            f"of {int(chosen.sum()):,} edges {counts[0]:,} certified in{most}, {counts[1]:,} left "
            f"open, {counts[2]:,} certified out; of all others {more:,} certified in "
            f"({self.samples:,} subsamples of {self.drawn} of {self.units} {units}, "
            f"{100 * self.level:g}% for {'all edges' if self.together else 'an edge'})"
        )


def subsamples(clusters: Sequence[int], drawn: int, count: int, seed: int) -> np.ndarray:
    """(count, rows) float64: weights of the rows of `drawn` clusters, without replacement.

    Those of a subsample sum to 1. ValueError where `drawn` is not from 1 to the number of clusters.
    """
    _, unit = np.unique(np.asarray(clusters), return_inverse=True)
    n = int(unit.max()) + 1
    if not 1 <= drawn <= n:
        raise ValueError(f"a subsample of {drawn} of {n}")
    keys = generator_of(seed, "subsamples").random((count, n))
    inside = np.zeros((count, n), dtype=bool)
    np.put_along_axis(inside, np.argsort(keys, axis=1)[:, :drawn], True, axis=1)
    rows = inside[:, unit].astype(np.float64)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def certified(
    votes: np.ndarray, samples: int, *, units: int, drawn: int, level: float, together: bool
) -> Certificate:
    """The certificate of votes, (edges,) int of `samples`."""
    each = 1 - (1 - level) / max(1, len(votes)) if together else level
    numbers, where = np.unique(votes, return_inverse=True)
    ends = np.array([clopper_pearson(int(k), samples, each) for k in numbers]).reshape(-1, 2)
    low, high = ends[where, 0], ends[where, 1]
    verdict = np.where(low > 0.5, IN, np.where(high < 0.5, OUT, ABSTAIN))
    room = np.where(verdict == IN, low - 0.5, np.where(verdict == OUT, 0.5 - high, 0.0))
    # moved[r]: how far r replaced prompts move p at most; it grows with r
    moved = np.array([1 - comb(units - r, drawn) / comb(units, drawn) for r in range(units + 1)])
    radius = np.maximum(np.searchsorted(moved, room, side="left") - 1, 0)
    return Certificate(
        verdict=verdict, votes=votes, low=low, high=high, radius=radius, samples=samples,
        drawn=drawn, units=units, level=level, together=together,
    )  # fmt: skip


def certificate(
    graph: EdgeGraph,
    values: np.ndarray,
    clusters: Sequence[int],
    *,
    choose: Choose | None,
    n: int,
    signed: bool,
    drawn: int,
    samples: int,
    seed: int,
    level: float,
    together: bool,
) -> Certificate:
    """The certificate of each edge; arguments as of `stability`, `drawn` a subsample."""
    weights = subsamples(clusters, drawn, samples, seed)
    if choose is None:
        circuits = top_of_each(graph, values, weights, n, signed=signed)
    else:
        circuits = circuits_of(values, weights, choose)
    votes = graph.on_a_path(circuits).sum(axis=0)
    return certified(
        votes, samples, units=len(set(clusters)), drawn=drawn, level=level, together=together
    )
