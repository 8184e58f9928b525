"""Arithmetic of the language on arrays."""

from __future__ import annotations

import numpy as np

__all__ = ["apply"]


def apply(op: str, args: list[np.ndarray]) -> np.ndarray:
    """One operation, elementwise; what has no value is nan or infinite."""
    with np.errstate(all="ignore"):
        match op:
            case "+":
                return args[0] + args[1]
            case "-":
                return args[0] - args[1]
            case "*":
                return args[0] * args[1]
            case "/":
                return args[0] / args[1]
            case "^":
                return np.power(args[0], args[1])
            case "neg":
                return -args[0]
            case "abs":
                return np.abs(args[0])
            case "same":
                return (args[0] == args[1]).astype(np.float64)
            case _:
                pick = np.minimum if op == "min" else np.maximum
                result = args[0]
                for arg in args[1:]:
                    result = pick(result, arg)
                return result
