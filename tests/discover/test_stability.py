"""Stability and certificates against literal loops, and their error rates by simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest

from pathdsl.discover.certificate import ABSTAIN, IN, OUT, certificate, certified, subsamples
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.kept.stability import (
    Subject,
    bootstrap_weights,
    circuits_of,
    jaccard,
    mean_jaccard,
    rivals,
    stability,
    steady,
    top_of_each,
)
from tests.discover.cases import edges_of, layout_of

LAYOUT = layout_of(2, 2)
GRAPH = EdgeGraph.of(edges_of(LAYOUT), LAYOUT)
ROWS = 12


def values(seed: int = 0, rows: int = ROWS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=len(GRAPH))[:, None] + rng.normal(size=(len(GRAPH), rows))


def literal_top(keys: np.ndarray, n: int) -> set[str]:
    order = sorted(range(len(GRAPH)), key=lambda i: (-keys[i], GRAPH.names[i]))
    return {GRAPH.names[i] for i in order[:n]}


@pytest.mark.parametrize("signed", [True, False])
def test_the_top_of_each_sample(signed):
    scores = values()
    weights = bootstrap_weights(range(ROWS), 150, 0)
    found = top_of_each(GRAPH, scores, weights, 9, signed=signed)
    for row, weight in zip(found, weights, strict=True):
        means = scores @ weight
        assert set(GRAPH.named(row)) == literal_top(-means if signed else abs(means), 9)


def test_equal_scores_are_taken_by_name_in_every_sample():
    scores = values()
    scores[5:20] = scores[4]  # equal on every prompt, so equal in every sample
    scores[30:] = 0.0
    weights = bootstrap_weights(range(ROWS), 100, 1)
    for n in (1, 7, 25, len(GRAPH)):
        for row, weight in zip(
            top_of_each(GRAPH, scores, weights, n, signed=False), weights, strict=True
        ):
            assert row.sum() == n
            keys = abs((scores * weight).sum(axis=1))
            keys[5:20] = keys[4]
            assert set(GRAPH.named(row)) == literal_top(keys, n)


@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("signed", [True, False])
def test_the_short_cut_to_the_top_changes_nothing(spread, signed):
    """Few edges far above the others, where most are left out, and noise, where none can be."""
    rng = np.random.default_rng(3)
    means = rng.standard_t(1.2, size=len(GRAPH))
    scores = means[:, None] + spread * rng.normal(size=(len(GRAPH), ROWS))
    weights = bootstrap_weights(range(ROWS), 70, 0)
    for n in (1, 5, len(GRAPH) - 1, len(GRAPH)):
        found = top_of_each(GRAPH, scores, weights, n, signed=signed)
        for row, weight in zip(found, weights, strict=True):
            keys = (scores * weight).sum(axis=1)
            keys = -keys if signed else abs(keys)
            if spread:  # without noise sums of equal numbers differ in their last digits alone
                assert set(GRAPH.named(row)) == literal_top(keys, n)
            assert row.sum() == n


def test_samples_draw_clusters():
    clusters = [3, 3, 3, 8, 8, 1]
    weights = bootstrap_weights(clusters, 500, 0)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 4]).all()
    assert weights[:, 5].any() and (weights[:, 5] == 0).any()
    assert (weights == bootstrap_weights(clusters, 500, 0)).all()
    assert bootstrap_weights(clusters, 3, -1).sum() == pytest.approx(3.0)
    assert (weights != bootstrap_weights(clusters, 500, 1)).any()


def test_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    circuits = rng.random((25, 40)) < rng.random(40)
    circuits[3] = False
    circuits[4] = False
    pairs = [jaccard(a, b) for a, b in combinations(circuits, 2)]
    assert mean_jaccard(circuits) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert mean_jaccard(circuits[:1]) == 1.0
    assert mean_jaccard(np.repeat(circuits[:1], 4, axis=0)) == 1.0


def test_stability_counts_pruned_circuits():
    scores = values()
    fast = stability(GRAPH, scores, range(ROWS), choose=None, n=10, signed=True, samples=60, seed=2)

    def choose(means: np.ndarray) -> np.ndarray:
        return np.isin(GRAPH.names, list(literal_top(-means, 10)))

    slow = stability(
        GRAPH, scores, range(ROWS), choose=choose, n=0, signed=True, samples=60, seed=2
    )
    circuits = GRAPH.on_a_path(circuits_of(scores, bootstrap_weights(range(ROWS), 60, 2), choose))
    assert (fast.frequency == slow.frequency).all()
    assert (fast.frequency == circuits.mean(axis=0)).all()
    found = GRAPH.on_a_path(choose(scores.mean(axis=1)))
    assert fast.jaccard == slow.jaccard == mean_jaccard(circuits)
    assert fast.to_found == pytest.approx(np.mean([jaccard(c, found) for c in circuits]))
    assert (fast.samples, fast.rows, fast.clusters) == (60, ROWS, ROWS)


def test_without_noise_all_is_stable():
    scores = np.repeat(values()[:, :1], ROWS, axis=1)
    found = stability(
        GRAPH, scores, range(ROWS), choose=None, n=10, signed=False, samples=50, seed=0
    )
    assert found.jaccard == found.to_found == 1.0
    assert set(np.unique(found.frequency)) <= {0.0, 1.0}


def test_steady_edges_by_simulation():
    """Edges without effect pass at about the stated rate, strong ones always."""
    rng = np.random.default_rng(0)
    null = rng.normal(size=(4000, 60))
    passed = steady(null, range(60), level=0.95, samples=1000, seed=0)
    assert 0.035 < passed.mean() < 0.075
    strong = rng.normal(loc=-1.0, size=(500, 60))
    assert steady(strong, range(60), level=0.95, samples=1000, seed=0).all()
    # one template four times is no more evidence than once
    clusters = np.repeat(np.arange(15), 4)
    copies = np.repeat(rng.normal(size=(3000, 15)), 4, axis=1)
    assert steady(copies, clusters, level=0.95, samples=500, seed=0).mean() < 0.1
    assert steady(copies, range(60), level=0.95, samples=500, seed=0).mean() > 0.2


# -------------------------------------------------------------------------------------------------


def test_the_interval_of_votes_is_exact():
    votes = np.array([0, 3, 40, 50, 60, 97, 100])
    found = certified(votes, 100, units=20, drawn=10, level=0.95, together=False)
    for i, k in enumerate(votes):
        ends = binomtest(int(k), 100, 0.5).proportion_ci(0.95, method="exact")
        assert (found.low[i], found.high[i]) == pytest.approx((ends.low, ends.high))
    assert found.verdict.tolist() == [OUT, OUT, ABSTAIN, ABSTAIN, ABSTAIN, IN, IN]
    assert (found.radius[2:5] == 0).all()
    joint = certified(votes, 100, units=20, drawn=10, level=0.95, together=True)
    assert (joint.low <= found.low).all() and (joint.high >= found.high).all()


def test_subsamples_are_without_replacement():
    weights = subsamples([0, 0, 1, 2, 3], 2, 400, 0)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert ((weights[:, 1:] > 0).sum(axis=1) == 2).all()
    often = (weights[:, 1:] > 0).mean(axis=0)
    assert often == pytest.approx(0.5, abs=0.08)
    for drawn in (0, 5):
        with pytest.raises(ValueError):
            subsamples([0, 0, 1, 2, 3], drawn, 1, 0)


def test_the_certificate_errs_at_its_level():
    """At p = 1/2, where the two errors are most likely, and for all edges together."""
    rng = np.random.default_rng(0)
    wrong = certified(
        rng.binomial(200, 0.5, size=20000), 200, units=9, drawn=3, level=0.95, together=False
    )
    assert 0.01 < (wrong.verdict != ABSTAIN).mean() <= 0.05
    runs = [
        (
            certified(
                rng.binomial(200, 0.5, size=300), 200, units=9, drawn=3, level=0.9, together=True
            ).verdict
            != ABSTAIN
        ).any()
        for _ in range(300)
    ]
    assert np.mean(runs) <= 0.1 + 3 * np.sqrt(0.09 / 300)
    # p = 0.45 is out: hardly ever certified as in
    low = certified(
        rng.binomial(200, 0.45, size=20000), 200, units=9, drawn=3, level=0.95, together=False
    )
    assert (low.verdict == IN).mean() < 0.005
    # and power: p = 0.8 is certified
    high = certified(
        rng.binomial(200, 0.8, size=2000), 200, units=9, drawn=3, level=0.95, together=False
    )
    assert (high.verdict == IN).mean() > 0.99


def test_the_radius_holds_whatever_replaces_the_prompts():
    """All subsamples gone through, prompts replaced by ones made to break it."""
    n, drawn, rng = 8, 2, np.random.default_rng(0)
    subsets = [list(s) for s in combinations(range(n), drawn)]

    def probability(rows: np.ndarray) -> float:
        return float(np.mean([rows[s].mean() > 0 for s in subsets]))

    seen = 0
    for _ in range(200):
        rows = rng.normal(loc=rng.choice([-1.5, 1.5]), size=n)
        p = probability(rows)
        # as if votes of all subsamples had told p without error
        found = certified(
            np.array([round(p * 10**6)]), 10**6, units=n, drawn=drawn, level=0.95, together=False
        )
        radius = int(found.radius[0])
        seen += radius > 0
        for changed in combinations(range(n), radius):
            other = rows.copy()
            other[list(changed)] = -1e6 * found.verdict[0]
            if found.verdict[0]:
                assert (probability(other) > 0.5) is bool(found.verdict[0] == IN)
    assert seen > 20


def test_certificates_of_scores():
    scores = values(rows=24)
    found = certificate(
        GRAPH, scores, range(24), choose=None, n=8, signed=False, drawn=12, samples=300, seed=0,
        level=0.95, together=True,
    )  # fmt: skip
    weights = subsamples(range(24), 12, 300, 0)
    circuits = GRAPH.on_a_path(top_of_each(GRAPH, scores, weights, 8, signed=False))
    assert (found.votes == circuits.sum(axis=0)).all()
    told = found.told(circuits[0])
    inside = (circuits[0] & (found.verdict == IN)).sum()
    assert told.startswith(f"of {circuits[0].sum()} edges {inside} are certified in")
    assert "300 subsamples of 12 of 24 prompts, 95% for all edges" in told
    assert (found.verdict == OUT).any() and (found.drawn, found.units) == (12, 24)
    assert ((found.verdict == IN) <= (found.votes > 150)).all()


# -------------------------------------------------------------------------------------------------


def test_rivals_share_little_and_score_alike():
    rng = np.random.default_rng(0)
    base = rng.normal(size=80)
    a, b, c = (np.zeros(10, dtype=bool) for _ in range(3))
    a[:4], b[3:8], c[:4] = True, True, True
    found = rivals(
        [
            Subject(name="a", chosen=a, values=base),
            Subject(name="b", chosen=b, values=base + rng.normal(scale=0.01, size=80)),
            Subject(name="c", chosen=c, values=base + 1.0),
        ],
        range(80), margin=0.05, shared=0.5, level=0.95, samples=500, seed=0,
    )  # fmt: skip
    assert [(one.names, one.verdict, one.rivals) for one in found] == [
        (("a", "b"), "equal", True), (("a", "c"), "different", False),
        (("b", "c"), "different", False),
    ]  # fmt: skip
    assert (found[0].shared, found[0].sizes, found[0].jaccard) == (1, (4, 5), 1 / 8)
    noisy = rivals(
        [
            Subject(name="a", chosen=a, values=base),
            Subject(name="b", chosen=b, values=rng.normal(size=80)),
        ],
        range(80), margin=0.05, shared=0.5, level=0.95, samples=500, seed=0,
    )  # fmt: skip
    assert noisy[0].verdict == "undecided" and not noisy[0].rivals


def test_equality_is_claimed_in_error_at_most_as_often_as_stated():
    rng, wrong = np.random.default_rng(1), 0
    chosen = np.ones(3, dtype=bool)
    for _ in range(300):
        apart = rng.normal(loc=0.5, size=40)  # at the margin exactly
        (found,) = rivals(
            [
                Subject(name="a", chosen=chosen, values=apart),
                Subject(name="b", chosen=chosen, values=np.zeros(40)),
            ],
            range(40), margin=0.5, shared=0.5, level=0.9, samples=300, seed=0,
        )  # fmt: skip
        wrong += found.verdict == "equal"
    assert wrong / 300 <= 0.05 + 0.045
