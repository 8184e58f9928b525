"""Checks of loops: what variables range over, and an expression for every item of their lists.

Source: docs/language.md, Loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.check.nodes import check_nodes, check_position, positions_in_reach
from pathdsl.lang.check.paths import check_path
from pathdsl.lang.check.scope import Faults, Scope, fault, source_text, suggestion, with_article
from pathdsl.lang.loops import Value, Values, is_listed, label_of, same_label, shown, values_of
from pathdsl.lang.program import Program
from pathdsl.lang.spelling import as_position
from pathdsl.lang.walk import strip
from pathdsl.limits import ITEMS, MEMBERS

__all__ = ["check_indices", "check_loop", "example_of", "of_each"]

T = TypeVar("T")
_DECLARED = ("group", "path", "task", "metric", "let")
_KINDS = (*_DECLARED, "position", "index")


def check_loop(scope: Scope, loop: ast.Loop) -> Faults:
    """What each variable ranges over; the variables themselves are not in reach there."""
    for one in loop.bindings:
        members = one.members
        if isinstance(members, ast.Windows):
            yield from _windows(scope, members)
        elif isinstance(members, ast.Things):
            yield from _things(scope, members)
        elif isinstance(members, ast.EdgesOf):
            yield from check_path(scope, members.paths)
        elif isinstance(members, ast.IndexRange):
            count = members.last - members.first + 1
            if count > ITEMS.most:
                yield _too_many(members, count)
        else:
            yield from check_nodes(scope, members, marks=True)
    lists = [len(values_of(o.members, {})) for o in loop.bindings if is_listed(o.members)]
    count = math.prod(lists)
    if count > MEMBERS.most:
        yield fault(
            MEMBERS.code,
            f"this loop has {count:,} members, wanted at most {MEMBERS.most:,}",
            loop.span,
            " × ".join(f"{size:,}" for size in lists),
            help="shorten the lists, or make two loops of it",
        )


def _windows(scope: Scope, windows: ast.Windows) -> Faults:
    yield from check_nodes(scope, windows.nodes, marks=True)
    if windows.size < 1:
        yield fault(
            "PD116", f"windows of {windows.size} nodes", windows.span, "at least 1 node each"
        )


def _too_many(members: ast.Node, count: int) -> Diagnostic:
    return fault(
        ITEMS.code,
        f"this list has {count:,} items, wanted at most {ITEMS.most:,}",
        members.span,
        "too many members",
    )


def _things(scope: Scope, things: ast.Things) -> Faults:
    """A list of things of one kind, each once."""
    if not things.items:
        yield fault("PD116", "this list is empty", things.span, "names nothing to range over")
        return
    if len(things.items) > ITEMS.most:
        yield _too_many(things, len(things.items))
        return
    first: tuple[str, ast.Node] | None = None
    seen: dict[ast.Node, ast.Node] = {}
    for item in things.items:
        faults = list(_item(scope, item))
        yield from faults
        if item in seen:
            yield fault(
                "PD114",
                "this item is given twice",
                item.span,
                "given again here",
                labels=[(seen[item].span, "first given here")],
                help="leave one of them out",
            )
        seen.setdefault(item, item)
        kind = _kind(scope, item)
        if faults or not kind:
            continue
        if first is None:
            first = kind, item
        elif kind != first[0]:
            yield fault(
                "PD115",
                f"a list is of one kind, and this is {_a(kind)} among {_many(first[0])}",
                item.span,
                _a(kind),
                labels=[(first[1].span, _a(first[0]))],
                help="make two loops of it",
            )


def _item(scope: Scope, item: ast.Node) -> Faults:
    match item:
        case ast.Number(integer=integer, written=written):
            if not integer:
                yield fault(
                    "PD115",
                    f"an index is a whole number, found `{written}`",
                    item.span,
                    "not the index of a token",
                )
        case ast.Position():
            yield from check_position(scope, item)
        case ast.NodeSet() if _kind(scope, item) == "position":
            yield from check_position(scope, as_position(item))  # type: ignore[arg-type]
        case ast.Name(name=name, at=None):
            yield from _name(scope, item, name)
        case ast.ResidRef():
            yield from check_nodes(scope, item, marks=True)
        case _:
            yield from check_path(scope, item)


def _name(scope: Scope, item: ast.Name, name: str) -> Faults:
    program = scope.program
    if _kind(scope, item) or name in program.broken:
        return
    if kind := program.kind(name):
        yield fault(
            "PD111",
            f"`{name}` is {with_article(kind)}, and a loop ranges over groups, paths, tasks, "
            "metrics, lets or positions",
            item.span,
            f"{with_article(kind)} cannot stand here",
            help=f"one let for each: `let X = mean(LD(reference with {name}))`"
            if kind == "intervention"
            else "",
        )
        return
    known = [*program.names(*_DECLARED), *(positions_in_reach(scope) or ())]
    yield fault(
        "PD101",
        f"no group, path, task, metric, let or position is named `{name}`",
        item.span,
        "not declared in this file or in one that it uses",
        **suggestion(name, known, item.span),
    )


def _kind(scope: Scope, item: ast.Node) -> str:
    """Of which kind an item is; "" where that is not known."""
    match item:
        case ast.Number():
            return "index"
        case ast.Position():
            return "position"
        case ast.Name(name=name, at=None):
            if (kind := scope.program.kind(name)) in _DECLARED:
                return kind
            known = positions_in_reach(scope)
            return "position" if not kind and (known is None or name in known) else ""
        case ast.NodeSet(members=members) if as_position(item) is not None:
            kinds = {_kind(scope, one) for one in members}
            return "position" if kinds == {"position"} else "group"
        case _:
            return "group" if isinstance(item, ast.NodeRef) else "path"


def _a(kind: str) -> str:
    return {"index": "an index", "group": "a set of nodes"}.get(kind, f"a {kind}")


def _many(kind: str) -> str:
    return {"index": "indices", "group": "sets of nodes"}.get(kind, f"{kind}s")


def example_of(loop: ast.Loop, program: Program) -> str:
    """A member of a loop as a subscript might name it."""
    return ", ".join(
        values[0].label if (values := values_of(one.members, program.sources)) else "a9.h9"
        for one in loop.bindings
    )


def check_indices(scope: Scope, subscript: ast.Subscript, loop: ast.Loop | None) -> Faults:
    """One index for each variable of the loop: nodes, or an item of its list."""
    given = (subscript.member, *subscript.more)
    bindings = loop.bindings if loop is not None else ()
    if loop is not None and len(given) != len(bindings):
        yield fault(
            "PD127",
            f"`{subscript.name.name}` has one value for each "
            + " and ".join(f"`{name}`" for name in loop.names),
            subscript.span,
            f"{len(given)} named here",
            labels=[(loop.span, "declared with `for`")],
            help=f"`{subscript.name.name}[{example_of(loop, scope.program)}]`",
        )
        return
    for i, part in enumerate(given):
        members = bindings[i].members if bindings else None
        if isinstance(members, ast.EdgesOf):
            yield from _edge(scope, part)
        elif members is not None and is_listed(members):
            yield from _index(scope, part, values_of(members, scope.program.sources))
        elif isinstance(part, ast.NodeRef):
            yield from check_nodes(scope, part, marks=True)
        else:
            yield fault(
                "PD115",
                "wanted a node",
                part.span,
                "not a node",
                help="a window is named as a set, `{m1, m2}`, its layers as `{a1, a2}`"
                if isinstance(members, ast.Windows)
                else "",
            )


def _edge(scope: Scope, part: ast.Node) -> Faults:
    if isinstance(strip(part), ast.Chain):
        yield from check_path(scope, part)
    else:
        yield fault(
            "PD115", "wanted an edge", part.span, "not an edge", help="`x[a5.h5 -[v]-> a8.h6]`"
        )


def _index(scope: Scope, part: ast.Node, items: tuple[Value, ...]) -> Faults:
    labels = [item.label for item in items]
    named = label_of(part, scope.program.sources)
    if not labels or any(same_label(named, label) for label in labels):
        return
    yield fault(
        "PD101",
        f"the list has no item `{source_text(scope.program, part)}`",
        part.span,
        "not among what the loop ranges over",
        **suggestion(label_of(part), labels, part.span),
    )


def of_each(found: Callable[[T], Faults], each: Mapping[T, Values]) -> Faults:
    """The faults that `found` tells of an expression with these items in place, each once.

    What is wrong with every item is told plainly, what is wrong with some by the first of them.
    """
    told = [(values, list(found(key))) for key, values in each.items()]
    seen: set[object] = set()
    for values, faults in told:
        for one in faults:
            if (place := (one.code, one.span)) in seen:
                continue
            seen.add(place)
            everywhere = all(one in others for _, others in told)
            note = f"with {shown(values)}"
            yield one if everywhere else replace(one, notes=(*one.notes, note))
