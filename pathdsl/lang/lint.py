"""Everything that can be said about a file without a model and without its rows, in one call.

program, faults = lint_file("ioi.circuit")
"""

from __future__ import annotations

from pathdsl.errors import Diagnostic, Severity, errors_in
from pathdsl.lang.check.whole import check, too_deep
from pathdsl.lang.fence import Fence
from pathdsl.lang.method.ranges import check_ranges
from pathdsl.lang.method.whole import check_method
from pathdsl.lang.program import Program, load_program
from pathdsl.lang.units import check_units

__all__ = ["lint_file", "lint_program", "sort_diagnostics"]


def lint_program(program: Program) -> list[Diagnostic]:
    """The faults and warnings of a program that was loaded before."""
    if deep := too_deep(program):
        return deep
    faults = [*check(program), *check_units(program), *check_method(program)]
    # What lies where is known of claims without a fault only.
    return faults if errors_in(faults) or program.broken else [*faults, *check_ranges(program)]


def lint_file(
    path: str, text: str | None = None, fence: Fence | None = None
) -> tuple[Program, list[Diagnostic]]:
    """The program of a file and all its faults: syntax, names, units, method; sorted by place.

    `text` replaces the file's content; `fence` is that of `load_program`. Faults in used files come
    with their own path.
    """
    program, faults = load_program(path, text, fence)
    return program, sort_diagnostics([*faults, *lint_program(program)], first=path)


def sort_diagnostics(faults: list[Diagnostic], *, first: str = "") -> list[Diagnostic]:
    """By file (`first` before the others), place, severity and code; each one once."""

    def key(fault: Diagnostic) -> tuple[bool, str, int, int, bool, str]:
        span = fault.span
        path, start, end = (span.path, span.start, span.end) if span else ("", 0, 0)
        return (
            path not in ("", first),
            path,
            start,
            end,
            fault.severity is Severity.WARNING,
            fault.code,
        )

    return sorted(dict.fromkeys(faults), key=key)
