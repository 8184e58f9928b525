"""The steps of one task's plan as they are added: equal steps are one, whichever run asks.

What the runs of a plan share beside the steps themselves (leaves of automata, cells, streams) is
kept here, too; `pathdsl.plan.copies` fills it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.model.components import MLP, Layout
from pathdsl.graph.paths.automaton import Leaves
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.limits import COPIES
from pathdsl.plan.masks import TRUE, MaskTable
from pathdsl.plan.steps import (
    REFERENCE,
    Blend,
    HeadCopy,
    HiddenCopy,
    MlpCopy,
    MlpResid,
    Place,
    PlainResid,
    Step,
    ValueCopy,
    treated_index,
)

__all__ = ["MAX_COPIES", "Cell", "CopyTable", "Shared", "Stream", "pattern_copy"]

MAX_COPIES = COPIES.most


@dataclass(frozen=True, slots=True)
class Stream:
    """A residual step with the positions at which a kept / a treated path stands in it."""

    step: int
    kept: int
    cut: int


Cell = tuple[Blend, int, int]
"""Where a component's value comes from, and where a kept / a treated path stands in it."""


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the runs of one table with one layout have in common.

    Keys hold the treated source, with what the run stands under, and how the automaton looks from
    the stage where a cell reads.
    """

    leaves: Leaves
    cells: dict[tuple[int, Hashable, int, Hashable], Cell] = field(default_factory=dict)
    streams: dict[tuple[int, Hashable, int, Hashable, bool], Stream] = field(default_factory=dict)


class CopyTable:
    """Hash-consed steps of one task, shared by all runs that are added.

    `constant`: for each treated value whether it is no run; `places`: where it has values, a mask;
    `moved`: where its `input` is another than the reference's.
    `frozen`: whether norms of mixed copies have the reference run's scales; `routed`: whether they
    have its routing.
    """

    def __init__(
        self,
        layout: Layout,
        masks: MaskTable,
        constant: Sequence[bool],
        places: Sequence[int] = (),
        moved: Sequence[int] = (),
        *,
        frozen: bool = False,
        routed: bool = False,
        max_states: int = MAX_STATES,
        max_copies: int = MAX_COPIES,
    ) -> None:
        if masks.causal is not layout.shape.causal:
            raise ValueError("masks whose distances are not those of the model's attention")
        self.layout = layout
        self.masks = masks
        self.constant = list(constant)
        self.places = list(places) or [TRUE] * len(self.constant)
        self.moved = list(moved) or [TRUE] * len(self.constant)
        self.frozen = frozen
        self.routed = routed
        self.max_states = max_states
        self.max_copies = max_copies
        self.steps: list[Step] = []
        self._ids: dict[Step, int] = {}
        self._shared: dict[Hashable, Shared] = {}
        self._reached: dict[int, tuple[int, ...]] = {}
        self.all_distances = [
            masks.distance_set(self._visible(layer)) for layer in range(layout.shape.n_layers)
        ]

    def _visible(self, layer: int) -> np.ndarray:
        sees = self.layout.shape.sees
        return np.array([sees(layer, int(d)) for d in self.masks.every_distance], bool)

    def shared(self, layout: Layout) -> Shared:
        """What runs on this layout, or on one that splits the same MLPs alike, have in common."""
        key = tuple(sorted(layout.neurons.items()))
        found = self._shared.get(key)
        if found is None:
            found = self._shared[key] = Shared(leaves=Leaves(layout))
        return found

    def at(self, source: int) -> int:
        """Where a source has values of its own; elsewhere its are the reference run's."""
        at_all = source == REFERENCE or not self.places
        return TRUE if at_all else self.places[treated_index(source)]

    def values(self, source: int) -> Blend:
        """The values of a source at every position."""
        here = self.at(source)
        if here == TRUE:
            return ((source, TRUE),)
        return tuple(sorted([(source, here), (REFERENCE, self.masks.without(TRUE, here))]))

    def reached(self, source: int) -> tuple[int, ...]:
        """Where the stream of a treated run may be another than the reference run's, by stage.

        Elsewhere all that the model computes is the same in both, and in any mixture of them.
        """
        start = self.moved[treated_index(source)] if self.moved else TRUE
        found = self._reached.get(start)
        if found is None:
            here, by_stage = start, [start]
            for seen in self.all_distances:
                here = self.masks.either(here, self.masks.seen_from(here, seen))
                by_stage += [here, here]
            found = self._reached[start] = tuple(by_stage)
        return found

    def add(self, step: Step) -> int:
        """The number of a step; an equal one that exists already is used again."""
        found = self._ids.get(step)
        if found is None:
            found = self._ids[step] = len(self.steps)
            self.steps.append(step)
            if found >= self.max_copies:
                raise PlanError(
                    Diagnostic(
                        code="PD211",
                        message=f"this check needs more than {self.max_copies:,} steps",
                        help="check fewer claims at once (`--only`), split the hypothesis, or "
                        "raise the bound with `--max-copies`",
                    )
                )
        return found

    def mlp_resid(
        self,
        stage: int,
        layer: int,
        previous: int,
        blends: tuple[Blend, ...],
        groups: tuple[tuple[int, ...], ...],
    ) -> MlpResid:
        """The stream behind an MLP, taken as a whole where its neurons agree with the rest."""
        rest = blends[0]
        apart = tuple(pair for pair in zip(groups, blends[1:], strict=True) if pair[1] != rest)
        if groups and not apart:
            rest = self._whole(rest)
        return MlpResid(stage=stage, layer=layer, previous=previous, blend=rest, neurons=apart)

    def _whole(self, blend: Blend) -> Blend:
        """Copies of the whole MLP in place of those of its hidden units; others as they are."""
        return tuple(sorted((self._whole_copy(source), mask) for source, mask in blend))

    def _whole_copy(self, source: int) -> int:
        copy = self.steps[source] if source >= 0 else None
        if isinstance(copy, HiddenCopy):
            return self.add(MlpCopy(layer=copy.layer, resid=copy.resid, frozen=copy.frozen))
        if isinstance(copy, ValueCopy) and copy.place.kind == "hidden":
            whole = Place(MLP.name, copy.place.layer)
            return self.add(replace(copy, place=whole, of=whole, blend=self._whole(copy.blend)))
        return source


def pattern_copy(table: CopyTable, layer: int, head: int, source: int) -> int:
    """The copy that is the head of a plain run itself, for reading its attention pattern."""
    query, keys = (
        table.add(PlainResid(stage=2 * table.layout.shape.entry(layer, slot), source=source))
        for slot in ("q", "k")
    )
    reads = ((table.all_distances[layer], keys),)
    return table.add(HeadCopy(layer=layer, head=head, query=query, keys=reads, values=reads))
