"""Claims that compare runs which are one: of sets that are equal, all paths, none, or their scope.

By their text (`pathdsl.lang.method.ranges`) two names of one set are two sets. Here they are
resolved: a run has the name of what it does, a difference of a run with itself is 0 and a quotient
1, and where a number is left that no value enters, the claim is decided whatever the model does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.lang.signatures.ranges import point
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.plan.runs import RunSpec
from pathdsl.score.quantity import (
    Aggregate,
    Among,
    Constant,
    Correlation,
    RowExpr,
    RowMetric,
    RowNumber,
    RowOp,
    Scalar,
    Worst,
    aggregates,
    is_constant,
    rebuilt,
    remade,
    row_metrics,
)  # fmt: skip
from pathdsl.score.session import PathAlgebra, Resolver
from pathdsl.score.statistics.arithmetic import apply
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = ["Same", "folded"]

MOST = 6
"""Runs of one claim whose path sets are compared; a family of knockouts has many, all different."""


class Same:
    """Which path sets are equal, whatever they are made of; each pair is looked at once."""

    def __init__(self, resolver: Resolver, algebra: PathAlgebra, evaluator: Evaluator) -> None:
        self.resolver = resolver
        self.algebra = algebra
        self.evaluator = evaluator
        self._equal: dict[tuple[Resolver, PathSet, PathSet], bool] = {}

    def decided(self, node: Scalar) -> tuple[float, str] | None:
        """What a quantity is whatever the model does, and which runs are one; None: it may vary."""
        if isinstance(node, Constant) and node.counted is not None:
            subjects = node.counted.subjects
            if len(subjects) == 2 and self._sets(subjects[0].paths, subjects[1].paths, ""):
                return node.value, f"`{subjects[0].text}` is `{subjects[1].text}`"
        if is_constant(node):
            return None
        names = self.names(node)
        left = folded(node, lambda run: names.get(run, run))
        if not isinstance(left, Constant) or not np.isfinite(left.value):
            return None
        said = [f"`{a.label}` is `{b.label}`" for a, b in names.items() if a.label != b.label]
        return left.value, " and ".join(dict.fromkeys(said)) or "it compares a run with itself"

    def names(self, node: Scalar) -> Mapping[RunSpec, RunSpec]:
        """The runs of a quantity, each with the first of those that do the same."""
        items = [item for one in aggregates(node) for item in row_metrics(one.rows)]
        runs = list(dict.fromkeys(item.run for item in items))
        found = {run: run for run in runs}
        if len(runs) > MOST:
            return found
        for a, b in combinations(runs, 2):
            if found[b] == b and self._one(a, b, items):
                found[b] = found[a]
        # A score that reads the divergence from the reference run does not name that run.
        for run in runs:
            plain = RunSpec(task=run.task, kind="reference", label="reference")
            if (
                found[run] == run
                and run.treats
                and self._equal_sets(run.treated_paths, self.algebra.NONE, run, items)
            ):
                found[run] = plain
        return found

    def _one(self, a: RunSpec, b: RunSpec, items: Sequence[RowMetric]) -> bool:
        left, right = a.treated_paths, b.treated_paths
        alike = (a.task, a.under) == (b.task, b.under)
        nothing = left == right == self.algebra.NONE
        if not alike or not (nothing or a.treated == b.treated or not (a.treats and b.treats)):
            return False
        if left == right:
            return True
        mine = {item.metric: self.evaluator.rows(item) for item in items if item.run == a}
        for item in items:
            if item.run == b and item.metric in mine:
                error = 2 * self.evaluator.session.allowance(a.task)
                if np.max(np.abs(self.evaluator.rows(item) - mine[item.metric])) > error:
                    return False  # so they are not one, and no automaton has to be built
        return self._sets(left, right, a.task)

    def _equal_sets(
        self, left: PathSet, right: PathSet, run: RunSpec, items: Sequence[RowMetric]
    ) -> bool:
        divergences = [
            item for item in items
            if item.run == run and any(m.record.reads == "reference" for m in item.metric.measures)
        ]  # fmt: skip
        if not divergences:
            return False
        error = 2 * self.evaluator.session.allowance(run.task)
        if any(np.max(np.abs(self.evaluator.rows(item))) > error for item in divergences):
            return False
        return left == right or self._sets(left, right, run.task)

    def _sets(self, left: PathSet, right: PathSet, task: str) -> bool:
        graph = self.resolver.on(task)
        key = graph, left, right
        if key not in self._equal:
            count, minus = graph.count, self.algebra.minus
            self._equal[key] = not count(minus(left, right)) and not count(minus(right, left))
        return self._equal[key]


def folded(node: Scalar, name: Callable[[RunSpec], RunSpec]) -> Scalar:
    """The quantity with runs under their names, and without what cancels; values are not read."""

    def changed(one: Scalar, args: Sequence[Scalar]) -> Scalar:
        if isinstance(one, Aggregate):
            rows = _rows(one.rows, name)
            if isinstance(rows, RowNumber):
                return Constant(value=STATISTICS[one.kind].range([point(rows.value)]).low)
            return replace(one, rows=rows)
        if isinstance(one, Constant):
            return one
        if isinstance(one, Among | Correlation):
            return rebuilt(one, args)
        op = one.which if isinstance(one, Worst) else one.op
        numbers = [arg.value for arg in args if isinstance(arg, Constant)]
        if len(numbers) == len(args):
            return Constant(value=_value(op, numbers))
        found = _cancelled(op, args, numbers)
        return rebuilt(one, args) if found is None else Constant(value=found)

    return remade(node, changed)


def _rows(rows: RowExpr, name: Callable[[RunSpec], RunSpec]) -> RowExpr:
    match rows:
        case RowMetric(metric=metric, run=run):
            named = name(run)
            beside = all(m.record.reads == "reference" for m in metric.measures)
            if beside and not named.treats and metric.measures and not metric.denominators:
                zero = np.zeros((1, 1))
                value = metric.evaluate({m: zero for m in metric.measures})
                return RowNumber(value=float(value[0, 0]))
            return replace(rows, run=named)
        case RowOp(op=op, args=args):
            made = tuple(_rows(arg, name) for arg in args)
            numbers = [arg.value for arg in made if isinstance(arg, RowNumber)]
            if len(numbers) == len(made):
                return RowNumber(value=_value(op, numbers))
            found = _cancelled(op, made, numbers)
            return replace(rows, args=made) if found is None else RowNumber(value=found)
        case _:
            return rows


def _cancelled(op: str, args: Sequence[object], numbers: Sequence[float]) -> float | None:
    """The number that an operation gives whatever its arguments are; None where it depends."""
    same = all(arg == args[0] for arg in args)
    match op:
        case "-" if same:
            return 0.0
        case "/" | "same" if same:
            return 1.0
        case "*" if 0.0 in numbers:
            return 0.0
        case "/" if numbers == [0.0] and args[0] in (Constant(value=0.0), RowNumber(value=0.0)):
            return 0.0
        case _:
            return None


def _value(op: str, numbers: Sequence[float]) -> float:
    return float(apply(op, [np.full(1, number) for number in numbers])[0])
