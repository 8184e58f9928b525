"""One program of two files: the first one's tasks and metrics, the path sets of both.

Groups and paths of the second file get names of their own, since both files say `name_mover`; each
keeps its file, so that relative paths and diagnostics lead where they led.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from pathdsl.lang import ast
from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.program import Program
from pathdsl.lang.reach import in_order

__all__ = ["Joined", "join"]

N = TypeVar("N", bound=ast.Node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The program, and what the second file's groups and paths are called in it."""

    program: Program
    names: Mapping[str, str]


def join(a: Program, b: Program, wanted: Iterable[str]) -> Joined:
    """The first program with the `wanted` path sets of the second, and all that these name."""
    taken = set(a.origin)
    names: dict[str, str] = {}
    for name in _closure(b, wanted):
        new = f"{name}_b"
        while new in taken:
            new += "_"
        taken.add(new)
        names[name] = new
    groups = {names[n]: renamed(d, names) for n, d in b.groups.items() if n in names}
    paths = {names[n]: renamed(d, names) for n, d in b.paths.items() if n in names}
    program = replace(
        a,
        sources={**b.sources, **a.sources},
        groups={**a.groups, **groups},
        paths={**a.paths, **paths},
        origin={**a.origin, **{new: b.origin[name] for name, new in names.items()}},
        broken=frozenset(),
        circuits=(*a.circuits, *b.circuits),  # rows that found either one judge neither
        fence=_around_both(a.fence, b.fence),
    )
    return Joined(program=program, names=names)


def renamed(node: N, names: Mapping[str, str]) -> N:
    """The node with other names for groups and paths."""

    def of(value: Any) -> Any:
        if isinstance(value, ast.Node):
            new = {f.name: of(getattr(value, f.name)) for f in fields(value) if f.name != "span"}
            if isinstance(value, ast.Name):
                new["name"] = names.get(value.name, value.name)
            return replace(value, **new)
        if type(value) is tuple:
            return tuple(map(of, value))
        return value

    found: N = of(node)
    return found


def _closure(program: Program, wanted: Iterable[str]) -> list[str]:
    """The groups and paths that some path sets name, and these in turn."""
    declared = {**program.groups, **program.paths}

    def named(name: str) -> list[str]:
        found = program.nodes(declared[name])
        return [one.name for one in found if isinstance(one, ast.Name) and one.name in declared]

    found = frozenset(in_order(named, [name for name in wanted if name in declared]))
    return [name for name in program.origin if name in found]


def _around_both(a: Fence, b: Fence) -> Fence:
    if a.roots is None or b.roots is None:
        return FREE
    return Fence(tuple(dict.fromkeys([*a.roots, *b.roots])))
