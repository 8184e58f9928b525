"""The evidence printed beside a verdict: opened terms, members, and why there is no interval."""

from __future__ import annotations

import numpy as np

from pathdsl.score.prompts import deciding, term_spread
from pathdsl.score.quantity import (
    Aggregate,
    Among,
    Constant,
    Correlation,
    Op,
    Scalar,
    Worst,
    aggregates,
    inner_first,
    row_metrics,
    row_scored,
)  # fmt: skip
from pathdsl.score.results import LONGEST_FORMULA, FromTerms, MemberResult, Term, Verdict
from pathdsl.score.statistics.ends import Interval
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from pathdsl.score.statistics.lattice import named_members

__all__ = [
    "about_interval", "about_share", "finite", "from_terms", "members_of", "no_interval",
    "terms_of",
]  # fmt: skip

NAMED = 3
ENOUGH_FOR_STD = 100


def finite(value: float) -> float | None:
    """The value, or None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def terms_of(whole: Scalar, evaluator: Evaluator) -> tuple[Term, ...]:
    """Every average in an opened quantity with its value.

    Terms that are written alike and differ say what they are of: their metrics and task.
    """
    if any(isinstance(one, Correlation) and one.names for one in inner_first(whole)):
        return ()  # the lets that are correlated list their members
    found = list(dict.fromkeys(aggregates(whole)))
    texts = [a.label or a.kind for a in found]
    data = evaluator.session.tasks
    if len({data[a.task].facts.get("model") for a in found if a.task in data}) > 1:
        texts = [f"{text} on {a.task}" for text, a in zip(texts, found, strict=True)]
    for text in {t for t in texts if texts.count(t) > 1}:
        alike = [i for i, t in enumerate(texts) if t == text]
        metrics = [" and ".join(_metric_names(found[i])) for i in alike]
        tasks = [found[i].task for i in alike]
        for i, metric, task in zip(alike, metrics, tasks, strict=True):
            texts[i] += f" of {metric}" if len(set(metrics)) > 1 else ""
            texts[i] += f" on {task}" if len(set(tasks)) > 1 else ""
    return tuple(
        Term(
            text=text,
            value=finite(evaluator.estimate(aggregate)),
            prompts=term_spread(aggregate, evaluator),
        )
        for text, aggregate in zip(texts, found, strict=True)
    )


def from_terms(whole: Scalar) -> FromTerms:
    """How the estimate of an opened quantity is made of the values of `terms_of`."""
    numbers = {term: i for i, term in enumerate(dict.fromkeys(aggregates(whole)))}
    if not numbers:
        return None
    left = LONGEST_FORMULA

    def written(one: Scalar) -> FromTerms:
        nonlocal left
        left -= 1
        if left < 0:  # parts may be shared, and written out be many more than they are
            raise OverflowError
        match one:
            case Aggregate():
                return numbers[one]
            case Constant(value=value):
                return ["number", float(value)]
            case Op(op=op, args=args):
                return [op, *map(written, args)]
            case Worst(which=op, members=members):
                return [op, *(written(member) for _, member in members)]
            case Among():
                raise AssertionError("an opened quantity has a number in its place")
            case Correlation():
                raise OverflowError  # no arithmetic on averages

    try:
        return written(whole)
    except OverflowError:
        return None


def _metric_names(aggregate: Aggregate) -> list[str]:
    found = {item.metric.name for item in row_metrics(aggregate.rows)}
    for scored in row_scored(aggregate.rows):
        found |= {item.metric.name for item in row_metrics(scored.measure.asked.metric)}
    return sorted(found)


def no_interval(node: Scalar, interval: Interval, bootstrap: Bootstrap, level: float) -> str:
    """Why an interval has no ends; "" where it has them."""
    few = interval.why
    if interval.known or not few:
        return ""
    named = named_members(bootstrap.lattice.form(node))
    without = [n for n, m in named if not bootstrap.interval(m, level).known]
    more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
    return f"{few}: {', '.join(without[:NAMED])}{more}" if without else few


def about_interval(node: Scalar, interval: Interval, units: int) -> list[str]:
    """What a reader must know of an interval that has ends."""
    notes = [f"its interval is {interval.note}"] if interval.note else []
    if units < ENOUGH_FOR_STD and any(a.kind == "std" for a in aggregates(node)):
        notes.append(
            f"`std` of fewer than {ENOUGH_FOR_STD} prompts: where values are skewed, its interval "
            "misses far more often than its level says"
        )
    return notes


def about_share(node: Scalar, bootstrap: Bootstrap, level: float) -> list[str]:
    """How many members of a share surely satisfy its condition, and how many surely do not."""
    form = bootstrap.lattice.form(node)
    if not isinstance(form, Among):
        return []
    sides = bootstrap.sides(form, level)
    yes, no = sides.count(Verdict.SUPPORTED), sides.count(Verdict.REFUTED)
    undefined = sides.count(Verdict.UNDEFINED)
    said = f"of {len(sides)} members {yes} surely satisfy it, {no} surely do not"
    said += f", {len(sides) - yes - no} may" if yes + no < len(sides) else ""
    return [said + (f", {undefined} of these undefined" if undefined else "")]


def members_of(node: Scalar, bootstrap: Bootstrap, level: float) -> tuple[MemberResult, ...]:
    """Every member of an extreme or a share with its own interval; empty for other quantities."""
    form = bootstrap.lattice.form(node)
    found = []
    for name, member in named_members(form):
        defined = not (isinstance(form, Among) and bootstrap.undefined(member, level))
        found.append(
            MemberResult(
                name=name,
                decided_by=_decided_by(member, bootstrap.evaluator),
                estimate=finite(bootstrap.evaluator.estimate(member)) if defined else None,
                interval=bootstrap.interval(member, level).pair() if defined else None,
            )
        )
    return tuple(found)


def _decided_by(member: Scalar, evaluator: Evaluator) -> str:
    """The name of the option that gives a member its value; "" where it has no options."""
    return member.members[deciding(member, evaluator)][0] if isinstance(member, Worst) else ""
