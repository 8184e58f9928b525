"""What a run stands under: its two plain runs, and what its mixed copies make of an action.

A mixed copy acts as the model of the reference side does. Where paths of both kinds stand at a
value that is set to another node's, it has the reference run's; it has the treated run's where all
paths through it are treated (docs/semantics.md, Interventions).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from pathdsl.graph.model.components import Layout
from pathdsl.plan.acts import Act, Acts, at_stage
from pathdsl.plan.masks import FALSE
from pathdsl.plan.runs import Block
from pathdsl.plan.sides import Side, Sides, Value, put, within
from pathdsl.plan.steps import REFERENCE, Blend, Frozen, Step
from pathdsl.plan.table import Cell

__all__ = ["Paths", "Under"]

Paths = tuple[int, int] | None
"""Where some path is kept, and where treated; None where no constant hides one."""


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

    def mixed(
        self, sides: tuple[Side, Side], v: int, blend: Blend, kept: int, cut: int, all_paths: Paths
    ) -> Cell:
        """A cell with its actions, its settled positions being those of the sides already.

        `all_paths`: where paths are kept and treated, those through constants counted.
        """
        own = sides[0].cell(v), sides[1].cell(v) if all_paths is not None else ()
        acts = self.acts.of(sides[0].layout.components[v])
        return self._acted(acts, sides[0].value(v), blend, kept, cut, own, all_paths)

    def marked(
        self, sides: tuple[Side, Side], stage: int, blend: Blend, kept: int, cut: int,
        frozen: bool, all_paths: Paths,
    ) -> Cell:  # fmt: skip
        """A stream with the actions on it; `frozen`: with reference scales of the heads' sums."""
        place = at_stage(stage)
        if sides[1].constant or frozen:  # summed also where nothing is kept, so still to be done
            treated = self.masks.without(cut, kept)
            for act in sides[1].acts.on.get(place, ()):
                here = self.masks.both(treated, act.mask)
                if here == FALSE or (act.action.fixes and not frozen):
                    continue
                if frozen and act.action.verb != "set":
                    new = self.sides.changed(act, Value(place), here, blend)
                else:
                    new = within(self.masks, sides[1].stream(stage), here)
                blend = put(self.masks, blend, here, new)
        if all_paths is None:
            own: tuple[Blend, Blend] = sides[0].stream(stage), ()
        else:
            own = sides[0].stream(stage), sides[1].stream(stage)
        acts = self.acts.on.get(place, ())
        return self._acted(acts, Value(place), blend, kept, cut, own, all_paths)

    def _acted(
        self, acts: Iterable[Act], value: Value, blend: Blend, kept: int, cut: int,
        own: tuple[Blend, Blend], all_paths: Paths,
    ) -> Cell:  # fmt: skip
        masks, reference = self.masks, own[0]
        mixed = masks.both(kept, cut)
        for act in acts:
            action = act.action
            if action.fixes:
                blend = put(masks, blend, act.mask, within(masks, reference, act.mask))
                kept, cut = masks.without(kept, act.mask), masks.without(cut, act.mask)
                continue
            if action.verb == "set" and all_paths is not None:  # behind a constant, too
                treated = masks.both(masks.without(all_paths[1], all_paths[0]), act.mask)
                rest = masks.without(act.mask, treated)
                for mine, where in zip(own, (rest, treated), strict=True):
                    if where != FALSE:
                        blend = put(masks, blend, where, within(masks, mine, where))
                kept = masks.either(masks.without(kept, act.mask), masks.both(all_paths[0], rest))
                cut = masks.either(masks.without(cut, act.mask), treated)
                continue
            here = masks.both(mixed, act.mask)
            if here == FALSE:
                continue
            if action.verb == "set":
                blend = put(masks, blend, here, within(masks, reference, here))
                cut = masks.without(cut, here)
            else:
                new = self.sides.changed(act, value, here, blend)
                blend = put(masks, blend, here, new)
        return blend, kept, cut
