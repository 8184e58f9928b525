"""Brute force for attribution: derivatives of the engine's own exact patches, by differences.

`by_engine`: every path set of a list as one plan, in which the treated value of each component is
its reference value and a share of the way to its treated value. The derivative by that share at 0
is what a first-order score has to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pathdsl.engine.adapters import Adapter
from pathdsl.engine.adapters.base import layers
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.run import treated
from pathdsl.engine.run.plain import PlainValues
from pathdsl.engine.run.runner import Settings, execute
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.attribution import ScoredUnit
from pathdsl.score.quantity import RowExpr, RowMetric, RowNumber, RowOp
from tests.engine.engine_cases import TASK
from tests.engine.family_cases import Exact

STEP = 2e-3


def derivative(function: Callable[[float], np.ndarray]) -> np.ndarray:
    """The derivative at 0, by central differences at three steps (Richardson, error of order 6)."""
    first, second, third = (
        (function(h) - function(-h)) / (2 * h) for h in (4 * STEP, 2 * STEP, STEP)
    )
    nearer, nearest = (4 * second - first) / 3, (4 * third - second) / 3
    return np.asarray((16 * nearest - nearer) / 15)


@contextmanager
def shared(kind: str, share: float) -> Iterator[None]:
    """Within it treated values of a kind go only a share of the way from the reference."""
    own = treated.SOURCES[kind]

    def source(rows: treated.Rows, number: int, spec: TreatedSpec, want: Any) -> Any:
        values = own(rows, number, spec, want)
        reference = rows.of_column(rows.task.reference, want)

        def mixed(sites: Any, draw: int) -> PlainValues:
            there, here = values(sites, draw), reference(sites, 0)
            for key, one in here.values.items():
                there.values[key] = one + share * (there.values[key] - one)
            return there

        return mixed

    treated.SOURCES[kind] = source
    try:
        yield
    finally:
        treated.SOURCES[kind] = own


@contextmanager
def shared_sides(share: float) -> Iterator[None]:
    """Within it what components write goes only a share of the way from the reference run, as
    attributions see it: each for itself, and not as the run of a change of `input` that small."""
    own = Chunk.sides

    def sides(chunk: Chunk) -> Iterator[Side]:
        for side in own(chunk):
            layers = chunk.tape.layers
            side.input = chunk.tape.embedded + share * (side.input - chunk.tape.embedded)
            side.z = [
                layer.z + share * (z - layer.z) for layer, z in zip(layers, side.z, strict=True)
            ]
            side.out = [
                None if out is None or layer.out is None else layer.out + share * (out - layer.out)
                for layer, out in zip(layers, side.out, strict=True)
            ]
            yield side

    Chunk.sides = sides  # type: ignore[method-assign]
    try:
        yield
    finally:
        Chunk.sides = own  # type: ignore[method-assign]


def rows_of(expr: RowExpr, values: Mapping[Measure, np.ndarray]) -> np.ndarray:
    """An expression per prompt, written apart from the engine's own."""
    match expr:
        case RowNumber(value=value):
            return np.array(value)
        case RowMetric(metric=metric):
            return metric.evaluate(values)
        case RowOp(op=op, args=args):
            x = [rows_of(arg, values) for arg in args]
            two = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
            return np.asarray(two[op](*x))
    raise AssertionError


def by_engine(
    adapter: Adapter, paths: Sequence[str], metric: RowExpr, spec: TreatedSpec,
    task: TaskData = TASK, frozen: bool = False,
) -> np.ndarray:  # fmt: skip
    """(paths, rows): the derivative of the metric by the share of each path set's patch."""
    text = "".join(f"path p{n} = {path}\n" for n, path in enumerate(paths))
    program, faults = load_program("oracle.circuit", text)
    assert not faults, faults
    resolver = Resolver(program, adapter.shape)
    runs = [
        RunSpec(task="t", kind="treat", treated=spec, label=f"p{n}",
                paths=resolver.path_set(program.paths[f"p{n}"].path))
        for n in range(len(paths))
    ]  # fmt: skip
    measures = list(measures_in(metric))
    requests = [(run, m) for run in runs for m in measures]
    plans = build_plans(
        adapter.shape, "t", task.valid, position_mask(task), requests, frozen=frozen
    )

    def metrics(share: float) -> np.ndarray:
        found: dict[str, dict[Measure, np.ndarray]] = {}
        with shared(spec.kind, share), Exact():
            for plan in plans:
                for (n, m), value in execute(plan, task, adapter, Settings()).items():
                    found.setdefault(plan.outputs[n].run.label, {})[m] = value
        return np.stack([rows_of(metric, found[run.label]).mean(axis=0) for run in runs])

    return derivative(metrics)


def measures_in(expr: RowExpr) -> Iterator[Measure]:
    match expr:
        case RowMetric(metric=metric):
            yield from metric.measures
        case RowOp(args=args):
            for arg in args:
                yield from measures_in(arg)


def path_of(unit: ScoredUnit) -> str:
    """The path set that treats one edge, or one node's output."""
    if not unit.receiver:
        return f"through({unit.sender})"
    arrow = f"-[{unit.slot}]->" if unit.slot else "->"
    return f"{unit.sender} {arrow} {unit.receiver}"


def logits_with(
    adapter: Adapter, ids: torch.Tensor, lengths: torch.Tensor, layer: int, slot: str, head: int,
    other: torch.Tensor, share: float,
) -> torch.Tensor:  # fmt: skip
    """Logits of a forward in which one head's q, k or v goes a share of the way to `other`, that of
    a forward of these prompts."""
    own = adapter.project
    there: list[torch.Tensor] = []

    def collect(at: int, of: str, normed: Any, *more: Any, **named: Any) -> torch.Tensor:
        found = own(at, of, normed, *more, **named)  # type: ignore[arg-type]
        if (at, of) == (layer, slot):
            there.append(found[..., head, :])
        return found

    def mix(at: int, of: str, normed: Any, *more: Any, **named: Any) -> torch.Tensor:
        found = own(at, of, normed, *more, **named).clone()  # type: ignore[arg-type]
        if (at, of) == (layer, slot):
            found[..., head, :] += share * (there[0] - found[..., head, :])
        return found

    try:
        with torch.no_grad(), Exact():
            adapter.project = collect  # type: ignore[method-assign, assignment]
            for _ in layers(adapter, adapter.embed(other), lengths):
                pass
            adapter.project = mix  # type: ignore[method-assign, assignment]
            return adapter.decomposed_forward(ids, lengths)
    finally:
        del adapter.project
