"""Checks of path expressions that need no model: structure, algebra, arrows.

A *sub-path* may stand inside another path; a *complete path set* (`through`, `within`, `edges`,
`&`, `-`, …) may not. What depends on the model's graph is checked by `pathdsl.graph`.

Source: docs/language.md, path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_arguments, wrong
from pathdsl.lang.check.nodes import check_circuit_file, check_nodes
from pathdsl.lang.check.scope import (
    Check,
    Faults,
    Scope,
    fault,
    source_text,
    unknown,
)
from pathdsl.lang.signatures.calls import PATH_SETS, Kind, Parameter, literal
from pathdsl.lang.walk import strip, walk

__all__ = ["PATHS", "check_path"]


def check_path(scope: Scope, path: ast.Node, *, step: bool = False, marks: bool = False) -> Faults:
    """Every fault of a path expression; `step` where it stands inside a chain."""
    if step and isinstance(path, ast.CompleteSet):
        yield fault(
            "PD126",
            "a complete path set cannot be a step of a path",
            path.span,
            "runs from input to logits already",
            help="combine it outside the chain, for example `(A -> B) & through(C)`",
        )
    match path:
        case ast.Name():
            yield from _named(scope, path, step=step, marks=marks)
        case ast.Chain():
            yield from _chain(scope, path)
        case ast.Choice(options=options):
            for option in options:
                yield from check_path(scope, option, step=step, marks=marks)
        case ast.Group(inner=inner):
            yield from check_path(scope, inner, step=step, marks=marks)
        case ast.SetOp(left=left, right=right):
            yield from check_path(scope, left)
            yield from check_path(scope, right)
            if _bare(scope, left) and _bare(scope, right):
                yield _bare_algebra(scope, path)
        case ast.Full() | ast.NonePath():
            pass
        case ast.Through(nodes=nodes):
            for node in nodes:
                yield from check_nodes(scope, node, marks=True)
        case ast.Within(nodes=nodes):
            for node in nodes:
                yield from check_nodes(scope, node)
        case ast.Edges(chains=chains):
            for chain in chains:
                yield from _chain(scope, chain)
        case ast.EdgesFile():
            yield from check_circuit_file(scope, path)
        case ast.RandomLike(inner=inner):
            yield from check_path(scope, inner)
            yield from check_arguments(scope, PATH_SETS["random_like"], path.options, path.span)
        case ast.RandomEdges():
            yield from check_arguments(scope, PATH_SETS["random_edges"], path.options, path.span)
        case _ if isinstance(path, ast.NodeRef):
            yield from check_nodes(scope, path, marks=marks)
        case _:
            yield fault("PD115", "wanted a path set", path.span, "not a path set")


def _named(scope: Scope, name: ast.Name, *, step: bool, marks: bool) -> Faults:
    path = scope.program.paths.get(name.name)
    if path is None:
        kinds = ("group", "path")
        if scope.program.kind(name.name) == "group" or scope.is_variable(name.name):
            yield from check_nodes(scope, name, marks=marks)
        else:
            yield from unknown(scope, name, kinds, variable=True)
        return
    if name.at is not None:
        yield fault(
            "PD111",
            f"`{name.name}` is a path, and `@` belongs to nodes",
            name.at.span,
            "a position on a path",
            labels=[(path.name.span, "declared here")],
            help="put the position on the nodes of the path",
        )
    if step and _is_complete(scope, path.path, frozenset({name.name})):
        yield fault(
            "PD126",
            f"`{name.name}` is a complete path set and cannot be a step of a path",
            name.span,
            "runs from input to logits already",
            labels=[(path.name.span, "declared here")],
            help=f"combine it outside the chain, for example `(A -> B) & {name.name}`",
        )


def _is_complete(scope: Scope, path: ast.Node, seen: frozenset[str]) -> bool:
    match path:
        case ast.Group(inner=inner):
            return _is_complete(scope, inner, seen)
        case ast.Choice(options=options):
            return any(_is_complete(scope, option, seen) for option in options)
        case ast.Name(name=name) if name in scope.program.paths and name not in seen:
            return _is_complete(scope, scope.program.paths[name].path, seen | {name})
        case _:
            return isinstance(path, ast.CompleteSet)


def _bare(scope: Scope, path: ast.Node) -> bool:
    path = strip(path)
    if isinstance(path, ast.Name):
        return path.name in scope.program.groups or scope.is_variable(path.name)
    return isinstance(path, ast.NodeRef)


def _bare_algebra(scope: Scope, path: ast.SetOp) -> Diagnostic:
    left = source_text(scope.program, strip(path.left))
    right = source_text(scope.program, strip(path.right))
    note = "two bare sets of nodes can mean sets of nodes or sets of paths; they differ"
    help = f"`through({left}) {path.op} through({right})`"
    if path.op == "-":
        help += f" for paths, `{{{left}, except {right}}}` for nodes"
    return fault(
        "PD120",
        f"`{path.op}` between two bare sets of nodes",
        path.span,
        "paths or nodes?",
        help=help,
        notes=[note],
    )


# -------------------------------------------------------------------------------------------------
# Chains
# -------------------------------------------------------------------------------------------------


def _chain(scope: Scope, chain: ast.Chain) -> Faults:
    yield from check_path(scope, chain.first, step=True)
    for number, step in enumerate(chain.steps):
        last = number == len(chain.steps) - 1
        if isinstance(step, ast.Repeat):
            yield from _repeat(scope, step)
        else:
            yield from _hop(scope, step, marks=not last)


def _hop(scope: Scope, hop: ast.Hop, *, marks: bool) -> Faults:
    yield from _arrow(hop)
    yield from check_path(scope, hop.target, step=True, marks=marks)


def _repeat(scope: Scope, repeat: ast.Repeat) -> Faults:
    if not repeat.hops:
        yield fault("PD125", "a repeated section without an edge", repeat.span, "holds no arrow")
    if repeat.most is not None and (repeat.most < repeat.least or repeat.most < 1):
        yield fault(
            "PD116",
            f"repeats at least {repeat.least} and at most {repeat.most} times",
            repeat.span,
            "no number of times satisfies this" if repeat.most else "never repeated",
            help="`{1,3}` is one to three times",
        )
    for hop in repeat.hops:
        for inner in _repeats_in(scope, hop.target, frozenset()):
            yield fault(
                "PD125",
                "repeated sections do not nest",
                repeat.span,
                "this section holds another",
                labels=[(inner.span, "repeated inside")],
                help="write the inner section without brackets, or unroll one of the two",
            )
            break
    for number, hop in enumerate(repeat.hops):
        yield from _hop(scope, hop, marks=number < len(repeat.hops) - 1)


def _repeats_in(scope: Scope, path: ast.Node, seen: frozenset[str]) -> Iterator[ast.Repeat]:
    for node in walk(path):
        if isinstance(node, ast.Repeat):
            yield node
        elif isinstance(node, ast.Name) and node.name not in seen:
            named = scope.program.paths.get(node.name)
            if named is not None:
                yield from _repeats_in(scope, named.path, seen | {node.name})


def _arrow(hop: ast.Hop) -> Faults:
    labels = hop.arrow.labels
    if labels and (reader := _without_slots(hop.target)) is not None:
        node, why = reader
        slots = ",".join(slot for label in labels for slot in label.slots)
        yield fault(
            "PD206",
            f"the label `{slots}` is for the inputs of a head, and {why}",
            hop.arrow.span,
            "names inputs of a head",
            labels=[(node.span, "is no head")],
            help="write `~>`" if hop.arrow.reach else "write `->`",
        )
    for label in labels:
        relation = label.relation
        if relation is None:
            continue
        if "q" in label.slots:
            yield fault(
                "PD207",
                "a query stands where it reads, so it takes no relation",
                label.span,
                f"`{relation.kind}` on `q`",
                help="relations bind keys and values, for example `-[k: prev]->`",
            )
        if relation.kind == "window" and (relation.size is None or relation.size < 1):
            yield fault(
                "PD116",
                f"a window of {relation.size} positions",
                relation.span,
                "at least 1 position",
                help="`window(1)` is the head's own position, as `same` is",
            )


def _without_slots(target: ast.Node) -> tuple[ast.Node, str] | None:
    """The written part of a target that has no q, k, v, and why; groups are not opened."""
    match strip(target):
        case ast.MlpRef() | ast.NeuronRef() as node:
            return node, "an MLP has but one"
        case ast.Word(word="mlp") as node:
            return node, "an MLP has but one"
        case ast.Word(word="logits" | "input" as word) as node:
            return node, f"`{word}` has none"
        case ast.ResidRef() as node:
            return node, "a mark on the stream has none; label the arrow after it"
        case ast.NodeSet(members=parts) | ast.Choice(options=parts):
            return next((found for part in parts if (found := _without_slots(part))), None)
        case ast.Chain(first=first):
            return _without_slots(first)
        case _:
            return None


# -------------------------------------------------------------------------------------------------
# Paths as values of arguments
# -------------------------------------------------------------------------------------------------


def _paths(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    yield from check_path(scope, value)


def _unit(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    yield from check_path(scope, value, marks=True)  # which a check of its own tells of


def _units(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if isinstance(strip(value), ast.Edges | ast.EdgesFile):
        yield from check_path(scope, value)
    elif isinstance(value, ast.NodeRef):
        yield from check_nodes(scope, value)
    else:
        yield wrong(parameter, value)


def _over(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if literal(value) not in parameter.choices:
        yield from _units(scope, parameter, value)


PATHS: Mapping[Kind, Check] = {
    Kind.PATHS: _paths,
    Kind.UNIT: _unit,
    Kind.UNITS: _units,
    Kind.OVER: _over,
}
"""How a value that holds paths is checked."""
