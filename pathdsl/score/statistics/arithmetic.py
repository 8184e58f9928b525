"""Arithmetic of the language on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

__all__ = ["apply"]

_OPERATIONS: dict[str, Callable[..., np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "neg": np.negative,
    "abs": np.abs,
    "same": lambda a, b: (a == b).astype(np.float64),
    "min": lambda *arrays: reduce(np.minimum, arrays),
    "max": lambda *arrays: reduce(np.maximum, arrays),
}


def apply(op: str, args: Sequence[np.ndarray]) -> np.ndarray:
    """One operation, elementwise; what has no value is nan or infinite."""
    with np.errstate(all="ignore"):
        return _OPERATIONS[op](*args)
