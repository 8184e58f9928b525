"""Variables over lists: what `[en, zh]` and `[0..5]` give, and an expression with it put in place.

A variable over nodes is bound when the model's shape is known (`pathdsl.graph.resolve.instances`);
one over a list stands for what the list says, and an expression means what it means with that
written in the place of the variable. What reads expressions for their meaning reads them so.

Source: docs/language.md, Loops.

    >>> from pathdsl.lang.syntax.parse import parse
    >>> (let,) = parse("let x for p in [S1, S2] = effect(through(r5@p))", "a")[0].statements
    >>> [value.label for value in values_of(let.loop.members, {})]
    ['S1', 'S2']
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pathdsl.errors import Span
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.spelling import as_position, position_text
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.walk import children, holding
from pathdsl.limits import ITEMS
from pathdsl.record import record

__all__ = [
    "Looped",
    "Value",
    "Values",
    "combinations",
    "edge_value",
    "is_listed",
    "label_of",
    "loops_of",
    "meant",
    "meant_nodes",
    "mentioned",
    "nodes_alone",
    "same_label",
    "shown",
    "sides_of",
    "substituted",
    "values_of",
    "variables_of",
    "variants",
]

Looped = ast.LetDecl | ast.ClaimDecl
N = TypeVar("N", bound=ast.Node)
L = TypeVar("L", bound=Looped)
ALL_PAIRED = 256
"""Up to so many combinations of list items are looked at one by one; of more, every item once."""


@record
class Value:
    """One item of a list: how it is printed and what is written in the place of its variable."""

    label: str
    node: ast.Node


Values = Mapping[str, Value]


def is_listed(members: ast.Node) -> bool:
    """Whether a variable stands for what a list says, or for edges, and not for nodes."""
    return isinstance(members, ast.Things | ast.IndexRange | ast.EdgesOf)


def values_of(members: ast.Domain, sources: Mapping[str, SourceFile]) -> tuple[Value, ...]:
    """The items of a list in the author's order; () for a set of nodes.

    Which edges a set has the model says (`pathdsl.graph.resolve.instances`); one that every model
    has stands for them here.
    """
    match members:
        case ast.EdgesOf(span=span):
            ends = (ast.Word(word="input", span=span), ast.Word(word="logits", span=span))
            return (edge_value(*ends, None, span),)
        case ast.IndexRange(first=first, last=last):
            last = min(last, first + ITEMS.most)  # one more is a fault already
            return tuple(_index(i, members) for i in range(first, last + 1))
        case ast.Things(items=items):
            kept = items[: ITEMS.most + 1]
            return tuple(Value(label=label_of(item, sources), node=item) for item in kept)
        case _:
            return ()


def edge_value(
    sender: ast.NodeRef, receiver: ast.NodeRef, slot: ast.Slot | None, span: Span, *names: str
) -> Value:
    """One edge as the item of a list; `names` are those of its ends where they are no words.

    It is written nowhere in the file: its own place is empty until a variable stands for it.
    """
    at = replace(span, end=span.start)
    labels = (ast.SlotRelation(slots=(slot,), span=span),) if slot is not None else ()
    hop = ast.Hop(arrow=ast.Arrow(labels=labels, span=span), target=receiver, span=span)
    ends = names or tuple(end.word for end in (sender, receiver) if isinstance(end, ast.Word))
    label = f"{ends[0]} {f'-[{slot}]->' if slot is not None else '->'} {ends[1]}"
    return Value(label=label, node=ast.Chain(first=sender, steps=(hop,), span=at))


def _index(index: int, at: ast.Node) -> Value:
    written = str(index)
    node = ast.Number(value=float(index), integer=True, written=written, span=at.span)
    return Value(label=written, node=node)


def label_of(item: ast.Node, sources: Mapping[str, SourceFile] = {}) -> str:
    """How an item of a list is printed: its name, or the text it is written as."""
    match item:
        case ast.Name(name=name, at=None):
            return name
        case ast.Position():
            return position_text(item)
        case ast.Number(written=written):
            return written
    source = sources.get(item.span.path)
    return " ".join(source.text[item.span.start : item.span.end].split()) if source else "?"


def same_label(one: str, other: str) -> bool:
    """Whether two labels differ in blanks at most: `{S1,S2}` and `{S1, S2}`."""
    return "".join(one.split()) == "".join(other.split())


def loops_of(program: Program, statement: ast.Node) -> list[ast.Loop]:
    """The loop of a statement, and those of the functions over members in it."""
    return [node for node in program.nodes(statement) if isinstance(node, ast.Loop)]


def variables_of(program: Program, statement: ast.Node) -> set[str]:
    """The names of all variables of a statement."""
    return {name for loop in loops_of(program, statement) for name in loop.names}


def mentioned(node: ast.Node) -> tuple[str, ...]:
    """The names by which a node alone may mean a variable."""
    match node:
        case ast.Name(name=name) | ast.Call(name=name):
            return (name,)
        case ast.Position(name=name, variable=variable) if variable or name:
            return (variable or name,)
        case _:
            return ()


def shown(values: Values) -> str:
    """`p = S1, t = en`: what variables stand for."""
    return ", ".join(f"{name} = {value.label}" for name, value in values.items())


def combinations(loop: ast.Loop | None, program: Program) -> Sequence[Values]:
    """What the list variables of a loop stand for together; one empty mapping where it has none.

    All combinations, or where these are many, some in which every item of every list stands.
    """
    listed = [one for one in loop.bindings if is_listed(one.members)] if loop is not None else []
    if not listed:
        return ({},)
    names = [one.variable.name for one in listed]
    lists = [values_of(one.members, program.sources) for one in listed]
    if not all(lists):
        return ()
    total = 1
    for items in lists:
        total *= len(items)
    rows: Iterable[tuple[Value, ...]] = itertools.product(*lists)
    if total > ALL_PAIRED:
        longest = max(map(len, lists))
        rows = (tuple(items[i % len(items)] for items in lists) for i in range(longest))
    return [dict(zip(names, row, strict=True)) for row in rows]


def nodes_alone(loop: ast.Loop | None) -> ast.Loop | None:
    """The loop without its list variables; None where nothing is left."""
    if loop is None:
        return None
    kept = [one for one in loop.bindings if not is_listed(one.members)]
    if len(kept) == len(loop.bindings):
        return loop
    if not kept:
        return None
    first, *more = kept
    return replace(loop, variable=first.variable, members=first.members, more=tuple(more))


def sides_of(declaration: Looped) -> tuple[ast.Expr, ...]:
    """The expressions of a let or claim: what is measured, or left, right and the tolerance."""
    if isinstance(declaration, ast.LetDecl):
        return (declaration.expression,)
    within = () if declaration.within is None else (declaration.within,)
    return (declaration.left, declaration.right, *within)


def variants(program: Program, declaration: L) -> tuple[tuple[Values, L], ...]:
    """A let or claim with the items of its lists in the place of their variables."""
    loop = declaration.loop
    if loop is None or not any(is_listed(one.members) for one in loop.bindings):
        return (({}, declaration),)

    def make() -> tuple[tuple[Values, L], ...]:
        assert loop is not None
        rest = nodes_alone(loop)
        return tuple(
            (values, replace(substituted(declaration, values), loop=rest))
            for values in combinations(loop, program)
        )

    return program.once(("variants", id(declaration)), make)


def meant_nodes(program: Program, statement: ast.Node) -> tuple[ast.Node, ...]:
    """A statement and all below it as it is meant: every item where a list variable stands.

    Each node is there once for each item that changes it. Places are those of the variables.
    """

    def make() -> tuple[ast.Node, ...]:
        nodes = program.nodes(statement)
        if not any(isinstance(node, ast.Things | ast.IndexRange) for node in nodes):
            return nodes
        found: list[ast.Node] = []
        if isinstance(statement, Looped):
            if statement.loop is not None:
                found += program.nodes(statement.loop)
            for _, one in variants(program, statement):
                found += meant(program, one)
        else:
            found += meant(program, statement)
        return tuple(found)

    return program.once(("meant", id(statement)), make)


def meant(program: Program, node: ast.Node) -> Iterator[ast.Node]:
    """A node and all below it; what stands in a function over members once for every item."""
    pending = [node]
    while pending:
        one = pending.pop()
        yield one
        below = children(one)
        if isinstance(one, ast.OverMembers):
            below = [
                one.loop,
                *(
                    substituted(part, values)
                    for values in combinations(one.loop, program)
                    for part in one.sides
                ),
            ]
        pending += reversed(below)


# -------------------------------------------------------------------------------------------------
# Putting a value in the place of its variable
# -------------------------------------------------------------------------------------------------


def substituted(node: N, values: Values) -> N:
    """The node with the value of every variable written in its place, at the place of the variable.

    A variable inside `@[…]` takes an index, one behind `@` a position; a function over members
    that has a variable of the same name keeps its own.
    """
    return _inside(node, values) if values else node


def _inside(node: Any, values: Values) -> Any:
    match node:
        case ast.Name(name=name) if name in values:
            return _in_place_of(node, values[name].node, _inside(node.at, values))
        case ast.Call(name=name) if name in values and isinstance(values[name].node, ast.Name):
            return _parts(replace(node, name=values[name].label), values)
        case ast.Position():
            return _position(node, values)
        case ast.Loop():
            return replace(
                node,
                members=_inside(node.members, values),
                more=tuple(replace(one, members=_inside(one.members, values)) for one in node.more),
            )
        case ast.OverMembers(loop=loop):
            kept = {name: v for name, v in values.items() if name not in loop.names}
            return replace(_parts(node, kept), loop=_inside(loop, values))
        case ast.LetDecl() | ast.ClaimDecl():
            return replace(_parts(node, values), name=node.name, loop=node.loop)
        case ast.Node():
            return _parts(node, values)
        case tuple():
            return tuple(_inside(item, values) for item in node)
        case _:
            return node


def _parts(node: Any, values: Values) -> Any:
    changed = {}
    for name in holding(type(node)):  # type: ignore[arg-type]
        before = getattr(node, name)
        if isinstance(before, ast.Node | tuple) and before != ():
            after = _inside(before, values)
            if after is not before:
                changed[name] = after
    return replace(node, **changed) if changed else node


def _position(node: ast.Position, values: Values) -> ast.Position:
    if node.parts:
        changed: ast.Position = _parts(node, values)
        return changed
    name = node.variable or node.name
    value = values[name].node if name in values else None
    match value:
        case ast.Number() if node.variable:
            return ast.Position.of_index(int(value.value), node.span)
        case ast.Name(name=other, at=None) if node.variable:  # another name for the variable
            return replace(node, variable=other)
        case ast.Name() | ast.Position() | ast.NodeSet() if not node.variable:
            there = as_position(value)
            return node if there is None else _moved(replace(there, span=node.span), node.offset)
        case _:
            return node


def _moved(position: ast.Position, offset: int) -> ast.Position:
    """The position that many places later: of a span or a set each place for itself."""
    if not offset:
        return position
    ends, among = (tuple(_moved(p, offset) for p in ps) for ps in (position.ends, position.among))
    if ends or among:
        return replace(position, ends=ends, among=among)
    if position.index is not None:
        return replace(position, index=position.index + offset)
    return replace(position, offset=position.offset + offset)


def _in_place_of(variable: ast.Name, value: Any, at: ast.Position | None) -> Any:
    span = variable.span
    if isinstance(value, ast.Position) and value.name and not value.offset:
        value = ast.Name(name=value.name, span=span)
    if isinstance(value, ast.Number | ast.Position):
        return replace(value, span=span)
    if not isinstance(value, ast.NodeRef):
        if value.span.start == value.span.end:
            value = replace(value, span=span)
        return ast.Group(inner=value, span=span)
    if at is None:
        return replace(value, span=span)
    if value.at is None:
        return replace(value, at=at, span=span)
    return ast.NodeSet(members=(replace(value, span=span),), at=at, span=span)
