"""`pathdsl breaking --against REV`: which claims say less than they did at a revision of git."""

from __future__ import annotations

from typing import Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.files import no_files
from pathdsl.cli.options import AllowOutside, Format, NoColor, Style
from pathdsl.cli.output import err, out, view_of

__all__ = ["breaking"]


def breaking(
    files: Annotated[
        list[str], typer.Argument(metavar="[FILES]...", help="Files or folders; else this folder.")
    ] = [],
    against: Annotated[
        str, typer.Option("--against", metavar="REV", help="A commit, branch or tag of git.")
    ] = "HEAD",
    style: Style = Format.TEXT,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Say which claims became weaker since a revision; runs no model.

    Exits 1 where something is weaker than it was, or something else; 0 where every claim says at
    least what it said.
    """
    from pathdsl.checking.breaking.since import changes_since
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.breaking import breaking_object, breaking_text, closing

    view = view_of(no_color=no_color)
    names = files or ["."]
    since = changes_since(names, against, allow_outside=allow_outside)
    compared = [file for file in since.files if not file.faults]
    for file in since.files:
        if file.faults:
            complain(file.faults)
        elif style is Format.TEXT:
            out(("\n" if file is not compared[0] else "") + breaking_text(file, against, view))
    code = since.exit_code
    if style is Format.JSON:
        out(dump(breaking_object(since.files, against, since.commit, int(code))))
    else:
        out(closing(compared, view))
    if not since.files:
        err(no_files(names))
    raise typer.Exit(code)
