"""A session: executes what scoring asks for, one plan per round and task, and keeps the values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.meter import Meter, Progress
from pathdsl.engine.positions import next_tokens, position_mask
from pathdsl.engine.runner import DEFAULT_MEMORY, Settings, execute, plan_cost
from pathdsl.engine.taskspec import TaskSpec
from pathdsl.errors import DataError, Diagnostic
from pathdsl.graph.product import MAX_STATES
from pathdsl.graph.shape import ModelShape
from pathdsl.plan.build import build_plans, companies
from pathdsl.plan.liveness import Cost
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import Plan
from pathdsl.plan.table import MAX_COPIES
from pathdsl.plan.taskdata import TaskData

if TYPE_CHECKING:
    from pathdsl.engine.recall import Recall
    from pathdsl.engine.selfcheck import Proof

Request = tuple[RunSpec, Measure]

ROUNDING = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
"""How far two evaluations of one logit may lie apart, by the dtype of arithmetic (`precision` of an
adapter), relative to logits of size 1."""


def rounding_of(adapter: Adapter) -> float:
    """How far two evaluations of one logit of a model may lie apart."""
    return ROUNDING[str(adapter.precision).removeprefix("torch.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Stated bounds of a check; results do not depend on them but by rounding."""

    memory: int = DEFAULT_MEMORY
    max_states: int = MAX_STATES
    max_copies: int = MAX_COPIES


@dataclass(slots=True)
class Planner:
    """Builds plans for requests; needs the rows, not the weights."""

    shape: ModelShape
    tasks: Mapping[str, TaskData]
    specs: Mapping[str, TaskSpec]
    limits: Limits = field(default_factory=Limits)

    def normal(self, run: RunSpec) -> RunSpec:
        """The run with its task's treated value filled in; reference runs have none."""
        if run.kind == "reference":
            return replace(run, treated=None, paths=None)
        if run.treated is None:
            return replace(run, treated=self.specs[run.task].treated)
        return run

    def _by_task(self, requests: Collection[Request]) -> dict[str, list[Request]]:
        found: dict[str, list[Request]] = {}
        for run, measure in requests:
            found.setdefault(run.task, []).append((self.normal(run), measure))
        return found

    def companies(self, requests: Collection[Request]) -> list[list[Request]]:
        """The requests that `plans` would put into one plan, for each plan, in its order."""
        return [
            [(run, measure) for run, measures in runs.items() for measure in measures]
            for wanted in self._by_task(requests).values()
            for runs in companies(wanted)
        ]

    def plans(self, requests: Collection[Request]) -> list[Plan]:
        """Plans for all requests, task by task; raises PlanError and DataError."""
        found: list[Plan] = []
        for name, wanted in self._by_task(requests).items():
            task = self.tasks[name]
            for position in dict.fromkeys(m.position for _, m in wanted if m.column == "next"):
                next_tokens(task, position)  # raises PD347 where nothing follows
            for column in dict.fromkeys(m.column for _, m in wanted if m.kind == "logit"):
                _vet_single(task, column)
            found += build_plans(
                self.shape,
                name,
                task.valid,
                position_mask(task),
                wanted,
                frozen=self.specs[name].layernorm == "frozen",
                max_states=self.limits.max_states,
                max_copies=self.limits.max_copies,
            )
        return found


def _vet_single(task: TaskData, column: str) -> None:
    """Raise PD350 where `logit` is asked of a column with several tokens on some row."""
    counts = [len(ids) for ids in task.answers.get(column, ())]
    several = [row for row, count in enumerate(counts) if count > 1]
    if several:
        others = f", nor have {len(several) - 1} others" if len(several) > 1 else ""
        message = (
            f"task `{task.name}`: row `{task.row_ids[several[0]]}` has {counts[several[0]]} "
            f"tokens in `{column}`, not one{others}, and `logit` is of one token"
        )
        raise DataError(Diagnostic(code="PD350", message=message, help=f"logprob({column})"))


