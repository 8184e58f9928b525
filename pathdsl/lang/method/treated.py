"""Lint of the method: treated values, and what they do to path sets finer than nodes.

Sources: Zhang and Nanda 2023, arXiv:2309.16042 (noise) · Miller et al. 2024, arXiv:2407.08734 (rows
of a mean, granularity and treated value).
"""

from __future__ import annotations

from collections import Counter

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.program import Program
from pathdsl.lang.reach import all_of, reach
from pathdsl.lang.serving import (
    choose_metric,
    choose_task,
    fields_of,
    generator,
    named_option,
    scores_meant,
    task_arguments,
    treated_by,
    wants_metric,
)
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.signatures.treated import ROW, kind_of
from pathdsl.lang.walk import strip

__all__ = ["ENOUGH_PER_GROUP", "check_grain", "check_treated"]

ENOUGH_PER_GROUP = 5
_MOST_ROWS = 5000  # rows drawn to count the groups of a mean


def _treated_values(program: Program) -> list[tuple[ast.TaskDecl | None, ast.Node]]:
    found: list[tuple[ast.TaskDecl | None, ast.Node]] = []
    for task in program.tasks.values():
        found += [(task, field.value) for field in task.fields if field.name == "treated"]
    only = next(iter(program.tasks.values())) if len(program.tasks) == 1 else None
    named: list[ast.PathRun | ast.Score] = [
        *all_of(program, ast.PathRun), *all_of(program, ast.Score),
    ]  # fmt: skip
    return found + [(only, value) for one in named if (value := treated_by(one)) is not None]


def check_treated(program: Program) -> Faults:
    """Noise, and means over groups of few rows."""
    for task, value in _treated_values(program):
        kind = kind_of(value)
        if kind is None or not isinstance(value, ast.Call):
            continue
        if kind.warns:
            yield warning(
                "PD506",
                "noise moves the model off the inputs that it knows",
                value.span,
                "an input that no text has",
                help="a paired column, `mean(COLUMN, by: FIELD)` or `resample(COLUMN, by: FIELD)`",
            )
        elif kind.averaged and task is not None:
            yield from _small_groups(program, task, value)


def _small_groups(program: Program, task: ast.TaskDecl, mean: ast.Call) -> Faults:
    by = next((a.value for a in mean.arguments if a.keyword == "by"), None)
    data = fields_of(program, task).get("data")
    if (
        not isinstance(by, ast.Name)
        or by.name == ROW
        or data is None
        or not isinstance(data.value, ast.Call)
    ):
        return
    made = generator(data.value.name)
    given = dict(task_arguments(program, task))
    if made is None or made.faults(**given):
        return
    rows = made.rows(**{**given, "take": min(int(made.complete(**given)["take"]), _MOST_ROWS)})
    if not rows or by.name not in rows[0]:
        return
    groups = Counter(str(row[by.name]) for row in rows)
    smallest = min(groups.values())
    if smallest < ENOUGH_PER_GROUP:
        yield warning(
            "PD508",
            f"the smallest of the {len(groups)} groups of this mean has {smallest} of "
            f"{len(rows)} rows",
            mean.span,
            f"fewer than {ENOUGH_PER_GROUP} rows",
            labels=[(data.value.span, f"{len(rows)} rows")],
            help=f"`take: {len(groups) * 2 * ENOUGH_PER_GROUP}`",
        )


def check_grain(program: Program) -> Faults:
    """Sets of edges or inputs beside a treated value that no input has."""
    if not any(_is_constant(value) for _, value in _treated_values(program)):
        return
    found: dict[ast.Node, ast.Node] = {}
    tasks = _tasks_of_runs(program)
    scores = scores_meant(all_of(program, ast.Score))
    holders: list[tuple[int, ast.PathRun | ast.Score]] = [
        *((id(run), run) for run in all_of(program, ast.PathRun)), *scores.items(),
    ]  # fmt: skip
    for key, holder in holders:
        if isinstance(holder, ast.Score) and SCORES[holder.name].gives == "count":
            continue
        value = treated_by(holder) or _of_task(program, tasks.get(key))
        if value is None or not _is_constant(value):
            continue
        subjects = (holder.paths,) if isinstance(holder, ast.PathRun) else holder.subjects
        for subject in subjects:
            inner = strip(subject)
            if isinstance(inner, ast.PlainRun | ast.PathRun | ast.Score):
                continue
            if any(_is_fine(node) for node in reach(program, inner)):
                found.setdefault(subject, value)
    if found:
        first, *more = found
        yield warning(
            "PD509",
            "a path set finer than nodes, with a treated value that no input has",
            first.span,
            "leaves out single edges or inputs",
            labels=[
                (found[first].span, "a constant, not the activation of any input"),
                *((other.span, "finer too") for other in more[:3]),
            ],
            help="a paired column or `resample(COLUMN, by: FIELD)` is comparable across grains",
        )


def _of_task(program: Program, name: str | None) -> ast.Node | None:
    """The treated value of a task; where it is not clear which, a constant one of any task."""
    named = program.tasks.get(name or "")
    tasks = program.tasks.values() if named is None else (named,)
    values = [f.value for task in tasks if (f := fields_of(program, task).get("treated"))]
    return next((value for value in values if _is_constant(value)), None)


def _is_constant(value: ast.Node) -> bool:
    kind = kind_of(value)
    return kind is not None and kind.constant


def _tasks_of_runs(program: Program) -> dict[int, str]:
    """The task of each run and score, by the identity of its node, where it is clear."""
    found: dict[int, str | None] = {}
    for call in all_of(program, ast.Call):
        if call.name in program.metrics:
            asked = named_option(call.arguments, "task")
            task = choose_task(program, program.metrics[call.name], asked).name
            found |= {id(a.value): task for a in call.arguments}
    for score in all_of(program, ast.Score):
        name = choose_metric(program, score).name if wants_metric(score) else None
        name = named_option(score.options, "metric") or name
        asked = named_option(score.options, "task")
        task = choose_task(program, program.metrics.get(name or ""), asked).name
        found |= {id(node): task for node in (score, *score.subjects)}
    return {node: task for node, task in found.items() if task is not None}


def _is_fine(node: ast.Node) -> bool:
    if isinstance(node, ast.Arrow):
        return bool(node.labels) or not node.reach
    return isinstance(node, ast.Edges | ast.EdgesFile | ast.RandomEdges)
