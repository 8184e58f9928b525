"""Changes of a program since an earlier one: their kinds, and what all that look for them share.

Three kinds. `weaker`: the claim says less than before. `changed`: it says something else, and which
of the two says more cannot be told. `noted`: it says the same under another name, or more. The
first two have to be looked at by whoever built on the earlier text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.program import Program
from pathdsl.lang.walk import strip

__all__ = ["Change", "FileChanges", "Kind", "constant", "put_in_place", "renamed", "written"]

Kind = Literal["weaker", "changed", "noted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: what it is of (`claim sufficient`), what happened, and both texts."""

    kind: Kind
    of: str
    what: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChanges:
    """The changes of one file; `note` says why there was nothing to compare, else "".

    `faults` are those of a text that kept it from being compared.
    """

    path: str
    changes: tuple[Change, ...] = ()
    note: str = ""
    faults: tuple[Diagnostic, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether something is weaker, or something else than it was."""
        return any(change.kind != "noted" for change in self.changes)


def written(program: Program, node: ast.Node | None) -> str:
    """A node as its author wrote it, on one line; "" for none."""
    if node is None:
        return ""
    source = program.sources.get(node.span.path)
    text = source.text[node.span.start : node.span.end] if source is not None else ""
    return " ".join(text.split())


def put_in_place(program: Program, node: ast.Expr) -> ast.Expr:
    """The expression that a name of a quantity stands for, and that of one of those, and so on.

    A quantity with a `for` keeps its name: it is many.
    """
    opened: set[str] = set()
    while isinstance(name := strip(node), ast.Name) and name.name not in opened:
        declaration = program.lets.get(name.name)
        if declaration is None or declaration.loop is not None:
            break
        opened.add(name.name)
        node = declaration.expression
    return node


def constant(
    node: ast.Node | None, program: Program | None = None, opened: tuple[str, ...] = ()
) -> float | None:
    """The value of an expression of numbers alone; None for any other.

    With a `program` also of quantities that are such expressions.
    """
    match strip(node) if node is not None else None:
        case ast.Number(value=value):
            return value
        case ast.Name(name=name) if program is not None and len(opened) < _NESTED:
            declaration = program.lets.get(name)
            if declaration is None or declaration.loop is not None or name in opened:
                return None
            return constant(declaration.expression, program, (*opened, name))
        case ast.Unary(operand=operand):
            inner = constant(operand, program, opened)
            return None if inner is None else -inner
        case ast.Binary(op=op, left=left, right=right):
            a = constant(left, program, opened)
            b = constant(right, program, opened) if a is not None else None
            if a is None or b is None:
                return None
            try:
                return _ARITHMETIC[op](a, b)
            except (ArithmeticError, ValueError):
                return None
        case _:
            return None


_NESTED = 8
"""Quantities within one another that are looked into for a number."""
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: float(a**b),
}


def renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Old names that are gone, and the new name of an equal declaration, each once."""
    free = {_nameless(new[name]): name for name in reversed(list(new)) if name not in old}
    found = {}
    for name, declaration in old.items():
        if name not in new and (other := free.pop(_nameless(declaration), None)) is not None:
            found[name] = other
    return found


def _nameless(declaration: ast.Node) -> str:
    return str({**spelled(declaration), "name": None, "text": None})
