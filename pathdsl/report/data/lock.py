"""A check beside its lock, and the lock that lies beside a file, as objects for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from pathdsl.checking.lock.drift import INPUTS, NUMBER, VERDICT, Comparison, Drift, note
from pathdsl.lang.canonical import tree_hash, used_hashes
from pathdsl.report.numbers import many

if TYPE_CHECKING:
    from pathdsl.checking.lock.file import LockFile
    from pathdsl.lang.program import Program

__all__ = ["comparison_object", "lock_file_object", "summary"]

DEEP = 4
LONG = 200


def summary(comparison: Comparison) -> str:
    """What came of a comparison, in one line without its end."""
    if comparison.drifted:
        counts = Counter(_kind(one.code) for one in comparison.drifts)
        parts = [
            many(counts[kind], kind) for kind in ("input", "number", "verdict") if counts[kind]
        ]
        return f"drifted from {', '.join(parts)}"
    if comparison.identical:
        return f"{many(comparison.numbers, 'number')} as locked, bit for bit"
    allowed, largest = comparison.tolerance, comparison.largest
    return (
        f"{many(comparison.numbers, 'number')} as locked, the largest difference {largest:.1e} "
        f"(allowed {allowed['estimate']:.0e}, ends of intervals {allowed['interval']:.0e})"
    )


def comparison_object(comparison: Comparison) -> dict[str, Any]:
    """The comparison for JSON."""
    return {
        "said": summary(comparison),
        "drifted": comparison.drifted,
        "identical": comparison.identical,
        "numbers": comparison.numbers,
        "largest": comparison.largest if isfinite(comparison.largest) else None,
        "tolerance": dict(comparison.tolerance),
        "drift": _drifts(comparison.drifts),
        "surroundings": _drifts(comparison.notes),
    }


def lock_file_object(lock_file: LockFile | None, program: Program) -> dict[str, Any] | None:
    """The lock that lies beside a file for JSON; None where there is none.

    `inputs` and `surroundings` are flat, by the keys that lead to each text; marks of rows are left
    out. `same_text`: its syntax trees are those of `program`.
    """
    if lock_file is None:
        return None
    lock = lock_file.lock
    inputs: Mapping[str, Any] = lock["inputs"] if lock is not None else {}
    same = None
    if lock is not None:
        trees = {"tree": tree_hash(program.file), "uses": dict(used_hashes(program))}
        same = trees == {key: inputs["file"][key] for key in trees}
    return {
        "path": lock_file.path,
        "sha256": lock_file.sha256 or None,
        "fault": lock_file.fault,
        "same_text": same,
        "inputs": dict(_flat(inputs)),
        "surroundings": dict(_flat(lock["surroundings"] if lock is not None else {})),
        "claims": len(lock["claims"]) if lock is not None else 0,
        "quantities": len(lock["quantities"]) if lock is not None else 0,
    }


def _flat(value: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every value of a table of tables as text, named by its keys; a lock may be a stranger's."""
    for key, one in value.items():
        if isinstance(one, dict):
            if len(before) < DEEP:
                yield from _flat(one, (*before, key))
        elif isinstance(one, str | int | float) and str(one):
            yield _printable(" ".join((*before, key))), _printable(str(one))


def _printable(text: str) -> str:
    """The text in a length for people, without halves of characters, which JSON can hold."""
    return text[:LONG].encode("utf-8", "replace").decode("utf-8")


def _drifts(drifts: Sequence[Drift]) -> list[dict[str, Any]]:
    """Every drift for JSON."""
    return [
        {
            **asdict(one),
            "apart": one.apart if isfinite(one.apart or 0.0) else None,
            "text": note(one),
        }
        for one in drifts
    ]


def _kind(code: str) -> str:
    if code in INPUTS:
        return "input"
    return {NUMBER: "number", VERDICT: "verdict"}[code]
