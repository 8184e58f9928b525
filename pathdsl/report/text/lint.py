"""What `lint` prints for people: code frames with a count, or a line per fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pathdsl.errors import Diagnostic, ExitCode, Severity
from pathdsl.lang.render import render
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.report.formats import Settings
from pathdsl.report.numbers import many

__all__ = ["LintConcise", "LintText"]


class LintText:
    """Code frames, then how many faults there are."""

    def __init__(self, settings: Settings) -> None:
        self.colour = settings.view.colour
        self._n_files = 0
        self._counts: Counter[Severity] = Counter()

    def linted(
        self, path: str, diagnostics: Sequence[Diagnostic], sources: Mapping[str, SourceFile]
    ) -> str:
        """The faults of one file."""
        self._n_files += 1
        self._counts.update(diagnostic.severity for diagnostic in diagnostics)
        text = render(diagnostics, sources, style="full", colour=self.colour)
        return text and text + "\n"

    def end(self, code: ExitCode) -> str:
        """`3 files: 1 error, 2 warnings`."""
        words = {Severity.ERROR: "error", Severity.WARNING: "warning"}
        parts = [many(self._counts[s], word) for s, word in words.items() if self._counts[s]]
        return f"{many(self._n_files, 'file')}: {', '.join(parts) or 'no faults'}\n"


class LintConcise:
    """A line for each fault, and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self.colour = settings.view.colour

    def linted(
        self, path: str, diagnostics: Sequence[Diagnostic], sources: Mapping[str, SourceFile]
    ) -> str:
        """The faults of one file."""
        return render(diagnostics, sources, style="concise", colour=self.colour)

    def end(self, code: ExitCode) -> str:
        """Nothing."""
        return ""
