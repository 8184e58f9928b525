"""Where a member of a sweep stands in the model: its layer, head, position and slot.

A member is printed as it is written in a file, `a9.h6@END`, and what it stands for is read from
that, so that a result of before has places, too. Position variables and slots are read from the
declaration that the member belongs to.

    place_of(let, {"h": "a9.h6@END"})     of `let into for h in {attn@END}: … -[q]-> h`
    Place(kind="head", layer=9, head=6, position="END", slot="q")
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from pathdsl.graph.model.components import HEAD, MLP, NEURON
from pathdsl.lang import ast
from pathdsl.lang.walk import walk

__all__ = ["Place", "place_of", "spelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one member of a loop stands for; None where it has no such thing.

    `kind` is that of a node (`head`, `mlp`, `neuron`), `mark` for a residual mark, `layer` for a
    layer as a whole, `set` for other sets. Of a window it is that of its first node, and so are
    `layer`, `head` and `neuron`; `to` is its last node as written. `slot` is the input at which the
    path into or out of the member is told apart, `q` of `-[q]-> h`.
    """

    kind: str
    layer: int | None = None
    head: int | None = None
    neuron: int | None = None
    position: str | None = None
    slot: str | None = None
    to: str | None = None


_NODE = r"(?:[am]\d+(?:\.[hn]\d+)?|r\d+|layer \d+)"
_MEMBER = re.compile(rf"({_NODE})(?:@(.+?))?(?:\.\.({_NODE})(?:@(.+))?)?")
_SPELLINGS = (
    (re.compile(r"a(?P<layer>\d+)\.h(?P<head>\d+)"), HEAD.name),
    (re.compile(r"m(?P<layer>\d+)"), MLP.name),
    (re.compile(r"m(?P<layer>\d+)\.n(?P<neuron>\d+)"), NEURON.name),
    (re.compile(r"r(?P<layer>\d+)"), "mark"),
    (re.compile(r"(?:a|layer )(?P<layer>\d+)"), "layer"),
)


def spelled(label: str) -> Place | None:
    """The place of a node, mark, window or set by how it is printed; None for other things.

    >>> spelled("m0..m4@END") == Place(kind="mlp", layer=0, position="END", to="m4")
    True
    >>> spelled("movers") is None
    True
    """
    if label.startswith("{"):
        return Place(kind="set", position=label.partition("}@")[2] or None)
    found_at = _MEMBER.fullmatch(label)
    if found_at is None:
        return None
    written, position, last, last_position = found_at.groups()
    for spelling, kind in _SPELLINGS:
        if found := spelling.fullmatch(written):
            numbers = {name: int(digits) for name, digits in found.groupdict().items()}
            return Place(
                kind=kind,
                layer=numbers["layer"],
                head=numbers.get("head"),
                neuron=numbers.get("neuron"),
                position=position or last_position,
                to=last,
            )
    return None


def place_of(declaration: ast.LetDecl | ast.ClaimDecl, indices: Mapping[str, str]) -> Place | None:
    """The place of one member; `indices` is what each variable of its loop stands for.

    None where no variable, or more than one, stands for nodes.
    """
    behind = _behind_at(declaration)  # `{S1, S2}` may be positions, too
    nodes = {
        name: place
        for name, label in indices.items()
        if name not in behind and (place := spelled(label))
    }
    if len(nodes) != 1:
        return None
    ((variable, place),) = nodes.items()
    slots = set(_slots(declaration, variable))
    return replace(
        place,
        position=place.position or _position(declaration, indices),
        slot=slots.pop() if len(slots) == 1 else None,
    )


def _position(declaration: ast.LetDecl | ast.ClaimDecl, indices: Mapping[str, str]) -> str | None:
    """What the variable over positions or indices stands for, if exactly one does."""
    written = _behind_at(declaration)
    found = [
        f"[{label}]" if _is_index(label) else label
        for name, label in indices.items()
        if name in written or _is_index(label)
    ]
    return found[0] if len(found) == 1 else None


def _behind_at(declaration: ast.LetDecl | ast.ClaimDecl) -> set[str]:
    """The names that stand for positions."""
    return {node.name for node in walk(declaration) if isinstance(node, ast.Position)}


def _is_index(label: str) -> bool:
    return label.removeprefix("-").isdigit()


def _slots(declaration: ast.LetDecl | ast.ClaimDecl, variable: str) -> Iterator[str]:
    """The slots of the arrows that lead to the variable or away from it."""

    def here(path: ast.Node) -> bool:
        return isinstance(path, ast.Name) and path.name == variable

    for node in walk(declaration):
        match node:
            case ast.Hop(arrow=arrow, target=target) if here(target):
                arrows = [arrow]
            case ast.Chain(first=first, steps=(ast.Hop(arrow=arrow), *_)) if here(first):
                arrows = [arrow]
            case ast.Chain(steps=steps) | ast.Repeat(hops=steps):
                # What follows the variable in the middle of a chain.
                arrows = [
                    after.arrow
                    for one, after in pairwise(steps)
                    if isinstance(one, ast.Hop) and isinstance(after, ast.Hop) and here(one.target)
                ]
            case _:
                continue
        yield from (slot for arrow in arrows for label in arrow.labels for slot in label.slots)
