"""The folder of a result store: where it is, what lies in it, and what is said when it fails."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathdsl.errors import Diagnostic, Severity
from pathdsl.record import record

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "BLOB",
    "DEFAULT_BYTES",
    "About",
    "Found",
    "Underway",
    "default_folder",
    "tensors",
    "unusable",
    "warning",
]

DEFAULT_BYTES = 2_000_000_000
"""Bytes of blobs that a check leaves behind at most; the least recently used go first."""

BLOB = re.compile(r"[0-9a-f]{64}\.safetensors")
"""The name of a file of values."""


@record
class About:
    """What a blob is of, for people: model and task as written, number of runs, label by key."""

    model: str = ""
    task: str = ""
    runs: int = 0
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A stored value: two axes of float64, the plan that computed it, and that plan's proof."""

    values: np.ndarray
    plan: str
    proof: str


@record
class Underway:
    """How much of the plan that is executed is kept already, from 0 to 1."""

    task: str
    share: float


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """`$PATHDSL_CACHE`, else `pathdsl` in the user's folder for caches; it need not exist."""
    if given := environment.get("PATHDSL_CACHE"):
        return Path(os.path.expanduser(given))
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(os.devnull)  # nothing can be kept there, and the warning says what to set
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "pathdsl"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "pathdsl"
    # The XDG specification: a relative path there is to be ignored.
    base = Path(environment.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else home / ".cache") / "pathdsl"


def warning(message: str, note: str, advice: str) -> Diagnostic:
    """A warning about the store (PD640)."""
    return Diagnostic(
        code="PD640", message=message, notes=(note,), help=advice, severity=Severity.WARNING
    )


def unusable(folder: Path, error: Exception) -> Diagnostic:
    """The warning that says why a store is off, and what to do."""
    return warning(
        "the result store cannot be used, so everything is computed",
        f"{folder}: {str(error).strip() or type(error).__name__}",
        "pathdsl cache prune --all, or `PATHDSL_CACHE=FOLDER` for another place, or `--no-cache`",
    )


def tensors(data: bytes, name: str) -> dict[str, np.ndarray] | None:
    """The values of a blob by key; None where the bytes are not those that were written."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if hashlib.sha256(data).hexdigest() != name:
        return None
    try:
        found = dict(load(data))
    except (SafetensorError, KeyError, TypeError, ValueError):  # a kind of number not numpy's, too
        return None
    good = all(value.dtype == "float64" and value.ndim == 2 for value in found.values())
    return found if good else None
