"""`pathdsl lock`: check files, then write down beside each what was found, and on what."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.exits import overall
from pathdsl.cli.files import expand, sources_of
from pathdsl.cli.named import vet_names
from pathdsl.cli.options import (
    AllowInconclusive,
    AllowOutside,
    Device,
    Files,
    Format,
    MaxCopies,
    MaxStates,
    Memory,
    Models,
    NoColor,
    OnDevice,
    Scope,
    Seed,
    Set,
    Threads,
    read_scope,
)
from pathdsl.cli.output import colour_on, columns, err, out
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import Diagnostic, ExitCode, LanguageError

if TYPE_CHECKING:
    from pathdsl.checking.check import FileOutcome
    from pathdsl.checking.lock.drift import Comparison
    from pathdsl.report.text.style import View

__all__ = ["lock"]


def lock(
    files: Files,
    style: Annotated[Format, typer.Option("--format", help="Text, or one object.")] = Format.TEXT,
    sets: Set = [],
    seed: Seed = None,
    device: OnDevice = Device.CPU,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    threads: Threads = None,
    allow_inconclusive: AllowInconclusive = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Check files, computing everything, and write FILE.lock beside each.

    A lock holds what decides the numbers (hashes of the file, rows, weights and tokenizer, seeds,
    versions) and the numbers. Every verdict is written as it came out; a file with faults, or one
    that failed a self-check, gets no lock.
    """
    from pathdsl.cli.check import failed, outcome_of
    from pathdsl.lang.program import load_program
    from pathdsl.report.data.result import diagnostic_object, dump
    from pathdsl.report.text.style import View

    scope = read_scope(sets, seed, models, memory, max_states, max_copies, allow_outside)
    view = View(width=columns(), colour=colour_on(sys.stdout, off=no_color))
    names = expand(files)
    if scope.models:
        programs = [load_program(name, None, scope.fence)[0] for name in names]
        vet_names([p for p in programs if p.file.statements], None, scope.models)
    codes: list[ExitCode] = []
    objects: list[dict[str, Any]] = []
    guard = Guard()
    for name in names:
        outcome = failed(name)
        with guard.of(name):
            outcome = outcome_of(
                name, scope, None, device, threads, allow_inconclusive, False, quiet, None
            )
        code, found = outcome.exit_code, list(outcome.diagnostics)
        written, changed = False, None
        if outcome.judgement is not None:
            try:
                written, changed = _write(outcome, scope)
            except LanguageError as error:
                found += error.diagnostics
                code = ExitCode.WRONG_INPUT
        codes.append(code)
        known = outcome.program.sources if outcome.program else {}
        sources = sources_of(found, known)
        if style is Format.JSON:
            objects.append(_object(name, outcome, written, changed, code))
            objects[-1]["diagnostics"] = [diagnostic_object(d, sources) for d in found]
            continue
        complain(found, sources)
        out(_told(name, outcome, written, changed, code, found, view))
    code = overall(codes)
    if style is Format.JSON:
        out(dump({"schema_version": 1, "files": objects, "exit_code": int(code)}))
    if not names:
        err("no `.circuit` file in " + ", ".join(f"`{name}`" for name in files) + "\n")
    raise typer.Exit(code)


def _write(outcome: FileOutcome, scope: Scope) -> tuple[bool, Comparison | None]:
    """Write the lock; whether that changed the file, and what is otherwise than in the one before.

    A damaged lock is replaced; one of a later version is not (PD652).
    """
    from pathdsl.checking.lock.contents import lock_of
    from pathdsl.checking.lock.drift import compare
    from pathdsl.checking.lock.file import read_lock, write_lock

    new = lock_of(outcome, scope.check_options())
    before = None
    try:
        before = read_lock(outcome.path)
    except LanguageError as error:
        if any(fault.code == "PD652" for fault in error.diagnostics):
            raise
    row_ids = {name: task.row_ids for name, task in outcome.tasks.items()}
    changed = compare(before, new, row_ids) if before is not None else None
    return write_lock(outcome.path, new, scope.fence), changed


def _told(
    name: str,
    outcome: FileOutcome,
    written: bool,
    changed: Comparison | None,
    code: ExitCode,
    found: list[Diagnostic],
    view: View,
) -> str:
    from pathdsl.checking.lock.drift import note
    from pathdsl.checking.lock.file import lock_path
    from pathdsl.report.data.lock import summary
    from pathdsl.report.text.check import verdicts

    judgement = outcome.judgement
    if judgement is None or code is ExitCode.WRONG_INPUT or code is ExitCode.MACHINE_FAILED:
        library = code is ExitCode.NOTHING_TO_CHECK
        return f"{name}: nothing to lock\n" if library else f"{name}: not locked\n"
    said = verdicts(judgement.claims, view) if judgement.claims else "no claims"
    what = "wrote" if written else "unchanged"
    text = f"{what}: {lock_path(name)} ({said})\n"
    if changed is not None and changed.drifted and written:
        text += f"  the lock before {summary(changed)}\n"
        text += "".join(f"    {note(one)}\n" for one in changed.drifts)
    return text


def _object(
    name: str, outcome: FileOutcome, written: bool, changed: Comparison | None, code: ExitCode
) -> dict[str, Any]:
    from pathdsl.checking.lock.file import lock_path
    from pathdsl.report.data.lock import comparison_object

    locked = outcome.judgement is not None and code <= ExitCode.NOT_AS_EXPECTED
    return {
        "path": name,
        "lock": lock_path(name) if locked or written else None,
        "written": written,
        "before": comparison_object(changed),
        "claims": {c.name: c.verdict.value for c in outcome.judgement.claims}
        if outcome.judgement
        else {},
        "exit_code": int(code),
    }
