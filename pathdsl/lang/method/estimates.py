"""Which claims prompts decide: by an interval, by a test, or not at all."""

from __future__ import annotations

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.reach import gathered
from pathdsl.lang.signatures.scores import SCORES, is_p_value
from pathdsl.lang.walk import strip

__all__ = ["is_estimated", "is_exact", "is_test"]


def is_test(claim: ast.ClaimDecl) -> bool:
    """Whether a claim is about a p-value, which has no interval of its own."""
    return any(is_p_value(side) for side in (claim.left, claim.right))


def is_estimated(program: Program, claim: ast.ClaimDecl) -> bool:
    """False for claims about path sets alone, which no prompt can change, and for p-values."""
    if is_test(claim):
        return False  # a p-value has no interval of its own
    return bool(gathered(program, claim, "estimated", _estimated))


def _estimated(node: ast.Node) -> tuple[bool, ...]:
    measured = isinstance(node, ast.Score) and SCORES[node.name].gives != "count"
    return (True,) if measured or isinstance(node, ast.PlainRun | ast.PathRun) else ()


def is_exact(claim: ast.ClaimDecl) -> bool:
    """Whether no bootstrap judges a claim: a p-value, or a share of prompts that are right."""
    sides = strip(claim.left), strip(claim.right)
    share = any(isinstance(s, ast.Score) and SCORES[s.name].gives == "share" for s in sides)
    return is_test(claim) or (share and any(isinstance(s, ast.Number) for s in sides))
