"""Exact effects: every unit patched alone, and random subsets of the units that were not.

A unit is treated as a path set: a node's output, `through(h@[3])`, has its treated value wherever
it is read; an input of a head, `any -[q]-> h`, is computed from treated values of all that it
reads; an edge, `a -[q]-> h`, brings its sender's value in the treated run to that input alone. All
else is recomputed. So a score is what the language calls

    mean(LD(treat(through(a9.h6))) - LD(reference))

prompt by prompt. Queries stand at the position of the head, keys and values at that of the token
that is read. Without positions a unit is treated at all of them at once, which is not the sum of
what it does at each.

All are runs of a session, so they share their work, and what was run before is not run again.

    scored = exact(session, adapter.shape, asked)
    bound = bound_unverified(session, adapter.shape, asked, rest)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from pathdsl.engine.attribution.units import UNITS
from pathdsl.engine.data.positions import token_at
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.neurons import neuron_bit, unite
from pathdsl.graph.paths.pathset import (
    NONE,
    Edge,
    Nodes,
    PathSet,
    Pos,
    Regex,
    alt,
    cat,
    complete,
    crossing,
    union,
)
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.attribution import Attribution, Scored, ScoredUnit
from pathdsl.score.quantity import RowExpr, RowMetric, RowNumber, RowOp, row_metrics
from pathdsl.score.statistics.arithmetic import apply
from pathdsl.score.statistics.design import part_mask
from pathdsl.score.statistics.unverified import (
    FalseNegativeBound,
    false_negative_bound,
    least,
    random_subsets,
    subsets_for,
)

__all__ = [
    "Measured",
    "Place",
    "bound_unverified",
    "effects_of",
    "exact",
    "patch_requests",
    "paths_of",
    "subset_requests",
]  # fmt: skip

Place = tuple[ScoredUnit, int | None]
"""A unit, and the token at which it is treated; None for all of them."""

TOGETHER = 512
"""Runs of one plan: what they share is shared by so many, and a plan is made in seconds."""


# -------------------------------------------------------------------------------------------------
# Units as path sets
# -------------------------------------------------------------------------------------------------


def paths_of(places: Iterable[Place], layout: Layout, task: TaskData) -> PathSet:
    """The paths through any of these units; ValueError for a unit that the model does not have."""
    marks: dict[int, list[int | None]] = {}
    nodes: dict[int | None, int] = {}
    inputs: dict[tuple[int, str, int | None], int] = {}
    for unit, at in places:
        if (mark := _mark(unit, layout)) is not None:
            marks.setdefault(mark, []).append(at)
            continue
        if not unit.receiver:
            nodes[at] = unite(nodes.get(at, 0), _bit(unit.sender, layout), layout)
            continue
        receiver = _component(unit.receiver, layout)
        if (unit.slot or None) not in layout.slots_of(receiver):
            raise ValueError(f"`{unit.receiver}` has no input `{unit.slot}`")
        senders = layout.senders_into(receiver, unit.slot)
        if unit.sender:
            sender = _bit(unit.sender, layout)
            if not sender & senders and sender < 1 << len(layout.components):
                raise ValueError(f"`{unit.receiver}` does not read `{unit.sender}`")
            senders = sender
        key = receiver, unit.slot, at
        inputs[key] = unite(inputs.get(key, 0), senders, layout)
    # Places that differ in nothing but their token are one letter of the automaton.
    node_tokens: dict[int, list[int | None]] = {}
    for at, mask in nodes.items():
        node_tokens.setdefault(mask, []).append(at)
    input_tokens: dict[tuple[int, str, int], list[int | None]] = {}
    for (receiver, slot, at), senders in inputs.items():
        input_tokens.setdefault((receiver, slot, senders), []).append(at)
    options: list[Regex] = [
        Nodes(mask=mask, at=_tokens(task, ats), named=True) for mask, ats in node_tokens.items()
    ]
    for (receiver, slot, senders), ats in input_tokens.items():
        arrow = Edge(labels=((slot, None),)) if slot else Edge()  # type: ignore[arg-type]
        ends = Nodes(mask=senders, at=_tokens(task, ats)), Nodes(mask=1 << receiver, named=True)
        options.append(cat(ends[0], arrow, ends[1]))
    found: PathSet = NONE
    if options:
        found = complete(alt(*options), layout.any_mask, 1 << layout.logits)
    if marks:
        edges = (Edge(mark=mark, mark_at=_tokens(task, ats)) for mark, ats in marks.items())
        found = union(found, crossing(alt(*edges), layout.any_mask, 1 << layout.logits))
    return found


def _tokens(task: TaskData, places: Sequence[int | None]) -> Pos | None:
    """The tokens at some places, all of them where one place is None."""
    some = [at for at in places if at is not None]
    if len(some) < len(places):
        return None
    return Pos.of_all(token_at(task, at) for at in some)


def _component(name: str, layout: Layout) -> int:
    place = layout.named.get(name)
    if place is None:
        raise ValueError(f"the model has no node `{name}`")
    return place


def _mark(unit: ScoredUnit, layout: Layout) -> int | None:
    """The layer whose entry a unit is, None for units of other kinds."""
    number = unit.sender.removeprefix("r")
    if unit.receiver or number == unit.sender or not number.isdecimal():
        return None
    return int(number) if int(number) <= layout.shape.n_layers else None


def _bit(name: str, layout: Layout) -> int:
    """The mask of a sender, `a3.h1` or `m3.n17`."""
    mlp, dot, number = name.partition(".n")
    if not dot:
        return 1 << _component(name, layout)
    layer = layout.components[_component(mlp, layout)].layer
    if not number.isdecimal() or int(number) >= layout.shape.d_mlp:
        raise ValueError(f"the model has no neuron `{name}`")
    return 1 << neuron_bit(layer, int(number), layout)


def _name(place: Place) -> str:
    """A unit in one spelling, `a0.h1 -[q]-> a3.h0 @[2]`."""
    unit, at = place
    arrow = f"-[{unit.slot}]-> " if unit.slot else "-> "
    edge = f" {arrow}{unit.receiver}" if unit.receiver else ""
    return f"{unit.sender or 'all'}{edge}{'' if at is None else f' @[{at}]'}"


# -------------------------------------------------------------------------------------------------
# Runs
# -------------------------------------------------------------------------------------------------


class Measured(Protocol):
    """What runs are asked of, such as the session of a check."""

    @property
    def tasks(self) -> Mapping[str, TaskData]:
        """The rows of every task."""

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these as one plan; what is known already is not run again."""

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(draws, rows) float64; draws is 1 for a run without draws."""


def _treating(expr: RowExpr, paths: PathSet, asked: Attribution, label: str) -> RowExpr:
    """The metric on the run that treats a path set, instead of on the reference run."""
    match expr:
        case RowMetric(run=run) if not run.treats:
            label = f"treat({label})"
            treats = replace(
                run, kind="treat", paths=paths, treated=asked.treated, label=label, form=label
            )
            return replace(expr, run=treats)
        case RowOp(args=args):
            return replace(expr, args=tuple(_treating(a, paths, asked, label) for a in args))
        case _:
            return expr


def _rows(session: Measured, expr: RowExpr) -> np.ndarray:
    """(draws, rows) of an expression."""
    match expr:
        case RowMetric(metric=metric, run=run):
            return metric.evaluate({one: session.value(run, one) for one in metric.measures})
        case RowOp(op=op, args=args):
            return apply(op, [_rows(session, arg) for arg in args])
        case RowNumber(value=value):
            return np.full((1, 1), value)
        case _:
            raise TypeError(f"no attribution of a `{type(expr).__name__}`")


def _requests(expr: RowExpr) -> Iterator[Request]:
    for item in row_metrics(expr):
        for measure in item.metric.measures:
            yield item.run, measure


def patch_requests(
    places: Sequence[Place], asked: Attribution, shape: ModelShape, task: TaskData
) -> tuple[Request, ...]:
    """What `exact` asks for to patch these units alone, for a planner to cost."""
    return _all_requests(([place] for place in places), asked, shape, task)


def _all_requests(
    groups: Iterable[Sequence[Place]], asked: Attribution, shape: ModelShape, task: TaskData
) -> tuple[Request, ...]:
    exprs = [asked.metric, *_treated(groups, asked, Layout(shape), task)]
    return tuple(dict.fromkeys(request for expr in exprs for request in _requests(expr)))


def _treated(
    groups: Iterable[Sequence[Place]], asked: Attribution, layout: Layout, task: TaskData
) -> Iterator[RowExpr]:
    for group in groups:
        label = _name(group[0]) if len(group) == 1 else f"{len(group)} units"
        yield _treating(asked.metric, paths_of(group, layout, task), asked, label)


def effects_of(
    session: Measured, shape: ModelShape, asked: Attribution, groups: Iterable[Sequence[Place]]
) -> Iterator[np.ndarray]:
    """(rows,) each: what the units of a group do that are treated together, the mean over draws.

    A metric that has no value in some run is nan there.
    """
    metric, task = asked.metric, session.tasks[asked.task]
    pending: list[RowExpr] = []

    def settled() -> Iterator[np.ndarray]:
        wanted = dict.fromkeys(r for expr in (metric, *pending) for r in _requests(expr))
        session.measures(list(wanted))
        base = _rows(session, metric).mean(axis=0)
        for expr in pending:
            yield _rows(session, expr).mean(axis=0) - base
        pending.clear()

    for expr in _treated(groups, asked, Layout(shape), task):
        pending.append(expr)
        if len(pending) == TOGETHER:
            yield from settled()
    if pending:
        yield from settled()


# -------------------------------------------------------------------------------------------------
# What is asked
# -------------------------------------------------------------------------------------------------


def exact(
    session: Measured,
    shape: ModelShape,
    asked: Attribution,
    units: Sequence[ScoredUnit] | None = None,
) -> Scored:
    """What each unit does that is treated alone, `m(treat(unit)) - m(reference)` for each prompt.

    `units`: some, of any kind; None for all that `asked.of` names.
    """
    task = session.tasks[asked.task]
    chosen = UNITS[asked.of](shape) if units is None else tuple(units)
    read = _read(task, asked)
    n_pos = max(rows.n_pos for rows in read)
    positions = range(n_pos) if asked.by_position else [None]
    places: list[Place] = [(unit, at) for unit in chosen for at in positions]
    axes = (n_pos,) if asked.by_position else ()
    values = np.zeros((len(chosen), *axes, task.n_rows))
    flat = values.reshape(len(places), task.n_rows)
    effects = effects_of(session, shape, asked, ([place] for place in places))
    for number, effect in enumerate(effects):
        flat[number] = effect
    if asked.by_position:
        longest = np.max([rows.lengths for rows in read], axis=0)
        values[:, np.arange(n_pos)[:, None] >= longest] = 0.0
    return Scored(units=chosen, values=values)


def _read(task: TaskData, asked: Attribution) -> tuple[TaskData, ...]:
    """The rows as the metric reads them: alone, or with answers behind the prompts."""
    columns = dict.fromkeys(
        task.behind(task.as_read(measure)) for _, measure in _requests(asked.metric)
    )
    return tuple(map(task.branch, columns)) or (task,)


def _groups(rest: Sequence[Place], inside: np.ndarray) -> Iterator[list[Place]]:
    for held in inside:
        yield [place for place, chosen in zip(rest, held, strict=True) if chosen]


def subset_requests(
    rest: Sequence[Place],
    asked: Attribution,
    shape: ModelShape,
    task: TaskData,
    *,
    share: float = 0.1,
    subsets: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Request, ...]:
    """What `bound_unverified` asks for, for a planner to cost."""
    inside = _membership(rest, share, subsets, confidence, seed)
    return _all_requests(_groups(rest, inside), asked, shape, task)


def _membership(
    rest: Sequence[Place], share: float, subsets: int, confidence: float, seed: int
) -> np.ndarray:
    count = subsets or subsets_for(confidence, share)
    return random_subsets([_name(place) for place in rest], count, share, seed)


def bound_unverified(
    session: Measured,
    shape: ModelShape,
    asked: Attribution,
    rest: Sequence[Place],
    *,
    verified: int = 0,
    share: float = 0.1,
    subsets: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
) -> FalseNegativeBound:
    """The largest effect that units may still have that were not patched alone.

    Args:
        rest: those units, at the tokens at which they were scored.
        verified: how many others were patched alone; only told.
        share: of the subsets that hold each unit.
        subsets: how many are run, 0 for as many as the confidence takes.

    Nothing is run where the subsets are too few, or no unit is left.
    """
    task = session.tasks[asked.task]
    if not rest:
        return FalseNegativeBound(
            bound=0.0, confidence=confidence, curve=((0.0, confidence),), unit=-1, units=0,
            subsets=0, share=share, verified=verified, why="",
        )  # fmt: skip
    inside = _membership(rest, share, subsets, confidence, seed)
    effects = np.zeros((len(inside), 1))
    held = int(inside[:, 0].sum())
    if min(held, len(inside) - held) >= least(confidence, share):
        counted = part_mask(task, None)
        runs = effects_of(session, shape, asked, _groups(rest, inside))
        effects = np.stack(list(runs))[:, counted]
    return false_negative_bound(
        effects, inside, confidence=confidence, verified=verified, seed=seed
    )
