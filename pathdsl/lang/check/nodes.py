"""Checks of nodes and positions: sets, groups, marks, and what an `@` may be put on.

Source: docs/language.md, Nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_arguments, wrong
from pathdsl.lang.check.scope import (
    Check,
    Faults,
    Scope,
    check_file_named,
    fault,
    source_text,
    suggestion,
    unknown,
)
from pathdsl.lang.loops import loops_of
from pathdsl.lang.program import Program
from pathdsl.lang.serving import fields_of, generator, known_positions
from pathdsl.lang.signatures.calls import CIRCUIT_FILES, DATA_FILES, Kind, Parameter
from pathdsl.lang.spelling import as_position, position_text
from pathdsl.lang.walk import walk

__all__ = [
    "NODES",
    "check_circuit_file",
    "check_group",
    "check_nodes",
    "check_position",
    "check_positions",
    "holds_marks",
    "one_place",
    "positions_in_reach",
    "positions_of",
]


def check_position(scope: Scope, position: ast.Position) -> Faults:
    """The name of a position must be known to some task; files that only get used know none."""
    if position.parts:
        yield from _several_places(scope, position)
        return
    if position.index is not None or position.name == "END":
        return
    program = scope.program
    if position.variable:
        yield fault(
            "PD101",
            f"`{position.variable}` is no variable over indices",
            position.span,
            "an index of a token, or a variable over some, stands in `@[…]`",
            help=f"`for {position.variable} in [0..5]`, or `@{position.variable}` for the name of "
            "a position",
        )
        return
    tasks = list(program.tasks.values()) if scope.task is None else [scope.task]
    if not tasks and (program.is_library or program.broken):
        return
    known = positions_in_reach(scope)
    if known is None or position.name in known:
        return
    loops = [loop for d in program.declarations() for loop in loops_of(program, d)]
    if scope.loop is None and any(position.name in loop.names for loop in loops):
        yield fault(
            "PD134",
            f"`{position.name}` is the variable of a loop, and stands here outside of it",
            position.span,
            "no position here",
            help="declare the metric without it, and read it there in the loop: "
            f"`mean(METRIC(RUN) @{position_text(position)})`",
        )
        return
    where = "no task has a" if scope.task is None else f"the task `{scope.task.name.name}` has no"
    yield fault(
        "PD109",
        f"{where} position `{position.name}`",
        position.span,
        "neither listed in a task's `positions` nor marked by its generator",
        **suggestion(position.name, known or ["END"], named_in(scope.program, position)),
        notes=("a position of the rows of a file is declared with `positions = [NAME]`",),
    )


def named_in(program: Program, position: ast.Position) -> Span:
    """Where the name stands in what was written as a position, `@ S2+1`."""
    source, span = program.sources.get(position.span.path), position.span
    text = source.text[span.start : span.end] if source is not None else ""
    found = re.search(rf"(?<!\w){re.escape(position.name)}(?!\w)", text)
    if found is None:
        return span
    return replace(span, start=span.start + found.start(), end=span.start + found.end())


def _several_places(scope: Scope, position: ast.Position) -> Faults:
    """A span, or a set of positions."""
    for part in position.parts:
        yield from check_position(scope, part)
    if position.backwards:
        yield fault(
            "PD116",
            f"the span `{position_text(position)}` runs backwards",
            position.span,
            "holds no token",
            help="the earlier end stands first, both are included",
        )
    for end in position.ends:
        yield from one_place(end, "the end of a span is one place")
    seen: dict[ast.Position, ast.Position] = {}
    for part in position.among:
        if part in seen:
            yield fault(
                "PD114",
                "this position is given twice",
                part.span,
                "given again here",
                labels=[(seen[part].span, "first given here")],
                help="leave one of them out",
            )
        seen.setdefault(part, part)


def one_place(position: ast.Position | None, why: str, help: str = "") -> Faults:
    """A fault where a span or a set of positions stands for a single one."""
    if position is not None and position.parts:
        what = "a span of tokens" if position.ends else "a set of positions"
        yield fault(
            "PD133", f"{why}, and `{position_text(position)}` is {what}", position.span, what,
            help=help or "name a single position",
        )  # fmt: skip


def positions_in_reach(scope: Scope) -> list[str] | None:
    """The positions of the scope's task or of all tasks; None where only the data can tell."""
    program = scope.program
    known: list[str] = []
    for task in list(program.tasks.values()) if scope.task is None else [scope.task]:
        if not _positions_are_known(scope, task):
            return None
        known += known_positions(program, task)
    return known


