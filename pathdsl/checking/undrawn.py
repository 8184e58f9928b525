"""A missing control (PD501) where no random set like the claim's can be drawn on the model.

Lint asks for `random_like(P)` without a model. A one-layer model has no other MLP, and a small one
may have no other heads: then edges by walks are asked for, and where they cannot be drawn nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pathdsl.errors import Diagnostic, PathdslError
from pathdsl.graph.controls.random_like import random_edges
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.check.scope import source_text
from pathdsl.lang.method.controls import BY_WALKS, control_of
from pathdsl.lang.program import Program
from pathdsl.lang.reach import reach
from pathdsl.lang.serving import tasks_read

__all__ = ["as_drawn"]

SEEDS = 8
SMALL = 2_000
"""Edges of a model on which walks are tried: those of a large one would take seconds."""


def as_drawn(
    program: Program, faults: list[Diagnostic], graph_of: Callable[[], Resolver | None]
) -> list[Diagnostic]:
    """The faults, each PD501 with what can be drawn on the graph; None where that is not known.

    Sets that cannot be resolved here, as those of a loop's variable, leave it as it is.
    """
    if all(one.code != "PD501" for one in faults) or (resolver := graph_of()) is None:
        return faults
    return [_told(program, resolver, one) if one.code == "PD501" else one for one in faults]


def _told(program: Program, resolver: Resolver, fault: Diagnostic) -> Diagnostic:
    claim = next((one for one in program.claims if one.name.span == fault.span), None)
    if claim is None:
        return fault
    nodes = [*reach(program, claim)]
    if any(task in resolver.others for task in tasks_read(program, nodes)):
        return fault  # on another model's graph
    for expr in _chosen(nodes):
        if reason := _not_drawn(resolver, expr):
            name = source_text(program, expr)
            note = f"no `random_like({name})` can be drawn on this model: {reason}"
            if resolver.layout.n_edges() > SMALL:
                return replace(fault, notes=(*fault.notes, note))
            if (seed := _seed_of_walks(resolver, expr)) is not None:
                help_ = control_of(program, claim, BY_WALKS.format(seed))
                return replace(fault, notes=(*fault.notes, note), help=help_)
            return replace(
                fault,
                message=f"no random set like `{name}` can be drawn on this model, so that no claim "
                "can say what a wrong hypothesis would score",
                notes=(*fault.notes, note, f"nor `random_edges(like: {name}, by: walks)`"),
                help="the report says what `none` and `full` score in its place; a rival "
                "hypothesis is a claim of its own, though no control",
            )
    return fault


def _chosen(nodes: list[ast.Node]) -> list[ast.PathExpr]:
    """The path sets that a claim measures, as they are written."""
    found: list[ast.PathExpr] = []
    for node in nodes:
        if isinstance(node, ast.PathRun):
            found.append(node.paths)
        elif isinstance(node, ast.Score):
            found += [
                one
                for one in node.subjects
                if not isinstance(one, ast.Score | ast.PathRun | ast.PlainRun)
            ]
    return found


def _not_drawn(resolver: Resolver, expr: ast.PathExpr) -> str:
    """Why no set like this one can be drawn; "" where one can, or none is known."""
    try:
        paths = resolver.path_set(expr)
    except PathdslError:
        return ""
    try:
        resolver.expressions.renaming(paths, 0, {}, None)
    except ValueError as error:
        return str(error)
    return ""


def _seed_of_walks(resolver: Resolver, expr: ast.PathExpr) -> int | None:
    """The first of a few seeds that draws edges by walks other than those of a set."""
    paths = resolver.path_set(expr)
    for seed in range(SEEDS):
        try:
            random_edges(resolver.sets, paths, None, seed, "walks")
        except ValueError:
            continue
        return seed
    return None
