"""`pathdsl lock`: check files, then write down beside each what was found, and on what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from pathdsl.cli.checked import checked, failed, files_with
from pathdsl.cli.complaints import complain
from pathdsl.cli.files import no_files
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
    Quiet,
    Seed,
    Set,
    StoreFolder,
    Style,
    Threads,
    read_options,
)
from pathdsl.cli.output import err, out, view_of
from pathdsl.cli.store import result_store
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, LanguageError, overall
from pathdsl.lang.syntax.source import sources_of

if TYPE_CHECKING:
    from pathdsl.checking.lock.drift import Comparison
    from pathdsl.checking.outcome import FileOutcome
    from pathdsl.report.text.style import View

__all__ = ["lock"]


def lock(
    files: Files,
    style: Style = Format.TEXT,
    sets: Set = [],
    seed: Seed = None,
    device: OnDevice = Device.CPU,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    threads: Threads = None,
    allow_inconclusive: AllowInconclusive = False,
    store: StoreFolder = None,
    quiet: Quiet = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Check files, computing everything, and write FILE.lock beside each.

    With --store DIR what shards have computed is taken from there: values of whole plans, which
    have the bits that computing everything here would give.

    A lock holds what decides the numbers (hashes of the file, rows, weights and tokenizer, seeds,
    versions) and the numbers. Every verdict is written as it came out; a file with faults, or one
    that failed a self-check, gets no lock.
    """
    from pathdsl.checking.lock.against import lock_anew
    from pathdsl.checking.lock.pinned import with_unpinned
    from pathdsl.report.data.result import diagnostic_object, dump

    options = read_options(
        sets=sets, seed=seed, models=models, memory=memory, max_states=max_states,
        max_copies=max_copies, device=device, threads=threads,
        allow_inconclusive=allow_inconclusive, allow_outside=allow_outside,
    )  # fmt: skip
    view = view_of(no_color=no_color)
    names = files_with(files, options)
    codes: list[ExitCode] = []
    objects: list[dict[str, Any]] = []
    guard = Guard()
    with result_store(off=store is None, shared=store) as opened:
        options = replace(options, store=opened, every_plan=opened is not None)
        for name in names:
            outcome = failed(name, options)
            with guard.of(name):
                outcome = with_unpinned(checked(name, options, quiet=quiet))
            code, faults = outcome.exit_code, list(outcome.diagnostics)
            written, changed = False, None
            if outcome.judgement is not None:
                try:
                    written, changed = lock_anew(outcome, options)
                except LanguageError as error:
                    faults += error.diagnostics
                    code = ExitCode.WRONG_INPUT
            codes.append(code)
            sources = sources_of(faults, outcome.sources)
            if style is Format.JSON:
                told = [diagnostic_object(d, sources) for d in faults]
                objects.append({**_object(outcome, written, changed, code), "diagnostics": told})
            else:
                complain(faults, sources)
                out(_text(outcome, written, changed, code, view))
    code = overall(codes)
    if style is Format.JSON:
        out(dump({"schema_version": 1, "files": objects, "exit_code": int(code)}))
    if not names:
        err(no_files(files))
    raise typer.Exit(code)


def _text(
    outcome: FileOutcome, written: bool, changed: Comparison | None, code: ExitCode, view: View
) -> str:
    from pathdsl.checking.lock.drift import note
    from pathdsl.checking.lock.file import lock_path
    from pathdsl.report.data.lock import summary
    from pathdsl.report.text.check import verdicts

    judgement = outcome.judgement
    if judgement is None or code is ExitCode.WRONG_INPUT or code is ExitCode.MACHINE_FAILED:
        library = code is ExitCode.NOTHING_TO_CHECK
        return f"{outcome.path}: {'nothing to lock' if library else 'not locked'}\n"
    said = verdicts(judgement.claims, view) if judgement.claims else "no claims"
    what = "wrote" if written else "unchanged"
    text = f"{what}: {lock_path(outcome.path)} ({said})\n"
    if changed is not None and changed.drifted and written:
        text += f"  the lock before {summary(changed)}\n"
        text += "".join(f"    {note(drift)}\n" for drift in changed.drifts)
    return text


def _object(
    outcome: FileOutcome, written: bool, changed: Comparison | None, code: ExitCode
) -> dict[str, Any]:
    from pathdsl.checking.lock.file import lock_path
    from pathdsl.report.data.lock import comparison_object

    locked = outcome.judgement is not None and code <= ExitCode.NOT_AS_EXPECTED
    return {
        "path": outcome.path,
        "lock": lock_path(outcome.path) if locked or written else None,
        "written": written,
        "before": comparison_object(changed) if changed is not None else None,
        "claims": {c.name: c.verdict.value for c in outcome.judgement.claims}
        if outcome.judgement
        else {},
        "exit_code": int(code),
    }
