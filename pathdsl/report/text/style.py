"""What every text report shares: how wide, how bright, how much, and how tables line up."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from pathdsl.lang.visible import coloured, plainly
from pathdsl.record import record

__all__ = ["TONES", "View", "clip", "fit", "paragraph", "table"]

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35",
}  # fmt: skip
TONES = {"good": "green", "open": "yellow", "bad": "red"}
"""The colours of the tones of a content."""
NARROW = 12
"""Columns that the first column of a table keeps at least."""


@record
class View:
    """How a report is to look; `everything` hides no member and no prompt."""

    width: int = 100
    colour: bool = False
    everything: bool = False
    quiet: bool = False
    concise: bool = False

    def paint(self, text: str, *names: str) -> str:
        """The text in a colour, where there are colours."""
        if not self.colour or not names or not text.strip():
            return text
        return coloured(text, ";".join(_CODES[name] for name in names))

    def heading(self, text: str) -> str:
        """The title of a section."""
        return self.paint(text, "bold")

    def faint(self, text: str) -> str:
        """What is read second."""
        return self.paint(text, "dim")


def fit(text: str, view: View) -> str:
    """The text with each line that is wider than the view broken at blanks.

    What follows stands further in. A line stays too wide where one word is.
    """
    return "\n".join(part for line in text.split("\n") for part in _broken(line, view.width))


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width and line.isascii():
        return [line]
    from rich.cells import cell_len

    bare = plainly(line)
    if cell_len(bare) <= width:
        return [line]
    further = min(len(bare) - len(bare.lstrip(" ")) + 2, width // 3)
    lines, current, used, blanks = [], "", 0, ""
    for piece in re.findall(" +|[^ ]+", line):
        if piece[0] == " ":
            blanks = piece
            continue
        wide = cell_len(plainly(piece))
        begins = not used
        if used and used + len(blanks) + wide > width:
            lines.append(current)
            current, used, blanks, begins = "", 0, " " * further, True
        if begins and wide:  # nothing is pushed out for being further in
            blanks = blanks[: max(0, width - wide)]
        current += blanks + piece
        used += (len(blanks) + wide) if wide else 0
        blanks = "" if wide or not begins else blanks
    return [*lines, current]


def table(
    rows: Sequence[Sequence[str]], right: Sequence[int] = (), gap: int = 2, width: int = 0
) -> list[str]:
    """Rows as lines with aligned columns; those in `right` are flush right.

    Where they are wider than `width`, a first cell that is longer than its column may be stands on
    a line of its own, and the rest of its row, in its columns, on the next.
    """
    from rich.cells import cell_len  # quick commands print no table, and do without

    n = max((len(row) for row in rows), default=0)
    widths = [max((cell_len(row[i]) for row in rows if i < len(row)), default=0) for i in range(n)]
    rest = sum(widths[1:]) + gap * (n - 1)
    if width and n > 1 and widths[0] + rest > width:
        firsts = [cell_len(row[0]) for row in rows if row]
        room = max(width - rest, NARROW)
        widths[0] = max((one for one in firsts if one <= room), default=0)
    lines = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            pad = " " * (widths[i] - cell_len(cell))
            cells.append(pad + cell if i in right else cell + pad)
        if row and len(row) > 1 and cell_len(row[0]) > widths[0]:
            cells[0] = f"{row[0]}\n{' ' * widths[0]}"
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def clip(text: str, room: int, *, keep_end: bool = False) -> str:
    """The text on one line, cut to `room` columns; the last words are what prompts end on."""
    from rich.cells import cell_len, set_cell_size

    text = " ".join(text.split())
    if cell_len(text) <= room:
        return text
    if not keep_end:
        return set_cell_size(text, room - 1) + "…"
    text = text[-(room - 1) :]
    while cell_len(text) >= room:
        text = text[1:]
    return "…" + text


def paragraph(text: str, view: View, indent: str, hanging: str = "") -> str:
    """Wrapped text; on a narrow screen it is set in by less."""
    return textwrap.fill(
        text, view.width, initial_indent=indent[: view.width // 3],
        subsequent_indent=(indent + hanging)[: view.width // 3],
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
