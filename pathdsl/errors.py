"""Faults and how they are carried: spans, diagnostics, exceptions, exit codes.

Two kinds of fault are kept apart. What a *user* wrote wrongly (a file, an option, a data row) is a
`Diagnostic`; diagnostics are collected and reported together. What a *caller of the library* must
handle is an exception, and every exception below carries the diagnostics that explain it::

    PathdslError
    ├── LanguageError      a .circuit file is wrong (syntax, names, graph, units)      exit 2
    ├── DataError          a task's rows are wrong                                      exit 2
    ├── PlanError          the hypothesis cannot be planned (too many states, empty)    exit 2
    └── EngineError        the machine failed (weights, memory, a failed self-check)    exit 3

Codes are stable for ever and documented by `pathdsl explain CODE`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum

from pathdsl.record import record

__all__ = [
    "MOST_THREADS",
    "DataError",
    "Diagnostic",
    "EngineError",
    "ExitCode",
    "Fix",
    "LanguageError",
    "PathdslError",
    "PlanError",
    "Severity",
    "Span",
    "overall",
]


MOST_THREADS = 1_024
"""Threads that may be asked for; libraries of arithmetic end the process at some larger number."""


class ExitCode(IntEnum):
    """What the process says to a script; over several files the first of 3, 2, 4, 1, 0 wins."""

    AS_EXPECTED = 0
    NOT_AS_EXPECTED = 1
    WRONG_INPUT = 2
    MACHINE_FAILED = 3
    LACKING = 4
    NOTHING_TO_CHECK = 5
    INTERRUPTED = 130


def overall(codes: Iterable[ExitCode]) -> ExitCode:
    """Over several files the first of 3, 2, 4, 1 and 0; 5 where no file asks for anything."""
    found = {*codes}
    order = (ExitCode.MACHINE_FAILED, ExitCode.WRONG_INPUT, ExitCode.LACKING,
             ExitCode.NOT_AS_EXPECTED, ExitCode.AS_EXPECTED)  # fmt: skip
    return next((code for code in order if code in found), ExitCode.NOTHING_TO_CHECK)


class Severity(StrEnum):
    """Errors stop a check; warnings never change the exit code."""

    ERROR = "error"
    WARNING = "warning"


@record
class Span:
    """A stretch of one source text: `start` and `end` are character offsets, `end` exclusive."""

    path: str
    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The smallest span that covers both; both must be of the same file."""
        return Span(
            path=self.path, start=min(self.start, other.start), end=max(self.end, other.end)
        )


@record
class Fix:
    """A repair that a program can make: the text `was` at `span` becomes `text`.

    Where something else stands at the span (a variable, of which one value was wrong) there is
    nothing to replace.
    """

    span: Span
    was: str
    text: str


@record
class Diagnostic:
    """One fault: a stable code, where it is, what was found, and what would work.

    `message` is one lower-case sentence without a full stop, names in backticks. `label` is the
    text under the primary caret; `labels` are secondary spans. `help` is text that works when
    pasted, `fix` the repair where it is to put one text in the place of another. `row` is the id of
    the row of data that it is about. The kebab-case name of the code comes from its page
    (`pathdsl.lang.rules`).
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    labels: tuple[tuple[Span, str], ...] = ()
    notes: tuple[str, ...] = ()
    help: str = ""
    fix: Fix | None = None
    row: str = ""
    severity: Severity = Severity.ERROR


def errors_in(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Those that stop a check, warnings left out."""
    return [one for one in diagnostics if one.severity is Severity.ERROR]


class PathdslError(Exception):
    """Base of all exceptions raised on purpose; `diagnostics` says what is wrong and where."""

    exit_code: ExitCode = ExitCode.WRONG_INPUT

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = (
            (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        )
        super().__init__("; ".join(f"[{d.code}] {d.message}" for d in self.diagnostics))


class LanguageError(PathdslError):
    """A `.circuit` file is wrong: syntax, names, graph or units."""


class DataError(PathdslError):
    """A task's rows are wrong: columns, lengths, positions, answers."""


class PlanError(PathdslError):
    """A hypothesis cannot be planned: empty path set, too many states or copies."""


class EngineError(PathdslError):
    """The machine failed: weights missing or refused, memory, or a self-check that did not hold."""

    exit_code = ExitCode.MACHINE_FAILED
