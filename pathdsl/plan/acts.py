"""What the blocks of a run do on the rows of a task: which action acts where, how far it reaches.

Every value has at most one action at a position. From where actions act follows, forwards through
the model, where a value may differ from the unmodified model's (`reach`), and where a value still
depends on the input (`carried`): behind a value that is set to a constant nothing is carried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.model.components import HEAD, INPUT, MLP, Component
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.masks import FALSE, TRUE, MaskTable
from pathdsl.plan.readout import ANSWER
from pathdsl.plan.runs import Action, Block, Target
from pathdsl.plan.steps import Place
from pathdsl.plan.treated import TreatedSpec

__all__ = [
    "IN",
    "Act",
    "Acts",
    "at_stage",
    "component_place",
    "no_heads",
    "place_of",
    "stage_behind",
    "treated_at",
]

IN = Place(INPUT.name)


def at_stage(stage: int) -> Place:
    """The stream at a stage."""
    return Place("resid", stage)


def place_of(target: Target) -> Place:
    """The place of a target; of neurons that of their MLP."""
    if target.kind == "mark":
        return at_stage(2 * target.layer)
    kind = MLP.name if target.kind == "neurons" else target.kind
    return Place(kind, max(target.layer, 0), target.head)


def component_place(component: Component) -> Place:
    """The place of a component; of neurons that of their MLP."""
    if component.kind is INPUT:
        return IN
    if component.kind is HEAD:
        return Place(HEAD.name, component.layer, component.head)
    return Place(MLP.name, component.layer)


def stage_behind(component: Component, shape: ModelShape) -> int:
    """The stage whose stream is another one in two runs exactly where the component's value is."""
    if component.kind is INPUT:
        return 0
    parallel = component.kind.after_heads and shape.parallel
    return 2 * component.layer + (not parallel)


def no_heads(name: str) -> PlanError:
    """PD227 for a head that is a recurrence."""
    return PlanError(
        Diagnostic(
            code="PD227",
            message=f"`{name}` is a recurrence over tokens (`linear_attention`), which has no "
            "attention pattern",
            help=f"measure what treating it does: `effect(through({name}), metric: M)`",
        )
    )


