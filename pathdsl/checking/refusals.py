"""What the language can say and this version does not execute: refused by name, never ignored."""

from __future__ import annotations

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.walk import walk


def refusals(program: Program) -> list[Diagnostic]:
    """PD225 for every run under an intervention."""
    return [
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
