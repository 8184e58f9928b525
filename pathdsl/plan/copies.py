"""Runs to value-numbered copies: exact evaluation of path sets without the tree.

For each pair of a component and an automaton state (what the rest of the path, read from `logits`
backwards, still allows) the tree would hold many identical subtrees; here each is one *cell*:

    value(v, q) = f_v( value(u, step(q, u -> v)) for every sender u ),
    value(input, q) = treated if q accepts else reference.

Three rules make a program of it (docs/semantics.md, Exact evaluation): cells all of whose paths are
reference, or all treated, *at a position* are read from the plain run or the treated value there;
cells with equal inputs are one copy, within a run and across all runs of a check; cells that
nothing reads are not computed. Which paths exist is decided per prompt, copy and position: a key
that no prompt lets a head see contributes no path.

Residual inputs are chains of partial sums by stage, so readers that agree on a prefix share it.
What a state means upstream of a stage does not depend on how the run's path set goes on above, so
cells and streams are shared by all runs whose automata look alike there (`Automaton.upstream`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from copy import copy

import numpy as np

from pathdsl.graph.model.components import HEAD, Component
from pathdsl.graph.paths.automaton import Automaton, SenderClass
from pathdsl.graph.paths.neurons import split_paths
from pathdsl.graph.paths.pathset import PathSet, Pos
from pathdsl.graph.paths.product import too_many_states
from pathdsl.plan.acts import IN, at_stage, stage_behind
from pathdsl.plan.masks import FALSE, TRUE
from pathdsl.plan.needs import mlp_scales
from pathdsl.plan.sides import Side, joined, put, whole_mlp, within
from pathdsl.plan.steps import (
    NOTHING,
    REFERENCE,
    ROUTING,
    AttentionResid,
    Blend,
    Frozen,
    FrozenTo,
    HeadCopy,
    HiddenCopy,
    InputResid,
    JoinResid,
    MlpCopy,
    MlpResid,
    Place,
    PlainResid,
    RecurrentCopy,
    Step,
    treated_source,
)
from pathdsl.plan.table import Cell, CopyTable, Stream
from pathdsl.plan.under import Paths, Under


class RunBuilder:
    """Adds the cells of one run `treat(T)` to a copy table.

    `layout` is the run's own: neurons that T or the masks `apart` tell apart are components, in
    groups that they do not tell apart from each other.
    """

    def __init__(
        self,
        table: CopyTable,
        paths: PathSet,
        treated: int,
        position: Callable[[Pos], int],
        under: Under | None = None,
        apart: tuple[int, ...] = (),
    ) -> None:
        self.under = under
        self.table = table
        self.masks = table.masks
        split, layout = split_paths(paths, table.layout, together=True, also=apart)
        self.shared = table.shared(layout)
        self.layout = self.shared.leaves.layout
        self.automaton = Automaton(split, self.layout, self.shared.leaves)
        self.position = position
        self.source = treated_source(treated)
        self.plain_treated = not table.constant[treated] if table.constant else True
        self.only_reference: Blend = ((REFERENCE, TRUE),)
        self.only_treated = table.values(self.source)
        self.reached = self._reached(under)
        self.every_kept = table.frozen or table.routed
        self._plain_cells: dict[tuple[bool, int], Cell] = {}
        self.key: Hashable = self.source if under is None else (self.source, under.key)
        self.sides: tuple[Side, Side] | None = None
        if under is not None:
            self.sides = under.sides_of(self.source, self.layout)
        self._sender_class: dict[int, dict[int, int]] = {}
        self._cases: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
        self._states: set[int] = set()
        # Where a norm follows attention, mixed readers have streams of their own.
        self.frozen_streams = table.frozen and table.layout.shape.norm_after_attention
        self.bare: RunBuilder | None = None
        """The same run without blocks, where constants hide paths that an action counts."""
        if under is not None and under.acts.moves_and_fixes:
            self.bare = copy(self)
            self.bare.under = self.bare.sides = self.bare.bare = None
            self.bare.key = self.source

    def _reached(self, under: Under | None) -> tuple[int, ...] | None:
        """`CopyTable.reached`; None where paths count whatever they begin at.

        So they do where the treated side is another model, and where what a value is set to hangs
        on which paths go through it.
        """
        if not self.plain_treated:
            return None
        if under is not None and (under.acts.moves or under.treated != under.blocks):
            return None
        return self.table.reached(self.source)

    def _counted(self, treated: bool, stage: int, where: int = TRUE) -> tuple[int, int]:
        """Where kept and treated paths count, of those of one kind that stand at `where`.

        Paths that begin where both inputs are equal carry nothing of either kind. Frozen copies are
        those with paths of both kinds, whatever these carry, so kept ones count there.
        """
        other = where if self.reached is None else self.masks.both(where, self.reached[stage])
        if treated:
            return FALSE, other
        return where if self.every_kept else other, FALSE

    def _behind(self, v: int) -> int:
        return stage_behind(self.layout.components[v], self.layout.shape)

    def frozen_to(self, kinds: Sequence[str], layer: int) -> Frozen:
        """What norms of mixed copies are frozen to, of some kinds of a layer."""
        if not self.table.frozen or self.sides is None:
            return self.table.frozen
        return self.sides[False].frozen(kinds, layer)

    def _mlp_frozen_to(self, layer: int) -> Frozen:
        """What a mixed copy of an MLP is frozen to: the scales of its norms, and its routing."""
        kinds = mlp_scales(self.layout.shape)
        if not (self.table.routed and self.layout.shape.routes(layer)):
            return self.frozen_to(kinds, layer)
        kinds = (*(kinds if self.table.frozen else ()), ROUTING)
        if self.sides is not None:
            return self.sides[False].frozen_to(kinds, layer)
        return FrozenTo(blends=tuple((kind, ((REFERENCE, TRUE),)) for kind in kinds))

    def logits(self, *, frozen: bool = False) -> Stream:
        """The final residual stream, from which this run's logits are computed.

        `frozen`: as logits read it where both kept and treated paths end.
        """
        between = self.automaton.slot_step(self.automaton.start, self.layout.logits, None)
        return self._stream(
            between.free, 2 * self.layout.shape.n_layers, frozen and self.frozen_streams
        )

    def read(self, place: Place) -> Blend:
        """Where a value comes from as it goes straight to `logits`; of a stream, its steps."""
        between = self.automaton.slot_step(self.automaton.start, self.layout.logits, None)
        if place.kind == "resid":
            return ((self._stream(between.free, place.layer, False).step, TRUE),)
        if place == IN:
            return self._read(0, between.free)[0]
        if place.head >= 0:
            return self._read(self.layout.head(place.layer, place.head), between.free)[0]
        return whole_mlp(
            self.table, self.layout, place.layer, lambda v: self._read(v, between.free)[0]
        )

    def part(self, component: Component) -> Blend:
        """The same of a part of a split MLP, as hidden units."""
        between = self.automaton.slot_step(self.automaton.start, self.layout.logits, None)
        return self._read(self.layout.index(component), between.free)[0]

    def treated_input(self) -> int:
        """Where `input` is treated as it goes straight to `logits`."""
        between = self.automaton.slot_step(self.automaton.start, self.layout.logits, None)
        return self._read(0, between.free)[2]

    def direct_blend(self, layer: int, head: int) -> Blend:
        """The same of a head, or of `input`, by the layer -1."""
        return self.read(IN if layer < 0 else Place(HEAD.name, layer, head))

    def direct_mlp(self, layer: int) -> MlpResid:
        """What the copy of an MLP that goes straight to `logits` writes, its neurons with it."""
        between = self.automaton.slot_step(self.automaton.start, self.layout.logits, None)
        blends = tuple(self._read(u, between.free)[0] for u in self.layout.parts_of_mlp(layer))
        groups = self.layout.neurons.get(layer, ())
        return self.table.mlp_resid(2 * layer + 2, layer, NOTHING, blends, groups)

    # ---------------------------------------------------------------------------------------------

    def _cell(self, v: int, state: int) -> Cell:
        """(blend, kept, cut) of component `v` in an automaton state."""
        if v == 0:
            return self._settled(self.automaton.accepts(state), v)
        component = self.layout.components[v]
        after = component.kind.after_heads and not self.layout.shape.parallel
        stage = 2 * component.layer + after
        state, identity = self.automaton.upstream(stage, state, between=False)
        if isinstance(identity, bool):
            return self._settled(identity, v)
        key = (v, identity, state, self.key)
        found = self.shared.cells.get(key)
        if found is None:
            self._states.add(state)
            if len(self._states) > self.table.max_states:
                raise too_many_states(self.table.max_states)
            found = self.shared.cells[key] = self._new_cell(v, component, stage, state)
        return found

    def _settled(self, treated: bool, v: int) -> Cell:
        """A cell of component `v` all of whose paths have one verdict."""
        if self.sides is not None and self.under is not None:
            side = self.sides[treated]
            _, carried = self.sides[False].flow(v)  # as the model of the reference side carries it
            return (side.cell(v), *self._counted(treated, self._behind(v), carried))
        return self._plain_cell(treated, self._behind(v))

    def _plain_cell(self, treated: bool, stage: int) -> Cell:
        """A value of a plain run that no block changes, of what stands behind a stage."""
        found = self._plain_cells.get((treated, stage))
        if found is None:
            kept, cut = self._counted(treated, stage)
            blend = self.only_reference
            if treated:
                blend = put(self.masks, blend, cut, within(self.masks, self.only_treated, cut))
            found = self._plain_cells[treated, stage] = blend, kept, cut
        return found

    def _new_cell(self, v: int, component: Component, stage: int, state: int) -> Cell:
        layer, masks = component.layer, self.masks
        if component.kind is not HEAD:
            between = self.automaton.slot_step(state, v, None).free
            stream = self._stream(between, stage, self.frozen_streams)
            kept, cut = stream.kept, stream.cut
            given: Blend = ()
            if self.layout.shape.per_layer_input:  # what `input` gives it goes by no mark
                given, *own = self._given(between)
                kept, cut = (masks.either(kept, own[0]), masks.either(cut, own[1]))
            if kept == FALSE or cut == FALSE or self.masks.both(kept, cut) == FALSE:
                return self._blend(kept, cut, None, v, state)
            scales = self._mlp_frozen_to(layer)
            mlp: Step = MlpCopy(layer=layer, resid=stream.step, frozen=scales, given=given)
            if layer in self.layout.neurons:
                mlp = HiddenCopy(layer=layer, resid=stream.step, frozen=scales)
            return self._blend(kept, cut, mlp, v, state)
        query = None
        kept = cut = FALSE
        if not self.layout.shape.recurs(layer):
            query = self._stream(
                self.automaton.slot_step(state, v, "q").free, stage, self.frozen_streams
            )
            kept, cut = query.kept, query.cut
        reads = []
        stage = 2 * self.layout.shape.entry(layer, "k")
        for slot in ("k", "v") if query is not None else ("v",):
            by_step: dict[int, int] = {}
            for between, distances in self._by_distance(state, v, slot):
                stream = self._stream(between, stage, self.frozen_streams)
                kept = self.masks.either(kept, self.masks.seen_from(stream.kept, distances))
                cut = self.masks.either(cut, self.masks.seen_from(stream.cut, distances))
                known = by_step.get(stream.step)
                if known is not None:
                    both = self.masks.distances(known) | self.masks.distances(distances)
                    distances = self.masks.distance_set(both)
                by_step[stream.step] = distances
            reads.append(tuple(sorted((seen, step) for step, seen in by_step.items())))
        if kept == FALSE or cut == FALSE or self.masks.both(kept, cut) == FALSE:
            return self._blend(kept, cut, None, v, state)
        frozen: Frozen = self.table.frozen
        if frozen and self.sides is not None:
            frozen = self.sides[False].frozen_head(layer)
        if query is None:
            recurrent = RecurrentCopy(layer=layer, values=reads[0], frozen=frozen)
            return self._blend(kept, cut, recurrent, v, state)
        if self.under is not None:
            step = self.under.head_copy(
                layer, component.head, query.step, reads[0], reads[1], frozen
            )
            return self._blend(kept, cut, step, v, state)
        step = HeadCopy(
            layer=layer,
            head=component.head,
            query=query.step,
            keys=reads[0],
            values=reads[1],
            frozen=frozen,
        )
        return self._blend(kept, cut, step, v, state)

    def _by_distance(self, state: int, v: int, slot: str) -> list[tuple[int, int]]:
        """Between-states of a key or value input, each with the distances at which it holds."""
        step = self.automaton.slot_step(state, v, slot)
        all_seen = self.table.all_distances[self.layout.layer_of[v]]
        if not step.related:
            return [(step.free, all_seen)]
        groups: dict[int, np.ndarray] = {}
        visible = self.masks.distances(all_seen)
        for place in np.flatnonzero(visible):
            between = step.at(int(place) + self.masks.first_distance)
            groups.setdefault(between, np.zeros_like(visible))[place] = True
        return [(between, self.masks.distance_set(d)) for between, d in groups.items()]

    def _blend(self, kept: int, cut: int, step: Step | None, v: int, state: int) -> Cell:
        """Reference where nothing is treated, treated where nothing is kept, the copy elsewhere."""
        masks = self.masks
        reference, treated = masks.without(TRUE, cut), masks.without(cut, kept)
        if self.sides is None or self.under is None:
            parts = []
            nothing = masks.without(treated, self.table.at(self.source))
            reference, treated = masks.either(reference, nothing), masks.without(treated, nothing)
            if reference != FALSE:
                parts.append((REFERENCE, reference))
            if treated != FALSE:
                parts.append((self.source, treated))
            if step is not None:
                parts.append((self.table.add(step), masks.both(kept, cut)))
            return tuple(sorted(parts)), kept, cut
        blend: Blend = ()
        for side, where in zip(self.sides, (reference, treated), strict=True):
            if where != FALSE:
                blend = put(masks, blend, where, within(masks, side.cell(v), where))
        if step is not None:
            mixed = masks.both(kept, cut)
            blend = put(masks, blend, mixed, ((self.table.add(step), mixed),))
        every = None if self.bare is None else self.bare._cell(v, state)[1:]
        return self.under.mixed(self.sides, v, blend, kept, cut, every)

    # ---------------------------------------------------------------------------------------------

    def _class_of(self, between: int) -> dict[int, int]:
        found = self._sender_class.get(between)
        if found is None:
            found = {}
            for number, part in enumerate(self.automaton.sender_classes(between)):
                mask = part.senders
                while mask:
                    low = mask & -mask
                    found[low.bit_length() - 1] = number
                    mask ^= low
            self._sender_class[between] = found
        return found

    def _read(self, u: int, between: int) -> Cell:
        """Sender `u` as a between-state reads it: its cells, blended by the positions asked for."""
        number = self._class_of(between)[u]
        key = (between, number)
        cases = self._cases.get(key)
        if cases is None:
            part = self.automaton.sender_classes(between)[number]
            cases = self._cases[key] = self._split(part)
        if len(cases) == 1:
            return self._cell(u, cases[0][1])
        masks = self.masks
        merged: dict[int, int] = {}
        kept = cut = FALSE
        for where, state in cases:
            blend, case_kept, case_cut = self._cell(u, state)
            kept = masks.either(kept, masks.both(case_kept, where))
            cut = masks.either(cut, masks.both(case_cut, where))
            for source, mask in blend:
                both = masks.both(mask, where)
                if both != FALSE:
                    merged[source] = masks.either(merged.get(source, FALSE), both)
        return tuple(sorted(merged.items())), kept, cut

    def _given(self, between: int) -> Cell:
        """The `input` that comes by the edge from it: what the reader's stream begins with."""
        between, identity = self.automaton.upstream(0, between, between=True)
        if isinstance(identity, bool):
            return self._settled(identity, 0)
        return self._read(0, between)

    def _split(self, part: SenderClass) -> tuple[tuple[int, int], ...]:
        """Positions partitioned by the state that follows: (mask, state) pairs."""
        masks = self.masks
        cases = {part.free: TRUE}
        for guards, bit in part.guarded:
            held = TRUE
            for pos in guards:
                held = masks.both(held, self.position(pos))
            if held == FALSE:
                continue
            fresh: dict[int, int] = {}
            for state, where in cases.items():
                inside, outside = masks.both(where, held), masks.without(where, held)
                if inside != FALSE:
                    state_in = state | bit
                    fresh[state_in] = masks.either(fresh.get(state_in, FALSE), inside)
                if outside != FALSE:
                    fresh[state] = masks.either(fresh.get(state, FALSE), outside)
            cases = fresh
        return tuple((where, state) for state, where in cases.items())

    def _stream(self, between: int, stage: int, frozen: bool) -> Stream:
        """The residual stream at a stage as a reader in this between-state sees it.

        `frozen`: as a mixed copy sees it whose norms of the heads' sums have reference scales.
        """
        between, identity = self.automaton.upstream(stage, between, between=True)
        if isinstance(identity, bool):
            return self._settled_stream(identity, stage, frozen)
        key = (stage, identity, between, self.key, frozen)
        found = self.shared.streams.get(key)
        if found is None:
            if stage == 0:
                blend, kept, cut = self._read(0, between)
                first = InputResid(blend=blend)
                found = self._joined(first, 0, kept, cut, False, self._every(between, 0))
            else:
                previous = self._stream(between, stage - 1, frozen)
                reads = [self._read(u, between) for u in self._writers(stage)]
                every = self._every(between, stage)
                found = self._next_stream(previous, reads, stage, frozen, every)
            self.shared.streams[key] = found
        return found

    def _settled_stream(self, treated: bool, stage: int, frozen: bool) -> Stream:
        """The stream of a reader whose paths upstream all have one verdict."""
        key = (stage, treated, 0, self.key, frozen)
        every = None if self.bare is None else ((FALSE, TRUE) if treated else (TRUE, FALSE))
        found = self.shared.streams.get(key)
        if found is None:
            if self.sides is not None and self.under is not None and not (frozen and treated):
                step = joined(self.table, self.sides[treated].stream(stage), stage)
                carried = self.under.acts.carried[at_stage(stage)]
                found = Stream(step, *self._counted(treated, stage, carried))
            elif stage == 0:
                cell = self._settled(treated, 0)
                found = self._joined(InputResid(blend=cell[0]), 0, *cell[1:], False, every)
            else:
                previous = self._settled_stream(treated, stage - 1, frozen)
                reads = [self._settled(treated, u) for u in self._writers(stage)]
                found = self._next_stream(previous, reads, stage, frozen, every)
            self.shared.streams[key] = found
        return found

    def _every(self, between: int, stage: int) -> Paths:
        """Where paths of either kind stand in a stream, those through constants counted."""
        if self.bare is None:
            return None
        stream = self.bare._stream(between, stage, False)
        return stream.kept, stream.cut

    def _writers(self, stage: int) -> range:
        """Components that write between the previous stage and this one: a layer's heads or MLP."""
        layer = (stage - 1) // 2
        if stage % 2:
            return self.layout.heads_of(layer)
        return self.layout.parts_of_mlp(layer) if self.layout.shape.has_mlp else range(0)

    def _next_stream(
        self, previous: Stream, reads: list[Cell], stage: int, frozen: bool, every: Paths
    ) -> Stream:
        """The stream at a stage, from the one before and what its writers add."""
        if not reads:
            return previous
        layer, is_mlp = (stage - 1) // 2, stage % 2 == 0
        kept, cut = previous.kept, previous.cut
        for _, sender_kept, sender_cut in reads:
            kept = self.masks.either(kept, sender_kept)
            cut = self.masks.either(cut, sender_cut)
        blends = tuple(blend for blend, _, _ in reads)
        if is_mlp:
            groups = self.layout.neurons.get(layer, ())
            step: Step = self.table.mlp_resid(stage, layer, previous.step, blends, groups)
        else:
            to = frozen and self.frozen_to(["scale_after_attention"], layer)
            step = AttentionResid(
                stage=stage, layer=layer, previous=previous.step, heads=blends, frozen=to
            )
        return self._joined(step, stage, kept, cut, frozen, every)

    def _joined(
        self, step: Step, stage: int, kept: int, cut: int, frozen: bool, every: Paths
    ) -> Stream:
        """A stream that is the plain runs' wherever only one kind of path stands in it.

        A constant treated value is no run: its stream has to be summed. So is a frozen one: a
        treated run's own stream is normed with its own scales, the reference run's with either.
        """
        masks = self.masks
        parts: Blend = ()
        mixed = TRUE
        plain = [(False, masks.without(TRUE, cut))]
        if self.under is None:  # where nothing is treated
            nothing = masks.without(masks.without(cut, kept), self.table.at(self.source))
            plain = [(False, masks.either(plain[0][1], nothing))]
        if self.plain_treated and not frozen:
            plain.append((True, masks.without(cut, kept)))
        for treated, where in plain:
            if where != FALSE:
                parts = (*parts, *within(masks, self._plain(treated, stage), where))
                mixed = masks.without(mixed, where)
        if mixed != FALSE:
            parts = (*parts, (self._add(step), mixed))
        if self.under is not None and self.sides is not None:
            parts, kept, cut = self.under.marked(self.sides, stage, parts, kept, cut, frozen, every)
            return Stream(joined(self.table, parts, stage), kept, cut)
        if len(parts) == 1:
            return Stream(parts[0][0], kept, cut)
        return Stream(self._add(JoinResid(stage=stage, parts=tuple(sorted(parts)))), kept, cut)

    def _plain(self, treated: bool, stage: int) -> Blend:
        """Which steps the stream of a plain run at a stage is."""
        if self.sides is not None:
            return self.sides[treated].stream(stage)
        source = self.source if treated else REFERENCE
        return ((self._add(PlainResid(stage=stage, source=source)), TRUE),)

    def _add(self, step: Step) -> int:
        return self.table.add(step)