def _positions_are_known(scope: Scope, task: ast.TaskDecl) -> bool:
    data = fields_of(scope.program, task).get("data")
    if data is None or not isinstance(data.value, ast.Call):
        return False
    return data.value.name in DATA_FILES or generator(data.value.name) is not None


def check_positions(scope: Scope, value: ast.Node) -> Faults:
    """A position or a list of positions as a value: `S1`, `[S1, S2]`."""
    items = value.items if isinstance(value, ast.ListValue) else (value,)
    if not items:
        yield fault("PD115", "an empty list of positions", value.span, "names no position")
    for item in items:
        if (position := as_position(item)) is not None:
            yield from check_position(scope, position)
        else:
            index = isinstance(item, ast.Number) and item.integer
            yield fault(
                "PD115", "wanted a position", item.span, "not the name of a position",
                help=f"the index of a token is written `@[{item.written}]`" if index else "",  # type: ignore[attr-defined]
            )  # fmt: skip


def check_nodes(scope: Scope, ref: ast.Node, *, marks: bool = False) -> Faults:
    """Names and positions of a node reference; `marks` allows `r5`."""
    at = getattr(ref, "at", None)
    if at is not None:
        yield from check_position(scope, at)
    match ref:
        case ast.HeadRef() | ast.KvRef() | ast.MlpRef() | ast.NeuronRef():
            pass
        case ast.ResidRef():
            if not marks:
                yield _stray_mark(ref.span, source_text(scope.program, ref))
        case ast.Word(word="logits") if at is not None:
            yield fault(
                "PD124",
                "`logits` takes no `@`: it is read where the metric reads",
                at.span,
                "a position on `logits`",
                help="write `logits`, and the position on the metric: `metric LD @S2 = …`",
            )
        case ast.Word():
            pass
        case ast.Name():
            yield from unknown(
                scope,
                ref,
                ("group",),
                variable=True,
                help="a set of nodes gets a name with `group`" if not marks else "",
            )
            if not marks and scope.is_variable(ref.name) and holds_marks(scope, ref):
                yield _stray_mark(ref.span, ref.name)
            yield from _two_positions(scope, ref)
        case ast.NodeSet(members=members, excluded=excluded):
            for member in (*members, *excluded):
                yield from check_nodes(scope, member, marks=marks)
            yield from _two_positions(scope, ref)
        case ast.NodesFile():
            yield from check_circuit_file(scope, ref)
        case _:
            yield fault("PD115", "wanted a set of nodes", ref.span, "not a set of nodes")


def check_circuit_file(scope: Scope, ref: ast.NodesFile | ast.EdgesFile) -> Faults:
    """The options of `nodes("FILE")` or `edges("FILE")`, and that the file is there."""
    signature = CIRCUIT_FILES["nodes" if isinstance(ref, ast.NodesFile) else "edges"]
    yield from check_arguments(scope, signature, ref.options, ref.span)
    yield from check_file_named(scope, ref.path, ref.span)
    kinds = {p.kind: o for o in ref.options if (p := signature.parameter(o.keyword)) is not None}
    if Kind.WORD in kinds and Kind.COUNT not in kinds:
        order = kinds[Kind.WORD]
        yield fault(
            "PD115",
            f"`{order.keyword}` orders what `top` takes from, and nothing is taken",
            order.span,
            "without `top:`",
            help=f"`{signature.example}`",
        )


def _stray_mark(span: Span, written: str) -> Diagnostic:
    return fault(
        "PD123",
        "the residual stream is no node but a mark on the edge that crosses it",
        span,
        "only in `through(…)`, after `for v in`, or between two arrows",
        help=f"`through({written})` is every path that crosses it",
    )


