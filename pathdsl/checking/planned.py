"""What a check would run and what that would cost, before any weight is read.

Costs count multiply-adds and are stated in plain forward passes over the same rows
(`pathdsl.plan.liveness`). Of a search only the first step is planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pathdsl.checking.options import CheckOptions, UnknownName, is_in
from pathdsl.checking.prepare import Ready, prepare
from pathdsl.engine.attribution.cost import AttributionCost, attribution_cost, beginning
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.load.room import Room
from pathdsl.engine.planner import Planner
from pathdsl.errors import Diagnostic, PathdslError, errors_in
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program
from pathdsl.lang.syntax.source import SourceFile, sources_of
from pathdsl.plan.liveness import DEFAULT_MEMORY, Cost
from pathdsl.plan.outputs import Plan
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.attribution import Attribution

__all__ = ["AttributionPlan", "PlanOutcome", "TaskPlan", "plan_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """One plan with its cost; `batch` is how many rows go together under the limits.

    `self_checks`: what they cost, in plain forward passes. `room`: what its model may take of the
    memory, and `reads` how many layers the runs read where its weights are streamed, `proof_reads`
    how many the self-checks.
    """

    plan: Plan
    cost: Cost
    batch: int
    spec: TaskSpec
    room: Room
    self_checks: float = 0.0
    reads: int = 0
    proof_reads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionPlan:
    """One attribution, computed in one go for whoever reads a score of it.

    `cost` None: it is run as a plan, and counted there.
    """

    task: str
    asked: Attribution
    cost: AttributionCost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """Everything `plan` may say about one file; `adaptive` are claims that search for knockouts.

    `model` and `dtype` are those of the first model; `models` has the text of every one by its name
    where there are several, and is empty for one.

    `memory`: bytes that are stated; without, what the values of one batch may take. `replaced`:
    as of a `FileOutcome`.
    """

    path: str
    program: Program
    model: str
    dtype: str
    models: Mapping[str, str]
    tasks: Mapping[str, TaskData]
    parts: tuple[TaskPlan, ...]
    attributions: tuple[AttributionPlan, ...]
    adaptive: tuple[str, ...]
    later_runs: int
    memory: int
    replaced: Mapping[str, str]
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def sources(self) -> dict[str, SourceFile]:
        """The texts that the warnings point into."""
        return sources_of(self.warnings, self.program.sources)


def plan_file(path: str, options: CheckOptions, text: str | None = None) -> PlanOutcome | None:
    """The plans of one file; None where it has nothing to plan, or not what `only` names.

    Raises PathdslError with the faults of the file, UnknownName for a member that is not there.
    """
    from pathdsl.checking.chosen import check_chosen, choosing_requests, open_conditions
    from pathdsl.checking.discovered import check_discovered
    from pathdsl.checking.interventions import check_interventions
    from pathdsl.checking.proofs import proof_cost, proof_reads
    from pathdsl.checking.stated import more_than_stated
    from pathdsl.engine.run.reads import layer_reads
    from pathdsl.engine.run.runner import least_memory, plan_cost, rows_within
    from pathdsl.engine.scored import asked_in

    program, faults = lint_file(path, text, options.fence)
    if wrong := errors_in(faults):
        raise PathdslError(wrong)
    if program.is_library or not (program.claims or program.lets):
        return None
    if not is_in(options.only, program):
        return None
    ready = prepare(program, options)
    planner = ready.planner
    asked = ready.first_round(options.only)
    if not asked.names:
        raise UnknownName.member(options.only or "")
    under = check_interventions(program, planner, asked.requests)
    if wrong := errors_in(under):
        raise PathdslError(wrong)
    circular = list(check_chosen(ready, options.only))
    if not open_conditions(ready):  # else which rows there will be is not known
        circular += check_discovered(ready, options.only)
    if wrong := errors_in(circular):
        raise PathdslError(wrong)
    parts: dict[str, list[TaskPlan]] = {}
    needs: list[tuple[str, int]] = []
    choosing = choosing_requests(program, open_conditions(ready))
    # Of its own, as `check` runs it: what chooses rows runs before anything else is known.
    for plan in (*planner.plans(choosing), *planner.plans(asked.requests)):
        size = ready.itemsize(plan.task)
        cost, room = plan_cost(plan, size), ready.rooms[ready.model_of(plan.task)]
        values = planner.room(plan.task)
        batch = rows_within(plan, cost, values, "cpu")
        before = parts.setdefault(plan.task, [])
        needs.append((plan.task, least_memory(plan, cost)))
        before.append(
            TaskPlan(
                plan=plan,
                cost=cost,
                batch=batch,
                spec=planner.specs[plan.task],
                room=room,
                self_checks=proof_cost(plan, cost, planner, size, first=not before),
                reads=layer_reads(plan, batch, values) if room.streamed else 0,
                proof_reads=proof_reads(plan, planner, size, not before) if room.streamed else 0,
            )
        )
    attributions = tuple(
        _attribution_plan(asked_in(request), planner, ready)
        for request in dict.fromkeys(map(planner.read, asked.requests))
        if request[1].asked is not None
    )
    needs += [(one.task, one.cost.least) for one in attributions if one.cost is not None]
    needs.sort(key=lambda one: one[1])  # the largest of a task last
    return PlanOutcome(
        path=path,
        program=program,
        model=ready.source.written,
        dtype=ready.source.dtype,
        models={name: f"{one.written}, {one.dtype}" for name, one in ready.sources.items()}
        if len(ready.sources) > 1
        else {},
        tasks=planner.tasks,
        parts=tuple(part for of_task in parts.values() for part in of_task),
        attributions=attributions,
        adaptive=asked.adaptive,
        later_runs=asked.later_runs,
        memory=planner.limits.memory or DEFAULT_MEMORY,
        replaced=options.replaced,
        warnings=(
            *faults,
            *circular,
            *ready.warnings,
            *under,
            *more_than_stated(ready, dict(needs)),
        ),
    )


def _attribution_plan(asked: Attribution, planner: Planner, ready: Ready) -> AttributionPlan:
    rows = planner.tasks[asked.task]
    shape, size = planner.shape_of(asked.task), ready.itemsize(asked.task)
    memory = planner.stated(asked.task)
    begins = beginning(asked, rows, shape, size, memory)
    cost = attribution_cost(asked, shape, rows.n_rows, rows.n_pos, size, begins, memory)
    return AttributionPlan(task=asked.task, asked=asked, cost=cost)
