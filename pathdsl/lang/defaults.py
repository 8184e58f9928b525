"""Calls in one spelling, so that writing a default out, or a name before an argument, is no change.

    `greedy(3)`, `greedy(steps: 3)` and `greedy(3, seed: 0)` are one call.

Source: the signatures, which hold the defaults of the language; generators hold their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from pathdsl.lang import ast
from pathdsl.lang.serving import generator
from pathdsl.lang.signatures.calls import (
    DATA_FILES,
    KNOCKOUTS,
    LOADERS,
    METHODS,
    SCORES,
    TASK_FIELDS,
    TREATED,
)
from pathdsl.lang.signatures.kinds import REQUIRED, Signature, literal

__all__ = ["is_default_field", "meant", "taken"]

N = TypeVar("N", bound=ast.Node | None)
_CALLS: Mapping[str, Signature] = {**TREATED, **KNOCKOUTS, **LOADERS, **DATA_FILES, **METHODS}


def meant(node: N) -> N:
    """The node with its own arguments by name, in order, defaults left out.

    Arguments of arguments stay as they are; a node that is no call is returned unchanged.
    """
    match node:
        case ast.Score():
            return replace(node, options=_one_spelling(node.options, (), _defaults(node.name)))
        case ast.Call():
            places = tuple(p.name for p in _CALLS[node.name].by_place) if _known(node) else ()
            arguments = _one_spelling(node.arguments, places, _defaults(node.name))
            return replace(node, arguments=arguments)
        case _:
            return node


def is_default_field(name: str, value: ast.Node | None) -> bool:
    """Whether a field of a task says what leaving it out says."""
    if value is None:
        return True
    parameter = TASK_FIELDS.get(name)
    return parameter is not None and _same(literal(value), parameter.default)


def taken(value: ast.Node | None) -> float | None:
    """How many rows a data source takes; None where that is not written and has no default."""
    for argument in value.arguments if isinstance(value, ast.Call) else ():
        if argument.keyword == "take":
            number = literal(argument.value)
            return float(number) if isinstance(number, int) else None
    made = generator(value.name) if isinstance(value, ast.Call) else None
    return float(made.complete()["take"]) if made is not None else None


def _known(call: ast.Call) -> bool:
    return call.name in _CALLS


def _defaults(name: str) -> Mapping[str, object]:
    signature = SCORES.get(name) or _CALLS.get(name)
    if signature is not None:
        return {p.name: p.default for p in signature.parameters if p.default is not REQUIRED}
    made = generator(name)
    return {p.name: p.default for p in made.parameters} if made is not None else {}


def _one_spelling(
    arguments: Iterable[ast.Argument], places: Iterable[str], defaults: Mapping[str, object]
) -> tuple[ast.Argument, ...]:
    names = iter(places)
    named = [a if a.keyword else replace(a, keyword=next(names, "")) for a in arguments]
    kept = [
        a
        for a in named
        if a.keyword not in defaults or not _same(literal(a.value), defaults[a.keyword])
    ]
    return tuple(sorted(kept, key=lambda a: a.keyword))


def _same(value: object, default: object) -> bool:
    return value is not None and type(value) is type(default) and value == default
