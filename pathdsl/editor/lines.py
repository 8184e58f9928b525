"""Lines and columns as the language server protocol counts them.

Lines end at "\\n", "\\r\\n" or "\\r" and nowhere else; columns count units of the encoding that
client and server agreed on, UTF-16 if they said nothing.

Source: Language Server Protocol 3.17, Position and PositionEncodingKind.

    >>> lines = Lines("a\\n😀b", "utf-16")
    >>> lines.place(3), lines.offset(1, 2)
    ((1, 2), 3)
"""

from __future__ import annotations

import re
from bisect import bisect_right

__all__ = ["Lines"]

_END = re.compile(r"\r\n|\n|\r")
_WIDTH = {"utf-8": 1, "utf-16": 2, "utf-32": 4}


class Lines:
    """The lines of one text; offsets count characters, lines and columns count from 0."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text = text
        self._encoding = f"{encoding}-le" if encoding != "utf-8" else encoding
        self._width = _WIDTH[encoding]
        self._plain = text.isascii() or encoding == "utf-32"
        self._starts = [0, *(match.end() for match in _END.finditer(text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character; past the end that of the end."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._starts, offset) - 1
        start = self._starts[line]
        return line, offset - start if self._plain else self._units(self.text[start:offset])

    def offset(self, line: int, column: int) -> int:
        """The character at a place; past the end of a line that end."""
        if line >= len(self._starts):
            return len(self.text)
        start = self._starts[line]
        last = line + 1 >= len(self._starts)
        whole = self.text[start : len(self.text) if last else self._starts[line + 1]]
        inside = whole.rstrip("\r\n") if not last else whole
        if self._plain:
            return start + min(column, len(inside))
        at = units = 0
        while at < len(inside) and units < column:
            units += self._units(inside[at])
            at += 1
        return start + at

    def _units(self, text: str) -> int:
        return len(text.encode(self._encoding, "surrogatepass")) // self._width

    def changed(self, start: tuple[int, int], end: tuple[int, int], text: str) -> str:
        """The text with another in the place of what stands between two places."""
        first, last = self.offset(*start), self.offset(*end)
        return self.text[:first] + text + self.text[max(first, last) :]
