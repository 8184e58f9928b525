"""`pathdsl lint`: every fault that shows without weights and without rows."""

from __future__ import annotations

from typing import Annotated

import typer

from pathdsl.cli.files import expand, read_text
from pathdsl.cli.formats import LintFormat
from pathdsl.cli.options import AllowOutside
from pathdsl.cli.output import out, view_of
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import Diagnostic, ExitCode, errors_in
from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.syntax.source import SourceFile, sources_of

__all__ = ["lint"]


def lint(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Files or folders; `-` reads the input.")
    ],
    style: Annotated[
        LintFormat, typer.Option("--format", help="Code frames, a line per fault, or one document.")
    ] = LintFormat("text"),
    allow_outside: AllowOutside = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
) -> None:
    """Report faults of syntax, names, graph, units and method, without loading a model.

    Exits 2 where there is an error; warnings never change the exit code.
    """
    from pathdsl.report.formats import Settings, document_of

    view = view_of(no_color=no_color)
    document = document_of(style.value, "lint", Settings(view=view))
    wrong = False
    guard, fence = Guard(), FREE if allow_outside else None
    for name in expand(files):
        with guard.of(name):
            path, faults, sources, left_out = _linted(name, fence)
            wrong = wrong or bool(errors_in(faults))
            out(document.linted(path, faults, sources, left_out))
    code = max(ExitCode.WRONG_INPUT if wrong else ExitCode.AS_EXPECTED, guard.code)
    out(document.end(code))
    raise typer.Exit(code)


def _linted(
    name: str, fence: Fence | None
) -> tuple[str, list[Diagnostic], dict[str, SourceFile], str]:
    """The path of a file as reports write it, its faults, the texts that they point into, and what
    was not looked at."""
    from pathdsl.checking.prepare import unchecked, vet_file

    path, text = name, None
    if name == "-":
        source = read_text(name)
        if isinstance(source, Diagnostic):
            return name, [source], {}, ""
        path, text = source.path, source.text
    program, faults = vet_file(path, text, fence)
    return path, faults, sources_of(faults, program.sources), unchecked(program, faults)
