"""Checks of `intervene` blocks that need neither a model nor rows.

Source: docs/language.md, intervene.
"""

from __future__ import annotations

from typing import assert_never

from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_arguments, check_value, unknown_word
from pathdsl.lang.check.expressions import check_run
from pathdsl.lang.check.nodes import check_nodes, check_position
from pathdsl.lang.check.scope import Faults, Scope, fault
from pathdsl.lang.signatures.interventions import PATTERNS, VECTOR
from pathdsl.lang.signatures.kinds import Kind, Parameter
from pathdsl.lang.signatures.treated import TREATED_KINDS
from pathdsl.lang.walk import walk

__all__ = ["check_action", "check_rings"]

_VALUE = Parameter(name="set", kind=Kind.TREATED)
_POSITIONS = Parameter(name="at", kind=Kind.POSITIONS)


def check_action(scope: Scope, action: ast.Action) -> Faults:
    """One line of a block."""
    yield from check_nodes(scope, action.node, marks=action.verb in ("set", "add"))
    if action.key is not None:
        yield from check_position(scope, action.key)
    match action.verb, action.value:
        case "pattern", ast.Call() as call:
            yield from _pattern(scope, call)
        case "scale", value if value is not None:
            yield from check_value(scope, Parameter(name="scale", kind=Kind.NUMBER), value)
        case "set", ast.PlainRun() | ast.PathRun() as run:
            yield from check_run(scope, run)
        case "set", value if value is not None:
            yield from _set(scope, value)
        case "add", value if value is not None:
            yield from _sum(scope, value)
        case "pattern" | "block" | "zero" | "scale" | "set" | "add", _:
            pass
        case unknown, _:
            assert_never(unknown)


def check_rings(scope: Scope, block: ast.InterveneDecl) -> Faults:
    """A block that reads a run under itself, directly or through another block."""
    pending = [(block, node) for node in _blocks_in(block)]
    seen: set[str] = set()
    while pending:
        inside, name = pending.pop()
        if name.name == block.name.name:
            yield fault(
                "PD108", f"`{block.name.name}` is defined by itself", name.span,
                "reads a run under itself", labels=[(block.name.span, "this block")],
                help="take `with` out of the run",
            )  # fmt: skip
            return
        other = scope.program.interventions.get(name.name)
        if other is not None and name.name not in seen:
            seen.add(name.name)
            pending += [(inside, node) for node in _blocks_in(other)]


def _blocks_in(block: ast.InterveneDecl) -> list[ast.Name]:
    runs = [node for node in walk(block) if isinstance(node, ast.PlainRun | ast.PathRun)]
    return [name for run in runs for name in run.blocks]


def _pattern(scope: Scope, call: ast.Call) -> Faults:
    yield from unknown_word(call.name, PATTERNS, call.name_span, "pattern")
    if call.name not in PATTERNS:
        return
    for argument in call.arguments:
        value = argument.value
        is_run = isinstance(value, ast.PlainRun | ast.PathRun)
        if is_run != (call.name == "from"):
            wanted = "a run" if call.name == "from" else "positions"
            yield fault(
                "PD115", f"`{call.name}` takes {wanted}", value.span, "something else",
                help=f"`{PATTERNS[call.name]}`",
            )  # fmt: skip
        elif not is_run:
            yield from check_value(scope, _POSITIONS, value)
        elif not isinstance(value, ast.PlainRun) or value.under is not None:
            yield fault(
                "PD115", "`from` reads `reference` or `treated`", value.span, "another run",
                help="the actions that are written before this one act in that run, too",
            )  # fmt: skip


def _set(scope: Scope, value: ast.Node) -> Faults:
    """A treated value, or another node; a declared name is a node."""
    if isinstance(value, ast.Name) and (value.at or value.name in scope.program.groups):
        yield from check_nodes(scope, value, marks=True)
    elif isinstance(value, ast.Name | ast.Call):
        if isinstance(value, ast.Call) and value.name not in TREATED_KINDS:
            yield from unknown_word(value.name, TREATED_KINDS, value.name_span, "treated value")
            return
        yield from check_value(scope, _VALUE, value)
    else:
        yield from check_nodes(scope, value, marks=True)


def _sum(scope: Scope, value: ast.Node) -> Faults:
    """What `add` adds: treated values and vectors, times numbers."""
    match value:
        case ast.Bracket(inner=inner) | ast.Unary(operand=inner):
            yield from _sum(scope, inner)
        case ast.Binary(op="+" | "-", left=left, right=right):
            yield from _sum(scope, left)
            yield from _sum(scope, right)
        case ast.Binary(op="*", left=ast.Number(), right=part):
            yield from _sum(scope, part)
        case ast.Binary(op="*" | "/", left=part, right=ast.Number()):
            yield from _sum(scope, part)
        case ast.Call(name="vector"):
            yield from check_arguments(scope, VECTOR, value.arguments, value.span)
        case ast.Call(name=name) if name not in TREATED_KINDS:
            known = (*TREATED_KINDS, "vector")
            yield from unknown_word(name, known, value.name_span, "value to add")
        case ast.Call() | ast.Name(at=None):
            yield from check_value(scope, _VALUE, value)
        case _:
            yield fault(
                "PD115", "`add` adds treated values and vectors", value.span, "something else",
                help="`add r5@END = mean(prompt_a) - mean(prompt_b)`",
            )  # fmt: skip
