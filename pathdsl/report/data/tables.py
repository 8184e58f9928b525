"""Claims and quantities as rows of plain values, for data frames and other tables.

What is undefined is None. Members of a loop are rows of their own: `name` is the declared name and
`member` what stands in brackets after it, "" where there is no loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from pathdsl.score.results import ClaimResult, QuantityResult, Verdict

__all__ = [
    "CLAIM_COLUMNS", "COUNTED", "NUMBERS", "PLACE_COLUMNS", "QUANTITY_COLUMNS", "claim_rows",
    "quantity_rows",
]  # fmt: skip

PLACE_COLUMNS = ("kind", "layer", "head", "neuron", "position", "slot")
"""Where a member stands in the model (`pathdsl.score.places`)."""
CLAIM_COLUMNS = (
    "name", "member", *PLACE_COLUMNS, "verdict", "expected", "as_expected", "estimate", "low",
    "high", "relation", "threshold", "within", "confidence", "level", "n", "p_value", "settle_n",
    "text",
)  # fmt: skip
QUANTITY_COLUMNS = (
    "name", "member", *PLACE_COLUMNS, "unit", "estimate", "low", "high", "confidence", "n",
)  # fmt: skip

NUMBERS = frozenset(
    ("estimate", "low", "high", "threshold", "within", "confidence", "level", "p_value", "settle_n")
)
"""Columns of numbers that may be missing."""
COUNTED = frozenset(("layer", "head", "neuron"))
"""Columns of whole numbers that may be missing."""


def claim_rows(claims: Sequence[ClaimResult]) -> list[dict[str, Any]]:
    """A row for each claim, with the keys of `CLAIM_COLUMNS`; verdicts are words."""
    return [_row(claim, CLAIM_COLUMNS) for claim in claims]


def quantity_rows(quantities: Sequence[QuantityResult]) -> list[dict[str, Any]]:
    """A row for each quantity, with the keys of `QUANTITY_COLUMNS`."""
    return [_row(quantity, QUANTITY_COLUMNS) for quantity in quantities]


def _row(result: ClaimResult | QuantityResult, columns: Sequence[str]) -> dict[str, Any]:
    low, high = result.interval or (None, None)
    own: dict[str, Any] = {"name": result.declared, "low": low, "high": high}
    own |= {name: getattr(result.at, name, None) for name in PLACE_COLUMNS}
    return {one: _plain(own[one] if one in own else getattr(result, one)) for one in columns}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    return value.value if isinstance(value, Verdict) else value
