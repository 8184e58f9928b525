"""Lint of the method: estimates by slopes that nothing in the file holds against a measurement.

Source: Kramár et al. 2024 (arXiv:2403.00745), section 2: slopes miss what saturates and what
cancels, and only patching says where.
"""

from __future__ import annotations

from collections.abc import Iterator

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.program import Program
from pathdsl.lang.reach import gathered
from pathdsl.lang.serving import named_option
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.scores import SCORES

__all__ = ["check_attributions"]

_MEASURED = ""


def check_attributions(program: Program) -> Faults:
    """Claims about the estimates of a method that no claim compares with anything else.

    Held against a measured effect, or against another method, once in a file is enough.
    """
    read = [(claim, gathered(program, claim, "attributions", _methods)) for claim in program.claims]
    compared = {method for _, found in read if len(found) > 1 for method in found}
    for claim, found in read:
        if len(found) != 1 or found[0] in compared or found[0] == _MEASURED:
            continue
        yield warning(
            "PD538",
            f"`{claim.name.name}` is about estimates `by: {found[0]}`, and no claim holds these "
            "against what was measured",
            claim.name.span,
            "follows slopes and patches nothing",
            help="`claim agrees: correlation(estimate, exact, by: spearman) >= 0.9 at 95% "
            "confidence`, two lets over the same members, the other `by: exact`",
        )


def _methods(node: ast.Node) -> Iterator[str]:
    """The methods of estimates, and "" for what treats paths and measures."""
    if isinstance(node, ast.PathRun) or (
        isinstance(node, ast.PlainRun) and node.which == "treated"
    ):
        yield _MEASURED
    elif isinstance(node, ast.Score) and SCORES[node.name].of == "unit":
        record = ATTRIBUTIONS.get(named_option(node.options, "by") or "")
        if record is not None:
            yield _MEASURED if record.exact else record.name
    elif isinstance(node, ast.Score) and SCORES[node.name].treats:
        yield _MEASURED
