"""Standard output and error: encodings, colour, closed pipes.

A reader that goes away (`pathdsl check … | head`) is no fault: what is left is dropped in silence
and the exit code stays that of the work done.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

__all__ = ["colour_on", "columns", "err", "out", "set_up"]

WIDEST = 100
NARROWEST = 60


def set_up() -> None:
    """Text that the terminal cannot show is replaced, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def out(text: str) -> None:
    """Write to standard output, the product."""
    _write(sys.stdout, text)


def err(text: str) -> None:
    """Write to standard error: progress and complaints."""
    _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Python flushes once more at exit; nothing may be left that could fail then.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def colour_on(stream: TextIO, *, off: bool) -> bool:
    """Colour only for a terminal, and not with `--no-color`, `NO_COLOR` or a dumb terminal."""
    if off or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def columns() -> int:
    """Columns to fill: those of the terminal up to 100; 100 where there is none."""
    if not sys.stdout.isatty():
        return WIDEST
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))
