"""Lint of the method: estimates by slopes that nothing in the file holds against a measurement.

Source: Kramár et al. 2024 (arXiv:2403.00745), section 2: slopes miss what saturates and what
cancels, and only patching says where.
"""

from __future__ import annotations

from collections.abc import Iterator

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.program import Program
from pathdsl.lang.reach import all_of, gathered
from pathdsl.lang.serving import form_of, named_option
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.lang.signatures.correlations import families, is_correlation
from pathdsl.lang.signatures.ranges import ANY
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.lang.walk import strip

__all__ = ["check_attributions", "check_sizes"]

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
            "patches nothing",
            help="`claim agrees: correlation(estimate, exact, by: spearman) >= 0.9 at 95% "
            "confidence`, two lets over the same members, the other `by: exact`",
        )


def check_sizes(program: Program) -> Faults:
    """Families of sizes that are correlated with families of scores with a sign."""
    for call in all_of(program, ast.Call):
        if not is_correlation(call, program.kind):
            continue
        lets = families(program, call)
        sizes = [(let, found) for let in lets if (found := _gives_sizes(let)) is not None]
        told = [let for let, size in sizes if size]
        if len(lets) == 2 and len(sizes) == 2 and len(told) == 1:
            (other,) = (let for let, size in sizes if not size)
            yield warning(
                "PD539",
                f"`{told[0].name.name}` are sizes, and what `{other.name.name}` has has a sign",
                call.span,
                "large on one side, and far below 0 on the other",
                labels=[(other.expression.span, "signed")],
                help=f"`abs(…)` around what `{other.name.name}` is",
            )


def _gives_sizes(let: ast.LetDecl) -> bool | None:
    """Whether a family is of sizes, by what it is of; None for anything but scores of one unit."""
    node = strip(let.expression)
    if isinstance(node, ast.Call) and node.name in STATISTICS and len(node.arguments) == 1:
        inner = strip(node.arguments[0].value)
        never_below = STATISTICS[node.name].range([ANY]).low >= 0
        return True if never_below and isinstance(inner, ast.Score) else None
    if not isinstance(node, ast.Score):
        return None
    record, form = SCORES[node.name], form_of(node)
    if record.of == "unit":
        method = ATTRIBUTIONS.get(named_option(node.options, "by") or "")
        unsigned = method is not None and not method.signed
        return unsigned or form.range(ANY, resolve_options(node)).low >= 0
    return form.range(ANY, resolve_options(node)).low >= 0 if form.better == "size" else None


def _methods(node: ast.Node) -> Iterator[str]:
    """The methods of estimates, and "" for what treats paths and measures."""
    if isinstance(node, ast.PathRun) or (
        isinstance(node, ast.PlainRun) and node.which == "treated"
    ):
        yield _MEASURED
    elif isinstance(node, ast.Score) and SCORES[node.name].of == "unit":
        record = ATTRIBUTIONS.get(named_option(node.options, "by") or "")
        if record is not None and record.effect:  # shares of what is read estimate no effect
            yield _MEASURED if record.exact else record.name
    elif isinstance(node, ast.Score) and SCORES[node.name].treats:
        yield _MEASURED
