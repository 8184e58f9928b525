"""A check beside its lock, as a line and as an object; what writing a lock changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any

from pathdsl.report.numbers import many
from pathdsl.report.style import View
from pathdsl.score.drift import INPUTS, NUMBER, VERDICT, Comparison, Drift

__all__ = ["comparison_line", "comparison_object", "drift_object", "summary"]


def comparison_line(found: Comparison | None, view: View) -> str:
    """`lock: 36 numbers as locked, bit for bit`, ending in a line break; "" without a lock."""
    if found is None:
        return ""
    text = f"lock: {summary(found)}"
    return view.paint(text, "red" if found.drifted else "green") + "\n"


def summary(found: Comparison) -> str:
    """What came of a comparison, in one line without its end."""
    if found.drifted:
        counts = Counter(_kind(one.code) for one in found.drifts)
        told = [many(counts[kind], kind) for kind in ("input", "number", "verdict") if counts[kind]]
        return f"drifted from {', '.join(told)}"
    if found.identical:
        return f"{many(found.numbers, 'number')} as locked, bit for bit"
    allowed = found.tolerance
    return (
        f"{many(found.numbers, 'number')} as locked, the largest difference {found.largest:.1e} "
        f"(allowed {allowed['estimate']:.0e}, ends of intervals {allowed['interval']:.0e})"
    )


def comparison_object(found: Comparison | None) -> dict[str, Any] | None:
    """The comparison for JSON; None where there was nothing to compare."""
    if found is None:
        return None
    return {
        "drifted": found.drifted,
        "identical": found.identical,
        "numbers": found.numbers,
        "largest": found.largest if isfinite(found.largest) else None,
        "tolerance": dict(found.tolerance),
        "drift": drift_object(found.drifts),
        "surroundings": drift_object(found.notes),
    }


def drift_object(drifts: Sequence[Drift]) -> list[dict[str, Any]]:
    """Every drift for JSON."""
    return [
        {
            "code": one.code,
            "what": one.what,
            "locked": one.locked,
            "found": one.found,
            "apart": one.apart if one.apart is not None and isfinite(one.apart) else None,
            "allowed": one.allowed,
            "about": one.about,
        }
        for one in drifts
    ]


def _kind(code: str) -> str:
    if code in INPUTS:
        return "input"
    return {NUMBER: "number", VERDICT: "verdict"}[code]
