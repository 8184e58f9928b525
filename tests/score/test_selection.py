"""Each rule against the literal one on graphs that are small enough to go through."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pathdsl.graph.files.eap import listed, unused_edges
from pathdsl.graph.paths.pathset import NONE
from pathdsl.lang.signatures.selections import AGAIN, SELECTIONS
from pathdsl.score.attribution import ScoredUnit
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.kept.selection import CHOOSE, Asked, select
from pathdsl.score.kept.stability import top_of_each
from tests.discover.cases import edges_of, layout_of

SMALL = {
    "serial": layout_of(1, 2),
    "parallel": layout_of(1, 2, parallel=True),
    "attention": layout_of(2, 1, mlp=False),
}


def graph_of(name: str) -> EdgeGraph:
    return EdgeGraph.of(edges_of(SMALL[name]), SMALL[name])


def asked(n: int, *, signed: bool = True, share: float = 0.5, among=None) -> Asked:
    return Asked(n=n, signed=signed, share=share, among=among)


@pytest.mark.parametrize("name", SMALL)
def test_what_lies_on_a_path(name):
    graph = graph_of(name)
    circuits = np.random.default_rng(0).random((60, len(graph))) < 0.5
    circuits[0], circuits[1] = False, True
    kept = graph.on_a_path(circuits)
    for chosen, on_path in zip(circuits, kept, strict=True):
        circuit = listed(sorted(graph.triples(chosen)), graph.layout)
        unused = set(unused_edges(circuit, graph.layout))
        assert set(graph.named(on_path)) == set(graph.named(chosen)) - unused
        assert (graph.on_a_path(chosen) == on_path).all()
        assert graph.path_set(chosen) == (
            listed(sorted(graph.triples(on_path)), graph.layout) if on_path.any() else NONE
        )


def test_only_edges_of_the_model_are_selected():
    with pytest.raises(ValueError, match="is no edge of this model"):
        EdgeGraph.of((ScoredUnit(sender="a0.h0"),), SMALL["serial"])


def literal_top(graph, keys, n, among):
    names = sorted(graph.names[i] for i in np.flatnonzero(among))
    score = dict(zip(graph.names, keys, strict=True))
    return set(sorted(names, key=lambda name: -score[name])[:n])


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("n", [1, 4, 7, 100])
def test_top(n, signed):
    graph = graph_of("serial")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = rng.integers(-3, 4, size=len(graph)).astype(float)  # many ties
        among = rng.random(len(graph)) < 0.8
        found = select("top", graph, scores, asked(n, signed=signed, among=among))
        keys = -scores if signed else abs(scores)
        taken = literal_top(graph, keys, n, among)
        assert set(graph.named(found.chosen)) | set(found.dangling) == taken
        assert not set(graph.named(found.chosen)) & set(found.dangling)
        assert found.size <= n and found.total == keys[found.chosen].sum()
        left = [graph.names[i] for i in np.flatnonzero(among) if graph.names[i] not in taken]
        score = dict(zip(graph.names, keys, strict=True))
        cut = min(score[name] for name in taken)
        equal = [name for name in (*left, *taken) if score[name] == cut]
        if any(score[name] == cut for name in left):
            (tie,) = found.tied
            assert (tie.equal, tie.score) == (len(equal), cut)
            assert tie.taken == sum(name in taken for name in equal)
        else:
            assert found.tied == ()


def test_the_order_of_the_units_changes_nothing():
    layout = SMALL["serial"]
    units = edges_of(layout)
    scores = np.random.default_rng(3).integers(-2, 3, size=len(units)).astype(float)
    order = np.random.default_rng(4).permutation(len(units))
    one, other = EdgeGraph.of(units, layout), EdgeGraph.of([units[i] for i in order], layout)
    for rule in ("top", "greedy", "pnr"):
        a = select(rule, one, scores, asked(5))
        b = select(rule, other, scores[order], asked(5))
        assert set(one.named(a.chosen)) == set(other.named(b.chosen))


def literal_greedy(graph, keys, n):
    taken, nodes = [], {graph.layout.logits}
    score = dict(zip(graph.names, keys, strict=True))
    ends = {m: (u, v) for m, u, v in zip(graph.names, graph.senders, graph.receivers, strict=True)}
    while len(taken) < n:
        open_ = [name for name in graph.names if name not in taken and ends[name][1] in nodes]
        if not open_:
            break
        best = min(open_, key=lambda name: (-score[name], name))
        taken.append(best)
        nodes.add(ends[best][0])
    return set(taken)


@pytest.mark.parametrize("name", SMALL)
def test_greedy(name):
    graph = graph_of(name)
    for seed in range(20):
        scores = np.random.default_rng(seed).integers(-4, 5, size=len(graph)).astype(float)
        for n in (1, 3, 8, 100):
            found = select("greedy", graph, scores, asked(n, signed=bool(seed % 2)))
            keys = -scores if seed % 2 else abs(scores)
            taken = literal_greedy(graph, keys, n)
            assert set(graph.named(found.chosen)) | set(found.dangling) == taken


def test_greedy_says_where_names_decided():
    graph = graph_of("serial")
    found = select("greedy", graph, np.ones(len(graph)), asked(2))
    (tie,) = found.tied
    assert (tie.taken, tie.score) == (2, -1.0) and tie.equal > 2
    distinct = np.arange(len(graph), dtype=float)
    assert select("greedy", graph, distinct, asked(4)).tied == ()


def test_positive_negative_ratio():
    graph = graph_of("serial")
    for seed in range(20):
        scores = np.random.default_rng(seed).normal(size=len(graph))
        for share, n in ((0.0, 5), (1.0, 5), (0.7, 10), (0.5, 7)):
            found = select("pnr", graph, scores, asked(n, share=share))
            first = {"0.0": 0, "1.0": 5, "0.7": 7, "0.5": 3}[str(share)]
            order = np.argsort(scores)
            taken = set(order[:first])
            rest = [i for i in np.argsort(-abs(scores)) if i not in taken]
            taken |= set(rest[: n - first])
            names = {graph.names[i] for i in taken}
            assert set(graph.named(found.chosen)) | set(found.dangling) == names


@pytest.mark.parametrize("name", SMALL)
def test_the_integer_program_is_the_best_of_all_circuits(name):
    graph = graph_of(name)
    every = np.array(list(product((False, True), repeat=len(graph))))
    whole = every[(graph.on_a_path(every) == every).all(axis=1)]
    sizes = whole.sum(axis=1)
    for seed in range(3):
        scores = np.random.default_rng(seed).normal(size=len(graph))
        for signed in (True, False):
            keys = -scores if signed else abs(scores)
            totals = whole @ keys
            for n in (1, 2, 3, 5, len(graph)):
                found = select("ilp", graph, scores, asked(n, signed=signed))
                assert found.proven and found.dangling == () and found.size <= n
                assert found.total == pytest.approx(totals[sizes <= n].max(), abs=1e-9)


def test_the_integer_program_keeps_to_the_edges_it_is_given():
    graph = graph_of("serial")
    scores = -np.ones(len(graph))
    among = np.array(["m0" not in name for name in graph.names])
    found = select("ilp", graph, scores, asked(50, among=among))
    assert (found.chosen == among).all()
    none = select("ilp", graph, scores, asked(50, among=np.zeros(len(graph), dtype=bool)))
    assert none.size == 0 and none.proven


def test_nothing_worth_taking():
    graph = graph_of("serial")
    found = select("ilp", graph, np.ones(len(graph)), asked(5))
    assert found.size == 0 and found.total == 0


@pytest.mark.parametrize(
    ("scores", "n", "share"),
    [(np.nan, 3, 0.5), (np.inf, 3, 0.5), (1.0, 0, 0.5), (1.0, 3, 1.5)],
)
def test_what_is_refused(scores, n, share):
    graph = graph_of("serial")
    with pytest.raises(ValueError):
        select("top", graph, np.full(len(graph), scores), asked(n, share=share))
    with pytest.raises(ValueError):
        select("top", graph, np.ones(3), asked(3))
    with pytest.raises(ValueError, match="no circuit from scores"):
        select("acdc", graph, np.ones(len(graph)), asked(3))


def test_every_rule_is_told_apart():
    assert [r.name for r in SELECTIONS.values()] == list(SELECTIONS)
    assert {*SELECTIONS} - {*CHOOSE} == {"acdc", "stable"}  # of resamples, and of measured circuits
    assert {*AGAIN} < {*CHOOSE} and not SELECTIONS["acdc"].scored


def test_signed_takes_first_what_the_behaviour_needs():
    """A score is what treating changes the metric by: an edge that is needed has one below 0."""
    graph = graph_of("attention")
    needed = {"input->a0.h0<v>", "a0.h0->logits"}
    scores = np.array([-1.0 if name in needed else 2.0 for name in graph.names])
    for rule in ("top", "greedy", "ilp"):
        found = select(rule, graph, scores, asked(2, signed=True))
        assert set(graph.named(found.chosen)) == needed, rule
    assert set(graph.named(select("pnr", graph, scores, asked(2, share=1.0)).chosen)) == needed
    values = np.repeat(scores[:, None], 5, axis=1)
    circuits = top_of_each(graph, values, np.full((1, 5), 0.2), 2, signed=True)
    assert set(graph.named(circuits[0])) == needed
