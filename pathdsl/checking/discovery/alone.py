"""One discovery into one file at a time: two would write the parts of one circuit between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pathdsl.checking.discovery.goal import Unwanted

__all__ = ["alone"]


@contextmanager
def alone(circuit: Path) -> Iterator[None]:
    """Hold the place of a circuit; Unwanted where another discovery holds it.

    The operating system lets go of a lock with the process that held it, so that none is left over
    by a discovery that was killed. Where it has no locks nothing is held.
    """
    place = circuit.with_name(f".{circuit.name}.discovering")
    held: IO[bytes] | None = None
    try:
        held = _locked(place)
        yield
    finally:
        if held is not None:
            with suppress(OSError):  # before it is let go: nobody else has it yet
                place.unlink()
            held.close()


def _locked(place: Path) -> IO[bytes] | None:
    while True:
        try:
            file = place.open("ab")
        except OSError:
            return None  # what can be written there is said elsewhere
        try:
            _lock(file)
        except BlockingIOError as error:
            file.close()
            raise Unwanted(
                f"another discovery writes `{place.name[1:].removesuffix('.discovering')}` just "
                "now: wait for it, or give this one an `--out` of its own"
            ) from error
        except OSError:
            return file  # a file system without locks
        with suppress(OSError):
            if os.name == "nt" or os.stat(place).st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # the one before let go of it between opening and locking


def _lock(file: IO[bytes]) -> None:
    """Lock a file at once; BlockingIOError where another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError(error.errno, "locked") from error
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
