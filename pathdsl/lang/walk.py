"""Walking over a syntax tree without knowing its shapes.

`children` gives the syntax nodes directly below one, in the order of the fields of its class, which
is the order of the text; `walk` gives the node and everything below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache

from pathdsl.lang import ast

__all__ = ["children", "compared", "holding", "leveled", "quantities", "strip", "walk"]


def children(node: ast.Node) -> Sequence[ast.Node]:
    """The syntax nodes directly below `node`, in the order of the text."""
    nodes: list[ast.Node] = []
    # mypy takes the `__hash__` of the nodes for that of their class
    for name in holding(type(node)):  # type: ignore[arg-type]
        value = getattr(node, name)
        if isinstance(value, ast.Node):
            nodes.append(value)
        elif type(value) is tuple:
            _inside(value, nodes)
    return nodes


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """`node` and every syntax node below it, parents first."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed(children(node))


def leveled(node: ast.Node) -> Iterator[tuple[ast.Node, int]]:
    """The same with how many brackets, operators and calls each node stands inside."""
    pending = [(node, 0)]
    while pending:
        node, level = pending.pop()
        yield node, level
        level += isinstance(node, _LEVELS)
        pending += [(child, level) for child in reversed(children(node))]


_LEVELS = (
    ast.Binary, ast.Unary, ast.Bracket, ast.Call, ast.Score, ast.PathRun, ast.Group, ast.SetOp,
    ast.Choice, ast.Repeat, ast.NodeSet, ast.RandomLike,
)  # fmt: skip


def quantities(node: ast.Node) -> Iterator[ast.Name]:
    """The names in an expression that may stand for a `let`.

    Scores and runs hold paths, columns and words (`as: gap`), never a quantity.
    """
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name):
            yield node
        elif not isinstance(node, ast.Score | ast.PlainRun | ast.PathRun):
            pending += reversed(children(node))


def strip(node: ast.Node) -> ast.Node:
    """The node inside any number of brackets."""
    while isinstance(node, ast.Group | ast.Bracket):
        node = node.inner
    return node


@cache
def holding(kind: type[ast.Node]) -> tuple[str, ...]:
    """The fields of a class that may hold syntax nodes."""
    return tuple(one.name for one in fields(kind) if one.type not in _PLAIN)


def compared(node: ast.Node) -> tuple[str, ...]:
    """The fields by which nodes of its class differ: what they say, and not where."""
    return _compared(type(node))  # type: ignore[arg-type]


@cache
def _compared(kind: type[ast.Node]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind) if one.compare)


_PLAIN = frozenset(("Span", "bool", "float", "int", "str"))


def _inside(value: tuple[object, ...], found: list[ast.Node]) -> None:
    for item in value:
        if isinstance(item, ast.Node):
            found.append(item)
        elif type(item) is tuple:
            _inside(item, found)
