"""The plain runs of an intervened model, as steps: what its settled copies are read from.

A *side* is a plain run of the model under some blocks: its values where the blocks do not reach are
those of the unmodified model's run, and copies of their own elsewhere. So a run under a block has
everything that the block does not reach in common with runs without it.

A constant treated value has no stream that is run: there a side sums the constants, and what a
block does to a value shows only where it makes the value a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.model.components import HEAD, Component, Layout
from pathdsl.graph.paths.neurons import split_layout
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.acts import (
    IN,
    Act,
    Acts,
    at_stage,
    component_place,
    place_of,
    stage_behind,
    treated_at,
)
from pathdsl.plan.apart import blocks_apart, groups_at
from pathdsl.plan.masks import FALSE, TRUE, MaskTable
from pathdsl.plan.runs import Action, Block, RunSpec, Target
from pathdsl.plan.steps import (
    NOTHING,
    OF_MLP,
    REFERENCE,
    ActedHeadCopy,
    AttentionResid,
    Blend,
    Frozen,
    FrozenTo,
    HeadAct,
    HeadCopy,
    HiddenCopy,
    InputResid,
    JoinResid,
    MlpCopy,
    Place,
    PlainResid,
    RecurrentCopy,
    ScaleCopy,
    Step,
    ValueCopy,
    parts_of,
    treated_index,
    treated_source,
)
from pathdsl.plan.table import CopyTable
from pathdsl.plan.treated import TreatedSpec

__all__ = ["Reader", "Side", "Sides", "not_executed", "put", "within"]


def not_executed(what: str, action: Action | None, help: str) -> PlanError:
    """PD225: what the language can say and this version does not execute."""
    return PlanError(
        Diagnostic(
            code="PD225",
            message=f"{what} is not executed yet",
            span=action.span if action is not None else None,
            help=help,
        )
    )


def no_treated(run: RunSpec) -> PlanError:
    """PD221."""
    return PlanError(
        Diagnostic(
            code="PD221",
            message=f"`{run.label or run.kind}` needs a treated value; its task has none",
            help="add `treated = COLUMN` (or mean, zero, …) to the task, or write "
            "`treat(P, treated: zero)`",
        )
    )


def within(masks: MaskTable, blend: Blend, mask: int) -> Blend:
    """The part of a blend at some positions."""
    found = ((source, masks.both(where, mask)) for source, where in blend)
    return tuple((source, where) for source, where in found if where != FALSE)


def put(masks: MaskTable, blend: Blend, mask: int, other: Blend) -> Blend:
    """A blend with another one, whose masks lie in `mask`, in its place at some positions."""
    found: dict[int, int] = {}
    for source, where in (*within(masks, blend, masks.without(TRUE, mask)), *other):
        found[source] = masks.either(found.get(source, FALSE), where)
    return tuple(sorted(found.items()))


class Reader(Protocol):
    """A run as another one reads it: its values as they go straight to `logits`."""

    def read(self, place: Place) -> Blend:
        """Where a value comes from; of `resid`, which steps the stream is."""
        ...

    def part(self, component: Component) -> Blend:
        """Where the hidden units of a part of a split MLP come from."""
        ...


class Value(NamedTuple):
    """What an action acts on; `part`, of an MLP that is split in `layout`: one component of it."""

    place: Place
    part: Component | None = None
    layout: Layout | None = None

    def groups(self, layout: Layout) -> tuple[int, ...]:
        """The neurons that are told apart in its MLP, as masks; `layout` splits none."""
        if self.part is None or self.layout is None:
            return ()
        return groups_at(self.place.layer, self.layout, layout)


class Sides:
    """The sides of one table, and where values that actions name come from.

    `specs`: the plan's treated values by number. `reader`: of a run by its paths, in which these
    masks of neurons are told apart, too. `names`: of the rows, for messages.
    """

    def __init__(
        self,
        table: CopyTable,
        specs: Iterable[TreatedSpec],
        position: Callable[[Pos], int],
        reader: Callable[[RunSpec, tuple[int, ...]], Reader],
        names: Sequence[str],
    ) -> None:
        self.names = names
        self.table = table
        self.specs = list(specs)
        self.under: dict[int, tuple[Block, ...]] = {}
        """Constants that stand under something, by number."""
        self._numbers: dict[tuple[TreatedSpec, tuple[Block, ...]], int] = {
            (spec, ()): number for number, spec in enumerate(self.specs)
        }
        self.position = position
        self.reader = reader
        self._acts: dict[tuple[Block, ...], Acts] = {}
        self._sides: dict[tuple[object, ...], Side] = {}
        self._layouts: dict[tuple[tuple[Block, ...], tuple[int, ...]], Layout] = {}

    def acts(self, blocks: tuple[Block, ...]) -> Acts:
        """The actions of some blocks; PD231 and PD232 where they cannot be."""
        if blocks not in self._acts:
            table = self.table
            self._acts[blocks] = Acts(
                blocks, table.layout.shape, table.masks, table.all_distances, self.position,
                self.names,
            )  # fmt: skip
        return self._acts[blocks]

    def layout(self, blocks: tuple[Block, ...], also: tuple[int, ...] = ()) -> Layout:
        """One in which the neurons that some blocks tell apart, and these masks, are components."""
        table = self.table.layout
        if (blocks, also) not in self._layouts:
            self._layouts[blocks, also] = split_layout((*blocks_apart(blocks, table), *also), table)
        return self._layouts[blocks, also]

    def side(self, source: int, blocks: tuple[Block, ...], layout: Layout) -> Side:
        """The plain run of a source under some blocks, on a layout as fine as that of `layout`."""
        key = source, blocks, tuple(sorted(layout.neurons.items()))
        if key not in self._sides:
            self._sides[key] = Side(self, source, self.acts(blocks), layout)
        return self._sides[key]

    def source(self, run: RunSpec) -> int:
        """The source of a plain run, the treated one's by its treated value."""
        if run.kind == "reference":
            return REFERENCE
        if run.treated is None:
            raise no_treated(run)
        return treated_source(self.number(run.treated, run.treated_blocks))

    def number(self, spec: TreatedSpec, blocks: tuple[Block, ...] = ()) -> int:
        """The number of a treated value; a constant under blocks has one of its own."""
        key = spec, blocks if spec.how.constant else ()
        if key not in self._numbers:
            self._numbers[key] = number = len(self.specs)
            self.specs.append(spec)
            self.table.constant.append(True)
            self.table.places.append(treated_at(spec, self.table.masks, self.position))
            self.table.moved.append(TRUE)
            self.under[number] = blocks
        return self._numbers[key]

    def read(self, run: RunSpec, also: tuple[int, ...]) -> Reader:
        """A run that an action reads; `also` are masks of neurons that are told apart in it."""
        if run.kind == "treat":
            return self.reader(run, also)
        blocks = run.blocks if run.kind == "reference" else run.treated_blocks
        return self.side(self.source(run), blocks, self.layout(blocks, also))

    def is_constant(self, source: int) -> bool:
        """Whether a source is no run."""
        constant = self.table.constant  # empty where no run has a treated value
        return source != REFERENCE and bool(constant) and constant[treated_index(source)]

    # ---------------------------------------------------------------------------------------------

    def fixed(self, action: Action, value: Value, mask: int) -> Blend:
        """Where the constant comes from that `set` puts there, at the positions `mask`."""
        kind, layer, _ = place = value.place
        match action.source:
            case TreatedSpec() as spec:
                source = treated_source(self.number(spec))
                if kind == "resid":
                    return ((self.table.add(PlainResid(stage=layer, source=source)), mask),)
                return ((source, mask),)
            case RunSpec() as run:
                reader = self.read(run, value.groups(self.table.layout))
                found = reader.read(place) if value.part is None else reader.part(value.part)
                return within(self.table.masks, found, mask)
            case _:
                raise ValueError("this sets no constant")

    def moved(self, act: Act, value: Value, mask: int, source: int) -> Blend:
        """What `set = NODE` puts there: the node's value in the run without the block."""
        node, place = act.action.source, value.place
        assert isinstance(node, Target)
        of = place_of(node)
        if value.part is not None and of != place:
            raise self._told_apart(act.action, place.layer)
        if self.is_constant(source):  # a mean is one of runs under the same blocks
            spec = self.specs[treated_index(source)]
            source = treated_source(self.number(spec, act.before))
        layout = self.layout(act.before, value.groups(self.table.layout))
        side = self.side(source, act.before, layout)
        read = side.read(of) if value.part is None else side.part(value.part)
        blend = within(self.table.masks, read, mask)
        if of == place:
            return blend
        step = ValueCopy(place=place, of=of, blend=blend)
        return ((self.table.add(step), mask),)

    def changed(self, act: Act, value: Value, mask: int, blend: Blend) -> Blend:
        """What `scale` and `add` make of a blend at the positions `mask`."""
        action, masks, place = act.action, self.table.masks, value.place
        vector = action.vector
        if value.part is not None:
            place = Place("hidden", place.layer)
            if value.part.neurons:  # what an MLP writes besides its neurons is of the rest
                vector = ()
        found: Blend = ()
        for terms, where in self._by_terms(action, place, mask):
            part = within(masks, blend, where)
            if terms or vector or action.number != 1 or not (action.terms or action.vector):
                step = ValueCopy(
                    place=place, of=place, blend=part, factor=action.number,
                    terms=tuple((number, ((source, where),)) for number, source in terms),
                    vector=vector,
                )  # fmt: skip
                part = ((self.table.add(step), where),)
            found = put(masks, found, where, part)
        return found

    def _by_terms(
        self, action: Action, place: Place, mask: int
    ) -> list[tuple[list[tuple[float, int]], int]]:
        """What `add` adds, (number, source) of each term, by the positions at which it does."""
        masks = self.table.masks
        found: list[tuple[list[tuple[float, int]], int]] = [([], mask)]
        for number, spec in action.terms:
            source = treated_source(self.number(spec))
            where = self.table.at(source)
            if place.kind == "resid":
                source = self.table.add(PlainResid(stage=place.layer, source=source))
            split = [(terms, masks.without(known, where)) for terms, known in found] + [
                ([*terms, (number, source)], masks.both(known, where)) for terms, known in found
            ]
            found = [part for part in split if part[1] != FALSE]
        return found

    def head_copy(
        self, acts: Acts | None, layer: int, head: int, query: int,
        keys: tuple[tuple[int, int], ...], values: tuple[tuple[int, int], ...], frozen: Frozen,
    ) -> Step:  # fmt: skip
        """A head on these streams, with what acts inside it."""
        found = acts.inside.get((layer, head), ()) if acts is not None else ()
        if not found:
            return HeadCopy(
                layer=layer, head=head, query=query, keys=keys, values=values, frozen=frozen
            )
        return ActedHeadCopy(
            layer=layer, head=head, query=query, keys=keys, values=values, frozen=frozen,
            acts=tuple(self._inside(act, layer, head) for act in found),
        )  # fmt: skip

    def _inside(self, act: Act, layer: int, head: int) -> HeadAct:
        action = act.action
        if action.slot is not None:
            return HeadAct(kind=action.slot, queries=act.mask)
        if action.verb == "block":
            return HeadAct(kind="block", queries=act.mask, keys=act.keys)
        if action.how != "from":
            kind = "uniform" if action.how == "uniform" else "only"
            return HeadAct(kind=kind, queries=act.mask, keys=act.keys)  # type: ignore[arg-type]
        assert isinstance(action.source, RunSpec)
        source = self.source(action.source)
        if self.is_constant(source):
            raise no_pattern(layer, head, action)
        side = self.side(source, act.before, self.layout(act.before))
        number = side.pattern_copy(layer, head)
        return HeadAct(kind="copied", queries=act.mask, pattern=number)

    def _told_apart(self, action: Action, layer: int) -> PlanError:
        return not_executed(
            f"`set` to another node of `m{layer}`, whose neurons are told apart,", action,
            f"name all of `m{layer}` in the path sets and actions of runs under this block",
        )  # fmt: skip


