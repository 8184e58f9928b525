"""`pathdsl fmt`: the canonical form of files; there is nothing to configure."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.files import expand, read_text
from pathdsl.cli.output import err, out
from pathdsl.cli.saved import save
from pathdsl.errors import Diagnostic, ExitCode, LanguageError
from pathdsl.lang.fence import is_circuit, no_circuit

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
    from pathdsl.lang.format.layout import format_text

    codes = [ExitCode.AS_EXPECTED]
    changed: list[str] = []
    names = expand(files)
    for name in names:
        source = read_text(name)
        if isinstance(source, Diagnostic):
            complain([source])
            codes.append(ExitCode.WRONG_INPUT)
            continue
        try:
            text = format_text(source.text, source.path)
        except LanguageError as error:
            if name == "-" or is_circuit(name):
                complain(error.diagnostics, {source.path: source})
            else:
                complain([no_circuit(name, None)])
            codes.append(error.exit_code)
            continue
        if name == "-" and not (check or diff):
            out(text, verbatim=True)
            continue
        if text == source.text:
            continue
        changed.append(source.path)
        if diff:
            out(_diff(source.path, source.text, text))
        if check:
            codes.append(ExitCode.NOT_AS_EXPECTED)
        if not (check or diff):
            codes.append(ExitCode.AS_EXPECTED if save(Path(name), text) else ExitCode.WRONG_INPUT)
    what = "would be changed" if check or diff else "changed"
    for path in changed:
        err(f"{what}: {path}\n")
    raise typer.Exit(max(codes))


def _diff(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        path,
        f"{path} (formatted)",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
