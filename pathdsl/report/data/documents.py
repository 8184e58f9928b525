"""What `check` and `lint` print with `--format json`: one object for all files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.report.data.result import (
    Object,
    check_object,
    diagnostic_object,
    dump,
    file_object,
)
from pathdsl.report.formats import Settings

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome

__all__ = ["CheckJson", "LintJson"]


class CheckJson:
    """The files that were checked; with `--locked` each has the key `lock`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._files: list[Object] = []

    def checked(self, outcome: FileOutcome) -> str:
        """Take in one file."""
        made = file_object(outcome)
        if self.settings.locked:
            made.setdefault("lock", None)
        self._files.append(made)
        return ""

    def end(self, code: ExitCode) -> str:
        """The object."""
        return dump(check_object(self._files, code))


class LintJson:
    """The faults of the files that were linted."""

    def __init__(self, settings: Settings) -> None:
        self._files: list[Object] = []

    def linted(
        self, path: str, diagnostics: Sequence[Diagnostic], sources: Mapping[str, SourceFile]
    ) -> str:
        """Take in one file."""
        objects = [diagnostic_object(diagnostic, sources) for diagnostic in diagnostics]
        self._files.append({"path": path, "diagnostics": objects})
        return ""

    def end(self, code: ExitCode) -> str:
        """The object."""
        return dump({"schema_version": 1, "files": self._files, "exit_code": int(code)})
