"""The section for a referee as text: one screen of lines.

What is claimed of bundled("induction-2l"); would no path (none) or all paths (full) do as well?
  sufficient: supported, 1.000 [1.000, 1.000] at 95%, faithfulness(main) >= 99%
    main: 2 of 8 nodes, 7% of edges · n = 128 · none 0 no, full 1.000 yes · control 0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathdsl.lang.visible import visible
from pathdsl.report.content.file import FileContent, contents
from pathdsl.report.content.referee import Point, RefereeSection
from pathdsl.report.text.style import TONES, View, clip, fit, paragraph

__all__ = ["referee"]

_INDENT = "  "
MOST_LINES = 2
"""Lines of what is said first, and of what is said second."""
LONGEST_NAME = 36
"""Columns of the name of a claim or a path set, so that no name hides a number."""


def referee(result: Mapping[str, Any], checked: bool, view: View | None = None) -> str:
    """The section of every file of a result, `checked` now or read."""
    used = view or View()
    blocks = [_file(content, used) for content in contents(result, checked=checked)]
    return visible(fit("\n\n".join(blocks), used) + "\n")


def _file(content: FileContent, view: View) -> str:
    page = content.referee
    lines = [view.heading(clip(content.heading or content.path, view.width))]
    for text in (page.headline, content.provenance, page.origin):
        lines += _few(text, view, _INDENT) if text else []
    for section in page.sections:
        lines += _section(section, view)
    return "\n".join(lines)


def _section(section: RefereeSection, view: View) -> list[str]:
    first, *others = section.points
    if not (others or first.name or first.more or section.rest):
        text = _few(f"{section.title}: {first.text}", view, "")
        title = f"{section.title}:"
        return [view.heading(title) + text[0].removeprefix(title), *text[1:]]
    lines = [view.heading(line) for line in _few(section.title, view, "")]
    for point in section.points:
        lines += _claim(point, view) if point.verdict else _point(point, view)
    return [*lines, *(_few(section.rest, view, _INDENT) if section.rest else [])]


def _claim(point: Point, view: View) -> list[str]:
    """Name, verdict, number and what was asked; below it what is behind them."""
    name = clip(point.name, LONGEST_NAME)
    lead = f"{name}: {point.verdict}"
    first, *others = _few(f"{lead}, {point.text}", view, _INDENT)
    coloured = f"{name}: {view.paint(point.verdict, TONES[point.tone])}"
    second = " · ".join(map(_short, point.more))
    return [first.replace(lead, coloured, 1), *others, *_few(second, view, 2 * _INDENT)]


def _short(part: str) -> str:
    """A part whose name is long, `random_like(a | b…: 2 of 8 nodes`, with a short one."""
    name, colon, size = part.rpartition(": ")
    return f"{clip(name, LONGEST_NAME)}{colon}{size}"


def _point(point: Point, view: View) -> list[str]:
    text = f"{point.name}: {point.text}" if point.name else point.text
    second = _few(" · ".join(point.more), view, 2 * _INDENT) if point.more else []
    return [*_few(text, view, _INDENT), *second]


def _few(text: str, view: View, indent: str) -> list[str]:
    """Wrapped text of few lines, the last one cut where there are more."""
    lines = paragraph(text, view, indent, "    ").split("\n")
    if len(lines) <= MOST_LINES:
        return lines
    rest = " ".join(line.strip() for line in lines[MOST_LINES - 1 :])
    return [*lines[: MOST_LINES - 1], f"{indent}    {clip(rest, view.width - len(indent) - 4)}"]
