"""The sha256 of files that a program names beside the rows of its tasks."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.reading import read_file

__all__ = ["digest_of", "place_of"]


def place_of(at: ast.Node, written: str) -> Path:
    """Where a file lies that is named by its way from the file in which `at` stands."""
    return Path(at.span.path).parent / written


def digest_of(program: Program, place: Path) -> str | None:
    """The sha256 of a file's bytes; None where the program may not read it. Raises OSError."""
    if not program.fence.holds(place):
        return None
    return hashlib.sha256(read_file(place)).hexdigest()
