"""What a declaration is made of: its own syntax nodes and those of what it names.

Source: language.md section 5 (named paths) and section 6 (quantities named in claims).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.walk import walk

__all__ = ["all_of", "reach"]

N = TypeVar("N", bound=ast.Node)


def reach(program: Program, node: ast.Node, seen: set[str] | None = None) -> Iterable[ast.Node]:
    """A node, all below it, and all below the paths and lets that it names, each once."""
    known = seen if seen is not None else set()
    for inner in walk(node):
        yield inner
        if isinstance(inner, ast.Name) and inner.name not in known:
            found = program.paths.get(inner.name) or program.lets.get(inner.name)
            if found is not None:
                known.add(inner.name)
                yield from reach(program, found, known)


def all_of(program: Program, kind: type[N]) -> list[N]:
    """All nodes of a class in this program's lets and claims."""
    statements = [*program.lets.values(), *program.claims]
    return [node for statement in statements for node in walk(statement) if isinstance(node, kind)]
