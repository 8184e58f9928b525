"""From runs and measures to plans: one plan per task and kind of draws, shared by all its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from pathdsl.graph.model.components import HEAD, Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.graph.suits import no_frozen_norms
from pathdsl.plan.acts import no_heads, treated_at
from pathdsl.plan.apart import run_apart
from pathdsl.plan.copies import RunBuilder
from pathdsl.plan.masks import FALSE, TRUE, MaskTable
from pathdsl.plan.means import means_of, treated_of
from pathdsl.plan.needs import lent, settled_masks, stages_read
from pathdsl.plan.outputs import AttentionRead, Output, Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.sides import Sides, no_pattern, no_treated
from pathdsl.plan.steps import (
    COPIES,
    REFERENCE,
    Blend,
    Frozen,
    Place,
    PlainResid,
    ValueCopy,
    treated_index,
    treated_source,
)
from pathdsl.plan.table import MAX_COPIES, CopyTable, pattern_copy
from pathdsl.plan.treated import TreatedSpec
from pathdsl.plan.under import Under
from pathdsl.plan.writes import copy_read, treated_beside, write_read

PositionMask = Callable[[Pos], np.ndarray]
"""A position to its (rows, pos) mask; raises DataError where a row has no such position."""

Moved = Callable[[TreatedSpec], np.ndarray | None]
"""A treated value to the (rows, pos) mask of tokens whose `input` is another than the reference's;
None for one that is no input."""


def build_plans(
    shape: ModelShape,
    task: str,
    valid: np.ndarray,
    position: PositionMask,
    requests: Iterable[tuple[RunSpec, Measure]],
    *,
    own: TreatedSpec | None = None,
    frozen: bool = False,
    routed: bool = False,
    max_states: int = MAX_STATES,
    max_copies: int = MAX_COPIES,
    names: Sequence[str] = (),
    behind: str = "",
    moved: Moved = lambda spec: None,
) -> tuple[Plan, ...]:
    """Plans that compute every requested measure of every run of one task.

    Args:
        valid: (rows, pos) bool, where real tokens stand.
        requests: runs whose `treated` is already the task's own where they named none.
        own: the task's own treated value, for measures that compare with the treated run.
        frozen: whether norms of mixed copies have the reference run's scales; routed: whether
            they have its routing of mixtures.
        names: of the rows, for messages.
        behind: the column whose answers stand behind the prompts.
        moved: where treated values differ from the reference's `input`; without it everywhere.

    Raises:
        PlanError: too many states (PD210) or steps (PD211); a treated value is missing (PD221);
            norms that cannot be frozen (PD262);
            what actions cannot do (PD225, PD227, PD231, PD232).
    """
    return tuple(
        replace(
            _build_one(
                shape,
                task,
                valid,
                position,
                runs,
                own,
                (frozen, routed),
                (max_states, max_copies),
                names,
                moved,
            ),
            behind=behind,
        )
        for runs in runs_by_plan(requests)
    )


def runs_by_plan(
    requests: Iterable[tuple[RunSpec, Measure]],
) -> tuple[dict[RunSpec, list[Measure]], ...]:
    """The runs of one task that go into one plan, with their measures, for each plan."""
    grouped: dict[RunSpec, list[Measure]] = {}
    for run, measure in requests:
        known = grouped.setdefault(run, [])
        if measure not in known:
            known.append(measure)
    by_draws: dict[TreatedSpec | None, dict[RunSpec, list[Measure]]] = {}
    for run, measures in grouped.items():
        drawn = run.treated if run.treated and run.treated.by_draw else None
        if not run.treats:
            drawn = None
        by_draws.setdefault(drawn, {})[run] = measures
    return tuple(by_draws.values())


def _build_one(
    shape: ModelShape,
    task: str,
    valid: np.ndarray,
    position: PositionMask,
    runs: Mapping[RunSpec, list[Measure]],
    own: TreatedSpec | None,
    held: tuple[bool, bool],
    bounds: tuple[int, int],
    row_names: Sequence[str],
    moved: Moved,
) -> Plan:
    """One plan; `held` as `frozen` and `routed`, `bounds` states and steps."""
    frozen, routed = held
    if frozen and shape.normed_stream:
        raise no_frozen_norms(shape)
    layout = Layout(shape)
    masks = MaskTable(valid, causal=shape.causal)
    beside = treated_beside((m for measures in runs.values() for m in measures), own, task)
    read_of = [run.treated for run in runs if run.treats] + [beside]
    plainly = tuple(dict.fromkeys(spec for spec in read_of if spec is not None))
    treated = tuple(dict.fromkeys([*plainly, *treated_of(runs)]))
    known: dict[Pos, int] = {}

    def mask_of(pos: Pos) -> int:
        if pos not in known:
            known[pos] = masks.intern(position(pos))
        return known[pos]

    table = CopyTable(
        layout,
        masks,
        [spec.how.constant for spec in treated],
        [treated_at(spec, masks, mask_of) for spec in treated],
        [_moved_at(spec, masks, moved) for spec in treated],
        frozen=frozen,
        routed=routed,
        max_states=bounds[0],
        max_copies=bounds[1],
    )
    builders: dict[tuple[RunSpec, tuple[int, ...]], RunBuilder] = {}

    def builder_of(run: RunSpec, also: tuple[int, ...] = ()) -> RunBuilder:
        if (run, also) not in builders:
            if run.treats and run.treated is None:
                raise no_treated(run)
            number = 0
            if run.treated and run.treats:
                number = sides.number(run.treated, run.treated_blocks)
            under = None
            if run.blocks or run.of_treated:
                under = Under(sides, run.blocks, run.treated_blocks)
            apart = (*run_apart(run, layout), *also)
            paths = run.treated_paths
            builders[run, also] = RunBuilder(table, paths, number, mask_of, under, apart)
        return builders[run, also]

    sides = Sides(table, treated, mask_of, builder_of, row_names)
    of_treated = treated_source(sides.number(beside)) if beside is not None else None
    outputs = []
    wanted: dict[int, int] = {}
    names: dict[str, int] = {}
    finals: list[tuple[int, Frozen]] = []
    for run, measures in runs.items():
        builder = builder_of(run)
        final = builder.logits()
        read = FALSE
        attention, written, copied = [], [], []
        for measure in measures:
            for place in measure.places:
                names[place] = mask_of(Pos.parse(place))
            if measure.record.reads == "write":
                written.append(measure)  # once the whole of what is read is known
            if measure.record.reads == "copy":
                at = tuple(names[place] for place in measure.of)
                copied.append(copy_read(table, builder, run, measure, at))
                wanted[copied[-1].step] = masks.either(
                    wanted.get(copied[-1].step, FALSE), reduce(masks.either, at)
                )
            if measure.of_head:
                queries, keys = names[measure.query], names[measure.key]
                attention.append(_attention(table, builder, measure, queries, keys, wanted))
            if measure.at_logits:
                read = masks.either(read, names[measure.position])
        mixed = masks.both(masks.both(final.kept, final.cut), read) if frozen else FALSE
        mixed_step = builder.logits(frozen=True).step if mixed != FALSE else -1
        frozen_to = builder.frozen_to(["scale_final"], shape.n_layers)
        finals.append((mixed, frozen_to))
        for step, mask in ((final.step, masks.without(read, mixed)), (mixed_step, mixed)):
            if mask != FALSE:
                wanted[step] = masks.either(wanted.get(step, FALSE), mask)
        writes = []
        for measure in written:
            where = names[measure.position]
            ends = masks.both(masks.both(final.kept, final.cut), where) if frozen else FALSE
            source = {"": None, "reference": REFERENCE}.get(measure.run, of_treated)
            writes.append(write_read(table, builder, measure, where, ends, source))
            for step, mask in (*writes[-1].parts, *writes[-1].beside):
                wanted[step] = masks.either(wanted.get(step, FALSE), mask)
        if any(measure.record.reads == "reference" for measure in measures):
            plain = table.add(PlainResid(stage=2 * shape.n_layers, source=REFERENCE))
            wanted[plain] = masks.either(wanted.get(plain, FALSE), read)
        outputs.append(
            Output(
                run=run,
                resid=final.step,
                positions=read,
                measures=tuple(measures),
                attention=tuple(attention),
                writes=tuple(writes),
                copies=tuple(copied),
                kept=masks.both(final.kept, read),
                cut=masks.both(final.cut, read),
                frozen=mixed_step,
                frozen_at=mixed,
                frozen_to=frozen_to if mixed != FALSE else True,
            )
        )
    need, plain_need = settled_masks(
        table.steps,
        wanted,
        masks,
        sides.is_constant,
        finals,
        shape,
    )
    return Plan(
        task=task,
        shape=shape,
        masks=masks,
        treated=tuple(sides.specs),
        steps=tuple(table.steps),
        need=tuple(need),
        outputs=tuple(outputs),
        plain_need=plain_need,
        position_masks=names,
        frozen=frozen,
        routed=routed,
        lent=lent(
            stages_read(table.steps, need, plain_need),
            {
                source: table.reached(source)
                for source in map(treated_source, range(len(treated)))
                if not sides.is_constant(source)
            },
            masks,
        ),
        means=means_of(
            sides,
            plain_need,
            (task, layout, masks, mask_of, row_names),
            bounds,
            held,
        ),
    )


def _moved_at(spec: TreatedSpec, masks: MaskTable, moved: Moved) -> int:
    """Where a treated value's `input` may be another one than the reference's.

    Everywhere for constants, and where attention is not causal: there one token moves them all, and
    in some families (RoBERTa) positions hang on other tokens.
    """
    found = None if spec.how.constant or not masks.causal else moved(spec)
    return TRUE if found is None else masks.intern(found)


def _attention(
    table: CopyTable,
    builder: RunBuilder,
    measure: Measure,
    queries: int,
    keys: int,
    wanted: dict[int, int],
) -> AttentionRead:
    """Where one head's pattern comes from; plain heads become copies so that they have one."""
    if measure.head is None:
        raise ValueError("an attention measure names a head")
    layer, head = measure.head
    if table.layout.shape.recurs(layer):
        raise no_heads(f"a{layer}.h{head}")
    blend = []
    if builder.under is not None:
        fixed = builder.under.acts.fixed(Place(HEAD.name, layer, head))
        if table.masks.both(fixed, queries) != FALSE:
            raise no_pattern(layer, head)
    for source, where in _head_copies(table, builder.read(Place(HEAD.name, layer, head))):
        read_at = table.masks.both(where, queries)
        if read_at == FALSE:
            continue
        if source == REFERENCE or (source < 0 and not table.constant[treated_index(source)]):
            source = pattern_copy(table, layer, head, source)
        if source < 0:
            raise no_pattern(layer, head)
        wanted[source] = table.masks.either(wanted.get(source, FALSE), read_at)
        blend.append((source, read_at))
    return AttentionRead(measure=measure, blend=tuple(blend), queries=queries, keys=keys)


def _head_copies(table: CopyTable, blend: Blend) -> Iterator[tuple[int, int]]:
    """The parts of a head's blend, with the copies that scaled ones are made of."""
    for source, where in blend:
        step = table.steps[source] if source >= 0 else None
        if isinstance(step, ValueCopy):
            inner = tuple((s, table.masks.both(m, where)) for s, m in step.blend)
            yield from _head_copies(table, inner)
        else:
            yield source, where


def mixed_copies(plan: Plan) -> list[int]:
    """Numbers of the component copies that are computed, in order."""
    return [number for number in plan.alive if isinstance(plan.steps[number], COPIES)]
