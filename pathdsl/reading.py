"""Reading files whose names come from elsewhere: only files, only so much, and one way to fail."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Mark", "mark_of", "note", "noting", "read_file"]

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


_HANDED_OVER = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/", "/dev/null")


Mark = tuple[int, int, int, int] | None
"""Times, size and inode of a file; None where there is none."""

_noted: list[dict[str, Mark]] = []


@contextmanager
def noting() -> Iterator[dict[str, Mark]]:
    """All files that are read meanwhile by their paths, as they were just before they were read.

    Those among them that are not there have no mark.
    """
    found: dict[str, Mark] = {}
    _noted.append(found)
    try:
        yield found
    finally:
        _noted[:] = [other for other in _noted if other is not found]


def note(path: str | os.PathLike[str]) -> None:
    """Tell whoever wants to know that a file is read next."""
    for found in _noted:
        name = os.path.abspath(path)
        if name not in found:
            found[name] = mark_of(name)


def mark_of(path: str | os.PathLike[str]) -> Mark:
    """What changes when a file is written; its own time of change cannot be set by hand."""
    try:
        at = os.stat(path)
    except OSError:
        return None
    return at.st_mtime_ns, at.st_ctime_ns, at.st_size, at.st_ino


def read_file(
    path: str | os.PathLike[str], most: int | None = None, *, named: bool = False
) -> bytes:
    """The bytes of a file, `most` of them at most where that is said.

    What the command line names (`named`) may be what a shell hands over, `<(…)` and `/dev/stdin`.

    Raises OSError, and nothing else, with why as its `strerror`: there is none, it cannot be read,
    its name is none, or it is a pipe, a socket or a device, which might never end.
    """
    if named and os.fspath(path).startswith(_HANDED_OVER):
        with open(path, "rb") as handed:
            return handed.read() if most is None else handed.read(most)
    if _noted and "\0" not in os.fspath(path):
        note(path)
    try:
        number = os.open(path, _FLAGS)
    except ValueError as error:  # U+0000 in the name
        raise OSError(errno.EINVAL, "its name holds a character that no name has") from error
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, wanted a file")
        return file.read() if most is None else file.read(most)
