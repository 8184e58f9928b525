"""A result as Markdown."""

from __future__ import annotations

import re

from markupsafe import Markup

from pathdsl.lang.visible import visible
from pathdsl.report.content.file import contents
from pathdsl.report.content.rows import Object
from pathdsl.report.data.families import families_of, family_text
from pathdsl.report.page.template import rendered

__all__ = ["code_text", "markdown", "markdown_referee", "marked_text"]


def markdown(result: Object, checked: bool) -> str:
    """The report on all files, `checked` now or read; equal objects give equal texts."""
    return _written(result, checked, alone=False)


def markdown_referee(result: Object, checked: bool) -> str:
    """The section for a referee alone, of all files."""
    return _written(result, checked, alone=True)


def _written(result: Object, checked: bool, *, alone: bool) -> str:
    return rendered(
        "report.md.jinja",
        {
            "files": contents(result, checked=checked),
            "alone": alone,
            "families": [family_text(one) for one in families_of(result["files"])],
        },
        {"code": code_text},
        lambda value: value if isinstance(value, Markup) else marked_text(str(value)),
    )


def marked_text(text: str) -> str:
    """The text in Markdown: nothing in it is markup, a link or HTML."""
    text = (
        visible(" ".join(text.split()))
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    # At the start of a line these make a heading, a list or a rule.
    text = re.sub(r"^([#+=-]+|\d+[.)])(?=\s|$)", lambda m: f"&#{ord(m[1][0])};{m[1][1:]}", text)
    # GitHub makes links of bare addresses and mentions of names.
    return re.sub(r"://|\bwww\.|@", lambda m: "".join(f"&#{ord(c)};" for c in m[0]), text)


def code_text(text: str) -> Markup:
    """The text as code, also in a table."""
    text = visible(" ".join(text.split())).replace("|", "\\|") or " "
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    room = " " if "`" in text else ""
    return Markup(f"{ticks}{room}{text}{room}{ticks}")
