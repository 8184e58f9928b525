"""Writing files: each appears whole or not at all, and is on the disk before it appears.

The bytes go to a file of the same folder that takes the place of the old one once it is flushed
(POSIX `rename`). Until then it has no name where the system can do that (`O_TMPFILE` of Linux), so
that a process that is killed leaves nothing behind. Elsewhere it is called `.pathdsl-….tmp`; one
that is older than `STALE` seconds was left by a process that is gone, and the next write into the
folder removes it.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["PREFIX", "STALE", "SUFFIX", "write_whole"]

PREFIX, SUFFIX = ".pathdsl-", ".tmp"
STALE = 600.0
"""Seconds after which nobody writes to an unfinished file any more: its bytes are at hand."""


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, or leave the one that is there as it is.

    Links are followed and the permissions of a file that is replaced are kept; one that the user
    may not write to is not replaced. What is no file and no folder (a pipe, a terminal) is written
    to. Raises OSError where that cannot be done: no room, no permission, no such folder.
    """
    mode = None
    try:
        found = os.stat(path)
    except FileNotFoundError:
        pass
    else:
        if _in_place(path, found):
            with open(path, "wb") as stream:
                stream.write(data)
            return
        mode = stat.S_IMODE(found.st_mode)
        with open(path, "r+b"):  # raises what writing in place would: a folder, no permission
            pass
    place = Path(os.path.realpath(path))
    _remove_stale(place.parent)
    number, temporary = _unnamed(place.parent), ""
    if number is None:
        temporary = _name_in(place.parent)
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if mode is not None and not temporary:
                os.fchmod(file.fileno(), mode)
            if not temporary:
                temporary = _named(file.fileno(), place.parent)
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, place)
    except BaseException:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)
        raise


_BINARY = getattr(os, "O_BINARY", 0)  # of Windows, which would write other line ends


def _in_place(path: str | os.PathLike[str], found: os.stat_result) -> bool:
    """Whether nothing can take the place of what is there: a pipe, a device, `/dev/stdout`."""
    if os.path.abspath(path).startswith(("/dev/", "/proc/")):
        return True
    return not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode)


def _name_in(folder: Path) -> str:
    return str(folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")


def _unnamed(folder: Path) -> int | None:
    """A file without a name in a folder, open for writing; None where there is no such thing."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except OSError:
        return None  # of old kernels and some file systems; a fault of the folder shows again


def _named(number: int, folder: Path) -> str:
    """Give an unnamed file a name."""
    name = _name_in(folder)
    # As open(2) says: `linkat` with AT_SYMLINK_FOLLOW. Without a folder's number Python calls plain
    # `link`, which does not follow the link in /proc whatever `follow_symlinks` says.
    os.link(f"/proc/self/fd/{number}", name, src_dir_fd=number, follow_symlinks=True)
    return name


def _remove_stale(folder: Path) -> None:
    """Remove what killed processes left in a folder."""
    before = time.time() - STALE
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry.path)
