"""From what scoring asks for to plans: needs the rows and the model's shape, not its weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pathdsl.engine.attribution.vet import vet
from pathdsl.engine.data.positions import next_tokens, position_mask
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.data.treated import moved_places
from pathdsl.engine.data.vetted import not_one, of_one_token
from pathdsl.errors import DataError, Diagnostic, Span
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.plan.build import build_plans, runs_by_plan
from pathdsl.plan.liveness import DEFAULT_MEMORY
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import ANSWER, Measure
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.plan.sides import not_executed
from pathdsl.plan.table import MAX_COPIES
from pathdsl.plan.taskdata import TaskData

__all__ = ["Limits", "Planner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Stated bounds of a check; results do not depend on them but by rounding.

    `memory`: bytes for weights and values together (`pathdsl.engine.load.room`); None: weights are
    held, and the values of one batch get 256 MB beside them.
    """

    memory: int | None = None
    max_states: int = MAX_STATES
    max_copies: int = MAX_COPIES


@dataclass(slots=True)
class Planner:
    """Builds plans for requests; needs the rows, not the weights.

    `shape` is that of the first model, `shapes` that of each task on another one, `rooms` the bytes
    that values may take, by task, where weights have their part of a stated memory. `kept` has the
    plans that were built, where other models of these shapes follow on the same rows. `by_value`:
    what is equal in both runs is the reference run's, and paths that begin there count for nothing.
    `written`: where a file names a measure, for a message about it.
    """

    shape: ModelShape
    tasks: Mapping[str, TaskData]
    specs: Mapping[str, TaskSpec]
    limits: Limits = field(default_factory=Limits)
    shapes: Mapping[str, ModelShape] = field(default_factory=dict)
    kept: dict[object, tuple[Plan, ...]] | None = field(default=None, repr=False)
    by_value: bool = True
    rooms: Mapping[str, int] = field(default_factory=dict)
    written: Callable[[Measure], Span | None] = field(default=lambda measure: None, repr=False)

    def room(self, task: str) -> int:
        """Bytes that the values of a task may take, those of a batch and those that are kept."""
        stated = DEFAULT_MEMORY if self.limits.memory is None else self.limits.memory
        return self.rooms.get(task, stated)

    def stated(self, task: str) -> int | None:
        """The same where a memory is stated, None where none is."""
        return None if self.limits.memory is None else self.room(task)

    def shape_of(self, task: str) -> ModelShape:
        """The shape of the model that a task runs on."""
        return self.shapes.get(task, self.shape)

    def part(self, names: Collection[str]) -> Planner:
        """What plans these tasks alone, which run on one model."""
        if {*names} >= {*self.tasks}:
            return self
        tasks = {name: task for name, task in self.tasks.items() if name in names}
        specs = {name: spec for name, spec in self.specs.items() if name in names}
        shape = next((self.shape_of(name) for name in tasks), self.shape)
        shapes = {name: own for name in tasks if (own := self.shape_of(name)) != shape}
        return replace(self, shape=shape, tasks=tasks, specs=specs, shapes=shapes)

    def normal(self, run: RunSpec) -> RunSpec:
        """The run with its task's treated value filled in; reference runs have none."""
        return run.normal(self.specs[run.task].treated)

    def identity(self, run: RunSpec) -> RunSpec:
        """The normal run under one name, which all that treat nothing, or everything, share."""
        return self.normal(run).identity

    def read(self, request: Request) -> Request:
        """The normal run, and the measure where it is read on the rows of its task."""
        run, measure = request
        return self.normal(run), self.tasks[run.task].as_read(measure)

    def rows(self, plan: Plan) -> TaskData:
        """The rows that a plan is of."""
        return self.tasks[plan.task].branch(plan.behind)

    def _by_rows(self, requests: Collection[Request]) -> dict[tuple[str, str], list[Request]]:
        """The requests by task, and by the column whose answers stand behind the prompts."""
        found: dict[tuple[str, str], list[Request]] = {}
        for run, measure in map(self.read, requests):
            behind = self.tasks[run.task].behind(measure)
            found.setdefault((run.task, behind), []).append((run, measure))
        return found

    def requests_by_plan(self, requests: Collection[Request]) -> list[list[Request]]:
        """The requests that `plans` would put into one plan, for each plan, in its order."""
        return [
            [(run, measure) for run, measures in runs.items() for measure in measures]
            for wanted in self._by_rows(requests).values()
            for runs in runs_by_plan(wanted)
        ]

    def plans(self, requests: Collection[Request]) -> list[Plan]:
        """Plans for all requests, task by task; raises PlanError and DataError.

        Attributions are no runs of a plan: they are vetted and left out.
        """
        for run, measure in map(self.read, requests):
            if measure.asked is not None:
                vet(measure.asked, self.shape_of(run.task), self.specs[run.task].routed)
        found: list[Plan] = []
        requests = [request for request in requests if request[1].asked is None]
        for (name, behind), wanted in self._by_rows(requests).items():
            task = self.tasks[name].branch(behind)
            for position in dict.fromkeys(m.position for _, m in wanted if m.column == "next"):
                next_tokens(task, Pos.parse(position))  # raises PD347 where nothing follows
            for measure in dict.fromkeys(m for _, m in wanted):
                try:
                    _vet_answer(task, measure)
                except DataError as error:
                    at = self.written(measure)
                    raise DataError([replace(one, span=at) for one in error.diagnostics]) from None
            spec = self.specs[name]
            key = name, behind, tuple(wanted), spec.treated, (spec.frozen, spec.routed)
            plans = (self.kept or {}).get(key) or self._made(name, behind, task, wanted)
            if self.kept is not None:
                self.kept[key] = plans
            found += plans
        return found

    def _made(
        self, name: str, behind: str, task: TaskData, wanted: Sequence[Request]
    ) -> tuple[Plan, ...]:
        plans = build_plans(
            self.shape_of(name),
            name,
            task.valid,
            position_mask(task),
            wanted,
            own=self.specs[name].treated,
            frozen=self.specs[name].frozen,
            routed=self.specs[name].routed,
            max_states=self.limits.max_states,
            max_copies=self.limits.max_copies,
            names=task.row_ids,
            behind=behind,
            moved=lambda spec: moved_places(task, spec) if self.by_value else None,
        )
        for plan in plans:
            _vet_means(task, plan)
        return plans


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


