"""Rows that plain runs choose, `task known = facts where ok(reference) == 1`, and what that means.

The metric is measured on all rows of the whole task, with its treated value, before anything else
is planned; a part of a part comes after the part. Claims that read the run that chose their rows
are about what it was chosen for.

Source: docs/semantics.md, Rows that a run chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pathdsl.errors import DataError, Diagnostic
from pathdsl.lang.check.scope import fault, listed, warning
from pathdsl.lang.lint import sort_diagnostics
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.score.metrics import Metric, compile_metric

if TYPE_CHECKING:
    from pathdsl.checking.machines import AnySession
    from pathdsl.checking.prepare import Ready
    from pathdsl.engine.data.task import Filter, Hits
    from pathdsl.lang.program import Program

__all__ = ["check_chosen", "choosing_requests", "hits_of", "measurable", "open_conditions"]


def open_conditions(ready: Ready) -> list[Filter]:
    """The conditions on runs that no value is known for, each once."""
    found: dict[tuple[str, str, str], Filter] = {}
    for name, spec in ready.planner.specs.items():
        if "open" in ready.planner.tasks[name].facts:
            for one in spec.filters:
                if one.run:
                    found.setdefault(one.measured, one)
    return list(found.values())


def measurable(ready: Ready) -> list[Filter]:
    """Those of them that are measured on a task whose own rows are known."""
    tasks = ready.planner.tasks
    return [one for one in open_conditions(ready) if "open" not in tasks[one.of].facts]


def choosing_requests(program: Program, conditions: list[Filter]) -> list[Request]:
    """What has to be measured for conditions on runs."""
    return list(
        dict.fromkeys(
            (_run(one), measure) for one in conditions for measure in _metric(program, one).measures
        )
    )


def _metric(program: Program, one: Filter) -> Metric:
    """The metric of a condition on a run."""
    return compile_metric(program.metrics[one.field], program.groups)


def _run(one: Filter) -> RunSpec:
    kind = "treated" if one.run == "treated" else "reference"
    return RunSpec(task=one.of, kind=kind, label=one.run, form=one.run)  # type: ignore[arg-type]


def hits_of(program: Program, conditions: list[Filter], session: AnySession) -> Hits:
    """Whether each row is a hit, for all conditions; raises DataError PD306 where one is neither.

    The session has measured them.
    """
    found: dict[tuple[str, str, str], Mapping[str, bool]] = {}
    faults: list[Diagnostic] = []
    for one in conditions:
        metric = _metric(program, one)
        values = metric.evaluate({m: session.value(_run(one), m) for m in metric.measures})
        ids = session.tasks[one.of].row_ids
        whole = values[0]
        mixed = np.flatnonzero((values != whole).any(axis=0) | ~np.isin(whole, (0.0, 1.0)))
        if len(mixed):
            row = int(mixed[0])
            given = ", ".join(f"{value:g}" for value in dict.fromkeys(values[:, row].tolist()))
            faults.append(
                fault(
                    "PD306",
                    f"`{one.what}` is {given} on row `{ids[row]}`: neither 0 nor 1",
                    one.span,
                    help="choose by a metric that is 1 or 0, `metric ok = top1(answer)`",
                )
            )
        found[one.measured] = {name: bool(hit) for name, hit in zip(ids, whole, strict=True)}
    if faults:
        raise DataError(sort_diagnostics(faults))
    return found


# ------------------------------------------------------------------------------- what it means


def check_chosen(ready: Ready, only: str | None) -> Iterator[Diagnostic]:
    """Claims that read the run by which rows of their task were chosen.

    PD362, an error, where a claim reads of that task nothing but such runs, and of them a column
    at a place that the metric read: what it says was decided by the choice. PD532, a warning for
    each task, where it compares them with other runs, or reads them elsewhere.
    """
    specs = ready.planner.specs
    chosen = {name: [f for f in spec.filters if f.run] for name, spec in specs.items()}
    chosen = {name: filters for name, filters in chosen.items() if filters}
    if not chosen:
        return
    program = ready.program
    beside: dict[str, dict[str, None]] = {}
    asked = ready.first_round(only).of_claims
    told: set[tuple[str, str]] = set()
    for claim, requests in asked:
        for task, filters in chosen.items():
            read = [(run, measure) for run, measure in requests if run.task == task]
            own = [r for r in read if any(_is_run(r[0], f, ready) for f in filters)]
            if not own or (claim.name.name, task) in told:
                continue
            places = {
                (measure.column, measure.position): one
                for one in filters
                for measure in _metric(program, one).measures
            }
            again = next((p for _, m in own if (p := (m.column, m.position)) in places), None)
            if len(own) < len(read) or again is None:
                beside.setdefault(task, {})[claim.name.name] = None
                continue
            told.add((claim.name.name, task))
            one = places[again]
            yield fault(
                "PD362",
                f"`{claim.name.name}` is about what chose its rows: those of `{task}` are the ones "
                f"where {one}, and it reads `{again[0]}` of that run",
                claim.name.span,
                "decided by the choice",
                labels=[(one.span, "chooses them")] if one.span is not None else [],
                help=f"claim it on all rows, `task: {one.of}`, or about another run",
            )
    for task, claims in beside.items():
        runs = list(dict.fromkeys(one.run for one in chosen[task]))
        names = [name for name in claims if (name, task) not in told]
        if names:
            yield warning(
                "PD532",
                f"rows of `{task}` were chosen by {listed(runs, 'and')}, which "
                f"{listed(names, 'and')} {'reads' if len(names) == 1 else 'read'}: of prompts near "
                "the bar those were kept that passed it in that run, and in another one they fall "
                "back",
                program.tasks[task].name.span,
                "of these rows only",
                help=f"judge the same on all rows, `task: {chosen[task][0].of}`",
            )


def _is_run(run: RunSpec, one: Filter, ready: Ready) -> bool:
    """Whether a run is the plain one by which a condition chose, however it is written.

    On another model, or with another treated value, it is another run of the same rows.
    """
    if ready.model_of(run.task) != ready.model_of(one.of):
        return False
    found = ready.planner.identity(run)
    chooser = replace(ready.planner.identity(_run(one)), task=run.task)
    return found == replace(chooser, label=found.label, form=found.form)
