"""Which files a command line means: files as they are named, folders as all that they hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pathdsl.errors import Diagnostic
from pathdsl.lang.fence import STDIN
from pathdsl.lang.syntax.source import MAX_BYTES, SourceFile, read_source, sources_of, too_big

__all__ = ["STDIN", "expand", "read_text", "sources_of"]


def expand(names: Iterable[str]) -> list[str]:
    """The files meant, each once; a folder stands for every `.circuit` file under it, sorted."""
    found: dict[str, None] = {}
    for name in names:
        if name != "-" and os.path.isdir(name):
            inside = sorted(Path(name).rglob("*.circuit"))
            found |= {str(path): None for path in inside if os.path.isfile(path)}
        else:
            found[name] = None
    return list(found)


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
