"""How far two evaluations of one number may lie apart, by the dtype of a model's arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2
from typing import TYPE_CHECKING

from pathdsl.engine.proof import Proof

if TYPE_CHECKING:
    from pathdsl.engine.adapters.base import Adapter

__all__ = ["EPS", "ROUNDING", "allowance", "precision_of", "rounding_of"]

ROUNDING = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
"""How far two evaluations of one logit may lie apart, by the dtype of arithmetic (`precision` of an
adapter), relative to logits of size 1."""


EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""From 1 to the next larger number."""


def precision_of(adapter: Adapter) -> str:
    """The dtype of a model's arithmetic by name."""
    return str(adapter.precision).removeprefix("torch.")


def rounding_of(adapter: Adapter) -> float:
    """How far two evaluations of one logit of a model may lie apart."""
    return ROUNDING[precision_of(adapter)]


def allowance(proofs: Sequence[Proof], precision: str) -> float:
    """How far two evaluations of one metric value may lie apart where these proofs hold.

    max(4 e, 32 eps) times the largest logit that the model's own forward gave, e being the largest
    error of all, and at most `ROUNDING`, which is also what holds where nothing was proved. e is
    rounded up to a power of two: its last digits depend on the batch and the other runs of a plan.
    """
    most = ROUNDING[precision]
    logits = [proof.logits for proof in proofs if proof.logits is not None]
    if not logits or not all(proof.holds for proof in proofs):
        return most
    error = max(proof.error for proof in proofs)
    relative = max(4 * 2.0 ** ceil(log2(error)) if error > 0 else 0.0, 32 * EPS[precision])
    return min(most, relative * max(1.0, *logits))
