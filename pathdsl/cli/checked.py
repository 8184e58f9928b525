"""What the verbs that look into circuit files share: their files, programs and outcomes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from pathdsl.checking.options import CheckOptions, vet_names
from pathdsl.checking.outcome import FileOutcome
from pathdsl.cli.complaints import complain
from pathdsl.cli.files import expand
from pathdsl.cli.output import err
from pathdsl.cli.progress import ProgressDisplay
from pathdsl.errors import ExitCode, errors_in
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program
from pathdsl.lang.subjects import hypothesis_of
from pathdsl.near import did_you_mean

if TYPE_CHECKING:
    from pathdsl.graph.resolve.resolver import Resolver

__all__ = [
    "checked", "failed", "file_and_name", "files_with", "path_set_of", "program_of",
    "resolver_on", "vet_options", "vet_task",
]  # fmt: skip


def files_with(names: Iterable[str], options: CheckOptions) -> list[str]:
    """The files that a command line means, one of which has the names in its options."""
    files = expand(names)
    vet_options(files, options)
    return files


def vet_options(files: Iterable[str], options: CheckOptions) -> None:
    """Raise typer.BadParameter for a name in the options that none of the files has."""
    with _known_names(options):
        vet_names(files, options)


def _known_names(options: CheckOptions) -> AbstractContextManager[None]:
    """A name in the options that no file has is a fault of the command line."""
    if options.only is None and not options.models:
        return nullcontext()
    from pathdsl.cli.options import known_names

    return known_names()


def program_of(path: str, options: CheckOptions) -> Program:
    """The program of a file without faults; leaves with 2 after those of any other were said."""
    program, faults = lint_file(path, None, options.fence)
    if wrong := errors_in(faults):
        complain(wrong, program.sources)
        raise _wrong_input()
    return program


def file_and_name(subject: str) -> tuple[str, str]:
    """`FILE:NAME` in its two parts; the name is "" where there is none."""
    path, _, name = subject.rpartition(":")
    if not path or (not os.path.exists(path) and os.path.exists(subject)):
        return subject, ""
    return path, name


def path_set_of(program: Program, file: str, name: str | None, how: str) -> str:
    """The path set of that name, or the file's hypothesis without one; leaves with 2 for neither.

    `how` is how one is chosen.
    """
    found = name or hypothesis_of(program)
    if found is None:
        err(
            f"`{file}` states no hypothesis: write `hypothesis = NAME` in its circuit block, or "
            f"choose with `{how}`\n"
        )
        raise _wrong_input()
    _vet_name("path set", found, file, program.paths)
    return found


def vet_task(program: Program, file: str, task: str | None) -> None:
    """Leave with 2 where the file has no such task."""
    if task is not None:
        _vet_name("task", task, file, program.tasks)


def resolver_on(program: Program, file: str, task: str | None, options: CheckOptions) -> Resolver:
    """The graph of the model that a task runs on; leaves with 2 where models differ and no task is
    named."""
    from pathdsl.checking.prepare import resolver_of

    resolver = resolver_of(program, options)
    if resolver.others and task is None:
        err(
            f"the models of `{file}` differ in their nodes: choose the graph with `--task "
            f"{next(iter(program.tasks))}`, or another task\n"
        )
        raise _wrong_input()
    return resolver.on(task or "")


def _vet_name(what: str, name: str, file: str, known: Mapping[str, object]) -> None:
    if name not in known:
        hint = did_you_mean(name, known)
        err(f"no {what} `{name}` in `{file}`" + (f"; {hint}" if hint else "") + "\n")
        raise _wrong_input()


def _wrong_input() -> Exception:
    """What ends a command whose input is wrong, after that was said."""
    import typer

    return typer.Exit(ExitCode.WRONG_INPUT)


def checked(path: str, options: CheckOptions, *, quiet: bool = False) -> FileOutcome:
    """One file's outcome, with what is being done shown meanwhile."""
    from pathdsl.checking.check import check_file

    with ProgressDisplay(quiet) as display, _known_names(options):
        return check_file(path, replace(options, progress=None if quiet else display.show))


def failed(path: str, options: CheckOptions) -> FileOutcome:
    """The outcome of a file that broke the checker, which the guard has told."""
    return FileOutcome(
        path=path, program=None, diagnostics=(), exit_code=ExitCode.MACHINE_FAILED,
        replaced=options.replaced,
    )  # fmt: skip
