"""`check --locked`: a check, and beside it what was locked.

outcome = lockless(path) or check_file(path, options)      # options without a store
outcome, comparison = against_lock(outcome, options)
"""

from __future__ import annotations

from dataclasses import replace

from pathdsl.checking.check import CheckOptions, FileOutcome
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.lock.drift import Comparison, compare, diagnostics
from pathdsl.checking.lock.file import read_lock
from pathdsl.errors import ExitCode, LanguageError, Severity
from pathdsl.lang.fence import Fence
from pathdsl.lang.lint import lint_file, sort_diagnostics

__all__ = ["against_lock", "lockless"]


def lockless(path: str, fence: Fence | None = None) -> FileOutcome | None:
    """The outcome of a file that would be judged and whose lock cannot be read; else None.

    It is known before anything runs, so a missing lock costs no time.
    """
    program, found = lint_file(path, None, fence)
    if any(d.severity is Severity.ERROR for d in found) or not (program.claims or program.lets):
        return None
    if program.is_library:
        return None
    try:
        read_lock(path)
    except LanguageError as error:
        return FileOutcome(
            path=path,
            program=program,
            diagnostics=tuple(sort_diagnostics([*found, *error.diagnostics], first=path)),
            exit_code=ExitCode.WRONG_INPUT,
        )
    return None


def against_lock(
    outcome: FileOutcome, options: CheckOptions
) -> tuple[FileOutcome, Comparison | None]:
    """The outcome with its drift as diagnostics, and the comparison.

    Drift exits 1, unless the check itself exits with more. A file that was not judged has nothing
    to compare, and neither has one whose lock cannot be read: then it is None.
    """
    if outcome.judgement is None:
        return outcome, None
    try:
        locked = read_lock(outcome.path)
    except LanguageError as error:
        told = (*outcome.diagnostics, *error.diagnostics)
        return replace(outcome, diagnostics=told, exit_code=ExitCode.WRONG_INPUT), None
    row_ids = {name: task.row_ids for name, task in outcome.tasks.items()}
    found = compare(locked, lock_of(outcome, options), row_ids)
    code = outcome.exit_code
    if found.drifted and code in (ExitCode.AS_EXPECTED, ExitCode.NOTHING_TO_CHECK):
        code = ExitCode.NOT_AS_EXPECTED
    told = (*outcome.diagnostics, *diagnostics(found, outcome.path))
    return replace(outcome, diagnostics=told, exit_code=code), found