def no_pattern(layer: int, head: int, action: Action | None = None) -> PlanError:
    """PD227."""
    return PlanError(
        Diagnostic(
            code="PD227",
            message=f"`a{layer}.h{head}` has a "
            "constant as its output in some run, and a constant has no attention pattern",
            span=action.span if action is not None else None,
            help="measure attention on a paired or resampled treated value",
        )
    )


class Side:
    """One plain run under some blocks; see `Sides.side`."""

    def __init__(self, sides: Sides, source: int, acts: Acts, layout: Layout) -> None:
        self.sides = sides
        self.table = sides.table
        self.masks = sides.table.masks
        self.source = source
        self.acts = acts
        self.layout = layout
        self.constant = sides.is_constant(source)
        run = source != REFERENCE and not self.constant
        self.reached = sides.table.reached(source) if run and not acts.moves else None
        self._cells: dict[int, Blend] = {}
        self._flows: dict[int, tuple[int, int]] = {}
        self._streams: dict[int, Blend] = {}

    def read(self, place: Place) -> Blend:
        """Where a value comes from; of `resid`, which steps the stream is."""
        if place.kind == "resid":
            return self.stream(place.layer)
        if place == IN:
            return self.cell(0)
        if place.head >= 0:
            return self.cell(self.layout.head(place.layer, place.head))
        return whole_mlp(self.table, self.layout, place.layer, self.cell)

    def part(self, component: Component) -> Blend:
        """Where the hidden units of a part of a split MLP come from."""
        return self.cell(self.layout.index(component))

    def value(self, v: int) -> Value:
        """What actions on a component act on."""
        component = self.layout.components[v]
        split = component.layer in self.layout.neurons and component.kind.after_heads
        return Value(self.place(v), component if split else None, self.layout)

    def flow(self, v: int) -> tuple[int, int]:
        """Where a component may differ from the unmodified model's, and where it still depends on
        the input."""
        if v not in self._flows:
            self._flows[v] = self.acts.flow_of(self.layout.components[v])
        return self._flows[v]

    def pattern_copy(self, layer: int, head: int) -> int:
        """The copy that is this run's head itself, at every position."""
        return self.table.add(self._head(layer, head))

    def _head(self, layer: int, head: int) -> Step:
        """A head on this run's streams."""
        stages = (2 * self.layout.shape.entry(layer, slot) for slot in ("q", "k"))
        query, keys = (self._joined(self.stream(stage), stage) for stage in stages)
        reads = ((self.table.all_distances[layer], keys),)
        if self.layout.shape.recurs(layer):
            return RecurrentCopy(layer=layer, values=reads)
        return self.sides.head_copy(self.acts, layer, head, query, reads, reads, False)

    def frozen(self, kinds: Iterable[str], layer: int) -> Frozen:
        """What norms of a layer are frozen to where this run has the scales."""
        found = self.frozen_to(kinds, layer)
        plain = all(source < 0 for _, blend in found.blends for source, _ in blend)
        return True if plain else found

    def frozen_head(self, layer: int) -> Frozen:
        """What the norms that a head's inputs are made with are frozen to."""
        own = self.frozen(["scale_attention"], layer)
        entry = self.layout.shape.entry(layer, "k")
        if entry == layer:
            return own
        keys = self.frozen(["scale_attention"], entry)
        if own is True and keys is True:
            return True
        here, there = (self.frozen_to(["scale_attention"], at) for at in (layer, entry))
        return FrozenTo(blends=here.blends, keys=there.blend("scale_attention"))

    def frozen_to(self, kinds: Iterable[str], layer: int) -> FrozenTo:
        """The same, kind by kind."""
        return FrozenTo(blends=tuple((kind, self._scale(kind, layer)) for kind in kinds))

    def _scale(self, kind: str, layer: int) -> Blend:
        shape, masks, reach = self.layout.shape, self.masks, self.acts.reach
        if kind == "scale_after_attention":
            heads = range(shape.heads_in(layer))
            here = FALSE
            for head in heads:
                here = masks.either(here, reach[Place(HEAD.name, layer, head)])
            cells = tuple(self.cell(self.layout.head(layer, head)) for head in heads)
            step = ScaleCopy(kind=kind, layer=layer, heads=cells)
        else:
            stage = 2 * layer + (kind in OF_MLP and not shape.parallel)
            given = shape.per_layer_input and kind in OF_MLP
            here = reach[at_stage(stage)]
            here = masks.either(here, reach[IN]) if given else here
            stream = self._joined(self.stream(stage), stage) if here != FALSE else NOTHING
            step = ScaleCopy(
                kind=kind, layer=layer, resid=stream, given=self.cell(0) if given else ()
            )
        if here == FALSE:
            return ((REFERENCE, TRUE),)
        return put(masks, ((REFERENCE, TRUE),), here, ((self.table.add(step), here),))

    # ---------------------------------------------------------------------------------------------

    def place(self, v: int) -> Place:
        """The place of a component; of the parts of a split MLP, the MLP's."""
        return component_place(self.layout.components[v])

    def cell(self, v: int) -> Blend:
        """Where the value of a component comes from."""
        if v not in self._cells:
            stage = stage_behind(self.layout.components[v], self.layout.shape)
            self._cells[v] = self._told(self._cell(v), stage, lambda side: side.cell(v))
        return self._cells[v]

    def _told(self, blend: Blend, stage: int, other: Callable[[Side], Blend]) -> Blend:
        """A value that is the reference run's where nothing has told both runs apart."""
        equal = FALSE if self.reached is None else self.masks.without(TRUE, self.reached[stage])
        if equal == FALSE:
            return blend
        side = self.sides.side(REFERENCE, self.acts.blocks, self.layout)
        return put(self.masks, blend, equal, within(self.masks, other(side), equal))

    def _cell(self, v: int) -> Blend:
        blend: Blend = ((self.source, TRUE),)
        reach, carries = self.flow(v)
        if reach == FALSE:
            return self.table.values(self._bare())
        placed = self.table.at(self.source)
        if self.constant:  # where nothing is carried nothing is treated
            carried = self.masks.both(carries, placed)
            bare = self.masks.without(TRUE, carried)
            other = self.sides.side(REFERENCE, self.acts.blocks, self.layout)
            blend = put(self.masks, blend, bare, within(self.masks, other.cell(v), bare))
        elif v and self._reached_from_below(v):
            copy = self.table.add(self._copy(v))
            blend = put(self.masks, blend, reach, ((copy, reach),))
        value = self.value(v)
        for act in self.acts.of(self.layout.components[v]):
            action, mask = act.action, self.masks.both(act.mask, placed)
            if mask == FALSE:
                continue  # nothing is treated there
            if action.fixes:
                new = self.sides.fixed(action, value, mask)
            elif self.constant:
                continue  # a treated value stands for what the action makes
            elif action.verb == "set":
                new = self.sides.moved(act, value, mask, self.source)
            else:
                new = self.sides.changed(act, value, mask, blend)
            blend = put(self.masks, blend, mask, new)
        return blend

    def _bare(self) -> int:
        """The source of what the blocks do not reach: a mean is then that of plain runs."""
        if not self.constant:
            return self.source
        return treated_source(self.sides.number(self.sides.specs[treated_index(self.source)]))

    def _reached_from_below(self, v: int) -> bool:
        """Whether a component itself differs, before what acts on its value."""
        component = self.layout.components[v]
        if component.kind is HEAD:
            if (component.layer, component.head) in self.acts.inside:
                return True
            return self.acts.reach[at_stage(2 * component.layer)] != FALSE
        given = self.layout.shape.per_layer_input and self.acts.reach[IN] != FALSE
        return bool(given) or self.acts.reach[at_stage(self._stage(component))] != FALSE

    def _stage(self, component: Component) -> int:
        after = component.kind.after_heads and not self.layout.shape.parallel
        return 2 * component.layer + after

    def _copy(self, v: int) -> Step:
        component = self.layout.components[v]
        layer, stage = component.layer, self._stage(component)
        if component.kind is HEAD:
            return self._head(layer, component.head)
        stream = self._joined(self.stream(stage), stage)
        if layer in self.layout.neurons:
            return HiddenCopy(layer=layer, resid=stream)
        given = self.cell(0) if self.layout.shape.per_layer_input else ()
        return MlpCopy(layer=layer, resid=stream, given=given)

    def stream(self, stage: int) -> Blend:
        """Which steps the residual stream at a stage is."""
        if stage not in self._streams:
            found = self._told(self._stream(stage), stage, lambda side: side.stream(stage))
            self._streams[stage] = found
        return self._streams[stage]

    def _stream(self, stage: int) -> Blend:
        masks, table, acts = self.masks, self.table, self.acts
        reach = TRUE if self.constant else acts.reach[Place("before_marks", stage)]
        blend: Blend = ()
        if reach != TRUE:
            blend = ((table.add(PlainResid(stage=stage, source=self.source)), TRUE),)
        if reach != FALSE:
            blend = put(masks, blend, reach, self._summed(stage, reach))
        place = at_stage(stage)
        for act in acts.on.get(place, ()):
            if act.action.fixes:
                new = self.sides.fixed(act.action, Value(place), act.mask)
            elif act.action.verb == "set":
                new = self.sides.moved(act, Value(place), act.mask, self.source)
            else:
                new = self.sides.changed(act, Value(place), act.mask, blend)
            blend = put(masks, blend, act.mask, new)
        return blend

    def _summed(self, stage: int, reach: int) -> Blend:
        """The stream as the one before and what is written since, at the positions `reach`."""
        layer = (stage - 1) // 2
        if stage == 0:
            return ((self.table.add(InputResid(blend=self.cell(0))), reach),)
        previous = self._joined(self.stream(stage - 1), stage - 1)
        if stage % 2:
            cells = tuple(map(self.cell, self.layout.heads_of(layer)))
            step: Step = AttentionResid(stage=stage, layer=layer, previous=previous, heads=cells)
        elif not self.layout.shape.has_mlp:
            return within(self.masks, self.stream(stage - 1), reach)
        else:
            cells = tuple(self.cell(part) for part in self.layout.parts_of_mlp(layer))
            groups = self.layout.neurons.get(layer, ())
            step = self.table.mlp_resid(stage, layer, previous, cells, groups)
        return ((self.table.add(step), reach),)

    def _joined(self, blend: Blend, stage: int) -> int:
        """One step that is this stream."""
        return joined(self.table, blend, stage)


def joined(table: CopyTable, blend: Blend, stage: int) -> int:
    """One step that is a stream made of several."""
    if len(blend) == 1 and blend[0][1] == TRUE:
        return blend[0][0]
    flat: dict[int, int] = {}
    for number, mask in blend:
        for part, where in parts_of(table.steps, number):
            both = table.masks.both(mask, where)
            if both != FALSE:
                flat[part] = table.masks.either(flat.get(part, FALSE), both)
    if len(flat) == 1:
        return next(iter(flat))
    return table.add(JoinResid(stage=stage, parts=tuple(sorted(flat.items()))))


def whole_mlp(table: CopyTable, layout: Layout, layer: int, cell: Callable[[int], Blend]) -> Blend:
    """Where an MLP's output comes from, put together where its neurons are told apart.

    `cell`: of each part, by its index in the layout.
    """
    parts = tuple(cell(part) for part in layout.parts_of_mlp(layer))
    if layer not in layout.neurons:
        return parts[0]
    groups = layout.neurons[layer]
    step = table.mlp_resid(2 * layer + 2, layer, NOTHING, parts, groups)
    return step.blend if not step.neurons else ((table.add(step), TRUE),)
