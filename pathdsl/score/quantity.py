"""Quantities: numbers over all prompts, as expressions that can be evaluated on any resample.

Two layers, in the order in which averages are taken (semantics.md section 6). *Row* expressions
have a value per prompt and draw: metrics of runs under arithmetic. An `Aggregate` averages a row
expression over the draws, then takes a statistic over the prompts. *Scalar* expressions combine
aggregates, and `Worst` is the largest or smallest of named members, for scores over knockouts.

Because an expression is kept whole, a resample of the prompts reaches all of its terms jointly,
and ratios and differences get the interval of the expression instead of a rule of thumb (Efron and
Tibshirani 1993, chapter 8). Expressions are frozen: equal ones are measured and evaluated once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pathdsl.plan.runs import RunSpec
from pathdsl.score.metrics import Metric
from pathdsl.score.session import Request

__all__ = [
    "Aggregate", "Constant", "Op", "Part", "RowExpr", "RowMetric", "RowNumber", "RowOp", "Scalar",
    "Slice", "Worst", "aggregates", "difference", "is_constant", "mean", "notes_of",
    "ratio", "requests", "row_denominators", "row_metrics", "sliced", "smooth",
]  # fmt: skip

Operator = Literal["+", "-", "*", "/", "^", "neg", "abs", "min", "max", "same"]
Statistic = Literal["mean", "median", "quantile", "std"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowNumber:
    """The same number for every prompt."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMetric:
    """A metric of a run, per prompt and draw."""

    metric: Metric
    run: RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOp:
    """Arithmetic per prompt and draw; `same` is 1 where both values are equal, else 0."""

    op: Operator
    args: tuple[RowExpr, ...]


RowExpr = RowNumber | RowMetric | RowOp


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One seeded half of the rows: knockouts are searched on one and judged on the other."""

    seed: int
    side: Literal["search", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The rows whose label `field` has one value, those of a part where `within` names one."""

    field: str
    value: str | int | float | bool
    within: Part | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A number that no resampling moves; `note` says what a p-value (`is_p`) was counted from."""

    value: float
    note: str = field(default="", compare=False)
    is_p: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A statistic over the prompts of one task (or over a `part` or slice of them)."""

    kind: Statistic
    rows: RowExpr
    task: str
    q: float = 0.5
    part: Part | Slice | None = None
    label: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """Arithmetic on quantities."""

    op: Operator
    args: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The largest (`max`) or smallest (`min`) of named members."""

    which: Literal["max", "min"]
    members: tuple[tuple[str, Scalar], ...]


Scalar = Constant | Aggregate | Op | Worst


def mean(rows: RowExpr, task: str, label: str = "", part: Part | Slice | None = None) -> Aggregate:
    """The mean over prompts of the mean over draws."""
    return Aggregate(kind="mean", rows=rows, task=task, label=label, part=part)


def difference(left: Scalar, right: Scalar) -> Op:
    """`left - right`."""
    return Op(op="-", args=(left, right))


def ratio(above: Scalar, below: Scalar) -> Op:
    """`above / below`; undefined where the interval of `below` contains 0."""
    return Op(op="/", args=(above, below))


def aggregates(node: Scalar) -> Iterator[Aggregate]:
    """Every aggregate of a quantity, in reading order, repeated ones repeated."""
    match node:
        case Aggregate():
            yield node
        case Op(args=args):
            for arg in args:
                yield from aggregates(arg)
        case Worst(members=members):
            for _, member in members:
                yield from aggregates(member)


def row_metrics(rows: RowExpr) -> Iterator[RowMetric]:
    """Every metric of a run in a row expression."""
    if isinstance(rows, RowMetric):
        yield rows
    elif isinstance(rows, RowOp):
        for arg in rows.args:
            yield from row_metrics(arg)


def row_denominators(rows: RowExpr) -> Iterator[RowExpr]:
    """Everything that is divided by per prompt, inside metrics too; plain numbers left out."""
    if isinstance(rows, RowMetric):
        for below in rows.metric.denominators:
            yield RowMetric(metric=below, run=rows.run)
    elif isinstance(rows, RowOp):
        for arg in rows.args:
            yield from row_denominators(arg)
        if rows.op == "/" and any(True for _ in row_metrics(rows.args[1])):
            yield rows.args[1]


def requests(node: Scalar) -> tuple[Request, ...]:
    """The measures that a quantity needs, each once, in reading order."""
    found: dict[Request, None] = {}
    for aggregate in aggregates(node):
        # Denominators that cancelled from a metric's expression are still looked at.
        for rows in (aggregate.rows, *row_denominators(aggregate.rows)):
            for item in row_metrics(rows):
                found.update(((item.run, measure), None) for measure in item.metric.measures)
    return tuple(found)


def sliced(node: Scalar, fields: Mapping[str, str], value: str | int | float | bool) -> Scalar:
    """The quantity over the rows whose label `fields[task]` has the value."""
    match node:
        case Aggregate(task=task, part=part) if not isinstance(part, Slice):
            return replace(node, part=Slice(field=fields[task], value=value, within=part))
        case Op(args=args):
            return replace(node, args=tuple(sliced(arg, fields, value) for arg in args))
        case Worst(members=members):
            parts = tuple((name, sliced(member, fields, value)) for name, member in members)
            return replace(node, members=parts)
        case _:
            return node


def is_constant(node: Scalar) -> bool:
    """True when no prompt enters, so that no resampling moves it."""
    return next(aggregates(node), None) is None


def notes_of(node: Scalar) -> tuple[str, ...]:
    """What the p-values in a quantity were counted from, each once."""
    match node:
        case Constant(note=note):
            return (note,) if note else ()
        case Op(args=args):
            found = [note for arg in args for note in notes_of(arg)]
        case Worst(members=members):
            found = [note for _, member in members for note in notes_of(member)]
        case _:
            found = []
    return tuple(dict.fromkeys(found))


def smooth(node: Scalar) -> bool:
    """False where the statistic is a median, quantile, minimum or maximum."""
    match node:
        case Aggregate(kind=kind):
            return kind in ("mean", "std")
        case Op(op=op, args=args):
            return op not in ("min", "max") and all(smooth(arg) for arg in args)
        case Worst():
            return False
        case _:
            return True
