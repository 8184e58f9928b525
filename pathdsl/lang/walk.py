"""Walking over a syntax tree without knowing its shapes.

`children` gives the syntax nodes directly below one, in the order of the fields of its class, which
is the order of the text; `walk` gives the node and everything below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from pathdsl.lang import ast

__all__ = ["children", "quantities", "strip", "walk"]


def children(node: ast.Node) -> Iterator[ast.Node]:
    """The syntax nodes directly below `node`, in the order of the text."""
    for field in fields(node):
        yield from _nodes(getattr(node, field.name))


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """`node` and every syntax node below it, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)


def quantities(node: ast.Node) -> Iterator[ast.Name]:
    """The names in an expression that may stand for a `let`.

    Scores and runs hold paths, columns and words (`as: gap`), never a quantity.
    """
    if isinstance(node, ast.Name):
        yield node
    elif not isinstance(node, ast.Score | ast.PlainRun | ast.PathRun):
        for child in children(node):
            yield from quantities(child)


def strip(node: ast.Node) -> ast.Node:
    """The node inside any number of brackets."""
    while isinstance(node, ast.Group | ast.Bracket):
        node = node.inner
    return node


def _nodes(value: object) -> Iterator[ast.Node]:
    if isinstance(value, ast.Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
