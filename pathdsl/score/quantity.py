"""Quantities: numbers over all prompts, as expressions that can be evaluated on any resample.

Two layers, in the order in which averages are taken (docs/semantics.md, From runs to numbers).
*Row* expressions have a value per prompt and draw: metrics of runs under arithmetic. An `Aggregate`
averages a row expression over the draws, then takes a statistic over the prompts. *Scalar*
expressions combine aggregates; `Worst` is the largest or smallest of named members, knockouts of a
score or members of a set, and `Among` the share of named members that satisfy a condition.

Because an expression is kept whole, a resample of the prompts reaches all of its terms jointly,
and ratios and differences get the interval of the expression instead of a rule of thumb (Efron and
Tibshirani 1993, chapter 8). Expressions are frozen: equal ones are measured and evaluated once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from pathdsl.graph.paths.pathset import PathSet, Pos
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec, Subject
from pathdsl.record import record
from pathdsl.score.metrics import Metric
from pathdsl.score.session import Request

__all__ = [
    "Aggregate",
    "Among",
    "Constant",
    "Correlation",
    "Counted",
    "Half",
    "Op",
    "RowExpr",
    "RowMetric",
    "RowNumber",
    "RowOp",
    "RowScored",
    "Scalar",
    "Slice",
    "Worst",
    "aggregates",
    "difference",
    "halved",
    "inner_first",
    "is_constant",
    "mean",
    "notes_of",
    "parts",
    "ratio",
    "rebuilt",
    "remade",
    "requests",
    "row_denominators",
    "row_metrics",
    "row_reads",
    "row_scored",
    "sliced",
    "summed",
]  # fmt: skip

Operator = Literal["+", "-", "*", "/", "^", "neg", "abs", "min", "max", "same"]
Statistic = Literal["mean", "median", "quantile", "std"]


@record
class RowNumber:
    """The same number for every prompt."""

    value: float


@record
class RowMetric:
    """A metric of a run, per prompt and draw."""

    metric: Metric
    run: RunSpec


@record
class RowOp:
    """Arithmetic per prompt and draw; `same` is 1 where both values are equal, else 0."""

    op: Operator
    args: tuple[RowExpr, ...]


@record
class RowScored:
    """The score of one unit in an attribution, per prompt.

    `measure` says which attribution, `run` has the treated value that it compares with. The unit is
    that of `pathdsl.score.attribution.ScoredUnit`; `at`: the sum over these positions, None for
    all.
    """

    run: RunSpec
    measure: Measure
    sender: str
    receiver: str
    slot: str
    at: Pos | None


RowExpr = RowNumber | RowMetric | RowScored | RowOp


@record
class Half:
    """One seeded half of the rows: knockouts are searched on one and judged on the other.

    `chosen`: what was searched for, in the words of a report. `shared`: tasks on the same rows have
    the same halves, also where other columns are their reference prompts.
    """

    seed: int
    side: Literal["search", "judge"]
    shared: bool = False
    chosen: str = field(default="knockouts were searched", compare=False)


@record
class Slice:
    """The rows whose label `field` has one value, those of a part where `within` names one."""

    field: str
    value: str | int | float | bool
    within: Half | None = None


@record
class Counted:
    """What a number was counted from, so that it can be counted of another path set.

    `subjects` are the sets of a count on the graph, `means` what a test over the prompts reads.
    `again(P, Q, means)` is the number with Q in the place of P; `means` have it there already.
    """

    subjects: tuple[Subject, ...]
    means: tuple[Aggregate, ...]
    again: Callable[[PathSet, PathSet, Sequence[Aggregate]], Constant]


@record
class Constant:
    """A number that no resampling moves; `note` says what a p-value (`is_p`) was counted from.

    `counted` is None for a plain number, and for p-values that cannot be counted again.
    """

    value: float
    note: str = field(default="", compare=False)
    is_p: bool = field(default=False, compare=False)
    counted: Counted | None = field(default=None, compare=False, repr=False)


@record
class Aggregate:
    """A statistic over the prompts of one task (or over a `part` or slice of them).

    `q` is the quantile that an order statistic takes, 0.5 of a median.
    """

    kind: Statistic
    rows: RowExpr
    task: str
    q: float = 0.5
    part: Half | Slice | None = None
    label: str = field(default="", compare=False)

    @property
    def smooth(self) -> bool:
        """Whether it is smooth in the weight of each prompt; else it is an order statistic."""
        return STATISTICS[self.kind].over == "moments"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Compound:
    """Arithmetic whose parts may be shared: hashed once, and compared pair by pair of objects.

    Lets that name one another twice are sixty objects and 2^60 occurrences of them. `nesting` is
    how many compounds stand inside one another down to one without `max`, `min` and `abs` over
    prompts, whose own is 0; `size` counts what is left there, repeated as often as it stands.
    """

    nesting: int = field(init=False, repr=False)
    size: int = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False)

    def _measured(self, extreme: bool, below: Sequence[Scalar]) -> None:
        inner = [part for part in below if isinstance(part, _Compound)]
        deep = max((part.nesting for part in inner), default=0)
        outside = extreme or deep > 0
        repeated = sum(part.size for part in inner) + len(below) - len(inner)
        object.__setattr__(self, "nesting", deep + 1 if outside else 0)
        object.__setattr__(self, "size", repeated if outside else 1)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        pending: list[tuple[object, object]] = [(self, other)]
        seen: set[tuple[int, int]] = set()
        while pending:
            a, b = pending.pop()
            if a is b or (id(a), id(b)) in seen:
                continue
            seen.add((id(a), id(b)))
            if not isinstance(a, _Compound):
                if a != b:
                    return False
            elif type(a) is not type(b) or hash(a) != hash(b) or _head(a) != _head(b):  # type: ignore[arg-type]
                return False
            else:
                pending += zip(parts(a), parts(b), strict=True)  # type: ignore[arg-type]
        return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Op(_Compound):
    """Arithmetic on quantities."""

    op: Operator
    args: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((Op, self.op, self.args)))
        self._measured(self.op in STATISTICS, self.args)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worst(_Compound):
    """The largest (`max`) or smallest (`min`) of named members."""

    which: Literal["max", "min"]
    members: tuple[tuple[str, Scalar], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((Worst, self.which, self.members)))
        self._measured(True, [member for _, member in self.members])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Among(_Compound):
    """The share of named members whose value satisfies a condition, `value relation threshold`.

    A member without a value does not satisfy it.
    """

    relation: Literal["<", "<=", ">", ">="]
    threshold: float
    members: tuple[tuple[str, Scalar], ...]

    def __post_init__(self) -> None:
        own = hash((Among, self.relation, self.threshold, self.members))
        object.__setattr__(self, "_hash", own)
        self._measured(True, [member for _, member in self.members])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correlation(_Compound):
    """The correlation of two numbers, of ranks where `ranked`.

    Over named members it is that of their values `xs` and `ys`. Over the prompts, where `names` is
    empty, `xs` and `ys` are one mean each, of the two numbers per prompt.
    """

    ranked: bool
    names: tuple[str, ...]
    xs: tuple[Scalar, ...]
    ys: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        own = hash((Correlation, self.ranked, self.names, self.xs, self.ys))
        object.__setattr__(self, "_hash", own)
        self._measured(False, ())  # what is inside is resampled as it is

    @property
    def of_prompts(self) -> tuple[Aggregate, Aggregate] | None:
        """The means of the two numbers per prompt; None over members."""
        if self.names:
            return None
        (x,), (y,) = self.xs, self.ys
        assert isinstance(x, Aggregate) and isinstance(y, Aggregate)
        return x, y


Scalar = Constant | Aggregate | Op | Worst | Among | Correlation


def summed(terms: Sequence[Scalar]) -> Scalar:
    """The sum of some quantities, as a tree that is as shallow as it can be."""
    found = list(terms)
    while len(found) > 1:
        pairs = [found[i : i + 2] for i in range(0, len(found), 2)]
        found = [Op(op="+", args=tuple(two)) if len(two) > 1 else two[0] for two in pairs]
    return found[0] if found else Constant(value=0.0)


def mean(rows: RowExpr, task: str, label: str = "", part: Half | Slice | None = None) -> Aggregate:
    """The mean over prompts of the mean over draws."""
    return Aggregate(kind="mean", rows=rows, task=task, label=label, part=part)


def difference(left: Scalar, right: Scalar) -> Op:
    """`left - right`."""
    return Op(op="-", args=(left, right))


def ratio(above: Scalar, below: Scalar) -> Op:
    """`above / below`; undefined where the interval of `below` contains 0."""
    return Op(op="/", args=(above, below))


def parts(node: Scalar) -> tuple[Scalar, ...]:
    """The quantities directly below one, in reading order."""
    match node:
        case Op(args=args):
            return args
        case Worst(members=members) | Among(members=members):
            return tuple(member for _, member in members)
        case Correlation(xs=xs, ys=ys):
            return (*xs, *ys)
        case Constant() | Aggregate():
            return ()
        case unknown:
            assert_never(unknown)


def _head(node: Op | Worst | Among | Correlation) -> tuple[object, ...]:
    """What a compound is besides its parts; equal heads have equally many."""
    if isinstance(node, Correlation):
        return node.ranked, node.names
    if isinstance(node, Op):
        return node.op, len(node.args)
    names = tuple(name for name, _ in node.members)
    if isinstance(node, Worst):
        return node.which, names
    return node.relation, node.threshold, names


def inner_first(
    node: Scalar, below: Callable[[Scalar], bool] = lambda one: True
) -> Iterator[Scalar]:
    """Every object that a quantity is made of, once, what it is made of before it.

    `below(one)` says whether to look at what an object is made of.
    """
    seen: set[int] = set()
    pending = [(node, False)]
    while pending:
        one, ready = pending.pop()
        if ready:
            yield one
        elif id(one) not in seen:
            seen.add(id(one))
            pending.append((one, True))
            if below(one):
                pending += [(part, False) for part in reversed(parts(one))]


def aggregates(node: Scalar) -> Iterator[Aggregate]:
    """Every aggregate of a quantity, in reading order; an object that is shared comes once."""
    return (one for one in inner_first(node) if isinstance(one, Aggregate))


def row_metrics(rows: RowExpr) -> Iterator[RowMetric]:
    """Every metric of a run in a row expression."""
    return (one for one in row_reads(rows) if isinstance(one, RowMetric))


def row_reads(rows: RowExpr) -> Iterator[RowMetric | RowScored]:
    """Every metric of a run and every score of an attribution in a row expression."""
    if isinstance(rows, RowMetric | RowScored):
        yield rows
    elif isinstance(rows, RowOp):
        for arg in rows.args:
            yield from row_reads(arg)


def row_scored(rows: RowExpr) -> Iterator[RowScored]:
    """Every score of an attribution in a row expression."""
    return (one for one in row_reads(rows) if isinstance(one, RowScored))


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
        found.update(((one.run, one.measure), None) for one in row_scored(aggregate.rows))
        for rows in (aggregate.rows, *row_denominators(aggregate.rows)):
            for item in row_metrics(rows):
                found.update(((item.run, measure), None) for measure in item.metric.measures)
    return tuple(found)


def remade(node: Scalar, change: Callable[[Scalar, Sequence[Scalar]], Scalar]) -> Scalar:
    """The quantity with every object changed once, from the inside out.

    `change` gets an object and what its parts have become, and gives what it becomes itself.
    """
    found: dict[int, Scalar] = {}
    for one in inner_first(node):
        found[id(one)] = change(one, [found[id(part)] for part in parts(one)])
    return found[id(node)]


def rebuilt(node: Scalar, args: Sequence[Scalar]) -> Scalar:
    """The same arithmetic on other parts; itself where they are its own or it has none."""
    if all(new is old for new, old in zip(args, parts(node), strict=True)):
        return node
    match node:
        case Op():
            return replace(node, args=tuple(args))
        case Worst(members=members) | Among(members=members):
            names = [name for name, _ in members]
            return replace(node, members=tuple(zip(names, args, strict=True)))
        case Correlation(xs=xs):
            return replace(node, xs=tuple(args[: len(xs)]), ys=tuple(args[len(xs) :]))
        case _:
            return node


def halved(node: Scalar, half: Half) -> Scalar:
    """The quantity on one half of the rows, where it is on all of them."""

    def inside(one: Scalar, args: Sequence[Scalar]) -> Scalar:
        if isinstance(one, Aggregate) and one.part is None:
            return replace(one, part=half)
        return rebuilt(one, args)

    return remade(node, inside)


def sliced(node: Scalar, fields: Mapping[str, str], value: str | int | float | bool) -> Scalar:
    """The quantity over the rows whose label `fields[task]` has the value."""

    def inside(one: Scalar, args: Sequence[Scalar]) -> Scalar:
        if isinstance(one, Aggregate) and not isinstance(one.part, Slice):
            part = Slice(field=fields[one.task], value=value, within=one.part)
            return replace(one, part=part)
        return rebuilt(one, args)

    return remade(node, inside)


def is_constant(node: Scalar) -> bool:
    """True when no prompt enters, so that no resampling moves it."""
    return next(aggregates(node), None) is None


def notes_of(node: Scalar) -> tuple[str, ...]:
    """What the p-values in a quantity were counted from, each once."""
    notes = [one.note for one in inner_first(node) if isinstance(one, Constant) and one.note]
    return tuple(dict.fromkeys(notes))
