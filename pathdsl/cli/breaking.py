"""`pathdsl breaking --against REV`: which claims say less than they did at a revision of git."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.options import AllowOutside, Format, NoColor
from pathdsl.cli.output import colour_on, columns, err, out
from pathdsl.errors import Diagnostic, ExitCode, LanguageError, PathdslError, Severity
from pathdsl.lang.fence import FREE, Fence
from pathdsl.reading import read_file

if TYPE_CHECKING:
    from pathdsl.graph.model.shape import ModelShape
    from pathdsl.lang.program import Program
    from pathdsl.report.text.breaking import FileChanges

__all__ = ["breaking"]


def breaking(
    files: Annotated[
        list[str], typer.Argument(metavar="[FILES]...", help="Files or folders; else this folder.")
    ] = [],
    against: Annotated[
        str, typer.Option("--against", metavar="REV", help="A commit, branch or tag of git.")
    ] = "HEAD",
    style: Annotated[Format, typer.Option("--format", help="Text, or one object.")] = Format.TEXT,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Say which claims became weaker since a revision; runs no model.

    Exits 1 where something is weaker than it was, or something else; 0 where every claim says at
    least what it said.
    """
    from pathdsl.checking.breaking.revision import Repository
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.breaking import FileChanges, breaking_object, breaking_text, closing
    from pathdsl.report.text.style import View

    asked = files or ["."]
    folder = asked[0] if os.path.isdir(asked[0]) else os.path.dirname(asked[0]) or "."
    repository = Repository.around(folder)
    commit = repository.commit(against)
    view = View(width=columns(), colour=colour_on(sys.stdout, off=no_color))
    names: dict[str, str] = {}  # by the path from the top, as it was typed
    for name in asked:
        inside = repository.inside(name)
        if not os.path.isdir(name):
            names[inside] = name
            continue
        for found in repository.circuits(commit, inside):
            names[found] = os.path.relpath(repository.root / found, os.path.realpath("."))
    results: list[FileChanges] = []
    code = ExitCode.AS_EXPECTED
    with tempfile.TemporaryDirectory(prefix="pathdsl-") as there:
        fences = (Fence((os.path.realpath(there),)), FREE if allow_outside else None)
        repository.laid_out(commit, names, Path(there))
        for inside, name in names.items():
            try:
                results.append(_compared(name, Path(there) / inside, against, fences))
            except PathdslError as error:
                complain([_of(fault, there, against) for fault in error.diagnostics])
                code = ExitCode.WRONG_INPUT
                if style is Format.JSON:
                    results.append(FileChanges(path=name, note="not compared: it has faults"))
                continue
            if style is Format.TEXT:
                out(("\n" if results[1:] else "") + breaking_text(results[-1], against, view))
    if code is ExitCode.AS_EXPECTED and any(found.broken for found in results):
        code = ExitCode.NOT_AS_EXPECTED
    if style is Format.JSON:
        out(dump(breaking_object(results, against, commit, int(code))))
    else:
        out(closing(results, view))
    if not names:
        err("no `.circuit` file in " + ", ".join(f"`{name}`" for name in asked) + "\n")
    raise typer.Exit(code)


def _compared(
    name: str, earlier: Path, revision: str, fences: tuple[Fence, Fence | None]
) -> FileChanges:
    """The changes of one file; raises PathdslError where one of the two texts has faults.

    `fences`: where what the earlier text and the one of now name may lie.
    """
    from pathdsl.checking.breaking.claims import breaking as compare
    from pathdsl.checking.breaking.texts import Change
    from pathdsl.lang.program import load_program
    from pathdsl.report.text.breaking import FileChanges

    if not earlier.is_file():
        if not os.path.exists(name):
            raise LanguageError(
                Diagnostic(
                    code="PD009", message=f"there is no file `{name}`, nor was at {revision}"
                )
            )
        return FileChanges(path=name, note=f"new since {revision}: nothing to compare with")
    old, faults = load_program(str(earlier), None, fences[0])
    _stop_at(faults, earlier=f"`{name}` at {revision}")
    if not os.path.exists(name):
        gone = [
            Change(kind="weaker", of=f"claim {claim.name.name}", what="dropped with its file")
            for claim in old.claims
        ]
        return FileChanges(
            path=name, changes=tuple(gone), note="" if gone else "a library, removed"
        )
    new, faults = load_program(name, None, fences[1])
    _stop_at(faults)
    if not old.claims and not new.claims:
        return FileChanges(path=name, note="no claims: compared with the files that use it")
    shape, why = _shape(new)
    return FileChanges(path=name, changes=tuple(compare(old, new, shape, _content, why)))


def _stop_at(faults: list[Diagnostic], earlier: str = "") -> None:
    wrong = [fault for fault in faults if fault.severity is Severity.ERROR]
    if wrong and earlier:
        raise LanguageError(
            Diagnostic(
                code="PD663",
                message=f"{earlier} has faults, so its claims are not known",
                notes=tuple(f"[{fault.code}] {fault.message}" for fault in wrong[:3]),
                help="name a revision at which it had none: `--against REV`",
            )
        )
    if wrong:
        raise LanguageError(wrong)


def _of(fault: Diagnostic, folder: str, revision: str) -> Diagnostic:
    """The fault without the name of the temporary folder."""
    from dataclasses import replace

    def told(text: str) -> str:
        return text.replace(folder + os.sep, f"{revision}:").replace(folder, revision)

    return replace(
        fault, message=told(fault.message), notes=tuple(told(note) for note in fault.notes)
    )


def _shape(program: Program) -> tuple[ModelShape | None, str]:
    """The graph of the model as it is now, or why it is not known; nothing is downloaded."""
    from pathdsl.engine.load.source import shape_of, source_of

    if program.model is None:
        return None, "the file names no model"
    try:
        shape = shape_of(source_of(program))
    except PathdslError as error:
        return None, error.diagnostics[0].message
    return shape, "" if shape is not None else "the model's config is not on this machine"


def _content(program: Program, task: str) -> bytes:
    """The bytes of a task's data file; none where it cannot be read, which a check would tell."""
    from pathdsl.checking.breaking.texts import data_path

    home = Path(program.origin.get(task, program.path)).parent
    try:
        place = home / data_path(program.tasks[task])
        return read_file(place) if program.fence.holds(place) else b""
    except OSError:
        return b""
