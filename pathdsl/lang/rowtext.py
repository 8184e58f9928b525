"""How the text of a file of rows is cut into rows, for those who read all of them and for `lint`.

list(lines_of('{"id": 1}\\n\\n{"id": 2}'))    # [(1, '{"id": 1}'), (3, '{"id": 2}')]
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

__all__ = ["CODE", "WORD_PLACES", "CsvFault", "cells_of", "lines_of", "prompts_of"]

CODE = "utf-8-sig"
"""The encoding of files of rows: UTF-8, with or without a mark at its beginning."""

WORD_PLACES = "word_idxs"
"""The field of a row that says where words are, special tokens in front not counted."""


class CsvFault(ValueError):
    """Why a text is no CSV, and the line on which that shows."""

    def __init__(self, why: str, line: int) -> None:
        super().__init__(why)
        self.line = line


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text of JSON lines that hold something, each behind its number from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def cells_of(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """The records of CSV, the header first, each behind its first and last line.

    A cell in quotes may hold several lines. Cells are parted by semicolons or tabs where the
    header has those and no comma, as spreadsheets write them. Raises CsvFault.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_parted_by(text))
    begins = 1
    try:
        for cells in reader:
            first, begins = begins, reader.line_num + 1
            if cells:
                yield first, reader.line_num, cells
    except csv.Error as error:
        raise CsvFault(str(error), reader.line_num) from None


def _parted_by(text: str) -> str:
    """What parts the cells of CSV, by its header: no name of a column has these in it."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    if "," in header:
        return ","
    return next((mark for mark in (";", "\t") if mark in header), ",")


def prompts_of(found: Any) -> tuple[Any, dict[str, Any]]:
    """The list of rows of a JSON file, and what every row has besides.

    Rows of auto-circuit are `{"word_idxs": {…}, "prompts": […]}`.
    """
    if isinstance(found, dict) and isinstance(found.get("prompts"), list):
        words = found.get(WORD_PLACES)
        return found["prompts"], {WORD_PLACES: words} if words else {}
    return found, {}
