"""Findings as workflow commands of GitHub, which annotate lines of a pull request.

    ::error file=ioi.circuit,line=31,endLine=31,col=7,endColumn=17,title=refuted: sufficient::…

A command is one line: line breaks and percent signs of a message are escaped, and commas and colons
of a property besides, so that nothing a file says can end a command or start another one.

Source: docs.github.com, "Workflow commands for GitHub Actions"; actions/toolkit, command.ts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from pathdsl.errors import ExitCode
from pathdsl.lang.visible import visible
from pathdsl.report.annotate.findings import Annotations, Finding
from pathdsl.report.numbers import many

__all__ = ["GitHub", "command", "github", "summary"]


class GitHub(Annotations):
    """The commands for all files, and one line for all."""

    def end(self, code: ExitCode) -> str:
        """The commands."""
        closing = summary(self.findings, self.n_files, self.n_claims)
        if self.replaced:
            closing += f"; not the published scope: {self.replaced} set on the command line"
        return github(self.findings, closing)


def github(findings: Sequence[Finding], closing: str) -> str:
    """A command for every finding, then the line `closing`; ends in a line break."""
    return "".join(f"{line}\n" for line in [*map(command, findings), _data(closing)])


def command(finding: Finding) -> str:
    """The workflow command of one finding, without a line break."""
    place = finding.place
    properties: dict[str, object] = {"file": PurePath(place["path"]).as_posix()}
    if place["line"] is not None:
        properties |= {"line": place["line"], "endLine": place["end_line"]}
        if place["line"] == place["end_line"]:  # columns are read within one line only
            properties |= {"col": place["column"], "endColumn": place["end_column"]}
    if finding.claim is not None:
        properties["title"] = f"{finding.claim['verdict']}: {finding.name}"
    else:
        properties["title"] = f"{finding.rule} {finding.name}"
    written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{finding.level} {written}::{_data(finding.message)}"


def summary(findings: Sequence[Finding], n_files: int, n_claims: int | None = None) -> str:
    """`2 files, 9 claims: 1 claim not as expected, 2 warnings`; claims are left out for None."""
    counts = Counter("claim" if f.claim is not None else f.level for f in findings)
    parts = []
    if counts["claim"]:
        parts.append(f"{many(counts['claim'], 'claim')} not as expected")
    for level in ("error", "warning"):
        if counts[level]:
            parts.append(many(counts[level], level))
    scope = many(n_files, "file")
    if n_claims is not None:
        scope += f", {many(n_claims, 'claim')}"
    nothing = "no faults" if n_claims is None else "all as expected" if n_claims else "none judged"
    return f"{scope}: {', '.join(parts) or nothing}"


def _data(text: str) -> str:
    """The text of a message in one line."""
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    """The text of a property, which a comma or a colon would end."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
