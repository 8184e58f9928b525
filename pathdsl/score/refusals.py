"""What the language can say and this version does not execute: refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.engine.taskspec import TaskSpec
from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.walk import walk


def refusals(program: Program, specs: Mapping[str, TaskSpec]) -> list[Diagnostic]:
    """PD225 for runs under an intervention, PD226 for frozen norms."""
    found = [
        Diagnostic(
            code="PD225",
            message=f"runs under an intervention are not executed yet: `with {node.under.name}`",
            span=node.under.span,
            help="take `with …` out of the run",
        )
        for declaration in (*program.lets.values(), *program.claims)
        for node in walk(declaration)
        if isinstance(node, ast.PlainRun | ast.PathRun) and node.under is not None
    ]
    found += [
        Diagnostic(
            code="PD226",
            message=f"task `{spec.name}` asks for frozen norms, which are not executed yet",
            span=spec.span,
            help="layernorm = recompute",
        )
        for spec in specs.values()
        if spec.layernorm == "frozen"
    ]
    return found
