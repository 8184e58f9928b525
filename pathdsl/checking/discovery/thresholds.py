"""What drafts claim of other rows, by what the rows that found the circuit show.

Thresholds are shares, rounded to five per cent towards the weaker claim.
"""

from __future__ import annotations

import math

__all__ = ["LEFT", "complete_from", "necessary_from", "sufficient_from"]

LEFT = 0.9
"""The part of what the discovery rows show that a draft claims of others."""
COMPLETE = 0.5
"""The largest share that a draft calls complete: of what misses more, something does make up."""


def sufficient_from(kept: float) -> float:
    """The least share of the way that is claimed to be kept; 0 where nothing is to be claimed."""
    return _floor(LEFT * min(1.0, kept))


def necessary_from(left: float) -> float | None:
    """The largest share of the metric that is claimed to be left without the circuit."""
    most = _ceiling(left + (1 - LEFT) * max(1.0, abs(1 - left)))
    return most if most < 1 else None


def complete_from(missed: float) -> float | None:
    """The largest share that the rest is claimed to make up for."""
    most = _ceiling(missed / LEFT + 0.05)
    return most if most <= COMPLETE else None


def _floor(value: float) -> float:
    """Down to five per cent."""
    return math.floor(value * 20 + 1e-9) / 20 if math.isfinite(value) else 0.0


def _ceiling(value: float) -> float:
    return math.ceil(value * 20 - 1e-9) / 20
