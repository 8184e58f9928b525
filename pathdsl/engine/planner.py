"""From what scoring asks for to plans: needs the rows and the model's shape, not its weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pathdsl.engine.data.positions import next_tokens, position_mask
from pathdsl.engine.data.task import TaskSpec
from pathdsl.errors import DataError, Diagnostic
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.plan.build import build_plans, runs_by_plan
from pathdsl.plan.liveness import DEFAULT_MEMORY
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.plan.sides import not_executed
from pathdsl.plan.steps import Plan
from pathdsl.plan.table import MAX_COPIES
from pathdsl.plan.taskdata import TaskData

__all__ = ["Limits", "Planner"]


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
        return run.normal(self.specs[run.task].treated)

    def identity(self, run: RunSpec) -> RunSpec:
        """The normal run under one name, which all that treat nothing, or everything, share."""
        return self.normal(run).identity

    def _by_task(self, requests: Collection[Request]) -> dict[str, list[Request]]:
        found: dict[str, list[Request]] = {}
        for run, measure in requests:
            found.setdefault(run.task, []).append((self.normal(run), measure))
        return found

    def requests_by_plan(self, requests: Collection[Request]) -> list[list[Request]]:
        """The requests that `plans` would put into one plan, for each plan, in its order."""
        return [
            [(run, measure) for run, measures in runs.items() for measure in measures]
            for wanted in self._by_task(requests).values()
            for runs in runs_by_plan(wanted)
        ]

    def plans(self, requests: Collection[Request]) -> list[Plan]:
        """Plans for all requests, task by task; raises PlanError and DataError."""
        found: list[Plan] = []
        for name, wanted in self._by_task(requests).items():
            task = self.tasks[name]
            for position in dict.fromkeys(m.position for _, m in wanted if m.column == "next"):
                next_tokens(task, Pos.parse(position))  # raises PD347 where nothing follows
            single = [m for _, m in wanted if m.column and not m.record.vocabulary]
            for column, kind in dict.fromkeys((m.column, m.kind) for m in single):
                _vet_single(task, column, kind)
            plans = build_plans(
                self.shape,
                name,
                task.valid,
                position_mask(task),
                wanted,
                own=self.specs[name].treated,
                frozen=self.specs[name].frozen,
                max_states=self.limits.max_states,
                max_copies=self.limits.max_copies,
                names=task.row_ids,
            )
            for plan in plans:
                _vet_means(task, plan)
            found += plans
        return found


def _vet_means(task: TaskData, plan: Plan) -> None:
    """Raise PD225 for a mean of intervened runs on prompts that have lengths of their own."""
    for number, mean in plan.means.items():
        spec = plan.treated[number]
        if spec.how.averaged and spec.column in task.apart:
            raise not_executed(
                f"`{spec}` under an intervention, over prompts with lengths or positions of their "
                "own,", None, "take the mean over a column whose prompts are as long as the "
                "reference prompts",
            )  # fmt: skip
        _vet_means(task, mean.plan)


def _vet_single(task: TaskData, column: str, kind: str) -> None:
    """Raise PD350 where a measure of one token is asked of a column with several on some row."""
    counts = [len(ids) for ids in task.answers.get(column, ())]
    several = [row for row, count in enumerate(counts) if count > 1]
    if several:
        others = f", nor have {len(several) - 1} others" if len(several) > 1 else ""
        message = (
            f"task `{task.name}`: row `{task.row_ids[several[0]]}` has {counts[several[0]]} "
            f"tokens in `{column}`, not one{others}, and `{kind}` is of one token"
        )
        raise DataError(Diagnostic(code="PD350", message=message, help=f"logprob({column})"))
