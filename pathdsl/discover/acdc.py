"""ACDC: from all edges, one after the other is taken out for good where that costs little.

    remove e  iff  F(H without e) - F(H) < tau

F is a distance to the model, such as KL; H is what is left. Receivers are visited from `logits`
backwards, so that the edges into a node that nothing reads any more go without a run. Nothing here
runs a model: a generator yields circuits, (edges,) bool each, and is sent one F for each.

The result depends on the order in which edges are visited. `Order` fixes it: heads of a layer
ascending, descending, or shuffled by a seed, and so the writers that a node reads. `acdc_orders`
does it in three orders and says how much of the circuit they share.

`ahead` circuits are asked for at once, each as if all edges before it were removed, as most are:
the result is that of one by one, and one plan measures them together.

Source: Conmy et al. 2023 (arXiv:2304.14997), algorithm 1; removals whose absolute change counts are
an option of its code.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from typing import TypeVar

import numpy as np

from pathdsl.draws import Draws
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.kept.stability import jaccard

__all__ = ["Acdc", "Circuits", "Order", "OrderDependence", "acdc", "acdc_orders", "together"]

Circuits = tuple[np.ndarray, ...]
"""What is asked for at once: circuits, (edges,) bool each."""
T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
Search = Generator[Circuits, Sequence[float], T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """In which order heads of a layer are visited: shuffled by `seed` where that is given."""

    descending: bool = False
    seed: int | None = None

    def __str__(self) -> str:
        if self.seed is not None:
            return f"shuffled by {self.seed}"
        return "descending" if self.descending else "ascending"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Acdc:
    """A circuit: `chosen`, (edges,) bool, on paths from `input` to `logits`.

    `dangling`: edges that were kept and lie on no path. `unread`: how many were removed without a
    run, as nothing reads their receiver. `asked`: circuits measured, `unused` of which were asked
    for ahead in vain. `value`: F of the circuit, `model`: F of all edges.
    """

    chosen: np.ndarray
    dangling: tuple[str, ...]
    unread: int
    asked: int
    unused: int
    value: float
    model: float


def acdc(
    graph: EdgeGraph,
    *,
    tau: float,
    order: Order,
    absolute: bool = False,
    ahead: int = 1,
    among: np.ndarray | None = None,
) -> Search[Acdc]:
    """The search for one threshold; ValueError where it is sent a number that is not finite.

    `absolute`: whether a change for the better also keeps an edge. `among`: (edges,) bool, the
    edges to begin with, all others removed; None for all.
    """
    left = np.ones(len(graph), dtype=bool) if among is None else among.copy()
    (model,) = _vetted((yield (left.copy(),)))
    value, asked, unread, unused = model, 1, 0, 0
    read = {graph.layout.logits}
    for receiver, edges in _visits(graph, order):
        edges = edges[left[edges]]
        if receiver not in read:
            left[edges] = False
            unread += len(edges)
            continue
        place = 0
        while place < len(edges):
            batch = edges[place : place + max(1, ahead)]
            circuits = []
            for i in range(len(batch)):
                without = left.copy()
                without[batch[: i + 1]] = False
                circuits.append(without)
            values = _vetted((yield tuple(circuits)))
            asked += len(batch)
            for i, found in enumerate(values):
                place += 1
                change = found - value
                if not (abs(change) if absolute else change) < tau:
                    unused += len(batch) - i - 1
                    break  # it stays, and the circuits behind were asked for without it
                left[batch[i]] = False
                value = found
        read.update(int(node) for node in graph.senders[edges[left[edges]]])
    chosen = graph.on_a_path(left)
    return Acdc(
        chosen=chosen, dangling=graph.named(left & ~chosen), unread=unread, asked=asked,
        unused=unused, value=value, model=model,
    )  # fmt: skip


def _vetted(values: Sequence[float]) -> Sequence[float]:
    if not all(map(isfinite, values)):
        raise ValueError("the distance of a circuit to the model is no finite number")
    return values


def _visits(graph: EdgeGraph, order: Order) -> list[tuple[int, np.ndarray]]:
    """The receivers from `logits` backwards, each with its edges, the last writers first."""
    components = graph.layout.components
    draws = Draws(order.seed, "acdc") if order.seed is not None else None
    layers: dict[tuple[int, str], list[int]] = {}
    for number, component in enumerate(components):
        layers.setdefault((component.layer, component.kind.name), []).append(number)
    place: dict[int, int] = {}
    for group in reversed(layers.values()):
        inside = draws.shuffled(group) if draws is not None else group
        for number in reversed(inside) if order.descending and draws is None else inside:
            place[number] = len(place)
    slots = np.array([("", "q", "k", "v").index(slot) for slot in graph.slots], dtype=np.int64)
    at = np.array([place[number] for number in range(len(components))], dtype=np.int64)
    return [
        (node, edges[np.lexsort((slots[edges], at[graph.senders[edges]]))])
        for node, edges in sorted(graph.into.items(), key=lambda pair: place[pair[0]])
    ]


# -------------------------------------------------------------------------------------------------


def together(searches: Mapping[Key, Search[T]]) -> Search[dict[Key, T]]:
    """Several searches advanced at once; what two of them ask for in a round is asked once."""
    done: dict[Key, T] = {}
    pending: dict[Key, Circuits] = {}

    def advance(key: Key, values: Sequence[float] | None) -> None:
        search = searches[key]
        try:
            pending[key] = next(search) if values is None else search.send(values)
        except StopIteration as stop:
            pending.pop(key, None)
            done[key] = stop.value

    for key in searches:
        advance(key, None)
    while pending:
        wanted = {one.tobytes(): one for circuits in pending.values() for one in circuits}
        found = dict(zip(wanted, (yield tuple(wanted.values())), strict=True))
        for key, circuits in list(pending.items()):
            advance(key, [found[one.tobytes()] for one in circuits])
    return {key: done[key] for key in searches}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrderDependence:
    """What the order of the visits decides: the circuit of each order, and what pairs share.

    `jaccard`: shared edges over all edges of two circuits, for each pair; `common` and `united`:
    edges that all circuits have, and that any has.
    """

    found: Mapping[Order, Acdc]
    jaccard: Mapping[tuple[Order, Order], float]
    common: int
    united: int


def acdc_orders(
    graph: EdgeGraph,
    *,
    tau: float,
    seed: int = 0,
    absolute: bool = False,
    ahead: int = 1,
    among: np.ndarray | None = None,
) -> Search[OrderDependence]:
    """The search with heads ascending, descending and shuffled by the seed."""
    orders = (Order(), Order(descending=True), Order(seed=seed))
    found = yield from together(
        {
            order: acdc(
                graph, tau=tau, order=order, absolute=absolute, ahead=ahead, among=among
            )
            for order in orders
        }
    )  # fmt: skip
    chosen = np.array([found[order].chosen for order in orders])
    return OrderDependence(
        found=found,
        jaccard={
            (a, b): jaccard(found[a].chosen, found[b].chosen) for a, b in combinations(orders, 2)
        },
        common=int(chosen.all(axis=0).sum()),
        united=int(chosen.any(axis=0).sum()),
    )
