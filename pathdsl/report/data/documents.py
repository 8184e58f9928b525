"""What `check` and `lint` print with `--format json`: one object for all files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.report.data.result import Object, check_object, diagnostic_object, dump, file_object
from pathdsl.report.formats import Document, Settings

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome

__all__ = ["Json"]


class Json(Document):
    """The files that were checked or linted; with `--locked` each has the key `lock`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._files: list[Object] = []

    def checked(self, outcome: FileOutcome) -> str:
        """Take in one file."""
        file = file_object(outcome)
        if self.settings.locked:
            file.setdefault("lock", None)
        self._files.append(file)
        return ""

    def linted(
        self,
        path: str,
        diagnostics: Sequence[Diagnostic],
        sources: Mapping[str, SourceFile],
        unchecked: str,
    ) -> str:
        """Take in one file, of which an object of a lint says the faults, and what it left out."""
        objects = [diagnostic_object(diagnostic, sources) for diagnostic in diagnostics]
        file: Object = {"path": path, "diagnostics": objects}
        self._files.append({**file, "unchecked": unchecked} if unchecked else file)
        return ""

    def end(self, code: ExitCode) -> str:
        """The object."""
        return dump(check_object(self._files, code))
