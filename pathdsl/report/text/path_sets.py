"""The path sets that claims are about: a line for each, and one for what it is."""

from __future__ import annotations

from pathdsl.report.content.file import FileContent
from pathdsl.report.content.path_sets import PathSetRow
from pathdsl.report.numbers import many
from pathdsl.report.text.style import View, clip, paragraph, table

__all__ = ["path_sets_block"]

MOST = 12
NAME = 44
"""Columns for a name; a longer one stands whole on the next line."""
_INDENT = "    "


def path_sets_block(content: FileContent, view: View) -> str:
    """The first path sets with sizes, claims and definitions.

    `--all` shows all of them, and the declarations that they are made of.
    """
    rows = content.path_sets
    kept = rows if view.everything or len(rows) <= MOST + 1 else rows[:MOST]
    cells = [[f"  {clip(row.title, NAME)}", row.size] for row in kept]
    lines, told = [view.heading("Path sets")], table(cells, width=view.width)
    size = max(len(line.rpartition("\n")[2]) for line in told)
    for line, row in zip(told, kept, strict=True):
        room = max(16, view.width - size - 2)
        claims = row.claims if view.everything else clip(row.claims, room)
        above, end, last = line.rpartition("\n")
        lines.append(f"{above}{end}{last:<{size}}  {claims}".rstrip())
        if text := _definition(row):
            short = paragraph(text, view, _INDENT, "  ")
            if not view.everything:
                short = _INDENT + clip(text, view.width - len(_INDENT))
            lines.append(view.faint(short))
    if len(kept) < len(rows):
        more = many(len(rows) - len(kept), "more path set")
        lines.append(view.faint(f"  … {more}; `--all` shows them"))
    if view.everything and content.made_of:
        lines.append("  made of")
        lines += [view.faint(paragraph(text, view, _INDENT, "  ")) for _, text in content.made_of]
    return "\n".join(lines)


def _definition(row: PathSetRow) -> str:
    """What the set is, where the line above does not say it."""
    if row.definition:
        return f"= {row.definition}"
    return row.name if len(row.title) > NAME else ""
