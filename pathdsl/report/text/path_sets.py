"""The path sets that claims are about: two lines for each, its size and its definition."""

from __future__ import annotations

from pathdsl.report.content.file import FileContent
from pathdsl.report.content.path_sets import PathSetRow
from pathdsl.report.text.style import View, clip, paragraph, table

__all__ = ["path_sets_block"]


def path_sets_block(content: FileContent, view: View) -> str:
    """All path sets; `--all` adds the declarations that they are made of."""
    names = table([[f"  {row.title}", row.size, row.claims] for row in content.path_sets])
    lines = [view.heading("Path sets")]
    for line, row in zip(names, content.path_sets, strict=True):
        lines.append(clip_end(line, view))
        lines += [view.faint(_definition(row, view))] if row.definition else []
    if view.everything and content.made_of:
        lines.append("  made of")
        lines += [view.faint(paragraph(text, view, "    ", "  ")) for _, text in content.made_of]
    return "\n".join(lines)


def clip_end(line: str, view: View) -> str:
    """A line of a table, cut where it is too long; its beginning keeps its blanks."""
    start = len(line) - len(line.lstrip())
    room = view.width - start
    return (
        line
        if view.everything or len(line) <= view.width
        else line[:start] + line[start:][: room - 1] + "…"
    )


def _definition(row: PathSetRow, view: View) -> str:
    text = f"= {row.definition}"
    return (
        paragraph(text, view, "    ", "  ")
        if view.everything
        else "    " + clip(text, view.width - 4)
    )
