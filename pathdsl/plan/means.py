"""Means of an intervened model: what has to be run before a mean over its runs can be taken.

A mean stands for each component's value over many prompts. Of the model that an intervention makes
these values are no plain run's, so a plan of its own computes them on every row. A constant that is
no mean has such a plan for the null pair, in which the reference run's values stand in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from pathdsl.graph.model.components import HEAD, Layout
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.acts import treated_at
from pathdsl.plan.apart import run_apart
from pathdsl.plan.copies import RunBuilder
from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.needs import PlainNeed, settled_masks
from pathdsl.plan.outputs import MeanPlan, Plan
from pathdsl.plan.runs import Block, RunSpec
from pathdsl.plan.sides import Sides, not_executed
from pathdsl.plan.steps import Blend, Place, treated_source
from pathdsl.plan.table import CopyTable
from pathdsl.plan.treated import TreatedSpec
from pathdsl.plan.under import Under

__all__ = ["mean_plan", "treated_of"]


def treated_of(runs: Iterable[RunSpec]) -> tuple[TreatedSpec, ...]:
    """The treated values of a plan, by number: those of its runs, and those that actions read."""
    runs = list(runs)
    found = dict.fromkeys(r.treated for r in runs if r.treated is not None and r.treats)
    pending = [action for run in runs for action in run.actions]
    while pending:
        action = pending.pop(0)
        found |= dict.fromkeys(action.values)
        if isinstance(action.source, RunSpec):
            if action.source.treats and action.source.treated is not None:
                found[action.source.treated] = None
            pending += action.source.actions
    return tuple(found)


def mean_plan(
    spec: TreatedSpec,
    blocks: tuple[Block, ...],
    wanted: Iterable[tuple[str, int]],
    whose: tuple[str, Layout, MaskTable, Callable[[Pos], int], Sequence[str]],
    bounds: tuple[int, int],
    held: tuple[bool, bool],
) -> MeanPlan:
    """The plan of the runs behind a constant; `wanted` are kinds and layers of the values averaged.

    `whose`: task, layout, masks, positions and names of the rows. `bounds`: states and steps.
    `held`: whether the runs that actions read have frozen norms, and a frozen routing; those
    averaged are plain.
    """
    task, layout, masks, position, names = whose
    run = RunSpec(task=task, kind="reference", blocks=blocks)
    if spec.how.averaged:
        column = TreatedSpec(kind="paired", column=spec.column)
        run = replace(run, kind="treated", treated=column)
    treated = treated_of([run])
    table = CopyTable(
        layout, masks, [one.how.constant for one in treated],
        [treated_at(one, masks, position) for one in treated],
        frozen=held[0], routed=held[1], max_states=bounds[0], max_copies=bounds[1],
    )  # fmt: skip

    def reader(read: RunSpec, also: tuple[int, ...]) -> RunBuilder:
        number = 0
        if read.treats and read.treated is not None:
            number = sides.number(read.treated, read.treated_blocks)
        under = None
        if read.blocks or read.of_treated:
            under = Under(sides, read.blocks, read.treated_blocks)
        apart = (*run_apart(read, layout), *also)
        return RunBuilder(table, read.treated_paths, number, position, under, apart)

    sides = Sides(table, treated, position, reader, names)
    source = sides.source(run)
    own = sides.layout(blocks)
    parts = {at: own.neurons.get(at, ()) for kind, at in wanted if kind == "hidden"}
    split = Layout(layout.shape, {**own.neurons, **{at: g or ((0,),) for at, g in parts.items()}})
    values: dict[tuple[str, int], tuple[Blend, ...]] = {}
    need: dict[int, int] = {}
    plain: PlainNeed = {}
    for kind, at in wanted:
        side = sides.side(source, blocks, split if kind == "hidden" else own)
        if kind == "hidden":
            _vet_vectors(blocks, at)
            found = [side.cell(part) for part in split.parts_of_mlp(at)]
            values[kind, at] = tuple(found[: 1 + len(parts[at])])
        else:
            heads = range(layout.shape.heads_in(at)) if kind == HEAD.name else (-1,)
            values[kind, at] = tuple(side.read(Place(kind, at, head)) for head in heads)
        for read, mask in (part for blend in values[kind, at] for part in blend):
            if read >= 0:
                need[read] = masks.either(need.get(read, FALSE), mask)
            else:
                plain[read, kind, at] = masks.either(plain.get((read, kind, at), FALSE), mask)
    needs, below = settled_masks(table.steps, need, masks, sides.is_constant, (), layout.shape)
    for key, mask in below.items():
        plain[key] = masks.either(plain.get(key, FALSE), mask)
    plan = Plan(
        task=task, shape=layout.shape, masks=masks, treated=tuple(sides.specs),
        steps=tuple(table.steps), need=tuple(needs), outputs=(), plain_need=plain,
        position_masks={}, means=means_of(sides, plain, whose, bounds, held),
    )  # fmt: skip
    return MeanPlan(plan=plan, values=values, neurons=parts)


def _vet_vectors(blocks: tuple[Block, ...], layer: int) -> None:
    """Raise PD225 where hidden units are to stand for an MLP to which a vector is added."""
    for action in (action for block in blocks for action in block.actions):
        if action.vector and any(t.of_mlp and t.layer == layer for t in action.targets):
            raise not_executed(
                f"a vector on `m{layer}`, whose neurons are told apart, under a treated value that "
                "is no run,", action, f"add it to the stream behind it, `add r{layer + 1}@…`",
            )  # fmt: skip


def means_of(
    sides: Sides,
    plain: Mapping[tuple[int, str, int], int],
    whose: tuple[str, Layout, MaskTable, Callable[[Pos], int], Sequence[str]],
    bounds: tuple[int, int],
    held: tuple[bool, bool],
) -> dict[int, MeanPlan]:
    """The plans behind the constants of a plan that stand under something."""
    found = {}
    for number, blocks in sides.under.items():
        source = treated_source(number)
        wanted = [(kind, layer) for at, kind, layer in plain if at == source]
        if wanted:
            found[number] = mean_plan(sides.specs[number], blocks, wanted, whose, bounds, held)
    return found
