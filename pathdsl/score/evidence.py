"""The evidence printed beside a verdict: opened terms, members, and the most telling prompts.

A prompt's share in an estimate is its jackknife pseudo-value, n t - (n - 1) t_(-i) (Tukey 1958):
for a mean the prompt's own value, for a ratio of means its value to first order, and their mean is
the estimate up to bias. The prompts that speak most against a claim are where a reader starts.
"""

from __future__ import annotations

import numpy as np

from pathdsl.score.design import Design, design_of
from pathdsl.score.evaluate import Evaluator
from pathdsl.score.intervals import Bootstrap, Interval
from pathdsl.score.quantity import (
    Aggregate,
    Op,
    Scalar,
    Worst,
    aggregates,
    lift_worst,
    row_metrics,
)  # fmt: skip
from pathdsl.score.results import MemberResult, TellingRow, Term

__all__ = ["finite", "members_of", "no_interval", "opened", "telling_rows", "terms_of"]

TELLING = 5
LARGEST = 5000
NAMED = 3


def finite(value: float) -> float | None:
    """The value, or None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def opened(node: Scalar, evaluator: Evaluator) -> Scalar:
    """The quantity with every `Worst` replaced by the member that decides it."""
    match node:
        case Worst(members=members):
            return opened(members[_place(node, evaluator)][1], evaluator)
        case Op(op=op, args=args):
            return Op(op=op, args=tuple(opened(arg, evaluator) for arg in args))
        case _:
            return node


def terms_of(node: Scalar, evaluator: Evaluator) -> tuple[Term, ...]:
    """Every average in the quantity with its value, those of the deciding member only.

    Terms that are written alike and differ say what they are of: their metrics and task.
    """
    found = list(dict.fromkeys(aggregates(opened(node, evaluator))))
    texts = [a.label or a.kind for a in found]
    for text in {t for t in texts if texts.count(t) > 1}:
        alike = [i for i, t in enumerate(texts) if t == text]
        metrics = [" and ".join(_metric_names(found[i])) for i in alike]
        tasks = [found[i].task for i in alike]
        for i, metric, task in zip(alike, metrics, tasks, strict=True):
            texts[i] += f" of {metric}" if len(set(metrics)) > 1 else ""
            texts[i] += f" on {task}" if len(set(tasks)) > 1 else ""
    return tuple(
        Term(text=text, value=finite(evaluator.estimate(aggregate)))
        for text, aggregate in zip(texts, found, strict=True)
    )


def _metric_names(aggregate: Aggregate) -> list[str]:
    return sorted({item.metric.name for item in row_metrics(aggregate.rows)})


def no_interval(node: Scalar, interval: Interval, bootstrap: Bootstrap, level: float) -> str:
    """Why an interval has no ends where a sample is constant; "" where it has them."""
    few = "a constant sample below 30 prompts or clusters has no interval"
    if interval.known or "none" not in interval.method.split():
        return ""
    lifted = lift_worst(node)
    if not isinstance(lifted, Worst):
        return few
    without = [n for n, m in lifted.members if not bootstrap.interval(m, level).known]
    more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
    return f"{few}: {', '.join(without[:NAMED])}{more}" if without else few


def members_of(node: Scalar, bootstrap: Bootstrap, level: float) -> tuple[MemberResult, ...]:
    """Every member of a worst-of-K quantity with its own interval; empty for other quantities."""
    lifted = lift_worst(node)
    if not isinstance(lifted, Worst):
        return ()
    return tuple(
        MemberResult(
            name=name,
            decided_by=_decided_by(member, bootstrap.evaluator),
            estimate=finite(bootstrap.evaluator.estimate(member)),
            interval=bootstrap.interval(member, level).pair(),
        )
        for name, member in lifted.members
    )


def _decided_by(member: Scalar, evaluator: Evaluator) -> str:
    """The name of the option that gives a member its value; "" where it has no options."""
    return member.members[_place(member, evaluator)][0] if isinstance(member, Worst) else ""


def _place(node: Worst, evaluator: Evaluator) -> int:
    """Which member has the largest or smallest value."""
    values = np.array([evaluator.estimate(member) for _, member in node.members])
    values = np.where(np.isfinite(values), values, -np.inf if node.which == "max" else np.inf)
    return int(values.argmax() if node.which == "max" else values.argmin())


def telling_rows(
    node: Scalar, evaluator: Evaluator, relation: str, threshold: float
) -> tuple[TellingRow, ...]:
    """The prompts that speak most against `node RELATION threshold`, the worst first."""
    node = opened(node, evaluator)
    tasks = evaluator.session.tasks
    design = design_of(node, tasks, by_rows=True)
    estimate = evaluator.estimate(node)
    if not np.isfinite(estimate) or sum(design.n_rows.values()) > LARGEST:
        return ()
    found: list[tuple[float, TellingRow]] = []
    names = {key: task for task, key in reversed(list(design.keys.items()))}
    for key, task in names.items():
        for index, value in zip(*_shares(node, evaluator, design, key, estimate), strict=True):
            if not np.isfinite(value):
                continue
            row = TellingRow(
                task=task, index=int(index), row_id=tasks[task].row_ids[index], value=float(value)
            )
            found.append((_against(float(value), relation, threshold), row))
    found.sort(key=lambda item: (-item[0], item[1].task, item[1].index))
    return tuple(row for _, row in found[:TELLING])


def _shares(
    node: Scalar, evaluator: Evaluator, design: Design, key: str, estimate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Row indices and pseudo-values of the rows of one key."""
    indices, values = [], []
    for stratum in design.strata:
        if stratum.key != key or stratum.n_units < 2:
            continue
        left = np.concatenate([evaluator.values(node, w) for w in design.left_out(stratum)])
        n = stratum.n_units
        # Written around the estimate: the plain form loses digits to cancellation.
        indices.append(np.flatnonzero(stratum.unit >= 0))
        values.append(estimate + (n - 1) * (estimate - left))
    if not indices:
        return np.zeros(0, dtype=int), np.zeros(0)
    return np.concatenate(indices), np.concatenate(values)


def _against(value: float, relation: str, threshold: float) -> float:
    match relation:
        case ">" | ">=":
            return -value
        case "<" | "<=":
            return value
        case _:
            return abs(value - threshold)