class EngineSession:
    """The `Session` of `pathdsl.score.session` over one model.

    Values come from `recall` where it has them; what it has not is executed on `adapter`, or on the
    recalled model where that is None, and handed to it. `prove` is asked about every plan that was
    executed; a plan that is not proved is not kept. `asked` are all runs with their measures,
    `proofs` the proofs by task, those of stored values among them.
    """

    def __init__(
        self,
        planner: Planner,
        adapter: Adapter | None,
        progress: Progress | None = None,
        *,
        recall: Recall | None = None,
        prove: Callable[[Plan], Proof | None] | None = None,
        meter: Meter | None = None,
    ) -> None:
        if adapter is None and recall is None:
            raise ValueError("a session needs an adapter or a recalled model")
        self.planner = planner
        self.meter = meter or Meter(progress)
        self.recall = recall
        self.prove = prove
        self.plans: list[Plan] = []
        self.costs: list[Cost] = []
        self.asked: dict[RunSpec, dict[Measure, None]] = {}
        self.proofs: dict[str, list[Proof]] = {}
        self._adapter = adapter
        self._values: dict[Request, np.ndarray] = {}

    @property
    def adapter(self) -> Adapter:
        """The parts of the model; reads the weights if that has not happened yet."""
        if self._adapter is None:
            assert self.recall is not None
            self._adapter = self.recall.model.adapter
        return self._adapter

    @property
    def tasks(self) -> Mapping[str, TaskData]:
        """The rows of every task."""
        return self.planner.tasks

    def with_norms(self, modes: Mapping[str, str]) -> EngineSession:
        """A session of its own in which the tasks of `modes` have these norms.

        It starts with the values of all other tasks, which it would only compute again.
        """
        specs = {
            name: replace(spec, layernorm=modes.get(name, spec.layernorm))
            for name, spec in self.planner.specs.items()
        }
        planner = replace(self.planner, specs=specs)
        other = EngineSession(
            planner,
            self._adapter,
            recall=self.recall.with_planner(planner) if self.recall is not None else None,
            prove=self.prove,
            meter=self.meter,
        )
        other._values = {key: v for key, v in self._values.items() if key[0].task not in modes}
        return other

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these as one plan per task; what is known already is not run again."""
        missing = dict.fromkeys(
            key
            for run, measure in requests
            if (key := (self.planner.normal(run), measure)) not in self._values
        )
        for company in self.planner.companies(list(missing)):
            for run, measure in company:
                self.asked.setdefault(run, {})[measure] = None
            if self.recall is not None:
                self._recall(company)
        for plan in self.planner.plans([key for key in missing if key not in self._values]):
            self._run(plan)

    def _recall(self, company: list[Request]) -> None:
        assert self.recall is not None
        found = self.recall.find(company)
        self._values |= found.values
        task = company[0][0].task
        self.proofs.setdefault(task, []).extend(found.proofs)

    def _run(self, plan: Plan) -> None:
        weighed = plan_cost(plan, self.adapter.dtype.itemsize)
        settings = Settings(memory=self.planner.limits.memory, cost=weighed)
        parts = self.recall.parts(plan) if self.recall is not None else None
        runs = "1 run" if len(plan.outputs) == 1 else f"{len(plan.outputs):,} runs"
        self.meter.what = f"task `{plan.task}`: {runs}"
        task = self.tasks[plan.task]
        try:
            values = execute(plan, task, self.adapter, settings, self.meter, parts)
        except BaseException:
            if parts is not None:
                parts.flush()  # Ctrl-C, or memory that ran out: what is finished stays
            raise
        self.plans.append(plan)
        now = 1.0 if parts is None else 1 - parts.share_found
        self.costs.append(replace(weighed, macs=round(weighed.macs * now)))
        computed = {(plan.outputs[n].run, measure): v for (n, measure), v in values.items()}
        self._values |= computed
        proof = self.prove(plan) if self.prove is not None else None
        if proof is not None:
            self.proofs.setdefault(plan.task, []).append(proof)
        if self.recall is not None and (proof is None or proof.holds):
            self.recall.keep(plan, computed, proof)
        elif self.recall is not None:
            self.recall.forget(plan)
        self.meter.start("judging")

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(draws, rows) float64; draws is 1 for a run without draws."""
        return self._values[self.planner.normal(run), measure]

    def rounding(self) -> float:
        """How far two evaluations of one metric value may lie apart, by dtype."""
        if self._adapter is None and self.recall is not None:
            return self.recall.model.rounding
        return rounding_of(self.adapter)
