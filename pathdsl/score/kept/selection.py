"""From one score an edge to a circuit of at most n edges, by rules that others can repeat.

| rule | takes | source |
|---|---|---|
| `top` | the n that rank first | arXiv:2310.10348, section 3 |
| `greedy` | from `logits` back, the best edge into what is there | arXiv:2403.17806, section 4 |
| `pnr` | a share of n by signed score, the rest by absolute score | arXiv:2510.25786 |
| `ilp` | the largest sum of scores of n edges that all lie on paths | the same |

A score is what treating the edge changes the metric by, so an edge that the behaviour needs has a
score below 0 where the metric is one that it raises. `signed` ranks by how far the metric *falls*,
the negative of the score, so that edges that work against it come last; otherwise the absolute
score ranks. Among equal scores the names of the edges
decide, and `Selection.tied` says where that mattered. Edges on no path from `input` to `logits`
have no effect: they are taken out after the choice and named, never replaced by others.

    select("greedy", graph, scores, Asked(n=400, signed=False, share=0.5, among=None))
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathdsl.score.kept.graph import EdgeGraph

__all__ = ["CHOOSE", "HALF", "Asked", "Selection", "Tie", "select"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What circuit is wanted: at most `n` edges.

    `share`: what part of them `pnr` takes by signed score. `among`: (edges,) bool, the edges that
    may be taken at all, such as those that `pathdsl.score.kept.stability.steady` gives; None for
    all.
    """

    n: int
    signed: bool
    share: float
    among: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """That names decided: `taken` of `equal` edges of one score."""

    taken: int
    equal: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """A circuit: `chosen`, (edges,) bool, are its edges, all on a path from `input` to `logits`.

    `dangling` are edges that the rule took and that lie on no path. `proven`: whether no better
    circuit exists by the rule's own measure; None for a rule that has none. `total`: the sum of the
    scores that were ranked, over `chosen`.
    """

    chosen: np.ndarray
    dangling: tuple[str, ...]
    tied: tuple[Tie, ...]
    proven: bool | None
    total: float

    @property
    def size(self) -> int:
        """The number of edges."""
        return int(self.chosen.sum())


HALF = 0.5
"""The share of the edges that `pnr` takes by signed score unless it is said."""
Choose = Callable[[EdgeGraph, np.ndarray, Asked], Selection]


def select(rule: str, graph: EdgeGraph, scores: np.ndarray, asked: Asked) -> Selection:
    """The circuit of a rule; `scores` is (edges,) float64, one number an edge.

    Raises ValueError for a rule that measures, scores that are not finite, or an n below 1.
    """
    choose = CHOOSE.get(rule)
    if choose is None:
        raise ValueError(f"`{rule}` takes no circuit from scores alone")
    if scores.shape != (len(graph),) or not np.isfinite(scores).all():
        raise ValueError("one finite score is wanted for each edge")
    if asked.n < 1 or not 0 <= asked.share <= 1:
        raise ValueError(f"{asked.n} edges and a share of {asked.share} are no selection")
    return choose(graph, scores, asked)


def _finish(
    graph: EdgeGraph,
    taken: np.ndarray,
    keys: np.ndarray,
    tied: tuple[Tie, ...],
    proven: bool | None = None,
) -> Selection:
    """Take out what lies on no path."""
    chosen = graph.on_a_path(taken)
    return Selection(
        chosen=chosen,
        dangling=graph.named(taken & ~chosen),
        tied=tied,
        proven=proven,
        total=float(keys[chosen].sum()),
    )


def _first(
    graph: EdgeGraph, keys: np.ndarray, n: int, among: np.ndarray
) -> tuple[np.ndarray, tuple[Tie, ...]]:
    """The n largest keys as (edges,) bool, equal ones by name."""
    order = graph.by_name[among[graph.by_name]]
    order = order[np.argsort(-keys[order], kind="stable")]
    taken = np.zeros(len(graph), dtype=bool)
    taken[order[:n]] = True
    if not 0 < n < len(order) or keys[order[n - 1]] != keys[order[n]]:
        return taken, ()
    equal = keys[order] == keys[order[n]]
    return taken, (
        Tie(taken=int(equal[:n].sum()), equal=int(equal.sum()), score=float(keys[order[n]])),
    )


def _keys(scores: np.ndarray, asked: Asked) -> np.ndarray:
    return -scores if asked.signed else np.abs(scores)


def _among(graph: EdgeGraph, asked: Asked) -> np.ndarray:
    return np.ones(len(graph), dtype=bool) if asked.among is None else asked.among


def _top(graph: EdgeGraph, scores: np.ndarray, asked: Asked) -> Selection:
    keys = _keys(scores, asked)
    taken, tied = _first(graph, keys, asked.n, _among(graph, asked))
    return _finish(graph, taken, keys, tied)


