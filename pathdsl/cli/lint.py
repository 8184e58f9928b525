"""`pathdsl lint`: every fault that shows without weights and without rows."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from pathdsl.cli.files import expand, read_text
from pathdsl.cli.options import AllowOutside
from pathdsl.cli.output import colour_on, out
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import Diagnostic, ExitCode, Severity
from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.syntax.source import SourceFile, sources_of

__all__ = ["Style", "lint"]


class Style(StrEnum):
    """How faults are printed."""

    TEXT = "text"
    JSON = "json"
    CONCISE = "concise"
    SARIF = "sarif"
    GITHUB = "github"


def lint(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Files or folders; `-` reads the input.")
    ],
    style: Annotated[
        Style, typer.Option("--format", help="Code frames, a line per fault, or one document.")
    ] = Style.TEXT,
    allow_outside: AllowOutside = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
) -> None:
    """Report faults of syntax, names, graph, units and method, without loading a model.

    Exits 2 where there is an error; warnings never change the exit code.
    """
    from pathdsl.cli.formats import faults_text
    from pathdsl.lang.render import render
    from pathdsl.report.data.result import diagnostic_object, dump

    entries, linted, text, n_errors, n_warnings = [], [], "", 0, 0
    names = expand(files)
    guard, fence = Guard(), FREE if allow_outside else None
    for name in names:
        found: list[Diagnostic] | None = None
        path, sources = name, {}
        with guard.of(name):
            path, found, sources = _linted(name, fence)
        if found is None:
            continue
        n_errors += sum(d.severity is Severity.ERROR for d in found)
        n_warnings += sum(d.severity is Severity.WARNING for d in found)
        entries.append(
            {"path": path, "diagnostics": [diagnostic_object(d, sources) for d in found]}
        )
        linted.append((path, found, sources))
        shown = render(
            found,
            sources,
            style="concise" if style is Style.CONCISE else "full",
            colour=colour_on(sys.stdout, off=no_color),
        )
        text += shown + ("\n" if shown and style is Style.TEXT else "")
    code = ExitCode.WRONG_INPUT if n_errors else ExitCode.AS_EXPECTED
    code = max(code, guard.code)
    if style is Style.JSON:
        out(dump({"schema_version": 1, "files": entries, "exit_code": int(code)}))
    elif style in (Style.SARIF, Style.GITHUB):
        out(faults_text(style, linted, code))
    elif style is Style.TEXT:
        out(text + summary(len(names), n_errors, n_warnings) + "\n")
    else:
        out(text)
    raise typer.Exit(code)


def _linted(name: str, fence: Fence | None) -> tuple[str, list[Diagnostic], dict[str, SourceFile]]:
    """The path of a file as it is told, its faults, and the texts that they point into."""
    from pathdsl.checking.prepare import vet_file

    path, text = name, None
    if name == "-":
        source = read_text(name)
        if isinstance(source, Diagnostic):
            return name, [source], {}
        path, text = source.path, source.text
    program, faults = vet_file(path, text, fence)
    return path, faults, sources_of(faults, program.sources)


def summary(n_files: int, n_errors: int, n_warnings: int) -> str:
    """`3 files: 1 error, 2 warnings`."""

    def many(count: int, word: str) -> str:
        return f"{count} {word}" + ("" if count == 1 else "s")

    parts = [many(n, word) for n, word in ((n_errors, "error"), (n_warnings, "warning")) if n]
    return f"{many(n_files, 'file')}: " + (", ".join(parts) or "no faults")
