"""What the methods of a claim may be called with, `by holm()`: a record for each.

Source: docs/language.md, `claim`.
"""

from __future__ import annotations

from pathdsl import limits
from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import SEED, Kind, Signature, first, table
from pathdsl.record import record

__all__ = ["METHODS", "MethodRecord", "correction_of", "strictness"]


@record
class MethodRecord(Signature):
    """What is known of a method.

    `strictness` says what a correction for many claims bounds: 1 the false discovery rate, 2 the
    family-wise error rate; 0 for a method that corrects nothing.
    """

    strictness: int


METHODS = table(
    MethodRecord(name="holm", example="holm()", strictness=2),
    MethodRecord(name="bh", example="bh()", strictness=1),
    MethodRecord(
        name="bootstrap",
        parameters=(first("draws", Kind.INTEGER, 10000, least=1, most=limits.BOOTSTRAP.most), SEED),
        example="bootstrap(10000, seed: 0)",
        strictness=0,
    ),
)


def strictness(name: str) -> int:
    """That of a method by name; 0 for "" and for what is no method, a fault of its own."""
    return METHODS[name].strictness if name in METHODS else 0


def correction_of(declaration: ast.LetDecl | ast.ClaimDecl) -> str:
    """The name of the correction for many claims that a claim asks for, or ""."""
    methods = declaration.methods if isinstance(declaration, ast.ClaimDecl) else ()
    return next((method.name for method in methods if strictness(method.name)), "")
