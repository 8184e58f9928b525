"""`pathdsl check --watch`: a file is checked again whenever something that it reads changes.

Libraries, model, stored values and all that was worked out of them stay in memory between two
checks. Files are looked at twenty times a second, by their times, sizes and inodes: an editor that
saves by writing another file and renaming it is seen as one that writes in place.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from pathdsl.checking.book import open_book
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.cli.checked import checked, failed, files_with
from pathdsl.cli.output import out
from pathdsl.cli.store import forget, result_store
from pathdsl.cli.unforeseen import Guard
from pathdsl.engine.load.held import Held
from pathdsl.errors import ExitCode
from pathdsl.reading import Mark, mark_of, noting
from pathdsl.report.formats import Settings, document_of

__all__ = ["changed_files", "watch_file"]

EVERY = 0.05
"""Seconds between two looks at the files."""
GONE = 0.5
"""Seconds for which a file may be missing while an editor saves it."""


def watch_file(path: str, options: CheckOptions, settings: Settings, *, store: bool) -> ExitCode:
    """Check a file, and again after each change, until Ctrl-C raises KeyboardInterrupt."""
    files_with([path], options)
    with result_store(off=not store) as opened:
        options = replace(options, store=opened, held=Held(), book=open_book(path, opened))
        read: set[str] = {os.path.abspath(path)}
        first = True
        while True:
            marks = _marks(read)
            started = time.monotonic()
            with noting() as now:
                outcome = _checked(path, options, settings)
            spent = time.monotonic() - started
            # What was read before stays: a file with a fault names none of its data. What was read
            # now is as it was then: an edit during the check is the next one's.
            read |= {*now}
            marks |= now
            _print(outcome, settings, spent, len(read), first)
            first = False
            _warm(outcome)
            try:
                while not changed_files(marks):
                    time.sleep(EVERY)
            except KeyboardInterrupt:
                forget()  # nothing was under way
                raise


def _checked(path: str, options: CheckOptions, settings: Settings) -> FileOutcome:
    outcome = failed(path, options)
    with Guard().of(path):
        outcome = checked(path, options, quiet=settings.view.quiet)
    return outcome


def _print(outcome: FileOutcome, settings: Settings, spent: float, files: int, first: bool) -> None:
    document = document_of("text", "check", settings)
    text = document.checked(outcome) + document.end(outcome.exit_code)
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[2J\x1b[3J\x1b[H")  # out() would show it and not send it
    elif not first:
        out("-" * settings.view.width + "\n")
    many = "1 file" if files == 1 else f"{files} files"
    out(f"{text}\nchecked in {spent:.2f} s; watching {many}, Ctrl-C ends\n")


def _warm(outcome: FileOutcome) -> None:
    """Load the model while nobody waits, so that the next path that is edited finds it there."""
    for model in [*outcome.models.values()][:1]:
        if not model.loaded:
            with Guard().of(outcome.path):
                _ = model.adapter


def changed_files(marks: Mapping[str, Mark]) -> list[str]:
    """The files that are no longer as they were, when whoever writes them is done."""
    changed = [name for name, mark in marks.items() if mark_of(name) != mark]
    if not changed:
        return []
    until = time.monotonic() + GONE
    before = _marks(changed)
    while True:
        time.sleep(EVERY / 3)
        after = _marks(changed)
        gone = any(mark is None and marks[name] is not None for name, mark in after.items())
        if after == before and not (gone and time.monotonic() < until):
            break
        before = after
    return [name for name in changed if after[name] != marks[name]]


def _marks(names: Collection[str]) -> dict[str, Mark]:
    return {name: mark_of(name) for name in names}
