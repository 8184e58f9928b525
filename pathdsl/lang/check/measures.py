"""Checks of what is measured of nodes: of which kind they are, how many, and where they stand.

Source: docs/language.md, Measures of a component.
"""

from __future__ import annotations

from collections.abc import Iterator

from pathdsl.lang import ast
from pathdsl.lang.check.nodes import one_place
from pathdsl.lang.check.scope import Faults, Scope, fault
from pathdsl.lang.signatures.measures import MEASURES, nodes_in
from pathdsl.lang.spelling import position_text

__all__ = ["check_measured_nodes"]


def check_measured_nodes(scope: Scope, call: ast.Call, at: ast.Position | None) -> Faults:
    """The nodes of a measure that is read at `at`, and the run with which it compares them."""
    record = MEASURES[call.name]
    if record.reads not in ("write", "copy"):
        return
    for ref in nodes_in(call):
        for node, position in _members(scope, ref, None, frozenset()):
            if isinstance(node, ast.NeuronRef) or (
                isinstance(node, ast.Word) and node.word == "logits"
            ):
                yield fault(
                    "PD115",
                    f"`{call.name}` is of heads, MLPs and `input`",
                    ref.span,
                    "a neuron" if isinstance(node, ast.NeuronRef) else "writes nothing",
                    help=f"`{record.example}`",
                )
                break
            read, stand = position_text(at), position_text(position)
            if record.reads == "write" and position is not None and position.parts:
                yield from one_place(
                    position, f"`{call.name}` is read at one place", "measure it at each place"
                )
                break
            if record.reads == "write" and position is not None and stand != read:
                yield fault(
                    "PD121",
                    f"`{call.name}` reads at `@{read}` what these nodes write, and they "
                    f"stand at `@{stand}`",
                    ref.span,
                    f"put at `@{stand}`",
                    help=f"read there, `{call.name}(…) @{stand}`, or name the nodes "
                    "without a position",
                )
                break
        if record.reads == "copy" and not isinstance(ref, ast.HeadRef | ast.Name):
            yield fault(
                "PD115",
                f"`{call.name}` is of one head",
                ref.span,
                "not a head",
                help=f"name a single head, `{record.example}`",
            )
    if record.reads == "copy" and call.at is not None:
        yield fault(
            "PD115",
            f"`{call.name}` reads where `of:` says",
            call.at.span,
            "a second place",
            help="leave it out",
        )
    compared = record.parameter("run")
    for argument in call.arguments if compared is not None else ():
        run = argument.value
        if isinstance(run, ast.PathRun) or (
            isinstance(run, ast.PlainRun) and run.under is not None
        ):
            yield fault(
                "PD115",
                f"`{call.name}` compares with a plain run",
                run.span,
                "another run",
                help=f"`{record.example}`, or `treated`",
            )


def _members(
    scope: Scope, ref: ast.Node, outer: ast.Position | None, seen: frozenset[str]
) -> Iterator[tuple[ast.Node, ast.Position | None]]:
    """The single references of a set, groups among them, with the position put on each."""
    at = getattr(ref, "at", None) or outer
    match ref:
        case ast.NodeSet(members=members, excluded=excluded):
            for member in (*members, *excluded):
                yield from _members(scope, member, at, seen)
        case ast.Name(name=name) if name in scope.program.groups and name not in seen:
            group = scope.program.groups[name]
            yield from _members(scope, group.nodes, group.at or at, seen | {name})
        case _:
            yield ref, at
