"""How the pages of docs/ become a site: `make docs` writes it to docs/_build/html.

The pages are read on code hosts as well, so they keep to plain Markdown. What a site wants written
otherwise is put in place while it is read: anchors, and links that lead out of docs/, which become
the name of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version as _version
from typing import Any

from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer
from pygments.token import Error, Text

from pathdsl.editor.lexer import CircuitLexer

project = "pathdsl"
author = "the authors of pathdsl"
project_copyright = "the authors of pathdsl"
release = version = _version("pathdsl")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"pathdsl {release}"
html_show_sourcelink = False
html_copy_source = False
autodoc_typehints = "description"
autodoc_member_order = "bysource"

_ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>\n', re.MULTILINE)
_OUTWARD = re.compile(r"\[([^\]]+)\]\((\.\./[^)\s]+)\)")
_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)


def _as_read(app: Any, page: str, source: list[str]) -> None:
    parts = _FENCE.split(source[0])
    for i in range(0, len(parts), 2):  # what stands between the fences
        parts[i] = _ANCHOR.sub(r"(\1)=\n", parts[i])
        parts[i] = _OUTWARD.sub(lambda link: _named(link[1], link[2]), parts[i])
    source[0] = "".join(parts)


def _named(text: str, target: str) -> str:
    """A link to a file of the repository as text: what it says, and the file's name once."""
    name = target.removeprefix("../")
    return text if name.split("#")[0] in text else f"{text} (`{name}`)"


class _Lexer(CircuitLexer):
    """Pages show what is wrong, too: what is no token is text, and no warning."""

    def get_tokens_unprocessed(self, text: str, *more: Any) -> Iterator[tuple[int, Any, str]]:
        """The tokens of a text, none of them an error."""
        for at, kind, value in super().get_tokens_unprocessed(text, *more):
            yield at, Text if kind is Error else kind, value


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _as_read)
    app.add_lexer("circuit", _Lexer)
    app.add_lexer("jsonl", JsonLexer)
    for name in ("csv", "mermaid"):
        app.add_lexer(name, TextLexer)
