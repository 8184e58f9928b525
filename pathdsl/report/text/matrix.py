"""A sweep as a matrix: layers as rows, heads or positions as columns, one number in each cell.

print("\\n".join(matrix_lines(picture, View(width=100), "    ")))
"""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.report.figures.grid import Cell, Picture, in_matrix
from pathdsl.report.numbers import plain
from pathdsl.report.text.style import View

__all__ = ["UNSURE", "matrix_lines"]

UNSURE, UNDEFINED = "?", "undef"
FEWEST = 2
"""Digits that the largest number keeps at least where a matrix would be too wide."""


def matrix_lines(picture: Picture, view: View, indent: str) -> list[str]:
    """The lines; [] for what fills no matrix, or one that is too wide.

    A number whose interval contains 0 is faint and followed by `?`. Where they would be too wide,
    numbers have fewer digits, the largest two at least.
    """
    from rich.cells import cell_len

    if not in_matrix(picture):
        return []
    left = max(map(cell_len, (picture.row_axis, *picture.rows)))
    printed = [cell.text for cell in picture.cells if cell.share is not None]
    most = max((len(text.partition(".")[2]) for text in printed), default=0)
    for places in range(most, -1, -1):
        if places < most and _digits(plain(picture.limit, places)) < FEWEST:
            return []
        texts = {
            cell.name: _text(cell, None if places == most else places) for cell in picture.cells
        }
        wide = max(map(cell_len, (*texts.values(), *(f"{title} " for title in picture.columns))))
        if len(indent) + left + len(picture.columns) * (wide + 1) <= view.width:
            break
    else:
        return []
    lines = []
    for panel in picture.panels:
        if panel.title:
            lines.append(indent + view.heading(panel.title))
        titles = "".join(f" {_right(title + ' ', wide)}" for title in picture.columns)
        lines.append(view.faint(f"{indent}{_right(picture.row_axis, left)}{titles}".rstrip()))
        for row in picture.rows:
            there = [panel.cells.get((row, column)) for column in picture.columns]
            while there and there[-1] is None:
                there.pop()
            cells = [
                _cell(cell, texts, wide, view, last=i == len(there))
                for i, cell in enumerate(there, 1)
            ]
            lines.append(f"{indent}{_right(row, left)}{''.join(cells)}")
    return lines


def _digits(number: str) -> int:
    """How many digits a number shows that say something."""
    return sum(map(str.isdigit, number.lstrip("0.")))


def _text(cell: Cell, places: int | None) -> str:
    """A number and its mark, or a blank in the place of the mark; None: the digits it has."""
    if cell.share is None:
        return UNDEFINED + " "
    number = cell.text if places is None else plain(cell.estimate or 0.0, places)
    return number + (UNSURE if cell.mark == "unsure" else " ")


def _cell(cell: Cell | None, texts: Mapping[str, str], wide: int, view: View, *, last: bool) -> str:
    if cell is None:
        return " " * (wide + 1)
    text = " " + _right(texts[cell.name], wide)
    text = text.rstrip() if last else text
    faint = cell.share is None or cell.mark == "unsure"
    return view.faint(text) if faint else view.heading(text)


def _right(text: str, room: int) -> str:
    from rich.cells import cell_len

    return " " * (room - cell_len(text)) + text
