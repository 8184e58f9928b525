"""A session: executes what scoring asks for, one plan per round and task, and keeps the values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log2
from typing import TYPE_CHECKING

import numpy as np
import torch

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.data.positions import next_tokens, position_mask
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.meter import Meter, Progress
from pathdsl.engine.run.runner import DEFAULT_MEMORY, Settings, execute, plan_cost
from pathdsl.errors import DataError, Diagnostic
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.plan.build import build_plans, companies
from pathdsl.plan.liveness import Cost
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import Plan
from pathdsl.plan.table import MAX_COPIES
from pathdsl.plan.taskdata import TaskData

if TYPE_CHECKING:
    from pathdsl.engine.recall import Recall
    from pathdsl.engine.self_check import Proof

Request = tuple[RunSpec, Measure]

ROUNDING = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
"""How far two evaluations of one logit may lie apart, by the dtype of arithmetic (`precision` of an
adapter), relative to logits of size 1."""


EPS = {name: torch.finfo(getattr(torch, name)).eps for name in ROUNDING}


def precision_of(adapter: Adapter) -> str:
    """The dtype of a model's arithmetic by name."""
    return str(adapter.precision).removeprefix("torch.")


def rounding_of(adapter: Adapter) -> float:
    """How far two evaluations of one logit of a model may lie apart."""
    return ROUNDING[precision_of(adapter)]


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

    def identity(self, run: RunSpec) -> RunSpec:
        """The normal run under one name, which all that treat nothing, or everything, share."""
        return self.normal(run).identity

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
            single = (m for _, m in wanted if m.column and not m.record.vocabulary)
            for column in dict.fromkeys(m.column for m in single):
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
    `proofs` the proofs of plans by task, those of stored values among them; `model_proofs` what the
    model has proved about itself. Runs of one identity have the values of the first of them.
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
        self.model_proofs: list[Proof] = []
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
        other.model_proofs = list(self.model_proofs)
        other._values = {key: v for key, v in self._values.items() if key[0].task not in modes}
        return other

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these as one plan per task; what is known already is not run again."""
        missing = dict.fromkeys(
            key
            for run, measure in requests
            if not self._knows(key := (self.planner.normal(run), measure))
        )
        for company in self.planner.companies(list(missing)):
            for run, measure in company:
                self.asked.setdefault(run, {})[measure] = None
            if self.recall is not None:
                self._recall(company)
        for plan in self.planner.plans([key for key in missing if not self._knows(key)]):
            self._run(plan)

    def _knows(self, request: Request) -> bool:
        return (request[0].identity, request[1]) in self._values

    def _learn(self, values: Mapping[Request, np.ndarray]) -> None:
        """Take values of normal runs; what is known already stays."""
        for (run, measure), value in values.items():
            name = run.identity
            draws = 1 if name.kind == "reference" else len(value)
            self._values.setdefault((name, measure), value[:draws])

    def _recall(self, company: list[Request]) -> None:
        assert self.recall is not None
        found = self.recall.find(company)
        self._learn(found.values)
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
        self._learn(computed)
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
        return self._values[self.planner.identity(run), measure]

    def identity(self, run: RunSpec) -> RunSpec:
        """The run under one name: runs of one identity have the same values, bit for bit."""
        return self.planner.identity(run)

    @property
    def precision(self) -> str:
        """The dtype of arithmetic by name, `float32`; reads no weights."""
        if self._adapter is None and self.recall is not None:
            return self.recall.model.precision
        return precision_of(self.adapter)

    def rounding(self) -> float:
        """How far two evaluations of one metric value may lie apart at most, by dtype."""
        return ROUNDING[self.precision]

    def allowance(self) -> float:
        """How far they lie apart in this check, as its self-checks show; at most `rounding`."""
        proofs = [*self.model_proofs, *(p for of_task in self.proofs.values() for p in of_task)]
        return allowance(proofs, self.precision)


def allowance(proofs: Sequence[Proof], precision: str) -> float:
    """How far two evaluations of one metric value may lie apart where these proofs hold.

    max(4 e, 32 eps) times the largest logit that the model's own forward gave, e being the largest
    error of all, and at most `ROUNDING`, which is also what holds where nothing was proved. e is
    rounded up to a power of two: its last digits depend on the batch and the other runs of a plan.
    """
    most = ROUNDING[precision]
    logits = [proof.logits for proof in proofs if proof.logits is not None]
    if not logits or not all(proof.holds for proof in proofs):
        return most
    error = max(proof.error for proof in proofs)
    relative = max(4 * 2.0 ** ceil(log2(error)) if error > 0 else 0.0, 32 * EPS[precision])
    return min(most, relative * max(1.0, *logits))
