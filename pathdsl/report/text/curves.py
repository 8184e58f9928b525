"""The curves behind areas: faithfulness and distance at each size."""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.report.content.curves import CurveContent
from pathdsl.report.text.style import View, table

__all__ = ["curves_block"]


def curves_block(curves: Sequence[CurveContent], view: View) -> str:
    """Each curve with its sizes in columns."""
    lines = [view.heading("Curves")]
    for curve in curves:
        lines.append(f"  {curve.title} {view.faint(f'(read by {curve.read_by})')}")
        first, *others = curve.titles
        head, *rows = table(
            [[f"    {first}", *others], *([f"    {c[0]}", *c[1:]] for c in _cells(curve))],
            right=(1, 2, 4),
            width=view.width,
        )
        lines += [view.faint(head), *rows]
    return "\n".join(lines)


def _cells(curve: CurveContent) -> list[list[str]]:
    return [row.cells for row in curve.rows]
