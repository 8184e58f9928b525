"""`pathdsl lint` as typer reads it."""

from __future__ import annotations

from typing import Annotated

import typer

from pathdsl.cli.formats import LintFormat
from pathdsl.cli.linting import lint_files
from pathdsl.cli.options import AllowOutside

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
    raise typer.Exit(lint_files(files, style.value, allow_outside=allow_outside, no_color=no_color))
