"""Diagnostics outside a report: rendered to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from pathdsl.cli.output import asked, colour_on, err
from pathdsl.errors import Diagnostic
from pathdsl.lang.syntax.source import SourceFile, sources_of

__all__ = ["complain"]


def complain(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, SourceFile] | None = None
) -> None:
    """Print diagnostics to standard error, as the options of the verb say."""
    from pathdsl.lang.render import render

    faults = list(diagnostics)
    texts = sources_of(faults, sources or {})
    colour = colour_on(sys.stderr, off=asked("no_color"))
    err(render(faults, texts, style="concise" if asked("concise") else "full", colour=colour))
