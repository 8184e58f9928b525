"""Diagnostics outside a report: rendered to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from pathdsl.cli.files import sources_of
from pathdsl.cli.output import colour_on, err
from pathdsl.errors import Diagnostic
from pathdsl.lang.syntax.source import SourceFile

__all__ = ["complain"]


def complain(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, SourceFile] | None = None
) -> None:
    """Print diagnostics to standard error."""
    from pathdsl.lang.render import render

    found = list(diagnostics)
    texts = sources_of(found, sources or {})
    err(render(found, texts, colour=colour_on(sys.stderr, off=False)))
