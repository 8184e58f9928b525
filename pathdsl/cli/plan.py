"""`pathdsl plan`: what a check would run and cost, without loading weights."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.files import expand, sources_of
from pathdsl.cli.named import NO_MEMBER, judged, vet_names
from pathdsl.cli.options import (
    AllowOutside,
    Files,
    Format,
    MaxCopies,
    MaxStates,
    Memory,
    Models,
    NoColor,
    Only,
    Scope,
    Seed,
    Set,
    read_scope,
)
from pathdsl.cli.output import colour_on, columns, err, out
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, PathdslError, Severity
from pathdsl.lang.only import asked_name

if TYPE_CHECKING:
    from pathdsl.engine.planner import Planner
    from pathdsl.plan.liveness import Cost
    from pathdsl.plan.steps import Plan
    from pathdsl.report.text.plan import PlanOutcome, TaskPlan

__all__ = ["plan"]


def plan(
    files: Files,
    style: Annotated[Format, typer.Option("--format", help="Text, or one object.")] = Format.TEXT,
    sets: Set = [],
    seed: Seed = None,
    only: Only = None,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    everything: Annotated[bool, typer.Option("--all", help="List every run.")] = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Say what a check would run and what it would cost; loads no weights."""
    from pathdsl.lang.program import load_program
    from pathdsl.report.data.result import diagnostic_object, dump
    from pathdsl.report.text.plan import plan_object, plan_report
    from pathdsl.report.text.style import View

    scope = read_scope(sets, seed, models, memory, max_states, max_copies, allow_outside)
    view = View(width=columns(), colour=colour_on(sys.stdout, off=no_color), everything=everything)
    codes = [ExitCode.AS_EXPECTED]
    objects: list[dict[str, Any]] = []
    names = expand(files)
    if only is not None or scope.models:
        programs = [load_program(name, None, scope.fence)[0] for name in names]
        vet_names([p for p in programs if p.file.statements], only, scope.models)
    guard = Guard()
    for name in names:
        outcome = None
        try:
            with guard.of(name, leave=PathdslError):
                outcome = _planned(name, scope, only)
        except PathdslError as error:
            complain(error.diagnostics)
            codes.append(error.exit_code)
            sources = sources_of(error.diagnostics, {})
            faults = [diagnostic_object(d, sources) for d in error.diagnostics]
            objects.append({"path": name, "diagnostics": faults})
            continue
        if outcome is None:
            continue
        if style is Format.TEXT and outcome.warnings:
            complain(outcome.warnings, outcome.sources)
        if style is Format.JSON:
            objects.append(plan_object(outcome, scope.replaced))
        else:
            out(plan_report(outcome, view, scope.replaced))
    code = max(*codes, guard.code)
    if style is Format.JSON:
        out(dump({"schema_version": 1, "files": objects, "exit_code": int(code)}))
    raise typer.Exit(code)


def _planned(path: str, scope: Scope, only: str | None) -> PlanOutcome | None:
    """The plan of one file; None for a library. Raises PathdslError with the faults found."""
    from pathdsl.lang.lint import lint_file

    program, found = lint_file(path, None, scope.fence)
    wrong = [d for d in found if d.severity is Severity.ERROR]
    if wrong:
        raise PathdslError(wrong)
    if program.is_library or not (program.claims or program.lets):
        err(f"nothing to plan in `{path}`: no claim and no let\n")
        return None
    if only is not None and asked_name(only) not in judged(program):
        return None
    from pathdsl.checking.check import prepare
    from pathdsl.engine.planner import Limits, Planner
    from pathdsl.engine.run.runner import plan_cost, rows_within
    from pathdsl.report.text.plan import PlanOutcome, TaskPlan
    from pathdsl.score.requests import first_round

    ready = prepare(path, program, scope.check_options(only))
    limits = scope.limits or Limits()
    planner = Planner(ready.resolver.shape, ready.data.tasks, ready.data.specs, limits)
    asked = first_round(program, ready.resolver, planner, only)
    if not asked.names:
        raise typer.BadParameter(f"`--only {only}`: {NO_MEMBER}")
    size = {"float64": 8, "float32": 4}.get(ready.source.dtype, 2)
    parts: list[TaskPlan] = []
    for built in planner.plans(asked.requests):
        weighed = plan_cost(built, size)
        parts.append(
            TaskPlan(
                plan=built,
                cost=weighed,
                batch=rows_within(built, weighed, limits.memory, "cpu"),
                spec=ready.data.specs[built.task],
                self_checks=_self_checks(planner, built, weighed, size, parts),
            )
        )
    return PlanOutcome(
        path=path,
        program=program,
        model=ready.source.written,
        dtype=ready.source.dtype,
        tasks=ready.data.tasks,
        parts=tuple(parts),
        adaptive=asked.adaptive,
        later_runs=asked.later_runs,
        memory=limits.memory,
        sources=sources_of([*found, *ready.data.warnings], program.sources),
        warnings=(*found, *ready.data.warnings),
    )


def _self_checks(
    planner: Planner, built: Plan, weighed: Cost, size: int, before: list[TaskPlan]
) -> float:
    """What the self-checks of a plan cost; those of its task are made with the first plan."""
    from pathdsl.checking.check import changes_something
    from pathdsl.engine.self_check import null_cost, prove_cost

    found = null_cost(built, weighed) if changes_something(built) else 0.0
    if all(part.plan.task != built.task for part in before):
        found += prove_cost(planner, planner.tasks[built.task], size)
    return found
