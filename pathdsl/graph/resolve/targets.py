"""What the actions of an `intervene` block act on: single values of the model, at a position.

Source: docs/language.md, intervene.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pathdsl.errors import LanguageError
from pathdsl.graph.files.vectors import read_vector
from pathdsl.graph.model.components import HEAD, INPUT, MLP, NEURON, Component, Layout, bits
from pathdsl.graph.paths.neurons import atoms, neuron_bit, node_of
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.resolve.places import Places, fault
from pathdsl.lang import ast
from pathdsl.lang.fence import outside
from pathdsl.lang.render import screen
from pathdsl.lang.signatures.calls import resolve_arguments
from pathdsl.lang.signatures.interventions import VECTOR, names_value
from pathdsl.lang.walk import walk

__all__ = ["Target", "node_target", "targets_of", "vector_of"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Target:
    """A value of the model: of `input`, of a head, an MLP or its neurons, or of a mark's stream.

    `layer` of a mark is the layer that the stream enters. `at` None: at every position. `neurons`,
    ascending: the hidden units of `neurons`, one value each, or those that an `mlp` goes without.
    """

    kind: Literal["input", "head", "mlp", "neurons", "mark"]
    layer: int = -1
    head: int = -1
    neurons: tuple[int, ...] = ()
    at: Pos | None = None

    @property
    def wide(self) -> bool:
        """Whether the value is as wide as the stream; a head's is as wide as the head, and neurons
        and what an MLP is without them are written by weights of their own."""
        return self.head < 0 and not self.neurons

    @property
    def of_mlp(self) -> bool:
        """Whether it is an MLP, its neurons or a part of them."""
        return self.kind in ("mlp", "neurons")

    @property
    def own(self) -> Target:
        """The value without its position."""
        return replace(self, at=None)

    def apart(self, layout: Layout) -> int:
        """The bits of its neurons."""
        return sum(1 << neuron for neuron in self.neurons) << neuron_bit(self.layer, 0, layout)

    def __str__(self) -> str:
        spelled = {"input": "input", "head": f"a{self.layer}.h{self.head}", "mlp": f"m{self.layer}",
                   "neurons": "", "mark": f"r{self.layer}"}[self.kind]  # fmt: skip
        if self.neurons:
            these = Component(kind=NEURON, layer=self.layer, neurons=self.neurons)
            spelled = f"{{{spelled}, except {these}}}" if spelled else str(these)
        return spelled if self.at is None else f"{spelled}@{self.at}"


def targets_of(places: Places, action: ast.Action) -> tuple[Target, ...]:
    """The values that an action acts on, each once; PD230 where it cannot act on one."""
    found = tuple(dict.fromkeys(_values(places, action.node)))
    if not found:
        raise fault("PD209", "this set of nodes is empty", action.node)
    node = action.value
    of_node = action.verb == "set" and _is_node(places, node)
    for target in found:
        if action.inside and target.kind != "head":
            raise fault(
                "PD230", f"`{action.verb}` acts inside heads, and `{target}` is none", action.node,
                label="not a head",
            )  # fmt: skip
        if action.inside and places.layout.shape.recurs(target.layer):
            raise fault(
                "PD230", f"`{action.verb}` acts inside heads, and `{target.own}` is a recurrence "
                "over tokens (`linear_attention`)", action.node,
                label="has no queries, keys and pattern",
                help=f"act on what it writes: `set {target} = zero`",
            )  # fmt: skip
        if places.layout.shape.rescaled and (
            of_node or (action.verb == "add" and _names_vector(action))
        ):
            raise fault(
                "PD230",
                "each layer of this model multiplies the stream by a number (`layer_scalar`), so "
                "that a vector, or a value of another layer, is not the same here",
                action.node, label="of another scale",
                help="set it to a treated value of its own, or scale it",
            )  # fmt: skip
        if of_node:
            _vet_node(target, node_target(places, node), action)  # type: ignore[arg-type]
        if action.verb == "add" and not target.wide and _names_vector(action):
            raise fault(
                "PD230", f"a vector is as wide as the stream, and `{target}` is not", action.node,
                label=_narrow(target), help="add it to a mark, `add r5@END = vector(…)`",
            )  # fmt: skip
    if action.verb == "add" and action.value is not None:
        for part in walk(action.value):
            if isinstance(part, ast.Call) and part.name == "vector":
                vector_of(places, part)
    return found


def node_target(places: Places, ref: ast.NodeRef) -> Target:
    """The one value that `set X = NODE` takes."""
    found = tuple(dict.fromkeys(_values(places, ref)))
    if len(found) != 1:
        raise fault("PD230", f"one node is wanted here, found {len(found)}", ref)
    return found[0]


def vector_of(places: Places, call: ast.Call) -> tuple[float, ...]:
    """The numbers of `vector("FILE", key: "…", scale: x)`; PD235 where they cannot be had."""
    given: dict[str, Any] = resolve_arguments(VECTOR, call.arguments)
    written, key, scale = str(given["path"]), str(given["key"]), float(given["scale"])
    path = Path(call.span.path).parent / written
    if not places.program.fence.holds(path):
        raise LanguageError(outside(written, call.span))
    try:
        numbers = read_vector(path, key, places.layout.shape.d_model)
    except (OSError, ValueError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        raise fault("PD235", f"`{written}` cannot be used: {screen(why)}", call) from error
    return tuple(scale * number for number in numbers)


def _is_node(places: Places, value: ast.Node | None) -> bool:
    return not (
        isinstance(value, ast.PlainRun | ast.PathRun) or names_value(value, places.program.groups)
    )


def _vet_node(target: Target, node: Target, action: ast.Action) -> None:
    if not (target.wide and node.wide) and target.own != node.own:
        apart = "each head" if _narrow(node if target.wide else target) == "a head" else "a neuron"
        width = "as wide as the head" if apart == "each head" else "one number"
        raise fault(
            "PD230",
            f"`{target}` cannot take the value of `{node}`: a {apart.split()[1]}'s value is "
            f"{width}, and {apart} writes it by weights of its own",
            action.node,
            label="of another width" if target.wide != node.wide else "another node",
            help="move values between marks, MLPs and `input`, `set r5@END = r20@END`",
        )
    if node.at not in (None, target.at):
        raise fault(
            "PD230",
            f"`{target}` takes the value of its own position, found `{node}`",
            action.node,
            label="another position",
            help=f"write `{node}` without its position, or put both at one",
        )


def _names_vector(action: ast.Action) -> bool:
    assert action.value is not None
    return any(isinstance(n, ast.Call) and n.name == "vector" for n in walk(action.value))


def _narrow(target: Target) -> str:
    """What a value is that is not as wide as the stream."""
    if target.head >= 0:
        return "a head"
    return "neurons" if target.kind == "neurons" else "an MLP without some of its neurons"


def _values(places: Places, ref: ast.NodeRef) -> list[Target]:
    member, layout = places.member(ref, {}), places.layout
    if member.marks:
        return [Target(kind="mark", layer=mark.layer, at=mark.at) for mark in member.marks]
    found: dict[tuple[str, int, int, Pos | None], tuple[Target, set[int]]] = {}
    for place in member.nodes:
        for index, spared in atoms(place.mask, layout):
            target = _target(node_of(index, layout), spared, place.at, ref, layout)
            key = target.kind, target.layer, target.head, target.at
            _, neurons = found.setdefault(key, (target, {*target.neurons}))
            if target.kind == "neurons":  # a value each, told together
                neurons.update(target.neurons)
            else:
                neurons.intersection_update(target.neurons)
    values = []
    for target, neurons in found.values():
        if target.kind == "neurons":
            _, left_out = found.get(("mlp", target.layer, -1, target.at), (None, neurons))
            neurons = neurons & left_out  # the others are of the MLP that is named beside them
        if target.kind != "neurons" or neurons:
            values.append(replace(target, neurons=tuple(sorted(neurons))))
    return values


def _target(
    component: Component, spared: int, at: Pos | None, ref: ast.NodeRef, layout: Layout
) -> Target:
    """One member of a set of nodes; `spared` as in `atoms`."""
    if component.kind is INPUT:
        return Target(kind="input", at=at)
    if component.kind is HEAD:
        return Target(kind="head", layer=component.layer, head=component.head, at=at)
    if component.kind is NEURON:
        return Target(kind="neurons", layer=component.layer, neurons=component.neurons, at=at)
    if component.kind is not MLP:
        raise fault("PD230", "`logits` is read, and no action changes it", ref)
    width, first = layout.shape.d_mlp, len(layout.components)
    without = tuple(beyond % width for beyond in bits(spared >> first))
    return Target(kind="mlp", layer=component.layer, neurons=without, at=at)
