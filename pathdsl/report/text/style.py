"""What every text report shares: how wide, how bright, how much, and how tables line up."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pathdsl.lang.visible import coloured
from pathdsl.record import record

__all__ = ["TONES", "View", "clip", "paragraph", "table"]

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35",
}  # fmt: skip
TONES = {"good": "green", "open": "yellow", "bad": "red"}
"""The colours of the tones of a content."""


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


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = (), gap: int = 2) -> list[str]:
    """Rows as lines with aligned columns; those in `right` are flush right."""
    from rich.cells import cell_len  # quick commands print no table, and do without

    n = max((len(row) for row in rows), default=0)
    widths = [max((cell_len(row[i]) for row in rows if i < len(row)), default=0) for i in range(n)]
    lines = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            pad = " " * (widths[i] - cell_len(cell))
            cells.append(pad + cell if i in right else cell + pad)
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
    """Wrapped text."""
    return textwrap.fill(
        text, view.width, initial_indent=indent, subsequent_indent=indent + hanging,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
