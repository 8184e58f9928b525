"""Lint of the method: whether claims say what the file seems to say, and how sure they are."""

from __future__ import annotations

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.loops import variants
from pathdsl.lang.program import Program
from pathdsl.lang.subjects import hypothesis_of, is_about, subjects

__all__ = ["LOW_CONFIDENCE", "check_confidence", "check_hypothesis"]

LOW_CONFIDENCE = 0.9
"""Below it an interval misses the truth more often than in one of ten samples."""


def check_hypothesis(program: Program) -> Faults:
    """A hypothesis that no claim measures. A loop through its nodes is about the nodes."""
    name = hypothesis_of(program)
    if name is None or name not in program.paths or not program.claims:
        return
    for claim in program.claims:
        sets = (s for _, one in variants(program, claim) for s in subjects(program, one))
        if any(is_about(program, one, name) for one in sets):
            return
    assert program.circuit is not None
    fields = program.circuit.fields
    stated = next(
        one for one in fields if isinstance(one.value, ast.Name) and one.value.name == name
    )
    yield warning(
        "PD523",
        f"no claim is about `{name}`, which the file calls its hypothesis",
        stated.value.span,
        "measured by no claim",
        labels=[(program.paths[name].name.span, "declared here")],
        help=f"`claim sufficient: faithfulness({name}) >= 80% at 95% confidence`, or name the set "
        "that is claimed",
    )


def check_confidence(program: Program) -> Faults:
    """Claims whose interval misses too often for a verdict."""
    for claim in program.claims:
        confidence = claim.confidence
        if confidence is not None and 0 < confidence.value < LOW_CONFIDENCE:
            missed = 100 * (1 - confidence.value)
            yield warning(
                "PD524",
                f"`{claim.name.name}` is judged at {confidence.value * 100:g}% confidence",
                confidence.span,
                f"its interval misses the truth in up to {missed:.3g} of 100 samples",
                help="`at 95% confidence`",
            )
