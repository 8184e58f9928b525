"""Faults of method that only rows can show: too few of them, and rows that two tasks share.

A file cannot say which rows its author looked at before it was written. It can name them: as a task
of their own, here or in a file that it uses. Then the check compares rows, prompt by prompt.

Sources: Miller et al. 2024 (arXiv:2407.08734), on rows that discover and rows that judge;
docs/semantics.md, Intervals, on what is resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pathdsl.errors import Diagnostic
from pathdsl.lang.canonical import spelled
from pathdsl.lang.defaults import meant
from pathdsl.lang.method.claims import ENOUGH_PROMPTS
from pathdsl.lang.method.estimates import is_exact
from pathdsl.lang.program import Program
from pathdsl.lang.serving import fields_of, root_task, task_arguments
from pathdsl.score.faults import warning
from pathdsl.score.statistics.alike import task_clusters

if TYPE_CHECKING:
    from pathdsl.plan.taskdata import TaskData
    from pathdsl.score.results import ClaimResult

__all__ = ["SHARED", "few_rows", "shared_rows"]

SHARED = 0.05
"""The share of the smaller task's rows from which on tasks are said to share them. Two draws of
sentences from a few words have some prompts in common by chance."""


def few_rows(
    program: Program, claims: Sequence[ClaimResult], tasks: Mapping[str, TaskData]
) -> list[Diagnostic]:
    """A warning (PD504) for each task with few independent rows that judge with an interval.

    What is counted is what is resampled: distinct prompts or clusters, of those that judge where a
    search had a half of its own. Tasks whose `take:` is written as a small number are told by the
    lint.
    """
    declared = {claim.name.name: claim for claim in program.claims}
    found: dict[str, Diagnostic] = {}
    for result in claims:
        claim = declared[result.declared]
        if claim.confidence is None or is_exact(claim):
            continue
        for name in result.tasks:
            whole = program.tasks[root_task(program, name)]
            take = task_arguments(program, whole).get("take")
            if name in found or (type(take) is int and take < ENOUGH_PROMPTS):
                continue
            said = _few(tasks[name], result)
            if said:
                found[name] = warning(
                    "PD504", f"{said} of task `{name}` for an interval", claim.name,
                    help="take more prompts, or claim it by an exact test: `sign_test(…) <= 5%`",
                )  # fmt: skip
    return list(found.values())


def _few(task: TaskData, result: ClaimResult) -> str:
    own, crossed = task_clusters(task)
    clusters = len(np.unique(own))
    if crossed is not None:
        other = len(np.unique(crossed))
        few = min(clusters, other) < ENOUGH_PROMPTS
        return f"{clusters} by {other} crossed clusters of {task.n_rows} prompts" if few else ""
    if clusters < min(task.n_distinct, ENOUGH_PROMPTS):
        return f"{clusters} clusters of {task.n_distinct} prompts"
    judging = min(result.n, task.n_distinct)
    what = "distinct prompts" if result.rows > result.n else "prompts"
    return f"{judging} {what}" if judging < ENOUGH_PROMPTS else ""


def shared_rows(program: Program, tasks: Mapping[str, TaskData]) -> list[Diagnostic]:
    """A warning (PD516) for each two tasks that are drawn apart and have prompts in common.

    Parts of one task, and tasks on the same data under other treated values or norms, are written
    to share rows: of these a prompt counts only where it stands in both under different ids alone.
    """
    prompts = {name: _prompts(task) for name, task in tasks.items()}
    found = []
    for first, second in combinations(tasks, 2):
        one_source = _data(program, first) == _data(program, second)
        if not one_source and (_is_part(program, first) or _is_part(program, second)):
            continue
        again = _again(prompts[first], prompts[second], one_source)
        size = min(tasks[first].n_rows, tasks[second].n_rows)
        if again >= max(1.0, SHARED * size):
            too = "under other ids" if one_source else "too"
            found.append(
                warning(
                    "PD516",
                    f"{again} of {tasks[second].n_rows} prompts of task `{second}` are prompts of "
                    f"task `{first}`, {too}",
                    program.tasks[second].name,
                    help="write each prompt in one part alone"
                    if one_source
                    else "draw them apart: other rows of the file, or another `seed:`",
                )
            )
    return found


def _is_part(program: Program, task: str) -> bool:
    """Whether it is a part of a task; with tasks on other data that whole task is compared."""
    return program.tasks[task].base is not None


def _again(first: _Rows, second: _Rows, one_source: bool) -> int:
    """How many rows of the second task have prompts of the first; by other ids in one source."""
    return sum(
        len(ids)
        for prompt, ids in second.items()
        if prompt in first and not (one_source and first[prompt] & ids)
    )


def _data(program: Program, task: str) -> object:
    field = fields_of(program, program.tasks[task]).get("data")
    return spelled(meant(field.value)) if field is not None else None


_Rows = dict[bytes, set[str]]


def _prompts(task: TaskData) -> _Rows:
    """The ids of the rows in which each reference prompt of a task stands."""
    ids, lengths = task.prompts[task.reference], task.lengths
    found: _Rows = {}
    for row, name in enumerate(task.row_ids):
        found.setdefault(ids[row, : int(lengths[row])].tobytes(), set()).add(name)
    return found
