"""One claim on the rows of each value of a label: `split_by = template` in its task.

The same quantity is evaluated on the rows of each value alone, with its interval from resamples of
these rows. No verdict is given: the claim is about all rows, and as many verdicts as there are
values would need a correction. Where each part is a claim of its own, tasks with `where` say so.

Knockouts are those of the whole claim, and the worst is chosen anew on each part.
"""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.score.evidence import finite
from pathdsl.score.quantity import Scalar, aggregates, sliced
from pathdsl.score.results import PartResult
from pathdsl.score.statistics.design import design_of
from pathdsl.score.statistics.intervals import Bootstrap
from pathdsl.score.statistics.verdict import Rule

__all__ = ["parts_of"]


def parts_of(
    node: Scalar, splits: Mapping[str, str], bootstrap: Bootstrap, rule: Rule, level: float
) -> tuple[PartResult, ...]:
    """The quantity by the values of its tasks' label, in order of first appearance.

    `splits` names the label of each task that is split. Empty unless all tasks of the quantity are
    split by one label that has two values or more.
    """
    tasks = list(dict.fromkeys(a.task for a in aggregates(node)))
    fields = {splits.get(task, "") for task in tasks}
    if len(fields) != 1 or not (field := fields.pop()):
        return ()
    rows = bootstrap.evaluator.session.tasks
    values = dict.fromkeys(label for task in tasks for label in rows[task].labels[field])
    if len(values) < 2:
        return ()
    by_task = dict.fromkeys(tasks, field)
    found = []
    for value in values:
        part = sliced(node, by_task, value)
        design = design_of(part, rows)
        defined = design.n > 0 and not bootstrap.undefined(part, level)
        estimate = finite(bootstrap.evaluator.estimate(part)) if defined else None
        found.append(
            PartResult(
                field=field,
                value=value,
                n=design.n,
                estimate=estimate,
                interval=bootstrap.interval(part, level).pair() if defined else None,
                satisfied=rule.satisfied(estimate) if estimate is not None else None,
            )
        )
        bootstrap.forget()
    return tuple(found)
