"""Claims and quantities as rows of plain values, for data frames and other tables.

What is undefined is None. Members of a loop are rows of their own: `name` is the declared name and
`member` what stands in brackets after it, "" where there is no loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from pathdsl.score.results import ClaimResult, QuantityResult

__all__ = ["CLAIM_COLUMNS", "NUMBERS", "QUANTITY_COLUMNS", "claim_rows", "quantity_rows"]

CLAIM_COLUMNS = (
    "name", "member", "verdict", "expected", "as_expected", "estimate", "low", "high", "relation",
    "threshold", "within", "confidence", "level", "n", "p_value", "settle_n", "text",
)  # fmt: skip
QUANTITY_COLUMNS = ("name", "member", "unit", "estimate", "low", "high", "confidence", "n")

NUMBERS = frozenset(
    ("estimate", "low", "high", "threshold", "within", "confidence", "level", "p_value", "settle_n")
)
"""Columns of numbers that may be missing."""


def claim_rows(claims: Sequence[ClaimResult]) -> list[dict[str, Any]]:
    """A row for each claim, with the keys of `CLAIM_COLUMNS`; verdicts are words."""
    return [
        {
            "name": claim.declared,
            "member": claim.member,
            "verdict": claim.verdict.value,
            "expected": claim.expected.value,
            "as_expected": claim.as_expected,
            **_numbers(claim),
            "relation": claim.relation,
            "threshold": claim.threshold,
            "within": claim.within,
            "confidence": claim.confidence,
            "level": claim.level,
            "n": claim.n,
            "p_value": claim.p_value,
            "settle_n": claim.settle_n,
            "text": claim.text,
        }
        for claim in claims
    ]


def quantity_rows(quantities: Sequence[QuantityResult]) -> list[dict[str, Any]]:
    """A row for each quantity, with the keys of `QUANTITY_COLUMNS`."""
    return [
        {
            "name": quantity.declared,
            "member": quantity.member,
            "unit": quantity.unit,
            **_numbers(quantity),
            "confidence": quantity.confidence,
            "n": quantity.n,
        }
        for quantity in quantities
    ]


def _numbers(result: ClaimResult | QuantityResult) -> dict[str, float | None]:
    low, high = result.interval or (None, None)
    numbers = {"estimate": result.estimate, "low": low, "high": high}
    return {
        name: float(value) if value is not None and isfinite(value) else None
        for name, value in numbers.items()
    }
