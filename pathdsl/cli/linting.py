"""What `pathdsl lint` does: every fault that shows without weights and without rows."""

from __future__ import annotations

from collections.abc import Iterable

from pathdsl.cli.files import expand, no_files, read_text
from pathdsl.cli.output import err, out, view_of
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import Diagnostic, ExitCode, errors_in
from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.syntax.source import SourceFile, sources_of

__all__ = ["lint_files"]


def lint_files(
    files: Iterable[str], style: str, *, allow_outside: bool = False, no_color: bool = False
) -> ExitCode:
    """Print the faults of files and folders in a format; what the process exits with."""
    from pathdsl.report.formats import Settings, document_of

    view = view_of(no_color=no_color)
    document = document_of(style, "lint", Settings(view=view))
    wrong = False
    guard, fence = Guard(), FREE if allow_outside else None
    named = list(files)
    names = expand(named)
    for name in names:
        with guard.of(name):
            path, faults, sources, left_out = _linted(name, fence)
            wrong = wrong or bool(errors_in(faults))
            out(document.linted(path, faults, sources, left_out))
    code = max(ExitCode.WRONG_INPUT if wrong else ExitCode.AS_EXPECTED, guard.code)
    code = code if names else ExitCode.NOTHING_TO_CHECK
    out(document.end(code))
    if not names:
        err(no_files(named))
    return code


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
