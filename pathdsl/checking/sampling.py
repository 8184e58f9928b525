"""Faults of method that only rows can show: too few of them, and rows that two tasks share.

A file cannot say which rows its author looked at before it was written. It can name them: as a task
of their own, here or in a file that it uses. Then the check compares rows, prompt by prompt.

Sources: Miller et al. 2024 (arXiv:2407.08734), on rows that discover and rows that judge;
docs/semantics.md, Intervals, on what is resampled.
"""

from __future__ import annotations

from collections import Counter
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

    What is counted is what is resampled: rows or clusters, of those that judge where a search had
    a half of its own. Tasks whose `take:` is written as a small number are told by the lint.
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
            said = _few(tasks[name], result.n)
            if said:
                found[name] = warning(
                    "PD504", f"{said} of task `{name}` for an interval", claim.name,
                    help="take more prompts, or claim it by an exact test: `sign_test(…) <= 5%`",
                )  # fmt: skip
    return list(found.values())


def _few(task: TaskData, n: int) -> str:
    clusters = len(np.unique(task.clusters))
    if task.crossed is not None:
        other = len(np.unique(task.crossed))
        few = min(clusters, other) < ENOUGH_PROMPTS
        return f"{clusters} by {other} crossed clusters of {task.n_rows} prompts" if few else ""
    if clusters < min(task.n_rows, ENOUGH_PROMPTS):
        return f"{clusters} clusters of {task.n_rows} prompts"
    judging = min(n, task.n_rows)
    return f"{judging} prompts" if judging < ENOUGH_PROMPTS else ""


def shared_rows(program: Program, tasks: Mapping[str, TaskData]) -> list[Diagnostic]:
    """A warning (PD516) for each two tasks that are drawn apart and have prompts in common.

    Parts of one task, and tasks on the same data under other treated values or norms, are written
    to share their rows and are left out.
    """
    whole = [name for name in tasks if program.tasks[name].base is None]
    prompts = {name: _prompts(tasks[name]) for name in whole}
    found = []
    for first, second in combinations(whole, 2):
        if _data(program, first) == _data(program, second):
            continue
        again = sum(prompt in prompts[first] for prompt in prompts[second].elements())
        size = min(tasks[first].n_rows, tasks[second].n_rows)
        if again >= max(1.0, SHARED * size):
            found.append(
                warning(
                    "PD516",
                    f"{again} of {tasks[second].n_rows} prompts of task `{second}` are prompts of "
                    f"task `{first}`, too",
                    program.tasks[second].name,
                    help="draw them apart: other rows of the file, or another `seed:`",
                )
            )
    return found


def _data(program: Program, task: str) -> object:
    field = fields_of(program, program.tasks[task]).get("data")
    return spelled(meant(field.value)) if field is not None else None


def _prompts(task: TaskData) -> Counter[bytes]:
    """How often each reference prompt stands in a task."""
    ids, lengths = task.prompts[task.reference], task.lengths
    return Counter(ids[row, : int(lengths[row])].tobytes() for row in range(task.n_rows))
