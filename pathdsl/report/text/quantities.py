"""The table of quantities.

A long sweep (`let x for h in attn`) shows its largest members, and all of them as a matrix where
they fill one that is not too wide.
"""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.report.content.quantities import QuantityFamily, QuantityRow
from pathdsl.report.numbers import many
from pathdsl.report.text.claims import members_block
from pathdsl.report.text.matrix import UNSURE, matrix_lines
from pathdsl.report.text.style import View, paragraph, table

__all__ = ["quantities_block"]

TOP, BOTTOM = 10, 2
TOP_BESIDE_MATRIX = 6


def quantities_block(quantities: Sequence[QuantityFamily], view: View) -> str:
    """All quantities, one line each; members of a sweep by size, the middle left out."""
    rows: list[list[str]] = []
    before: dict[int, str] = {}
    after: dict[int, list[str]] = {}
    for family in quantities:
        members = family.rows
        if family.single:
            (row,) = members
            rows.append(_cells(row, f"  {row.name}"))
            remarks = [f"      {note}" for note in row.notes]
            if row.members:
                remarks.append(members_block(row, view, "      "))
            after[len(rows) - 1] = [view.faint(remark) for remark in remarks]
            continue
        title = f"({many(len(members), 'member')}, largest first)"
        before[len(rows)] = f"  {family.name} {view.faint(title)}"
        hide = 0 if view.everything else max(0, len(members) - TOP - BOTTOM - 1)
        matrix = matrix_lines(family.picture, view, "      ") if hide and family.picture else []
        kept = [*members[:TOP], *members[-BOTTOM:]] if hide else members
        if matrix:
            kept = members[:TOP_BESIDE_MATRIX]
        for i, row in enumerate(kept):
            rows.append(_cells(row, f"    [{row.name}]"))
            if matrix and i == len(kept) - 1:
                after[len(rows) - 1] = [view.faint(_told(family, view)), *matrix]
            elif hide and not matrix and i == TOP - 1:
                text = f"    … {hide + 1} between; `--all` shows them"
                after[len(rows) - 1] = [view.faint(text)]
    titles = ["  name", "unit", "estimate", "95% interval", "n"]
    body = table([titles, *rows], right=(2, 4), width=view.width)
    lines = [view.heading("Quantities"), view.faint(body[0])]
    for i, line in enumerate(body[1:]):
        lines += [before[i]] if i in before else []
        lines += [line, *after.get(i, [])]
    return "\n".join(lines)


def _told(family: QuantityFamily, view: View) -> str:
    """What stands above a matrix."""
    picture = family.picture
    assert picture is not None
    marks = dict(picture.legend)
    unsure = f"; {UNSURE} where {marks['unsure']}" if "unsure" in marks else ""
    axes = " × ".join(filter(None, (picture.row_axis, picture.column_axis)))
    told = f"all {len(family.rows):,}{', ' if axes else ''}{axes}{unsure}; `--all`: every interval"
    return paragraph(told, view, "    ", "  ")


def _cells(row: QuantityRow, name: str) -> list[str]:
    return [name, row.unit, row.estimate, row.interval, row.n]
