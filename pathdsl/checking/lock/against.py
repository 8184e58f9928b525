"""A check and the lock beside its file: compared (`check --locked`), or written anew (`lock`)."""

from __future__ import annotations

from dataclasses import replace

from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.lock.drift import Comparison, compare, diagnostics
from pathdsl.checking.lock.file import Lock, read_lock, write_lock
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode, LanguageError

__all__ = ["against_lock", "lock_anew"]


def against_lock(outcome: FileOutcome, locked: Lock, options: CheckOptions) -> FileOutcome:
    """The outcome with its drift as diagnostics, and the comparison.

    Drift exits 1, unless the check itself exits with more. A file that was not judged has nothing
    to compare.
    """
    if outcome.judgement is None:
        return outcome
    comparison = compare(locked, lock_of(outcome, options), outcome.row_ids)
    code = outcome.exit_code
    if comparison.drifted and code in (ExitCode.AS_EXPECTED, ExitCode.NOTHING_TO_CHECK):
        code = ExitCode.NOT_AS_EXPECTED
    faults = (*outcome.diagnostics, *diagnostics(comparison, outcome.path))
    return replace(outcome, diagnostics=faults, exit_code=code, comparison=comparison)


def lock_anew(outcome: FileOutcome, options: CheckOptions) -> tuple[bool, Comparison | None]:
    """Write the lock of a judged file; whether that changed it, and in what from the one before.

    A damaged lock is replaced. Raises LanguageError: PD652 where a later version wrote the one that
    is there, PD653 where it cannot be written.
    """
    new = lock_of(outcome, options)
    changed = None
    try:
        changed = compare(read_lock(outcome.path), new, outcome.row_ids)
    except LanguageError as error:
        if any(fault.code == "PD652" for fault in error.diagnostics):
            raise
    return write_lock(outcome.path, new, options.fence), changed