def treated_at(spec: TreatedSpec, masks: MaskTable, position: Callable[[Pos], int]) -> int:
    """Where a treated value has values: everywhere, or at its named places."""
    if not spec.placed:
        return TRUE
    found = FALSE
    for at in spec.at:
        found = masks.either(found, position(at))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One action at the positions `mask` of one value; `before` are the blocks that act before it.

    `keys`: the key positions of `block` and `pattern`. `neurons`: the hidden units that it acts on
    or, with the `rest` of an MLP, those that it leaves as they are.
    """

    action: Action
    mask: int
    before: tuple[Block, ...]
    keys: int = FALSE
    neurons: frozenset[int] = frozenset()
    rest: bool = True

    def on(self, neuron: int | None) -> bool:
        """Whether it acts on a neuron of its MLP; None: on the rest, and on what is no MLP."""
        return self.rest if neuron is None else (neuron in self.neurons) != self.rest


class Acts:
    """All actions of some blocks, by place; raises PlanError where two act on one value (PD231)."""

    def __init__(
        self,
        blocks: tuple[Block, ...],
        shape: ModelShape,
        masks: MaskTable,
        distances: Sequence[int],
        position: Callable[[Pos], int],
        names: Sequence[str] = (),
    ) -> None:
        self.blocks = blocks
        self.names = names
        self.shape = shape
        self.masks = masks
        self.distances = distances
        self.on: dict[Place, list[Act]] = {}
        """Actions on values and on the stream."""
        self.inside: dict[tuple[int, int], list[Act]] = {}
        """Actions inside heads, by layer and head."""
        for number, block in enumerate(blocks):
            for place, action in enumerate(block.actions):
                done = Block(name=block.name, actions=block.actions[:place])
                earlier = blocks[:number]
                if action.verb == "pattern" and done.actions:
                    earlier = (*earlier, done)
                self._add(action, earlier, position)
        self.reach: dict[Place, int] = {}
        self.carried: dict[Place, int] = {}
        self._read: dict[Place, tuple[int, int]] = {}
        """Both of what an MLP reads, where actions tell its neurons apart."""
        self._flow()

    @property
    def fixes(self) -> bool:
        """Whether some value is made a constant."""
        return any(act.action.fixes for acts in self.on.values() for act in acts)

    @property
    def moves(self) -> bool:
        """Whether some value is set to a node's."""
        return any(
            isinstance(act.action.source, Target) for acts in self.on.values() for act in acts
        )

    @property
    def moves_and_fixes(self) -> bool:
        """Whether constants may stand behind a value that is set to a node's."""
        return self.fixes and self.moves

    def fixed(self, place: Place) -> int:
        """The positions at which a value is a constant."""
        return self._union(act.mask for act in self.on.get(place, ()) if act.action.fixes)

    def of(self, component: Component) -> list[Act]:
        """The actions on the value of a component, of which they act on all or on nothing."""
        first = component.neurons[0] if component.neurons else None
        return [act for act in self.on.get(component_place(component), ()) if act.on(first)]

    def flow_of(self, component: Component) -> tuple[int, int]:
        """`reach` and `carried` of a component: of neurons, or the rest of their MLP, alone."""
        place = component_place(component)
        if place not in self._read:
            return self.reach[place], self.carried[place]
        return self._behind(self.of(component), *self._read[place])

    # ---------------------------------------------------------------------------------------------

    def _add(
        self, action: Action, before: tuple[Block, ...], position: Callable[[Pos], int]
    ) -> None:
        keys = self._union(position(pos) for pos in action.keys)
        for target in action.targets:
            mask = TRUE if target.at is None else position(target.at)
            mask = self._placed(action, target, mask, position)
            act = Act(
                action=action, mask=mask, before=before, keys=keys,
                neurons=frozenset(target.neurons), rest=target.kind != "neurons",
            )  # fmt: skip
            if action.inside and self.shape.recurs(target.layer):
                raise no_heads(str(target.own))
            where = target.layer, target.head
            known = (
                self.inside.setdefault(where, [])
                if action.inside
                else self.on.setdefault(place_of(target), [])
            )
            for other in known:
                if self._meet(act, other):
                    raise _twice(action, target, other.action)
            if action.verb in ("pattern", "block"):
                self._vet_seen(act, target)
            known.append(act)

    def _placed(
        self, action: Action, target: Target, mask: int, position: Callable[[Pos], int]
    ) -> int:
        """The positions of a target at which the values of an action are; PD369 for one at none.

        A target that stands nowhere, as `@ANSWER` where the prompts are read alone, wants no value.
        """
        found = FALSE if action.values_only else mask
        for spec in action.values:
            here = self.masks.both(mask, treated_at(spec, self.masks, position))
            if here == FALSE != mask:
                at = f" at `{target.at}`" if target.at is not None else ""
                own = target.at is not None and ANSWER not in target.at.names
                raise PlanError(
                    Diagnostic(
                        code="PD369",
                        message=f"`{spec}` has no value{at}, where `{action.verb}` is to put it",
                        span=action.span,
                        help=f"`at: {target.at}`" if own else "put it where it has one",
                    )
                )
            found = self.masks.either(found, here)
        return found

    def _meet(self, one: Act, other: Act) -> bool:
        """Whether two actions of one value, or inside one head, act on one number."""
        verbs = one.action.verb, other.action.verb
        if one.action.slot != other.action.slot:
            return False
        if not any(one.on(n) and other.on(n) for n in (None, *one.neurons, *other.neurons)):
            return False
        common = self.masks.array(one.mask) & self.masks.array(other.mask)
        if verbs == ("block", "block"):
            keys = self.masks.array(one.keys) & self.masks.array(other.keys)
            return bool((common.any(axis=1) & keys.any(axis=1)).any())
        return bool(common.any())

    def seen_pairs(self, layer: int, queries: int, keys: int) -> np.ndarray:
        """(rows, pos) how many of the tokens `keys` a head of the layer sees from `queries`."""
        array, length = self.masks.array(keys), self.masks.n_pos
        window = self.shape.window(layer) or length
        total = np.concatenate([np.zeros((len(array), 1), int), array.cumsum(axis=1)], axis=1)
        own = np.arange(length) + 1
        ends = own if self.shape.causal else np.clip(own + window - 1, 0, length)
        starts = np.clip(own - window, 0, None)
        return (total[:, ends] - total[:, starts]) * self.masks.array(queries)

    def _vet_seen(self, act: Act, target: Target) -> None:
        """Raise PD232 where a query is left without a key."""
        queries = self.masks.array(act.mask)
        match act.action.verb, act.action.how:
            case "block", _:
                every = self.seen_pairs(target.layer, act.mask, TRUE)
                blocked = self._union(
                    other.keys
                    for other in self.inside.get((target.layer, target.head), ())
                    if other.action.verb == "block"
                )
                keys = self.masks.either(blocked, act.keys)
                left = every - self.seen_pairs(target.layer, act.mask, keys)
            case "pattern", "uniform" | "only":
                left = self.seen_pairs(target.layer, act.mask, act.keys)
            case _:
                return
        empty = np.argwhere(queries & (left == 0))
        if len(empty):
            row, place = (int(number) for number in empty[0])
            rows = len(np.unique(empty[:, 0]))
            name = f"row `{self.names[row]}`" if self.names else f"prompt {row}"
            raise PlanError(
                Diagnostic(
                    code="PD232",
                    message=f"{name}: `a{target.layer}.h{target.head}` at token {place} sees none "
                    "of the keys that it is left"
                    + (f", nor on {rows - 1} others" if rows > 1 else ""),
                    span=act.action.span,
                    label="leaves no key",
                    help="name a key at or before the head's own position, on every prompt"
                    if self.shape.causal
                    else "name a key that the head sees, on every prompt",
                )
            )

    def _union(self, masks: Iterable[int]) -> int:
        found = FALSE
        for mask in masks:
            found = self.masks.either(found, mask)
        return found

    # ---------------------------------------------------------------------------------------------

    def _flow(self) -> None:
        """`reach` and `carried` of every value and, as `resid`, of the stream at every stage.

        As `before_marks` the stream before the actions on it.
        """
        shape, masks = self.shape, self.masks
        self._value(IN, FALSE, TRUE)
        self._stream(0, [IN])
        for layer in range(shape.n_layers):
            seen = self.distances[layer]
            heads: list[Place] = [
                Place(HEAD.name, layer, head) for head in range(shape.heads_in(layer))
            ]
            stage, keys = at_stage(2 * layer), at_stage(2 * shape.entry(layer, "k"))
            for place in heads:
                reach = masks.either(self.reach[stage], masks.seen_from(self.reach[keys], seen))
                carried = masks.either(
                    self.carried[stage], masks.seen_from(self.carried[keys], seen)
                )
                for act in self.inside.get((layer, place[2]), ()):
                    here = act.mask
                    if act.action.slot in ("k", "v"):
                        here = masks.seen_from(here, seen)
                    reach = masks.either(reach, here)
                self._value(place, reach, carried)
            self._stream(2 * layer + 1, heads)
            mlp = Place(MLP.name, layer)
            if shape.has_mlp:
                read = [at_stage(2 * layer + (not shape.parallel))]
                if shape.per_layer_input:  # what `input` gives it goes by no mark
                    read.append(IN)
                reach, carried = (
                    self._union(known[place] for place in read)
                    for known in (self.reach, self.carried)
                )
                self._value(mlp, reach, carried)
            self._stream(2 * layer + 2, [mlp] if shape.has_mlp else [])

    def _value(self, place: Place, reach: int, carried: int) -> None:
        acts = self.on.get(place, ())
        neurons = dict.fromkeys(neuron for act in acts for neuron in act.neurons)
        if neurons:
            self._read[place] = reach, carried
        parts = dict.fromkeys(tuple(act.on(n) for act in acts) for n in (None, *neurons))
        flows = [
            self._behind([act for act, on in zip(acts, part, strict=True) if on], reach, carried)
            for part in parts
        ]
        self.reach[place] = self._union(flow[0] for flow in flows)
        self.carried[place] = self._union(flow[1] for flow in flows)

    def _behind(self, acts: Iterable[Act], reach: int, carried: int) -> tuple[int, int]:
        for act in acts:
            reach = self.masks.either(reach, act.mask)
            carried = self._carried(act, carried)
        return reach, carried

    def _carried(self, act: Act, carried: int) -> int:
        """Where a value carries something behind an action."""
        if act.action.fixes:
            return self.masks.without(carried, act.mask)
        if isinstance(act.action.source, Target):  # a second input, whatever stands behind it
            return self.masks.either(carried, act.mask)
        return carried

    def _stream(self, stage: int, writers: list[Place]) -> None:
        masks = self.masks
        before = [at_stage(stage - 1)] if stage else []
        reach = self._union(self.reach[place] for place in (*before, *writers))
        carried = self._union(self.carried[place] for place in (*before, *writers))
        self.reach[Place("before_marks", stage)] = reach
        for act in self.on.get(at_stage(stage), ()):
            reach = masks.either(reach, act.mask)
            carried = self._carried(act, carried)
        self.reach[at_stage(stage)], self.carried[at_stage(stage)] = reach, carried


def _twice(action: Action, target: Target, other: Action) -> PlanError:
    labels = ((other.span, "the first"),) if other.span is not None else ()
    return PlanError(
        Diagnostic(
            code="PD231",
            message=f"two actions act on one value of `{target}`",
            span=action.span,
            label="the second",
            labels=labels,
            help="leave one of them out, or put them at positions that no prompt has in common",
        )
    )
