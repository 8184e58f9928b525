"""Standard output and error: encodings, colour, closed pipes, streams that cannot be written.

A reader that goes away (`pathdsl check … | head`) is no fault: what is left is dropped in silence
and the exit code stays that of the work done. A stream that is closed from the start, or a disk
that is full, is one: `lost` says so, and the command exits with 3. All text goes through `printed`,
so that no file of a stranger moves the cursor or turns text round.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TextIO

from pathdsl.errors import Diagnostic
from pathdsl.lang.visible import printed

if TYPE_CHECKING:
    from pathdsl.report.text.style import View

__all__ = ["asked", "colour_on", "columns", "err", "lost", "out", "set_up", "view_of"]

WIDEST = 100
NARROWEST = 20

_failed: list[str] = []  # why standard output could not be written, the first time
_asked: dict[str, bool] = {}  # how the verb that runs was asked to say things


class _Closed(io.TextIOBase):
    """What stands for a standard output that was closed before the start."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")


def set_up() -> None:
    """Text that the terminal cannot show is replaced; streams that are closed get a stand-in."""
    _failed.clear()
    _asked.clear()
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # No file that is opened later may take the number of a standard stream.
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = io.StringIO()  # nobody reads it
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def view_of(*, no_color: bool = False, **more: bool) -> View:
    """How wide and how bright standard output is; `more` are other fields of the view.

    A verb asks before it says anything: complaints on standard error follow the same options.
    """
    from pathdsl.report.text.style import View

    _asked.update(no_color=no_color, concise=more.get("concise", False))
    return View(width=columns(), colour=colour_on(sys.stdout, off=no_color), **more)


def asked(what: Literal["no_color", "concise"]) -> bool:
    """Whether the verb that runs was given `--no-color`, or `--diagnostics concise`."""
    return _asked.get(what, False)


def out(text: str, *, verbatim: bool = False) -> None:
    """Write to standard output, the product; `verbatim` for a text that a program is to read."""
    _write(sys.stdout, text if verbatim and not sys.stdout.isatty() else printed(text))


def err(text: str) -> None:
    """Write to standard error: progress and complaints."""
    _write(sys.stderr, printed(text))


def lost() -> Diagnostic | None:
    """Why a part of the output is missing; None where all of it was written."""
    with suppress(BrokenPipeError):
        _write(sys.stdout, "")  # what libraries wrote, too
    if not _failed:
        return None
    return Diagnostic(
        code="PD665",
        message=f"standard output cannot be written: {_failed[0].lower()}",
        help="write to a place with room: `pathdsl … > FILE`",
    )


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _drop(stream)
    except (OSError, ValueError) as error:  # ValueError: the stream was closed meanwhile
        if stream is sys.stdout:
            _failed.append(getattr(error, "strerror", None) or str(error))
        _drop(stream)


def _drop(stream: TextIO) -> None:
    """Send what is left nowhere: Python flushes once more at exit, and that may not fail."""
    with suppress(OSError, ValueError):
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
