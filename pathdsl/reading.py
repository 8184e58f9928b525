"""Reading files whose names come from elsewhere: only files, only so much, and one way to fail."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["read_file"]

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_file(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """The bytes of a file, `most` of them at most where that is said.

    Raises OSError, and nothing else, with why as its `strerror`: there is none, it cannot be read,
    its name is none, or it is a pipe, a socket or a device, which might never end.
    """
    try:
        number = os.open(path, _FLAGS)
    except ValueError as error:  # U+0000 in the name
        raise OSError(errno.EINVAL, "its name holds a character that no name has") from error
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, wanted a file")
        return file.read() if most is None else file.read(most)
