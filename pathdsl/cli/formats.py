"""Formats of `check` and `lint` for programs that watch runs: JUnit, SARIF, GitHub.

Each collects the files of a command line, one after the other, and makes one document of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.report.annotate.findings import Finding, of_diagnostics, of_outcome

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome

__all__ = ["CheckFormat", "Collected", "faults_text"]


class CheckFormat(StrEnum):
    """What `check` prints."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"


class Collected:
    """The outcomes of several files in one of the formats for continuous integration."""

    def __init__(self, style: CheckFormat, *, allow_inconclusive: bool) -> None:
        self.style = style
        self.allow_inconclusive = allow_inconclusive
        self._suites: list[Element] = []
        self._findings: list[Finding] = []
        self._n_files = 0
        self._n_claims = 0

    def add(self, outcome: FileOutcome, sources: Mapping[str, SourceFile]) -> None:
        """Take in one file; nothing of its session is kept."""
        allowed = self.allow_inconclusive
        if self.style is CheckFormat.JUNIT:
            from pathdsl.report.annotate.junit import suite

            self._suites.append(suite(outcome, sources, allow_inconclusive=allowed))
            return
        self._findings += of_outcome(outcome, sources, allow_inconclusive=allowed)
        self._n_files += 1
        if outcome.judgement is not None:
            self._n_claims += len(outcome.judgement.claims)

    def text(self, code: ExitCode) -> str:
        """The document of all files; `code` is what the process exits with."""
        if self.style is CheckFormat.JUNIT:
            from pathdsl.report.annotate.junit import junit

            return junit(self._suites)
        return _text(self.style, self._findings, code, self._n_files, self._n_claims)


def faults_text(
    style: str,
    files: Iterable[tuple[str, Iterable[Diagnostic], Mapping[str, SourceFile]]],
    code: ExitCode,
) -> str:
    """The faults of linted files as `sarif` or `github`."""
    linted = list(files)
    findings = [f for path, found, sources in linted for f in of_diagnostics(found, sources, path)]
    return _text(style, findings, code, len(linted), None)


def _text(
    style: str, findings: list[Finding], code: ExitCode, n_files: int, n_claims: int | None
) -> str:
    if style == CheckFormat.SARIF:
        from pathdsl.report.annotate.sarif import sarif
        from pathdsl.report.data.result import dump

        return dump(sarif(findings, code))
    from pathdsl.report.annotate.github import github, summary

    return github(findings, summary(findings, n_files, n_claims))
