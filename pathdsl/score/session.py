"""What scoring asks of the rest: path sets from a resolver, values from a session of runs.

Scoring never runs a model. It says which measures of which runs it needs (`Session.measures`, all
requests of a round at once, so that one plan shares their work) and reads the values afterwards
(`Session.value`). Both sides are protocols: the tests answer them with arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Protocol

import numpy as np

from pathdsl.lang import ast
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData

__all__ = ["Member", "PathAlgebra", "Request", "Resolver", "RunSpec", "Session", "Unit"]

Paths = Hashable


Request = tuple[RunSpec, Measure]


class Unit(Protocol):
    """A head or MLP with its position, or an edge; hashable."""

    @property
    def label(self) -> str: ...


class Member(Protocol):
    """One value of a loop variable, `a9.h9@END`."""

    @property
    def label(self) -> str: ...


class PathAlgebra(Protocol):
    """Set operations on complete path sets; the module `pathdsl.graph.pathset` is one."""

    FULL: Paths
    NONE: Paths

    def union(self, left: Paths, right: Paths) -> Paths: ...
    def intersection(self, left: Paths, right: Paths) -> Paths: ...
    def minus(self, left: Paths, right: Paths) -> Paths: ...


class Resolver(Protocol):
    """Path expressions on the graph of one model."""

    def path_set(self, expr: ast.PathExpr, bindings: Mapping[str, Member] = ...) -> Paths: ...
    def loop(self, loop: ast.Loop) -> tuple[Member, ...]: ...
    def units(
        self, expr: ast.PathExpr, bindings: Mapping[str, Member], over: ast.NodeSet | None
    ) -> tuple[Unit, ...]: ...
    def edges(self, expr: ast.PathExpr, over: ast.PathExpr | None) -> tuple[Unit, ...]: ...
    def groups_of(self, expr: ast.PathExpr) -> tuple[tuple[str, tuple[Unit, ...]], ...]: ...
    def unit_group(self, expr: ast.PathExpr, unit: Unit) -> tuple[Unit, ...]: ...
    def through(self, units: Iterable[Unit]) -> Paths: ...
    def count(self, paths: Paths) -> int: ...
    def node_set(self, paths: Paths) -> frozenset[str]: ...
    def edge_set(self, paths: Paths) -> frozenset[str]: ...


class Session(Protocol):
    """Executes what scoring asks for and keeps the values."""

    @property
    def tasks(self) -> Mapping[str, TaskData]: ...

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these as one plan; what is known already is not run again."""

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(draws, rows) float64; draws is 1 for a run without draws."""

    def rounding(self) -> float:
        """How far two evaluations of one metric value may lie apart, by dtype."""
