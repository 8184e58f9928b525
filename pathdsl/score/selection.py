"""The members with the largest values, chosen on one half of the prompts and judged on the other.

The largest of many noisy values are too large on the prompts that chose them. Each prompt, or
cluster, is on one side by a hash of the seed, so the choice is the same on every machine; equal
values are in the order of the members.

Source: docs/language.md, Functions over members.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import permutations

import numpy as np

from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import count_of, literal
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.faults import fault
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Half,
    Scalar,
    halved,
    inner_first,
    is_constant,
    ratio,
    summed,
)
from pathdsl.score.statistics.design import part_mask, row_key
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = ["best_of", "halved_tasks", "halves_of", "how_many"]

CHOSEN = "members were chosen"
SEED = 0


def how_many(written: ast.Node, members: int) -> int:
    """The count of `top(10, …)`, or of `top(5%, …)` rounded down; PD116 where it does not fit."""
    asked = literal(written)
    assert isinstance(asked, int | float)
    count = count_of(asked, members)
    if not 1 <= count <= members:
        shown = f"{asked}" if isinstance(asked, int) else f"{100 * asked:g}%, {count}"
        raise fault(
            "PD116",
            f"{shown} of {members} member{'s' * (members != 1)}",
            written,
            help=f"choose 1 to {members}",
        )
    return count


def halved_tasks(members: Sequence[Scalar], call: ast.Call) -> tuple[str, ...]:
    """The tasks whose prompts are split; PD129 where a member reads them by a split of its own."""
    tasks: dict[str, None] = {}
    for member in members:
        for one in inner_first(member):
            if isinstance(one, Aggregate) and one.part is None:
                tasks[one.task] = None
            elif isinstance(one, Aggregate) or (isinstance(one, Constant) and one.is_p):
                what = "a p-value" if isinstance(one, Constant) else "a search"
                raise fault(
                    "PD129",
                    f"`{call.name}` chooses on one half of the prompts, and {what} in it reads "
                    "others",
                    call,
                    help="take the mean of a metric, or a score that searches nothing",
                )
    return tuple(tasks)


def halves_of(read: Sequence[TaskData], call: ast.Node) -> tuple[Half, Half]:
    """The half that chooses and the half that is judged, of the tasks that members read.

    PD129 where a prompt would be in the one half of one task and in the other half of another.
    """
    keys = [row_key(data) for data in read]
    shared = len({*keys}) < len(keys) and len({data.key for data in read}) > 1
    search = Half(seed=SEED, side="search", shared=shared, chosen=CHOSEN)
    judged = Half(seed=SEED, side="judge", shared=shared, chosen=CHOSEN)
    for one, other in permutations(read, 2):
        both = _rows(one, part_mask(one, search)) & _rows(other, part_mask(other, judged))
        if both:
            raise fault(
                "PD129",
                f"`{one.name}` and `{other.name}` have prompts in common, and {len(both)} that "
                "choose the members on the one would judge them on the other",
                call,
                help="read one task, or tasks that have all their rows in common",
            )
    return search, judged


def _rows(data: TaskData, inside: np.ndarray) -> set[Hashable]:
    """What tells that two tasks have a row in common: its id on the same rows, or its prompt."""
    numbers = np.flatnonzero(inside)
    found: set[Hashable] = {(row_key(data), data.row_ids[i]) for i in numbers}
    return found | {data.tokens[i] for i in numbers if data.tokens}


def best_of(
    members: Sequence[tuple[str, Scalar]],
    count: int,
    evaluator: Evaluator,
    halves: tuple[Half, Half],
) -> Scalar:
    """The mean of `count` members on the judged half; the note says which were chosen."""
    search, judged = halves
    values = [evaluator.estimate(halved(member, search)) for _, member in members]
    order = np.argsort([-v if np.isfinite(v) else np.inf for v in values], kind="stable")
    kept = [members[i] for i in sorted(order[:count])]
    fixed = all(is_constant(member) for _, member in members)
    note = "chosen" if fixed else "chosen on one half of the prompts"
    whole = summed([halved(member, judged) for _, member in kept])
    names = ", ".join(name for name, _ in kept)
    return ratio(whole, Constant(value=float(count), note=f"{note}: {names}"))
