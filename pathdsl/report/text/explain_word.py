"""A word of the language as text, in each of its senses."""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.lang.words import Word
from pathdsl.report.text.style import View, paragraph

__all__ = ["word_text"]


def word_text(senses: Sequence[Word], view: View) -> str:
    """What it means, an example, its options and where the whole of it is written."""
    lines: list[str] = []
    for word in senses:
        lines += [view.heading(f"{word.name} ({word.kind})"), f"  {word.meaning}", ""]
        lines += [f"      {word.example}", ""]
        if word.options:
            lines += [paragraph(option, view, "  ", "    ") for option in word.options]
            lines.append("")
        lines += [f"  more: {word.page}", ""]
    return "\n".join(lines)
