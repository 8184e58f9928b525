"""What a proof says: two ways to the same numbers, how far they lie apart, and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, isnan

from pathdsl.errors import Diagnostic

__all__ = ["OF_RUNS", "Proof", "unproved", "worst_of"]

OF_RUNS = ("PD632", "PD633")
"""Proofs of a model that go by way of plans, and so by a task's norm mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One proof: its code and name, the largest error seen, what was allowed, what was compared.

    `logits` is the largest logit in magnitude where all logits of a model were compared.
    """

    code: str
    name: str
    error: float
    tolerance: float
    compared: str
    logits: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the error is a number and within what is allowed."""
        return bool(self.error <= self.tolerance)  # False for nan


def worst_of(proofs: Sequence[Proof]) -> Proof:
    """Equal proofs of several plans as one: the largest error, and what all of them compared.

    How many plans there were hangs on what was stored, and is no part of a result.
    """
    worst = max(proofs, key=lambda proof: inf if isnan(proof.error) else proof.error)
    return replace(worst, compared="; ".join(sorted({proof.compared for proof in proofs})))


def unproved(proofs: Iterable[tuple[str, Proof]]) -> list[Diagnostic]:
    """A diagnostic for every proof, of a task by name, that does not hold."""
    return [
        Diagnostic(
            code=proof.code,
            message=f"self-check failed on task `{task}`: {proof.name} is off by {proof.error:.3g}",
            notes=(f"compared {proof.compared}; allowed {proof.tolerance:g}",),
            help="no claim is judged on a model that the engine does not reproduce; try "
            "`dtype: float64`, and report the model",
        )
        for task, proof in proofs
        if not proof.holds
    ]
