"""What the verbs that look into circuit files share: their files, programs and outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import typer

from pathdsl.checking.options import CheckOptions, vet_names
from pathdsl.checking.outcome import FileOutcome
from pathdsl.cli.complaints import complain
from pathdsl.cli.files import expand
from pathdsl.cli.options import known_names
from pathdsl.cli.progress import ProgressDisplay
from pathdsl.errors import ExitCode, errors_in
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program

__all__ = ["checked", "failed", "files_with", "program_of"]


def files_with(names: Iterable[str], options: CheckOptions) -> list[str]:
    """The files that a command line means, one of which has the names in its options."""
    files = expand(names)
    with known_names():
        vet_names(files, options)
    return files


def program_of(path: str, options: CheckOptions) -> Program:
    """The program of a file without faults; leaves with 2 after those of any other were said."""
    program, faults = lint_file(path, None, options.fence)
    if wrong := errors_in(faults):
        complain(wrong, program.sources)
        raise typer.Exit(ExitCode.WRONG_INPUT)
    return program


def checked(path: str, options: CheckOptions, *, quiet: bool = False) -> FileOutcome:
    """One file's outcome, with what is being done shown meanwhile."""
    from pathdsl.checking.check import check_file

    with ProgressDisplay(quiet) as display, known_names():
        return check_file(path, replace(options, progress=None if quiet else display.show))


def failed(path: str, options: CheckOptions) -> FileOutcome:
    """The outcome of a file that broke the checker, which the guard has told."""
    return FileOutcome(
        path=path, program=None, diagnostics=(), exit_code=ExitCode.MACHINE_FAILED,
        replaced=options.replaced,
    )  # fmt: skip
