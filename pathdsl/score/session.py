"""What scoring asks of the rest: path sets from a resolver, values from a session of runs.

Scoring never runs a model. It says which measures of which runs it needs (`Session.measures`, all
requests of a round at once, so that one plan shares their work) and reads the values afterwards
(`Session.value`). Both sides are protocols: the tests answer them with arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import PathSet, Pos
from pathdsl.graph.paths.units import NodeUnit, Unit
from pathdsl.graph.resolve.attributed import Attributed
from pathdsl.graph.resolve.places import Member
from pathdsl.graph.resolve.targets import Target
from pathdsl.lang import ast
from pathdsl.lang.loops import Value
from pathdsl.lang.signatures.attribution import AttributionRecord
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.plan.taskdata import TaskData

__all__ = ["Bindings", "Member", "PathAlgebra", "Request", "Resolver", "RunSpec", "Session", "Unit"]

Bindings = Mapping[str, Member]
T = TypeVar("T")


class PathAlgebra(Protocol):
    """Set operations on complete path sets; the module `pathdsl.graph.paths.pathset` is one."""

    @property
    def FULL(self) -> PathSet:
        """All paths."""

    @property
    def NONE(self) -> PathSet:
        """No path."""

    def intersection(self, left: PathSet, right: PathSet) -> PathSet:
        """Paths in both."""

    def minus(self, left: PathSet, right: PathSet) -> PathSet:
        """Paths in the first and not in the second."""


class Ranked(Protocol):
    """All edges of a model in order, such as a `pathdsl.graph.files.ranking.Ranking`."""

    def __len__(self) -> int:
        """The number of edges."""

    def first(self, count: int) -> PathSet:
        """The circuit of the first edges."""


class Resolver(Protocol):
    """Path expressions on the graph of one model, and of those that other tasks run on."""

    @property
    def others(self) -> Mapping[str, Any]:
        """The resolver of each task that runs on a model of another shape."""

    def on(self, task: str) -> Resolver:
        """The same program on the graph of the model that a task runs on."""

    def path_set(self, expr: ast.PathExpr, bindings: Bindings = ...) -> PathSet:
        """The complete path set of an expression."""

    def loop(self, loop: ast.Loop) -> tuple[Member, ...]:
        """The members of `for v in SET`."""

    def units(
        self, expr: ast.PathExpr, bindings: Bindings = ..., over: ast.Node | None = ...
    ) -> tuple[Unit, ...]:
        """Heads and MLPs that P names, or those of `over`, as far as they lie on a path of P."""

    def edges(
        self, expr: ast.PathExpr, bindings: Bindings = ..., over: ast.Node | None = ...
    ) -> tuple[Unit, ...]:
        """The edges that P lists, or those of `over`, for `per: edge`."""

    def edges_of(self, domain: ast.EdgesOf) -> tuple[Value, ...]:
        """The members of `for e in edges(P)`."""

    def attributed(
        self,
        expr: ast.PathExpr,
        slot: str,
        bindings: Bindings = ...,
        by: AttributionRecord | None = ...,
    ) -> Attributed:
        """The one node, input, mark or edge that an attribution scores."""

    def patched(self, expr: ast.PathExpr, unit: Attributed, bindings: Bindings = ...) -> PathSet:
        """The paths that carry a treated value where one unit alone is patched."""

    def targets(self, action: ast.Action) -> tuple[Target, ...]:
        """The values that an action of an `intervene` block acts on."""

    def target(self, ref: ast.NodeRef) -> Target:
        """The one value that `set X = NODE` takes."""

    def vector(self, call: ast.Call) -> tuple[float, ...]:
        """The numbers of `vector("FILE", key: "…")`."""

    def ranking(self, expr: ast.EdgesFile, *, signed: bool) -> Ranked:
        """The edges of a score file in order, by score or by absolute score."""

    def read_file(self, expr: ast.EdgesFile, read: Callable[[Path, Layout], T]) -> T:
        """What `read` makes of a file that lies where it may, and of the model's components."""

    def groups_of(
        self, expr: ast.PathExpr, bindings: Bindings = ...
    ) -> tuple[tuple[str, tuple[Unit, ...]], ...]:
        """The groups that P names, with their units."""

    def unit_group(
        self, expr: ast.PathExpr, unit: NodeUnit, bindings: Bindings = ...
    ) -> tuple[Unit, ...]:
        """The units of the unit's group in P; itself where it is in none."""

    def through(self, units: Iterable[Unit]) -> PathSet:
        """The paths through any of these units, or that use any of these edges."""

    def extended(
        self, expr: ast.PathExpr, seed: int, bindings: Bindings = ...
    ) -> tuple[PathSet, Unit]:
        """A listed P with a random walk added, and a random edge of what was added."""

    def count(self, paths: PathSet) -> int:
        """The number of (node, slot) sequences."""

    def node_set(self, paths: PathSet, beside: PathSet = ...) -> frozenset[str]:
        """Every node on one of the paths; neurons that `beside` tells apart are told apart too."""

    def edge_set(self, paths: PathSet, beside: PathSet = ...) -> frozenset[str]:
        """Every edge on one of the paths; `beside` as above."""


class Session(Protocol):
    """Executes what scoring asks for and keeps the values."""

    @property
    def tasks(self) -> Mapping[str, TaskData]:
        """The rows of every task."""

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these as one plan; what is known already is not run again."""

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(draws, rows) float64; draws is 1 for a run without draws."""

    def scored(
        self, run: RunSpec, measure: Measure, unit: tuple[str, str, str], at: Pos | None
    ) -> np.ndarray:
        """(1, rows) float64: the score of one unit (sender, receiver, slot) in an attribution."""

    def identity(self, run: RunSpec) -> RunSpec:
        """The run under one name: runs of one identity have the same values, bit for bit."""

    def rounding(self) -> float:
        """How far two evaluations of one metric value may lie apart at most, by dtype."""

    def allowance(self, task: str = "") -> float:
        """How far they lie apart in this check, as its self-checks show; at most `rounding`.

        On the model of a task, or the most of all where none is named.
        """
