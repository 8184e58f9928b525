"""Files that the command line was told to write."""

from __future__ import annotations

from pathlib import Path

from pathdsl.cli.complaints import complain
from pathdsl.errors import Diagnostic
from pathdsl.whole import write_whole

__all__ = ["save"]


def save(path: Path, text: str | bytes) -> bool:
    """Write a file, whole or not at all; False after a complaint (PD641) where that fails."""
    try:
        # Half a surrogate pair, as an id in JSON may hold, is written as JSON escapes it.
        encoded = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
        write_whole(path, encoded)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        complain(
            [
                Diagnostic(
                    code="PD641",
                    message=f"cannot write `{path}`: {why}",
                    notes=("a file that was there is as it was",) if path.is_file() else (),
                    help="name a file in a folder of yours, on a disk with room",
                )
            ]
        )
        return False
    return True
