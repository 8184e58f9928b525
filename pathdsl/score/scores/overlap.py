"""`overlap(P, Q)`: what two path sets share, of what.

Units in both by units in either (`united`, Jaccard), in the first, in the second or in the smaller
(the overlap coefficient); Merullo et al. 2023 (arXiv:2310.08744) leave the denominator of their
78 % unstated, so it is always named here. `node` counts the units of P and Q (every node on a path
where one of them names none), `head` the heads among them whatever their position, `edge` the edges
on a path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from pathdsl.graph.paths.units import heads_of
from pathdsl.lang import ast
from pathdsl.score.session import Bindings, Resolver

__all__ = ["compared_units", "shared_part"]

_KINDS = {"head": heads_of}
"""What `over:` leaves of the units of two sets."""


def compared_units(
    resolver: Resolver,
    subjects: tuple[ast.PathExpr, ast.PathExpr],
    over: object,
    bindings: Bindings = {},
) -> tuple[frozenset[str], frozenset[str]]:
    """The labels of the units of two path sets; `over` is a word, or other candidates for units."""

    def both(
        of: Callable[[ast.PathExpr], frozenset[str]],
    ) -> tuple[frozenset[str], frozenset[str]]:
        return of(subjects[0]), of(subjects[1])

    if isinstance(over, ast.Edges | ast.EdgesFile):
        return both(lambda p: frozenset(e.label for e in resolver.edges(p, bindings, over)))
    first, second = tuple(resolver.path_set(p, bindings) for p in subjects)
    if over == "edge":
        return resolver.edge_set(first, second), resolver.edge_set(second, first)
    nodes = over if isinstance(over, ast.Node) else None
    units = both(lambda p: frozenset(u.label for u in resolver.units(p, bindings, nodes)))
    if nodes is None and not all(units):
        units = resolver.node_set(first, second), resolver.node_set(second, first)
    kind = _KINDS.get(over) if isinstance(over, str) else None
    return units if kind is None else (kind(units[0]), kind(units[1]))


def shared_part(first: Collection[str], second: Collection[str], of: str) -> float:
    """What is in both by what the word after `as:` names; NaN where that is nothing."""
    below = {
        "united": len({*first, *second}),
        "of_first": len(first),
        "of_second": len(second),
        "of_smaller": min(len(first), len(second)),
    }[of]
    return len({*first} & {*second}) / below if below else float("nan")
