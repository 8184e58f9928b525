"""What a drawing of a path set shows: its units with layers and positions, and their edges.

An edge joins two units where some path of the set takes that edge between their components and
where the positions allow it on some prompt. Nodes that the file does not name singly, by range or
through a group are background and not drawn, nor is what runs through them.

    {"path": "main", "positions": ["S2", "END"], "nodes": [{"name": "a0.h1@S2", …}], "edges": […]}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pathdsl.engine.data.positions import indices_of
from pathdsl.graph.paths.neurons import node_of
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.paths.units import NodeUnit
from pathdsl.graph.resolve.places import pos_of
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.serving import metrics_elsewhere
from pathdsl.lang.walk import walk
from pathdsl.plan.readout import BEFORE_ANSWER
from pathdsl.plan.taskdata import TaskData

if TYPE_CHECKING:
    from pathdsl.graph.resolve.resolver import Resolver

__all__ = ["drawing_of"]

Object = dict[str, Any]
Rows = tuple[tuple[int, ...], ...]
MOST_EDGES = 400
"""Beyond these a drawing of edges shows nothing but a grey field: units alone are drawn."""


def drawing_of(
    resolver: Resolver, program: Program, name: str, tasks: Sequence[TaskData]
) -> Object:
    """The drawing of a named path set; positions from left to right as they mostly stand.

    `edges` holds pairs of node numbers with slots; it is null where there are more than are drawn,
    and `n_edges` says how many. A node without a position has `at` null.
    """
    expr = program.paths[name].path
    places = _Places(tasks)
    units = resolver.units(expr)
    groups = resolver.groups_of(expr)
    names = {str(unit.at): unit.at for unit in units if unit.at is not None}
    nodes = []
    for unit in units:
        node = node_of(unit.component, resolver.layout)
        nodes.append(
            {
                "name": unit.label,
                "label": unit.name,
                "kind": node.kind.name,
                "layer": node.layer,
                "at": str(unit.at) if unit.at else None,
                "groups": [group for group, members in groups if unit in members],
            }
        )
    edges = list(_edges(resolver, expr, units, places, _read(program, tasks)))
    return {
        "path": name,
        "layers": resolver.shape.n_layers,
        "positions": sorted(names, key=lambda text: (places.middle(names[text]), text)),
        "nodes": nodes,
        "edges": edges if len(edges) <= MOST_EDGES else None,
        "n_edges": len(edges),
    }


def _read(program: Program, tasks: Sequence[TaskData]) -> tuple[Pos, ...]:
    """The positions at which the metrics of a program read the logits; END where they say none."""
    positions: dict[Pos, None] = {}
    elsewhere = metrics_elsewhere(program, (*program.lets.values(), *program.claims))
    for metric in (*program.metrics.values(), *elsewhere):
        own = [node.at for node in walk(metric.expression) if isinstance(node, ast.Call)]
        for at in (metric.at, *own):
            if (where := pos_of(at)) is not None:
                positions[where] = None
        if metric.at is None and None in own:
            positions[Pos(name="END")] = None
            if any(task.whole and task.branches for task in tasks):
                positions[Pos.parse(BEFORE_ANSWER)] = None
    return tuple(positions) or (Pos(name="END"),)


def _edges(
    resolver: Resolver,
    expr: ast.PathExpr,
    units: Sequence[NodeUnit],
    places: _Places,
    read: Sequence[Pos],
) -> Iterator[Object]:
    """Edges among units, `input` (-1) and `logits` (-2), those of several slots as one.

    `read` are the positions at which `logits` is read.
    """
    product = resolver.sets.product(resolver.path_set(expr))
    of: dict[int, list[int]] = {}
    for number, unit in enumerate(units):
        of.setdefault(unit.component, []).append(number)
    of[product.index(0)] = [-1]
    of[resolver.layout.logits] = [-2]
    slots_of: dict[tuple[int, int], list[str]] = {}
    for sender, receiver, slot in sorted(product.own_edges(), key=lambda e: (*e[:2], e[2] or "")):
        for u in of.get(product.index(sender), ()):
            for v in of.get(product.index(receiver), ()):
                here = units[u].at if u >= 0 else None
                theres = (units[v].at,) if v >= 0 else read if v == -2 else (None,)
                moves = slot in ("k", "v")
                if any(places.meet(here, there, moves=moves) for there in theres):
                    slots = slots_of.setdefault((u, v), [])
                    slots += [slot] if slot and slot not in slots else []
    for (u, v), slots in slots_of.items():
        yield {"from": u, "to": v, "slots": slots}


class _Places:
    """Where positions stand on the prompts of all tasks."""

    def __init__(self, tasks: Sequence[TaskData]) -> None:
        self.tasks = [task.longest or task for task in tasks]
        self._rows_of: dict[Pos, list[Rows]] = {}

    def rows(self, at: Pos) -> list[Rows]:
        """The indices of a position on every row of every task that has it."""
        if at not in self._rows_of:
            self._rows_of[at] = [
                indices_of(task, at) for task in self.tasks if at.names <= task.positions.keys()
            ]
        return self._rows_of[at]

    def middle(self, at: Pos) -> float:
        """The mean index; what no task has stands last."""
        firsts = [row[0] for rows in self.rows(at) for row in rows if row]
        return sum(firsts) / len(firsts) if firsts else float("inf")

    def meet(self, sender: Pos | None, receiver: Pos | None, *, moves: bool) -> bool:
        """Whether on some prompt the one is read where the other reads, or later if it `moves`."""
        if sender is None or receiver is None or sender == receiver:
            return True
        for one, other in zip(self.rows(sender), self.rows(receiver), strict=False):
            for here, there in zip(one, other, strict=False):
                if moves and here and there and min(here) <= max(there):
                    return True
                if set(here) & set(there):
                    return True
        return False
