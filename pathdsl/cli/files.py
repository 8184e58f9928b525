"""Which files a command line means: files as they are named, folders as all that they hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pathdsl.errors import Diagnostic
from pathdsl.lang.fence import STDIN
from pathdsl.lang.syntax.source import MAX_BYTES, SourceFile, read_source, too_big

__all__ = ["expand", "no_files", "read_text"]


def expand(names: Iterable[str]) -> list[str]:
    """The files meant, each once; a folder stands for every `.circuit` file under it, sorted."""
    files: dict[str, None] = {}
    for name in names:
        if name != "-" and os.path.isdir(name):
            inside = sorted(Path(name).rglob("*.circuit"))
            files |= {str(path): None for path in inside if os.path.isfile(path)}
        else:
            files[name] = None
    return list(files)


def no_files(names: Iterable[str]) -> str:
    """What is said where the folders that were named hold no file."""
    return "no `.circuit` file in " + ", ".join(f"`{name}`" for name in names) + "\n"


def read_text(name: str) -> SourceFile | Diagnostic:
    """The text of a file; of standard input for `-`."""
    if name != "-":
        return read_source(name)
    try:
        if sys.stdin is None:
            raise OSError("it is closed")
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it was closed meanwhile
        why = (getattr(error, "strerror", None) or str(error)).lower()
        return Diagnostic(
            code="PD009",
            message=f"standard input cannot be read: {why}",
            help="pathdsl lint - < x.circuit",
        )
    if len(data) > MAX_BYTES:
        return too_big(STDIN)
    try:
        return SourceFile(STDIN, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Diagnostic(code="PD010", message=f"`{STDIN}` is not UTF-8 text: byte {error.start}")
