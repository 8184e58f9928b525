"""What a run stands under: its two plain runs, and what its mixed copies make of an action.

A mixed copy acts as the model of the reference side does. Where paths of both kinds stand at a
value that is set to another node's, it has the reference run's; it has the treated run's where all
paths through it are treated (docs/semantics.md, Interventions).
"""

from __future__ import annotations

from collections.abc import Hashable

from pathdsl.graph.model.components import Layout
from pathdsl.plan.acts import Acts, at_stage
from pathdsl.plan.masks import FALSE
from pathdsl.plan.runs import Block
from pathdsl.plan.sides import Side, Sides, put, within
from pathdsl.plan.steps import REFERENCE, Blend, Frozen, Place, Step
from pathdsl.plan.table import Cell

__all__ = ["Under"]


class Under:
    """The blocks of one run: `blocks` of its reference side and mixed copies, `treated` of its
    treated side."""

    def __init__(self, sides: Sides, blocks: tuple[Block, ...], treated: tuple[Block, ...]) -> None:
        self.sides = sides
        self.blocks = blocks
        self.treated = treated
        self.key: Hashable = blocks, treated
        self.acts: Acts = sides.acts(blocks)
        self.masks = sides.table.masks

    def sides_of(self, source: int, layout: Layout) -> tuple[Side, Side]:
        """The reference and the treated plain run of a run with this treated source."""
        reference = self.sides.side(REFERENCE, self.blocks, layout)
        return reference, self.sides.side(source, self.treated, layout)

    def head_copy(
        self, layer: int, head: int, query: int,
        keys: tuple[tuple[int, int], ...], values: tuple[tuple[int, int], ...], frozen: Frozen,
    ) -> Step:  # fmt: skip
        """A mixed copy of a head."""
        return self.sides.head_copy(self.acts, layer, head, query, keys, values, frozen)

    def mixed(self, sides: tuple[Side, Side], v: int, blend: Blend, kept: int, cut: int) -> Cell:
        """A cell with its actions, its settled positions being those of the sides already."""
        place = sides[0].place(v)
        return self._acted(place, blend, kept, cut, sides[0].cell(v), sides[0].layout)

    def marked(
        self, sides: tuple[Side, Side], stage: int, blend: Blend, kept: int, cut: int, frozen: bool
    ) -> Cell:
        """A stream with the actions on it; `frozen`: with reference scales of the heads' sums."""
        place = at_stage(stage)
        if sides[1].constant or frozen:  # summed also where nothing is kept, so still to be done
            treated = self.masks.without(cut, kept)
            for act in sides[1].acts.on.get(place, ()):
                here = self.masks.both(treated, act.mask)
                if here == FALSE or (act.action.fixes and not frozen):
                    continue
                if frozen and act.action.verb != "set":
                    new = self.sides.changed(act, place, here, blend, sides[1].layout)
                else:
                    new = within(self.masks, sides[1].stream(stage), here)
                blend = put(self.masks, blend, here, new)
        reference = sides[0].stream(stage)
        return self._acted(place, blend, kept, cut, reference, sides[0].layout)

    def _acted(
        self, place: Place, blend: Blend, kept: int, cut: int, reference: Blend, layout: Layout
    ) -> Cell:
        masks = self.masks
        mixed = masks.both(kept, cut)
        for act in self.acts.on.get(place, ()):
            action = act.action
            if action.fixes:
                blend = put(masks, blend, act.mask, within(masks, reference, act.mask))
                kept, cut = masks.without(kept, act.mask), masks.without(cut, act.mask)
                continue
            here = masks.both(mixed, act.mask)
            if here == FALSE:
                continue
            if action.verb == "set":
                blend = put(masks, blend, here, within(masks, reference, here))
                cut = masks.without(cut, here)
            else:
                new = self.sides.changed(act, place, here, blend, layout)
                blend = put(masks, blend, here, new)
        return blend, kept, cut