def _two_positions(scope: Scope, ref: ast.Name | ast.NodeSet) -> Faults:
    """A second, different `@` on something that has one."""
    if ref.at is None:
        return
    for inner in _inner_positions(scope, ref, frozenset()):
        if inner != ref.at:
            yield fault(
                "PD121",
                "a second position, different from the one that is there",
                ref.at.span,
                "cannot move what stands elsewhere",
                labels=[(inner.span, "stands here already")],
                help="leave one of the two out",
            )
            return


def positions_of(scope: Scope, ref: ast.Node) -> list[ast.Position]:
    """The positions put on a node reference or, through groups and loops, on its members."""
    return list(_positions(scope, ref, frozenset()))


def _positions(scope: Scope, ref: ast.Node, seen: frozenset[str]) -> Iterator[ast.Position]:
    at = getattr(ref, "at", None)
    if at is not None:
        yield at
    else:
        yield from _inner_positions(scope, ref, seen)


def _inner_positions(scope: Scope, ref: ast.Node, seen: frozenset[str]) -> Iterator[ast.Position]:
    match ref:
        case ast.NodeSet(members=members):
            for member in members:
                yield from _positions(scope, member, seen)
        case ast.Windows(nodes=nodes):
            yield from _positions(scope, nodes, seen)
        case ast.Name(name=name) if name not in seen:
            if (domain := scope.variables.get(name)) is not None:
                yield from _positions(scope, domain, seen | {name})
            elif (group := scope.program.groups.get(name)) is not None:
                if group.at is not None:
                    yield group.at
                yield from _positions(scope, group.nodes, seen | {name})


def holds_marks(scope: Scope, ref: ast.Node) -> bool:
    """True where a reference, or the set its loop runs over, holds `r5`."""
    if isinstance(ref, ast.Name):
        ref = scope.variables.get(ref.name, ref)
    return any(isinstance(node, ast.ResidRef) for node in walk(ref))


def check_group(scope: Scope, group: ast.GroupDecl) -> Faults:
    """A group's members and its position."""
    if group.at is not None:
        yield from check_position(scope, group.at)
    yield from check_nodes(scope, group.nodes)
    if not group.nodes.members:
        yield fault("PD116", f"`{group.name.name}` is empty", group.nodes.span, "names no node")
    if group.at is not None:
        whole = ast.NodeSet(span=group.nodes.span, members=(group.nodes,), at=group.at)
        yield from _two_positions(scope, whole)
        for member in group.nodes.members:
            if isinstance(member, ast.Word) and member.word == "logits":
                yield fault(
                    "PD124",
                    "`logits` takes no `@`, and this group puts one on it",
                    member.span,
                    "a position on `logits`",
                    labels=[(group.at.span, "this position")],
                    help="leave `logits` out of the group",
                )


# -------------------------------------------------------------------------------------------------
# Nodes and positions as values of arguments
# -------------------------------------------------------------------------------------------------


def _given(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if not isinstance(value, ast.MapValue):
        yield wrong(parameter, value)
        return
    seen: dict[ast.Node, Span] = {}
    for key, knockouts in value.items:
        yield from check_nodes(scope, key)
        yield from check_nodes(scope, knockouts)
        if isinstance(key, ast.Word):
            yield fault(
                "PD115",
                f"`{key.word}` is background, not a unit that can be left out",
                key.span,
                "wanted a head, an MLP or a group",
            )
        elif key in seen:
            yield fault(
                "PD114",
                "this unit is given twice",
                key.span,
                "given again here",
                labels=[(seen[key], "first given here")],
            )
        seen.setdefault(key, key.span)


def _nodes(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    yield from check_nodes(scope, value)


def _positions_value(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if isinstance(value, ast.Word) and value.word in parameter.choices:
        return
    for item in value.items if isinstance(value, ast.ListValue) else ():
        if isinstance(item, ast.Name) and item.name in parameter.choices:
            yield fault(
                "PD115", f"`{item.name}` is no position but all tokens", item.span,
                "in a list of positions", help=f"`{parameter.name}: {item.name}`",
            )  # fmt: skip
            return
    yield from check_positions(scope, value)


NODES: Mapping[Kind, Check] = {
    Kind.POSITIONS: _positions_value,
    Kind.NODES: _nodes,
    Kind.GIVEN: _given,
}
"""How a value that holds nodes or positions is checked."""