def _vet_answer(task: TaskData, measure: Measure) -> None:
    """Raise where a measure cannot be read of its answers or at its places.

    PD350: one of one token, of a column that lists several on some row. PD365: the same of an
    answer of several tokens. PD366: at the place of such answers, where no column says which.
    """
    if task.appended is not None:
        return  # all tokens of the answer are read
    if task.whole and any(Pos.parse(place).name == ANSWER for place in measure.places):
        message = f"`{measure.kind}` cannot be read at `{ANSWER}` on task `{task.name}`"
        note = f"`{ANSWER}` is where each answer stands, for paths and interventions"
        raise DataError(Diagnostic(code="PD366", message=message, notes=(note,), help="@END"))
    if not measure.column or (measure.record.vocabulary and not task.whole):
        return
    column, kind = measure.column, measure.kind
    message = not_one(task.name, task.row_ids, task.answers.get(column, ()), column)
    if not message:
        return
    if not task.whole:
        raise DataError(of_one_token(message, column, kind))
    if measure.record.whole:
        why = f"; answers of several tokens are read behind the prompt, not at `{measure.position}`"
        raise DataError(Diagnostic(code="PD365", message=message + why, help=f"{kind}({column})"))
    works = "top1" if measure.record.values == "counts" else "logprob"
    raise DataError(
        Diagnostic(
            code="PD365",
            message=f"{message}, and `{kind}` is of one token",
            notes=("of whole answers there are `logprob`, `prob` and `top1`",),
            help=f"{works}({column})",
        )
    )
