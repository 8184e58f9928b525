"""Drawn interventions on drawn cases: as actions for the engine, and row by row for the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.runs import Action, Block, RunSpec, Target, under_text
from pathdsl.plan.treated import TreatedSpec
from tests.engine.tree_cases import Opened, spec_of
from tests.oracle.cases import kept_predicate
from tests.oracle.constants import zero_constants
from tests.oracle.graph import INPUT, LOGITS
from tests.oracle.intervened import Doing, Values, plain_under, run_under
from tests.oracle.tree import Array, forward_of
from tests.oracle.writer import Chooser

PLACES = (None, "END", "SA", "SB")
KEYS = ("SA", "SB", "[0]")
FURTHER: dict[str, Callable[[Any, int], frozenset[int]]] = {
    "SB..END": lambda at, length: frozenset(range(min(at["SB"]), length)),
    "[0]..SA": lambda at, length: frozenset(range(at["SA"][0] + 1)),
    "{SA, END}": lambda at, length: frozenset([at["SA"][0], length - 1]),
    "END-1..END": lambda at, length: frozenset([length - 2, length - 1]),
    "[0..1]": lambda at, length: frozenset([0, 1]),
}
"""Spans and sets of positions, and the tokens that they are on a row."""
Row = Callable[[int], Doing]
"""An action on one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Blocks, and what they do on a row."""

    blocks: tuple[Block, ...]
    made: tuple[Row, ...]


class Drawer:
    """Draws actions on one case."""

    def __init__(
        self, one: Opened, choose: Chooser, parts: Any = None,
        places: Sequence[str | None] = PLACES, keys: Sequence[str] = KEYS,
        neurons: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:  # fmt: skip
        self.one, self.choose, self.places, self.keys = one, choose, tuple(places), tuple(keys)
        self.parts = forward_of(parts or one.adapter.model)
        self.neurons = neurons
        """Those that actions may be on, and those that the case tells apart."""
        self.rows = one.case.rows
        shape = one.adapter.shape
        self.layers, self.heads, self.width = shape.n_layers, shape.n_heads, shape.d_model
        self.other = Drawn(blocks=(), made=())
        """Blocks of their own, under which runs that actions read may stand."""

    @property
    def more(self) -> tuple[str, ...]:
        """Runs under `other`, where there is one: the reference run, the case's run."""
        return ("under", "path under") if self.other.blocks else ()

    # ------------------------------------------------------------------------------- the rows

    def at(self, place: str | None, row: int) -> frozenset[int]:
        length = len(self.rows[row].reference)
        if place is None:
            return frozenset(range(length))
        if place in FURTHER:
            return FURTHER[place](self.rows[row].positions, length)
        if place == "END":
            return frozenset([length - 1])
        return frozenset(self.rows[row].positions[place])

    def embedded(self, row: int, column: str) -> Array:
        return self.parts.embed(getattr(self.rows[row], column))

    def plain(self, row: int, column: str, doings: Sequence[Doing] = ()) -> Values:
        treated = column == "treated"
        return plain_under(self.parts, self.embedded(row, column), doings, treated, self.neurons)

    def mean(self, row: int, made: Sequence[Row] = ()) -> Values:
        """Means of plain runs on the treated column, by template and length."""
        mine = self.rows[row]
        peers = [
            self.plain(number, "treated", [make(number) for make in made])
            for number, other in enumerate(self.rows)
            if other.template == mine.template and len(other.reference) == len(mine.reference)
        ]
        return {node: np.mean([p[node] for p in peers], axis=0) for node in peers[0]}

    def settled(self, row: int, treated: bool, made: Sequence[Row]) -> Values:
        """A side: the plain run of the reference, or of the treated value."""
        doings = [make(row) for make in made]
        if not treated:
            return self.plain(row, "reference", doings)
        if self.one.case.treated == "paired":
            return self.plain(row, "treated", doings)
        length = len(self.rows[row].reference)
        if self.one.case.treated == "mean":
            constants = dict(self.mean(row, made))
        else:
            constants = dict(zero_constants(self.parts, length, self.neurons))
        for layer in range(self.layers + 1):
            below = {
                n: v for n, v in constants.items() if n == INPUT or (n[0] in "amn" and n[1] < layer)
            }
            reader = LOGITS if layer == self.layers else ("a", layer, 0)
            constants["r", layer] = np.stack(
                [self.parts.stream(reader, {n: v[at] for n, v in below.items()})
                 for at in range(length)]
            )  # fmt: skip
        return constants

    # ------------------------------------------------------------------------------- actions

    def target(self, kinds: Sequence[str]) -> Target:
        kind = self.choose.pick(tuple(kinds))
        place = self.choose.pick(self.places)
        pos = None if place is None else Pos.parse(place)
        layer = self.choose.number(0, self.layers - 1 + (kind == "mark"))
        if kind == "head":
            heads = self.one.adapter.shape.heads_in(layer)
            head = self.choose.number(0, heads - 1)
            return Target(kind="head", layer=layer, head=head, at=pos)
        if kind == "input":
            return Target(kind="input", at=pos)
        if kind == "mlp" and self.neurons and self.choose.odds(70):
            return self.of_mlp(pos)
        return Target(kind=kind, layer=layer, at=pos)  # type: ignore[arg-type]

    def of_mlp(self, pos: Pos | None) -> Target:
        """Some neurons of an MLP, or the MLP without them."""
        layer, _ = self.choose.pick(tuple(sorted(self.neurons)))
        those = [j for at, j in sorted(self.neurons) if at == layer]
        some = self.choose.some(those, self.choose.number(1, len(those)))
        kind = self.choose.pick(("neurons", "neurons", "mlp"))
        return Target(kind=kind, layer=layer, neurons=some, at=pos)

    def nodes(self, target: Target) -> list[Any]:
        """The nodes of the tree that a target is."""
        apart = [("n", at, j) for at, j in sorted(self.neurons) if at == target.layer]
        named = [("n", target.layer, j) for j in target.neurons]
        if target.kind == "neurons":
            return named
        if target.kind == "mlp":
            return [("m", target.layer), *(node for node in apart if node not in named)]
        return [node_of(target)]

    def action(
        self, verb: str, before: tuple[Block, ...], done: Sequence[Row]
    ) -> tuple[Action, list[Row]]:
        action, row = getattr(self, f"_{verb}")(before, done)
        return action, row if isinstance(row, list) else [row]

    def _scale(self, before: Any, done: Any) -> tuple[Action, list[Row]]:
        target = self.target(("head", "mlp", "input"))
        factor = self.choose.pick((0.0, 2.0, -1.5))
        action = Action(verb="scale", targets=(target,), number=factor)

        def row_of(node: Any) -> Row:
            return lambda row: Doing(
                verb="scale", node=node, at=self.at(name_of(target), row), factor=factor
            )

        return action, list(map(row_of, self.nodes(target)))

    def _set(self, before: Any, done: Any) -> tuple[Action, list[Row]]:
        target = self.target(("head", "mlp", "input", "mark"))
        which = self.choose.pick(("reference", "treated", "path", "zero", "mean", *self.more))
        if which == "treated" and self.one.case.treated != "paired" and target.kind == "mark":
            which = "reference"
        source: RunSpec | TreatedSpec
        if which == "path":
            source = self.one.run(self.one.treated)
        elif which == "path under":
            source = under(self.one.run(self.one.treated), self.other.blocks)
        elif which == "under":
            source = under(RunSpec(task="t", kind="reference"), self.other.blocks)
        elif which in ("reference", "treated"):
            spec = spec_of(self.one.case) if which == "treated" else None
            source = RunSpec(task="t", kind=which, treated=spec)  # type: ignore[arg-type]
        elif which == "zero":
            source = TreatedSpec(kind="zero")
        else:
            source = TreatedSpec(kind="mean", column="treated", by="template")

        def row_of(node: Any, row: int) -> Doing:
            places = self.at(name_of(target), row)
            plain = self.plain(row, "reference")
            if which in ("path", "path under"):
                value = np.zeros_like(plain[node])
                made = self.other.made if which == "path under" else ()
                for at in places:
                    value[at] = self.tree(row, made, at=at, read=node)
            elif which == "under":
                value = self.plain(row, "reference", [make(row) for make in self.other.made])[node]
            elif which == "zero":
                value = np.zeros_like(plain[node])
            elif which == "mean":
                value = self.mean(row)[node]
            else:
                value = self.settled(row, which == "treated", ())[node]
            return Doing(verb="fix", node=node, at=places, value=value)

        action = Action(verb="set", targets=(target,), source=source)
        return action, [partial(row_of, node) for node in self.nodes(target)]

    def _move(self, before: Any, done: Sequence[Row]) -> tuple[Action, Row]:
        wide = ("mlp", "input", "mark") if not self.neurons else ("input", "mark")
        target = self.target(wide)
        node = self.target(wide)
        if self.neurons and self.choose.odds(50):
            node = Target(kind="mlp", layer=self.choose.number(0, self.layers - 1))
        node = Target(kind=node.kind, layer=node.layer)

        def row_of(row: int) -> Doing:
            earlier = [make(row) for make in done]
            runs = [self.settled(row, side, done) for side in (False, True)]
            runs.append(self.plain(row, "treated", earlier))
            pair = [sum(run[part] for part in self.nodes(node)) for run in runs]
            return Doing(verb="move", node=node_of(target), at=self.at(name_of(target), row),
                         pair=tuple(pair))  # fmt: skip

        return Action(verb="set", targets=(target,), source=node), row_of

    def _same(self, before: Any, done: Sequence[Row]) -> tuple[Action, list[Row]]:
        """A value set to the one that it has without this block."""
        target = self.target(("head", "mlp", "input", "mark"))
        own = target.own

        def row_of(node: Any, row: int) -> Doing:
            pair = [self.settled(row, side, done)[node] for side in (False, True)]
            earlier = [make(row) for make in done]
            pair.append(self.plain(row, "treated", earlier)[node])
            return Doing(verb="move", node=node, at=self.at(name_of(target), row),
                         pair=tuple(pair))  # fmt: skip

        action = Action(verb="set", targets=(target,), source=own)
        return action, [partial(row_of, node) for node in self.nodes(target)]

    def _add(self, before: Any, done: Any) -> tuple[Action, list[Row]]:
        target = self.target(("head", "mlp", "input", "mark"))
        vector: tuple[float, ...] = ()
        terms: tuple[tuple[float, TreatedSpec], ...] = ()
        if target.wide and self.choose.odds(50):
            vector = tuple(float(self.choose.number(-3, 3)) for _ in range(self.width))
        else:
            mean = TreatedSpec(kind="mean", column="treated", by="template")
            terms = ((1.5, mean), (-1.0, TreatedSpec(kind="paired", column="reference")))
        action = Action(verb="add", targets=(target,), terms=terms, vector=vector)

        def row_of(node: Any, row: int) -> Doing:
            plain = self.plain(row, "reference")[node]
            value = np.zeros_like(plain)
            if terms:
                value = 1.5 * self.mean(row)[node] - plain
            if vector and node[0] != "n":
                value[..., : len(vector)] += vector  # of `input`, to what it writes
            return Doing(verb="add", node=node, at=self.at(name_of(target), row), value=value)

        return action, [partial(row_of, node) for node in self.nodes(target)]

    def added(self, node: Any, place: str, value: Array, row: int) -> Doing:
        """The same vector added at a place."""
        length = len(self.rows[row].reference)
        whole = np.broadcast_to(value, (length, len(value)))
        return Doing(verb="add", node=node, at=self.at(place, row), value=whole)

    def _zero(self, before: Any, done: Any) -> tuple[Action, Row]:
        target, slot = self.target(("head",)), self.choose.pick(("q", "k", "v"))
        action = Action(verb="zero", targets=(target,), slot=slot)  # type: ignore[arg-type]
        return action, lambda row: Doing(
            verb="zero", node=node_of(target), at=self.at(name_of(target), row), slot=slot
        )

    def _block(self, before: Any, done: Any) -> tuple[Action, Row]:
        return self._pattern_of("block", "")

    def _only(self, before: Any, done: Any) -> tuple[Action, Row]:
        return self._pattern_of("only", "only")

    def _uniform(self, before: Any, done: Any) -> tuple[Action, Row]:
        return self._pattern_of("uniform", "uniform")

    def _pattern_of(self, verb: str, how: str) -> tuple[Action, Row]:
        target, key = self.target(("head",)), self.choose.pick(self.keys)
        pos = Pos.parse(key)

        def keys(row: int) -> frozenset[int]:
            return frozenset([0]) if key == "[0]" else self.at(key, row)

        action = Action(verb="pattern" if how else "block", targets=(target,), keys=(pos,), how=how)
        return action, lambda row: Doing(
            verb=verb, node=node_of(target), at=self.at(name_of(target), row), keys=keys(row)
        )

    def _copied(self, before: tuple[Block, ...], done: Sequence[Row]) -> tuple[Action, Row]:
        target = self.target(("head",))
        which = self.choose.pick(("reference", "treated"))
        if self.one.case.treated != "paired":
            which = "reference"
        spec = spec_of(self.one.case) if which == "treated" else None
        source = RunSpec(task="t", kind=which, treated=spec)  # type: ignore[arg-type]

        def row_of(row: int) -> Doing:
            earlier = [make(row) for make in done]
            run = self.plain(row, which, earlier)
            return Doing(
                verb="copied", node=node_of(target), at=self.at(name_of(target), row),
                pattern=run["p", target.layer, target.head],
            )  # fmt: skip

        action = Action(verb="pattern", targets=(target,), how="from", source=source)
        return action, row_of

    # ------------------------------------------------------------------------------- the tree

    def tree(
        self, row: int, made: Sequence[Row], at: int | None = None, read: Any = None,
        kept: Any = None,
    ) -> Array:  # fmt: skip
        """The case's run on a row, under doings; at END unless `at`."""
        treated: Any = self.embedded(row, "treated")
        length = len(self.rows[row].reference)
        if self.one.case.treated == "zero":
            treated = zero_constants(self.parts, length, self.neurons)
        if self.one.case.treated == "mean":
            treated = self.mean(row, made)
        return run_under(
            self.parts, self.embedded(row, "reference"), treated,
            kept or kept_predicate(self.one.case, row),
            length - 1 if at is None else at, [make(row) for make in made], read=read,
            frozen_to=self.frozen_to(row, made), neurons=self.neurons,
        )  # fmt: skip

    def frozen_to(self, row: int, made: Sequence[Row]) -> Values | None:
        """The run that norms of mixed copies are frozen to."""
        doings = [make(row) for make in made]
        return (
            self.plain(row, "reference", doings) if (self.one.frozen or self.one.routed) else None
        )


def node_of(target: Target) -> Any:
    match target.kind:
        case "input":
            return INPUT
        case "head":
            return "a", target.layer, target.head
        case "mlp":
            return "m", target.layer
        case _:
            return "r", target.layer


def name_of(target: Target) -> str | None:
    return None if target.at is None else str(target.at)


def under(run: RunSpec, blocks: tuple[Block, ...], treated: Any = None) -> RunSpec:
    """A run under blocks."""
    from dataclasses import replace

    text = under_text(blocks, treated)
    return replace(run, blocks=blocks, of_treated=treated, under=text)


def draw_blocks(drawer: Drawer, verbs: Sequence[Sequence[str]]) -> Drawn:
    """One block for each list of verbs."""
    blocks: list[Block] = []
    rows: list[Row] = []
    for number, listed in enumerate(verbs):
        actions: list[Action] = []
        before_block = list(rows)
        for verb in listed:
            done = rows if verb == "copied" else before_block
            action, made = drawer.action(verb, tuple(blocks), list(done))
            actions.append(action)
            rows += made
        blocks.append(Block(name=f"b{number}", actions=tuple(actions)))
    return Drawn(blocks=tuple(blocks), made=tuple(rows))
