"""Quantities over plain arrays: each column is a measure of the reference run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import Aggregate, RowMetric
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from tests.score.fakes import task_data


class ArraySession:
    def __init__(self, columns: Mapping[str, np.ndarray], clusters=None, tolerance=1e-9) -> None:
        self.columns = {
            tuple(name.rpartition(".")[::2]): np.asarray(x, float) for name, x in columns.items()
        }
        self.tolerance = tolerance
        rows = {task or "t": len(x) for (task, _), x in self.columns.items()}
        self.tasks = {name: task_data(n, name, clusters=clusters) for name, n in rows.items()}

    def measures(self, requests) -> None:
        pass

    def value(self, run, measure) -> np.ndarray:
        key = ("" if run.task == "t" else run.task, measure.column)
        return np.atleast_2d(self.columns[key])

    def rounding(self) -> float:
        return self.tolerance

    def allowance(self, task: str = "") -> float:
        return self.tolerance

    def identity(self, run: RunSpec) -> RunSpec:
        return run


def row(name: str, *, hits: bool = False, task: str = "t") -> RowMetric:
    measure = Measure(kind="top1" if hits else "logit", column=name)
    return RowMetric(metric=atom(measure), run=RunSpec(task=task, kind="reference"))


def agg(name: str, kind: str = "mean", **options) -> Aggregate:
    task = options.get("task", "t")
    found = row(name, hits=options.pop("hits", False), task=task)
    return Aggregate(
        kind=kind, rows=found, task=task, **{k: v for k, v in options.items() if k != "task"}
    )


def bootstrap(
    columns, count: int = 1000, seed: int = 0, clusters=None, tolerance=1e-9
) -> Bootstrap:
    session = ArraySession(columns, clusters=clusters, tolerance=tolerance)
    return Bootstrap(Evaluator(session), count=count, seed=seed)
