"""A word of the language as text, in each of its senses."""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.lang.words import Option, Word
from pathdsl.report.text.style import View, paragraph

__all__ = ["word_text"]

_COLUMN = 18


def word_text(senses: Sequence[Word], view: View) -> str:
    """What it means, an example, its options and where the whole of it is written."""
    lines: list[str] = []
    for word in senses:
        meaning = paragraph(word.meaning, view, "  ", "  ")
        lines += [view.heading(f"{word.name} ({word.kind})"), meaning, ""]
        lines += [f"      {word.example}", ""]
        if word.options:
            lines += [line for option in word.options for line in _option(option, view)]
            lines.append("")
        if word.taken_by:
            lines += [paragraph("of " + ", ".join(word.taken_by), view, "  ", "    "), ""]
        lines += [f"  more: {word.page}", ""]
    return "\n".join(lines)


def _option(option: Option, view: View) -> list[str]:
    """An option with its meaning beside it, or below where its choices are many."""
    written = f"  {option.written}"
    if not option.means:
        return [paragraph(option.written, view, "  ", "    ")]
    beside = " " * _COLUMN
    if len(written) + 2 <= _COLUMN:
        return [paragraph(option.means, view, f"{written:<{_COLUMN}}", beside)]
    below = [paragraph(option.written, view, "  ", "    ")]
    return [*below, paragraph(option.means, view, beside, beside)]