def _pnr(graph: EdgeGraph, scores: np.ndarray, asked: Asked) -> Selection:
    """floor(share · n) edges by signed score, then the rest by absolute score."""
    among = _among(graph, asked)
    # As a decimal fraction is meant: 0.7 · 10 is 7, and 6.999… in binary.
    first = int(asked.share * asked.n + 1e-9)
    by_score, tied = _first(graph, -scores, first, among)
    keys = np.abs(scores)
    by_size, more = _first(graph, keys, asked.n - first, among & ~by_score)
    return _finish(graph, by_score | by_size, keys, tied + more)


def _greedy(graph: EdgeGraph, scores: np.ndarray, asked: Asked) -> Selection:
    """Best-first from `logits`: of the edges into what the circuit has, the best, n times.

    The circuit of n edges is a part of that of n + 1.
    """
    keys, among = _keys(scores, asked), _among(graph, asked)
    rank = np.empty(len(graph), dtype=np.int64)
    rank[graph.by_name] = np.arange(len(graph))
    taken = np.zeros(len(graph), dtype=bool)
    frontier: list[tuple[float, int, int]] = []
    opened: set[int] = set()

    def open_(node: int) -> None:
        if node not in opened:
            opened.add(node)
            for edge in graph.into.get(node, ()):
                if among[edge]:
                    heapq.heappush(frontier, (-keys[edge], int(rank[edge]), int(edge)))

    open_(graph.layout.logits)
    for _ in range(asked.n):
        if not frontier:
            break
        _, _, edge = heapq.heappop(frontier)
        taken[edge] = True
        open_(int(graph.senders[edge]))
    # An edge that was left out and equals one that was taken: another name, another circuit.
    left = np.array([edge for _, _, edge in frontier], dtype=np.int64)
    tied = []
    for score in np.unique(keys[left][np.isin(keys[left], keys[taken])]):
        inside = int((keys[taken] == score).sum())
        outside = int((keys[left] == score).sum())
        tied.append(Tie(taken=inside, equal=inside + outside, score=float(score)))
    return _finish(graph, taken, keys, tuple(tied))


def _ilp(graph: EdgeGraph, scores: np.ndarray, asked: Asked) -> Selection:
    """max Σ s_e x_e with Σ x ≤ n, x_e ≤ y of both its ends, and no end without the other side.

    Each node but `input` has a chosen edge into it and each but `logits` one out of it; since edges
    go forwards, every chosen edge then lies on a path. y needs no integers: it is 1 where an x is.
    Among circuits of one sum the solver decides, the same one with the same solver.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    keys = _keys(scores, asked)
    # What lies on no path of all edges can be in no circuit.
    usable = graph.on_a_path(_among(graph, asked))
    edges = graph.by_name[usable[graph.by_name]]
    taken = np.zeros(len(graph), dtype=bool)
    if not len(edges):
        return _finish(graph, taken, keys, (), proven=True)
    ends = [(graph.senders[edges], 0), (graph.receivers[edges], graph.layout.logits)]
    inner = np.unique(np.concatenate([nodes[nodes != end] for nodes, end in ends]))
    inner = inner[(inner != 0) & (inner != graph.layout.logits)]
    place = {int(node): len(edges) + i for i, node in enumerate(inner)}
    rows, columns, entries, row = [], [], [], 0

    def put(column: int, entry: float) -> None:
        rows.append(row)
        columns.append(column)
        entries.append(entry)

    for nodes, end in ends:
        for i, node in enumerate(nodes):  # x_e - y ≤ 0
            if node != end:
                put(i, 1.0)
                put(place[int(node)], -1.0)
                row += 1
    for nodes, _ in ends:  # y - Σ x ≤ 0, once for the edges into a node and once for those out
        found = {int(node): np.flatnonzero(nodes == node) for node in inner}
        for node, at in found.items():
            put(place[node], 1.0)
            for edge in at:
                put(int(edge), -1.0)
            row += 1
    for i in range(len(edges)):
        put(i, 1.0)
    n_variables = len(edges) + len(inner)
    matrix = coo_array((entries, (rows, columns)), shape=(row + 1, n_variables)).tocsr()
    most = np.zeros(row + 1)
    most[row] = asked.n
    objective = np.zeros(n_variables)
    objective[: len(edges)] = -keys[edges] / max(float(np.abs(keys[edges]).max()), 1e-300)
    whole = np.zeros(n_variables)
    whole[: len(edges)] = 1
    solved = milp(
        objective,
        integrality=whole,
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, -np.inf, most),
        options={"mip_rel_gap": 0.0},
    )
    if solved.x is None:
        raise RuntimeError(f"the integer program has no solution: {solved.message}")
    taken[edges[solved.x[: len(edges)] > 0.5]] = True
    return _finish(graph, taken, keys, (), proven=bool(solved.status == 0))


CHOOSE: dict[str, Choose] = {"top": _top, "greedy": _greedy, "pnr": _pnr, "ilp": _ilp}
"""The rules of `pathdsl.lang.signatures.selections` that take a circuit from one score an edge."""
