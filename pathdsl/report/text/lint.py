"""What `lint` prints for people: code frames with a count, or a line per fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pathdsl.errors import Diagnostic, ExitCode, Severity
from pathdsl.lang.render import render
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.report.formats import Document, Settings
from pathdsl.report.numbers import many

__all__ = ["LintConcise", "LintText"]


class LintText(Document):
    """Code frames, then how many faults there are."""

    style: ClassVar[Literal["full", "concise"]] = "full"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._n_files = 0
        self._counts: Counter[Severity] = Counter()

    def linted(
        self,
        path: str,
        diagnostics: Sequence[Diagnostic],
        sources: Mapping[str, SourceFile],
        unchecked: str,
    ) -> str:
        """The faults of one file."""
        self._n_files += 1
        self._counts.update(diagnostic.severity for diagnostic in diagnostics)
        text = render(diagnostics, sources, style=self.style, colour=self.settings.view.colour)
        note = f"note: {path}: {unchecked}\n" if unchecked else ""
        return (f"{text}\n" if text else "") + note if self.style == "full" else text

    def end(self, code: ExitCode) -> str:
        """`3 files: 1 error, 2 warnings`."""
        words = {Severity.ERROR: "error", Severity.WARNING: "warning"}
        parts = [many(self._counts[s], word) for s, word in words.items() if self._counts[s]]
        return f"{many(self._n_files, 'file')}: {', '.join(parts) or 'no faults'}\n"


class LintConcise(LintText):
    """A line for each fault, and nothing else."""

    style = "concise"

    def end(self, code: ExitCode) -> str:
        """Nothing."""
        return ""
