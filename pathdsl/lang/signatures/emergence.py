"""`emerges(A >= B)`: the first step of a series from which a condition holds at every later one.

It stands alone on one side of a claim, `emerges(accuracy(reference, answer: io) >= 80%) <= 64000`.
The name is not reserved: where a file declares `emerges`, its own is meant.

Source: docs/revisions.md.
"""

from __future__ import annotations

from typing import Literal, cast

from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import Signature
from pathdsl.lang.signatures.relations import RELATIONS

__all__ = ["EMERGES", "condition_of", "emergence_of"]

EMERGES = Signature(
    name="emerges", example="emerges(accuracy(reference, answer: io) >= 80%) <= 64000"
)


Related = Literal["<", "<=", ">", ">=", "~="]


def condition_of(node: ast.Node) -> ast.Compared | None:
    """The condition of `emerges(A >= B)`; None for any other node."""
    if not isinstance(node, ast.Call) or node.name != EMERGES.name or node.at is not None:
        return None
    values = [argument.value for argument in node.arguments]
    return values[0] if len(values) == 1 and isinstance(values[0], ast.Compared) else None


def emergence_of(
    left: ast.Expr, relation: str, right: ast.Expr
) -> tuple[ast.Compared, ast.Emergence] | None:
    """The condition of a claim `emerges(…) REL STEP` and what it says of the steps; else None."""
    for call, other, read in ((left, right, relation), (right, left, RELATIONS[relation].turned)):
        if (condition := condition_of(call)) is not None and condition_of(other) is None:
            found = ast.Emergence(
                relation=cast(Related, read),
                step=other,
                call=call.span,
                span=call.span.to(other.span),
            )
            return condition, found
    return None
