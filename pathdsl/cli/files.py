"""Which files a command line means: files as they are named, folders as all that they hold."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from pathdsl.errors import Diagnostic
from pathdsl.lang.source import SourceFile, read_source, sources_of

__all__ = ["STDIN", "expand", "read_text", "sources_of"]

STDIN = "<stdin>"


def expand(names: Iterable[str]) -> list[str]:
    """The files meant, each once; a folder stands for every `.circuit` file under it, sorted."""
    found: dict[str, None] = {}
    for name in names:
        if name != "-" and Path(name).is_dir():
            found |= {str(p): None for p in sorted(Path(name).rglob("*.circuit")) if p.is_file()}
        else:
            found[name] = None
    return list(found)


def read_text(name: str) -> SourceFile | Diagnostic:
    """The text of a file; of standard input for `-`."""
    if name != "-":
        return read_source(name)
    data = sys.stdin.buffer.read()
    try:
        return SourceFile(STDIN, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Diagnostic(code="PD010", message=f"`{STDIN}` is not UTF-8 text: byte {error.start}")
