"""The sha256 of values and of this program: what names of kept things are made of. No numpy."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["as_json", "digest", "metric_text", "processor", "program_text", "versions"]

_PARTS = ("draws.py", "lang/signatures/treated.py", "graph", "plan", "engine")

_LIBRARIES = ("numpy", "scipy", "torch", "transformers")

_PRODUCTS = ("ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "MKL_CBWR",
             "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")  # fmt: skip


def digest(*parts: object) -> str:
    """The sha256 of anything that `as_json` takes, in hexadecimal digits."""
    text = json.dumps(as_json(parts), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def as_json(value: Any) -> Any:
    """A value as JSON with one spelling: fields that compare, keys sorted, numbers exact.

    Raises TypeError for what has no spelling of its own.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return hex(value)  # masks may have more digits than Python writes in decimal
        case float():
            return f"float {value!r}"
        case bytes():
            return f"bytes {hashlib.sha256(value).hexdigest()}"
        case _ if _is_array(value):
            data = hashlib.sha256(value.tobytes()).hexdigest()
            return [f"array {value.dtype.str}", list(map(hex, value.shape)), data]
        case tuple() | list():
            return [as_json(part) for part in value]
        case frozenset():
            return {"": "set", "of": sorted(map(json.dumps, map(as_json, value)))}
        case Mapping():
            return {"": "map", "of": sorted([str(k), as_json(v)] for k, v in value.items())}
        case _ if is_dataclass(value):
            found = {"": type(value).__name__}
            kind: Any = type(value)
            for name, later, default in _compared(kind):
                inside = getattr(value, name)
                # What was added later and is not used leaves the spelling as it was.
                if not (later and inside == default):
                    found[name] = as_json(inside)
            return found
        case _:
            raise TypeError(f"`{type(value).__name__}` has no spelling in a key")


def _is_array(value: Any) -> bool:
    """Whether a value is numpy's, which nobody has who has not imported it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


@cache
def _compared(kind: Any) -> tuple[tuple[str, bool, Any], ...]:
    """The fields of a dataclass that compare: the name, whether it was added later, the default."""
    return tuple(
        (one.name, bool(one.metadata.get("later")), one.default)
        for one in fields(kind)
        if one.compare
    )


@cache
def program_text() -> str:
    """The sha256 of the package's own modules that have a part in a value.

    A version number would have to be raised by hand with every change of the arithmetic.
    """
    root = Path(__file__).parents[2]
    found = hashlib.sha256()
    for part in _PARTS:
        place = root / part
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            text = path.read_bytes()
            found.update(f"{path.relative_to(root).as_posix()} {len(text)}\n".encode() + text)
    return found.hexdigest()


@cache
def metric_text() -> str:
    """The sha256 of what differentiates metrics, and the version of what it does so with."""
    text = (Path(__file__).parents[2] / "score" / "metrics.py").read_bytes()
    return f"{hashlib.sha256(text).hexdigest()} {version('sympy')}"


@cache
def versions() -> dict[str, str]:
    """The version of every library that computes; this package is known by its text."""
    return {name: version(name) for name in _LIBRARIES}


@cache
def processor() -> str:
    """The processor as far as it can be told; another one may multiply in another order."""
    name = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line.partition(":") for line in lines]
        first = {key.strip(): value.strip() for key, _, value in reversed(told)}
        name = first.get("model name", "")
        # Makers give several generations, with other instructions, one name.
        name += "".join(
            f" {short} {first[key]}"
            for key, short in (("cpu family", "family"), ("model", "model"))
            if key in first
        )
    except OSError:
        pass
    chosen = [f"{key}={os.environ[key]}" for key in _PRODUCTS if key in os.environ]
    return " ".join([platform.machine(), platform.system(), name.strip(), *chosen])
