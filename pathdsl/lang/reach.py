"""What a declaration is made of: its own syntax nodes and those of what it names.

Source: docs/language.md, `path` and `let`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from pathdsl.lang import ast
from pathdsl.lang.loops import Looped, meant, meant_nodes
from pathdsl.lang.program import Declaration, Program

__all__ = ["all_of", "gathered", "in_order", "named", "reach"]

N = TypeVar("N", bound=ast.Node)
H = TypeVar("H", bound=Hashable)


def reach(program: Program, node: ast.Node, seen: set[str] | None = None) -> Iterable[ast.Node]:
    """A node, all below it, and all below the paths and lets that it names, each once."""
    known = seen if seen is not None else set()
    whole = isinstance(node, Looped)
    for inner in meant_nodes(program, node) if whole else meant(program, node):
        yield inner
        if isinstance(inner, ast.Name) and inner.name not in known:
            found = program.paths.get(inner.name) or program.lets.get(inner.name)
            if found is not None:
                known.add(inner.name)
                yield from reach(program, found, known)


def gathered(
    program: Program, node: Declaration, what: str, of: Callable[[ast.Node], Iterable[H]]
) -> tuple[H, ...]:
    """What `of` finds on all that a declaration reaches, each once, in the order of mention.

    Work that many claims share is done once: what a name reaches is kept under `what`.
    """
    if program.once("circular", lambda: _is_circular(program)):
        return tuple(dict.fromkeys(item for inner in reach(program, node) for item in of(inner)))
    kept: dict[str, tuple[H, ...]] = program.once(("gathered", what), dict)

    def below(nodes: Iterable[ast.Node]) -> tuple[H, ...]:
        found: dict[H, None] = {}
        for inner in nodes:
            found.update(dict.fromkeys(of(inner)))
            if kept and isinstance(inner, ast.Name) and inner.name in kept:
                found.update(dict.fromkeys(kept[inner.name]))
        return tuple(found)

    nodes = meant_nodes(program, node)
    for name in in_order(lambda one: named(program, one), _names(program, nodes), kept):
        kept[name] = below(meant_nodes(program, _declared(program, name)))
    return below(nodes)


def in_order(
    links: Callable[[str], Sequence[str]], names: Iterable[str], done: Iterable[str] = ()
) -> list[str]:
    """These names and all that they lead to, what is led to first; those in `done` left out.

    Without recursion, however long a chain is. On a circle the order is arbitrary.
    """
    finished: dict[str, None] = {}
    seen: set[str] = set()
    past = done if isinstance(done, dict) else frozenset(done)
    pending = [(name, False) for name in reversed(list(names))]
    while pending:
        name, below = pending.pop()
        if below:
            finished[name] = None
        elif name not in seen and name not in past:
            seen.add(name)
            pending.append((name, True))
            pending += [(one, False) for one in reversed(links(name)) if one not in seen]
    return list(finished)


def all_of(program: Program, kind: type[N]) -> list[N]:
    """All nodes of a class in this program's lets and claims."""
    statements: list[Declaration] = [*program.lets.values(), *program.claims]
    return [
        node for statement in statements for node in meant_nodes(program, statement)
        if isinstance(node, kind)
    ]  # fmt: skip


def _declared(program: Program, name: str) -> ast.PathDecl | ast.LetDecl:
    return program.paths[name] if name in program.paths else program.lets[name]


def _names(program: Program, nodes: Iterable[ast.Node]) -> list[str]:
    """The paths and lets that nodes name, each once."""
    found = (node.name for node in nodes if isinstance(node, ast.Name))
    return list(dict.fromkeys(n for n in found if n in program.paths or n in program.lets))


def named(program: Program, name: str) -> list[str]:
    """The paths and lets that a path or let names, each once."""
    found: list[str] = program.once(
        ("named", name), lambda: _names(program, program.nodes(_declared(program, name)))
    )
    return [one for one in found if one != name]  # its own name is no mention


def _is_circular(program: Program) -> bool:
    """Whether a path or let leads back to itself."""
    place = {
        name: at
        for at, name in enumerate(
            in_order(lambda one: named(program, one), [*program.paths, *program.lets])
        )
    }
    return any(place[other] >= at for name, at in place.items() for other in named(program, name))
