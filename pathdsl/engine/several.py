"""A session over several models: each task's runs go to the session of its model, one by one.

What is asked for in a round is measured model by model, beginning with the one whose turn it is, so
that the weights of one model at a time are in memory, and each is loaded once a round at most.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from pathdsl.engine.planner import Planner
from pathdsl.engine.scored import Place
from pathdsl.engine.session import EngineSession
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.liveness import Cost
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.statistics.book import Book

__all__ = ["SeveralSessions"]


class SeveralSessions:
    """The `Session` of `pathdsl.score.session` over several models.

    `planner` has the tasks of all, `models` the name of the model of each task. `begin` makes the
    session of a model when its first run is asked for.
    """

    def __init__(
        self,
        planner: Planner,
        models: Mapping[str, str],
        begin: Callable[[str], EngineSession],
    ) -> None:
        self.planner = planner
        self.models = models
        self.parts: dict[str, EngineSession] = {}
        self._begin = begin
        self._turn = ""

    def of(self, task: str) -> EngineSession:
        """The session of the model that a task runs on."""
        return self.part(self.models[task])

    def part(self, model: str) -> EngineSession:
        """The session of a model."""
        if model not in self.parts:
            self.parts[model] = self._begin(model)
            self._turn = model
        return self.parts[model]

    def begin_all(self) -> None:
        """Begin the sessions of models that nothing was asked of."""
        for model in dict.fromkeys(self.models.values()):
            self.part(model)

    @property
    def book(self) -> Book | None:
        """Intervals that were worked out before."""
        return next((one.book for one in self.parts.values()), None)

    @property
    def tasks(self) -> Mapping[str, TaskData]:
        """The rows of every task."""
        return self.planner.tasks

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these model by model; what is known already is not run again."""
        by_model: dict[str, list[Request]] = {}
        for request in requests:
            by_model.setdefault(self.models[request[0].task], []).append(request)
        for model in sorted(by_model, key=lambda name: name != self._turn):
            self.part(model).measures(by_model[model])
            self._turn = model

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(draws, rows) float64; draws is 1 for a run without draws."""
        return self.of(run.task).value(run, measure)

    def scored(
        self, run: RunSpec, measure: Measure, unit: tuple[str, str, str], at: Pos | None
    ) -> np.ndarray:
        """(1, rows) float64: the score of one unit (sender, receiver, slot) in an attribution."""
        return self.of(run.task).scored(run, measure, unit, at)

    def identity(self, run: RunSpec) -> RunSpec:
        """The run under one name: runs of one identity have the same values, bit for bit."""
        return self.planner.identity(run)

    @property
    def asked(self) -> dict[RunSpec, dict[Measure, None]]:
        """All runs with their measures, model by model."""
        return {run: found for one in self.parts.values() for run, found in one.asked.items()}

    @property
    def scores_read(self) -> tuple[tuple[Request, Place], ...]:
        """The attributions of which scores were read, each with the unit, model by model."""
        return tuple(read for one in self.parts.values() for read in one.scores_read)

    @property
    def attributed(self) -> list[float]:
        """What each attribution that was computed cost, in plain forward passes."""
        return [cost for one in self.parts.values() for cost in one.attributed]

    @property
    def plans(self) -> list[Plan]:
        """The plans that were executed, model by model."""
        return [plan for one in self.parts.values() for plan in one.plans]

    @property
    def costs(self) -> list[Cost]:
        """What they cost."""
        return [cost for one in self.parts.values() for cost in one.costs]

    @property
    def needs(self) -> dict[str, int]:
        """Bytes that what was computed has to be given for its values, by task."""
        return {task: need for one in self.parts.values() for task, need in one.needs.items()}

    def rounding(self) -> float:
        """How far two evaluations of one metric value may lie apart at most, on any model."""
        return max((one.rounding() for one in self.parts.values()), default=0.0)

    def allowance(self, task: str = "") -> float:
        """How far they lie apart on the model of a task, or at most on any."""
        if task:
            return self.of(task).allowance()
        return max((one.allowance() for one in self.parts.values()), default=0.0)
