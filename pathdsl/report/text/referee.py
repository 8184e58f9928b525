"""The section for a referee as text: one screen of lines.

What is claimed of bundled("induction-2l")
  sufficient: supported, 1.000 [0.999, 1.000], wanted >= 0.99 at 95%; 128 of 128 prompts alone
    main: 2 of 8 nodes, 7% of edges · instead: none 0.000 does not, full 1.00 satisfies it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathdsl.lang.visible import visible
from pathdsl.report.content.file import FileContent, contents
from pathdsl.report.content.referee import Point, RefereeSection
from pathdsl.report.text.style import TONES, View, clip, paragraph

__all__ = ["referee"]

_INDENT = "  "
MOST_LINES = 2
"""Lines of what is said first, and of what is said second, of anything but claims."""
LONGEST_NAME = 36
"""Columns of the name of a path set."""


def referee(result: Mapping[str, Any], checked: bool, view: View | None = None) -> str:
    """The section of every file of a result, `checked` now or read."""
    used = view or View()
    blocks = [_file(content, used) for content in contents(result, checked=checked)]
    return visible("\n\n".join(blocks) + "\n")


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
    lines = [view.heading(section.title)]
    for point in section.points:
        lines += _claim(point, view) if point.verdict else _point(point, view)
    return [*lines, *([_INDENT + section.rest] if section.rest else [])]


def _claim(point: Point, view: View) -> list[str]:
    """Name, verdict and number, and what is behind them; no part is broken that fits a line."""
    lead = f"{point.name}: {point.verdict}"
    room = view.width - 2 * len(_INDENT)
    lines = [""]
    for part in (f"{lead}, {point.text}", *(_short(part) for part in point.more)):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(joined) <= room:
            lines[-1] = joined
        else:
            lines += [clip(part, room)]
    coloured = f"{point.name}: {view.paint(point.verdict, TONES[point.tone])}"
    first, *others = [line for line in lines if line]
    return [_INDENT + first.replace(lead, coloured, 1), *(2 * _INDENT + line for line in others)]


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
    lines = paragraph(text, view, indent, "  ").split("\n")
    if len(lines) <= MOST_LINES:
        return lines
    rest = " ".join(line.strip() for line in lines[MOST_LINES - 1 :])
    cut = clip(rest, view.width - len(indent) - 2)
    return [*lines[: MOST_LINES - 1], f"{indent}  {cut}"]
