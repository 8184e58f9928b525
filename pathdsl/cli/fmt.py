"""`pathdsl fmt` as typer reads it; there is nothing to configure."""

from __future__ import annotations

from typing import Annotated

import typer

from pathdsl.cli.formatting import format_files

__all__ = ["fmt"]


def fmt(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Files or folders; `-` filters the input.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if something would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Change nothing; print what would.")] = False,
) -> None:
    """Rewrite files in their canonical form; comments stay where they are."""
    raise typer.Exit(format_files(files, check=check, diff=diff))
