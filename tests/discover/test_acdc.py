"""ACDC against the literal loop of its paper, for any order and any number asked ahead."""

from __future__ import annotations

import numpy as np
import pytest

from pathdsl.discover.acdc import Order, acdc, acdc_orders, together
from pathdsl.score.kept.graph import EdgeGraph
from tests.discover.cases import edges_of, layout_of

LAYOUT = layout_of(2, 2)
GRAPH = EdgeGraph.of(edges_of(LAYOUT), LAYOUT)


def distance(seed: int):
    """A distance to the full circuit with interactions, of what lies on paths alone."""
    rng = np.random.default_rng(seed)
    cost = rng.gamma(0.3, size=len(GRAPH))
    pairs = rng.integers(0, len(GRAPH), size=(40, 2))

    def of(circuit: np.ndarray) -> float:
        gone = ~GRAPH.on_a_path(circuit)
        return float(cost @ gone + 0.7 * (gone[pairs[:, 0]] & gone[pairs[:, 1]]).sum())

    return of


def run(search, of):
    """The search answered by a distance; returns its result and all that it asked for."""
    asked = []
    values = None
    while True:
        try:
            circuits = next(search) if values is None else search.send(values)
        except StopIteration as stop:
            return stop.value, asked
        asked += circuits
        values = [of(one) for one in circuits]


def literal(of, tau: float, absolute: bool, descending: bool) -> set[str]:
    """One edge after the other, receivers from `logits` backwards, no short cut."""
    kept = list(GRAPH.names)

    def value() -> float:
        return of(np.isin(GRAPH.names, kept))

    layers: dict[tuple[int, str], list[str]] = {}
    for component in LAYOUT.components:
        layers.setdefault((component.layer, component.kind.name), []).append(str(component))
    order = [
        name
        for group in reversed(layers.values())
        for name in (reversed(group) if descending else group)
    ]
    now = value()
    for receiver in order:
        for sender in order:
            for slot in ("", "<q>", "<k>", "<v>"):
                edge = f"{sender}->{receiver}{slot}"
                if edge in kept:
                    kept.remove(edge)
                    change = value() - now
                    if (abs(change) if absolute else change) < tau:
                        now += change
                    else:
                        kept.append(edge)
    return set(GRAPH.named(GRAPH.on_a_path(np.isin(GRAPH.names, kept))))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tau", [0.01, 0.1, 0.6])
def test_it_is_the_literal_loop(seed, tau):
    of = distance(seed)
    for descending in (False, True):
        want = literal(of, tau, False, descending)
        found, asked = run(acdc(GRAPH, tau=tau, order=Order(descending=descending)), of)
        assert set(GRAPH.named(found.chosen)) == want
        assert found.asked == len(asked) and found.unused == 0
        assert found.value == pytest.approx(of(found.chosen))
        # each edge costs a run, but for those that nothing reads
        assert found.asked == 1 + len(GRAPH) - found.unread
        for ahead in (2, 5, 100):
            again, asked = run(
                acdc(GRAPH, tau=tau, order=Order(descending=descending), ahead=ahead), of
            )
            assert (again.chosen == found.chosen).all() and again.value == found.value
            assert again.dangling == found.dangling and again.unread == found.unread
            assert again.asked - again.unused == found.asked


def test_absolute_changes_keep_what_harms():
    def of(circuit: np.ndarray) -> float:
        return float(circuit[GRAPH.names.index("m0->logits")])  # it is better without

    (found, _), (kept, _) = (
        run(acdc(GRAPH, tau=0.5, order=Order(), absolute=one), of) for one in (False, True)
    )
    assert found.chosen.sum() == 0
    assert GRAPH.names.index("m0->logits") not in np.flatnonzero(found.chosen)
    assert literal(of, 0.5, True, False) == set(GRAPH.named(kept.chosen))


def test_no_threshold_keeps_all_and_a_large_one_nothing():
    of = distance(0)
    assert run(acdc(GRAPH, tau=0.0, order=Order()), of)[0].chosen.all()
    assert not run(acdc(GRAPH, tau=1e9, order=Order()), of)[0].chosen.any()


def test_backups_depend_on_the_order():
    """Either of two heads does: which one stays is the order's choice, and is said."""
    a, b = (GRAPH.names.index(f"a1.h{h}->logits") for h in (0, 1))

    def of(circuit: np.ndarray) -> float:
        on = GRAPH.on_a_path(circuit)
        return 0.0 if on[a] or on[b] else 1.0

    found, asked = run(acdc_orders(GRAPH, tau=0.5, seed=1), of)
    first, last = Order(), Order(descending=True)
    assert not found.found[first].chosen[a] and found.found[first].chosen[b]
    assert found.found[last].chosen[a] and not found.found[last].chosen[b]
    assert found.jaccard[first, last] == 0.0 and found.common == 0
    assert found.united >= 2 * found.found[first].chosen.sum()
    # the model itself was asked for once
    assert sum(circuit.all() for circuit in asked) == 1
    assert [str(order) for order in found.found] == ["ascending", "descending", "shuffled by 1"]


def test_without_interactions_the_order_does_not_matter():
    cost = np.random.default_rng(5).random(len(GRAPH))

    def of(circuit: np.ndarray) -> float:
        return float(cost @ ~circuit)

    found, _ = run(acdc_orders(GRAPH, tau=0.3), of)
    chosen = [np.flatnonzero(one.chosen).tolist() for one in found.found.values()]
    assert chosen[0] == chosen[1] == chosen[2] and set(found.jaccard.values()) == {1.0}


def test_several_thresholds_share_their_runs():
    of = distance(2)
    taus = (0.05, 0.2)
    found, asked = run(together({t: acdc(GRAPH, tau=t, order=Order()) for t in taus}), of)
    alone = [run(acdc(GRAPH, tau=t, order=Order()), of) for t in taus]
    for tau, (one, _) in zip(taus, alone, strict=True):
        assert (found[tau].chosen == one.chosen).all()
    assert len(asked) < sum(len(asked_alone) for _, asked_alone in alone)


def test_a_seed_is_an_order():
    of = distance(3)
    one, other = (run(acdc(GRAPH, tau=0.2, order=Order(seed=7)), of)[0].chosen for _ in range(2))
    assert (one == other).all()


def test_only_the_edges_that_it_begins_with():
    among = np.array(["m" not in name for name in GRAPH.names])
    found, asked = run(acdc(GRAPH, tau=0.1, order=Order(), among=among), distance(1))
    assert not (found.chosen & ~among).any() and (asked[0] == among).all()


def test_a_distance_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="no finite number"):
        run(acdc(GRAPH, tau=0.1, order=Order()), lambda circuit: float("nan"))
