"""Where kept scores are read and written: `pathdsl.score.kept.file`, by its older place."""

from __future__ import annotations

from pathdsl.score.kept.file import (
    SUFFIX,
    Kept,
    read_kept,
    unit_name,
    unit_of,
    values_path,
    write_kept,
)

__all__ = ["SUFFIX", "Kept", "read_kept", "unit_name", "unit_of", "values_path", "write_kept"]
