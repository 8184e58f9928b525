"""Checks of `emerges(A >= B) <= STEP`: where it stands, and what it is compared with.

Source: docs/revisions.md.
"""

from __future__ import annotations

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, Scope, fault, source_text
from pathdsl.lang.program import kind_of
from pathdsl.lang.reach import reach
from pathdsl.lang.signatures.emergence import EMERGES
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.walk import strip

__all__ = ["check_emergence", "is_misplaced", "misplaced"]

_EXAMPLE = f"`{EMERGES.example}`"


def check_emergence(scope: Scope, claim: ast.ClaimDecl) -> Faults:
    """What a claim says of the steps, where it says something of them."""
    emerges = claim.emerges
    if emerges is None:
        return
    if (own := scope.program.find(EMERGES.name)) is not None and own is not claim:
        yield fault(
            "PD115",
            f"`{EMERGES.name}` is this file's own {kind_of(own)}, and takes no condition",
            emerges.call,
            "a condition",
            labels=[(own.name.span, "declared here")],
            help=f"rename the {kind_of(own)}, and {_EXAMPLE} is over revisions",
        )
        return
    for relation, span, of in (
        (claim.relation, emerges.call, "a condition over revisions"),
        (emerges.relation, emerges.span, "a step"),
    ):
        if RELATIONS[relation].asks == "around":
            yield fault(
                "PD110",
                f"{of} is compared with `<`, `<=`, `>` or `>=`",
                span,
                f"`{relation}` wants a tolerance",
                help=_EXAMPLE,
            )
    step = emerges.step
    if not isinstance(step, ast.Number) or step.percent or step.value % 1:
        yield fault(
            "PD115",
            "an emergence is compared with a step, a whole number",
            step.span,
            "no whole number",
            help=_EXAMPLE,
        )
    for part in reach(scope.program, claim):
        if isinstance(part, ast.Call) and part.name in P_VALUES:
            yield fault(
                "PD437",
                f"`{EMERGES.name}` is asked of a p-value",
                part.span,
                "no interval",
                help="a condition on the quantity itself, for example "
                "`emerges(mean(LD(reference)) > 0) <= 64000`",
            )


def is_misplaced(scope: Scope, node: ast.Node) -> bool:
    """Whether a node is `emerges(…)`, or a condition, where a number is wanted."""
    if isinstance(node, ast.Compared):
        return True
    known = scope.program.kind(EMERGES.name) not in ("", "claim")
    return isinstance(node, ast.Call) and node.name == EMERGES.name and not known


def misplaced(scope: Scope, node: ast.Node) -> Faults:
    """The fault of such a node."""
    if isinstance(node, ast.Compared):
        yield fault(
            "PD115", "a condition is no number", node.span, "true or false",
            help=f"conditions stand in {_EXAMPLE} and in `share(h in SET: CONDITION)`",
        )  # fmt: skip
        return
    assert isinstance(node, ast.Call)
    conditions = [one for one in node.arguments if isinstance(one.value, ast.Compared)]
    alone = len(conditions) == len(node.arguments) == 1
    yield fault(
        "PD115",
        f"`{EMERGES.name}` stands alone on one side of a claim, against a step"
        if alone
        else f"`{EMERGES.name}` takes one condition",
        node.span,
        "no number of one check" if alone else "no condition, or more than one argument",
        help=_claimed(scope, node) if alone else f"`claim NAME: {EMERGES.example}`",
    )


def _claimed(scope: Scope, node: ast.Call) -> str:
    """The claim that an `emerges` elsewhere would be, by the name of the `let` that is it."""
    own = next((let for let in scope.program.lets.values() if strip(let.expression) is node), None)
    name = own.name.name if own is not None else "NAME"
    if own is not None and own.loop is not None:
        name += f" {source_text(scope.program, own.loop)}"
    written = source_text(scope.program, node) or "emerges(…)"
    return f"`claim {name}: {written} <= STEP at 95% confidence`, with a step of the training"
