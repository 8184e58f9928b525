"""`pathdsl check`: run what the claims of files need and judge them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.cache import open_store
from pathdsl.cli.complaints import complain
from pathdsl.cli.exits import overall
from pathdsl.cli.files import expand, sources_of
from pathdsl.cli.formats import CheckFormat
from pathdsl.cli.named import NO_MEMBER, judged, vet_names
from pathdsl.cli.options import (
    AllowInconclusive,
    AllowOutside,
    BothNorms,
    Device,
    Diagnostics,
    Files,
    Locked,
    MaxCopies,
    MaxStates,
    Memory,
    Models,
    NoCache,
    NoColor,
    OnDevice,
    Only,
    Scope,
    Seed,
    Set,
    Threads,
    read_scope,
)
from pathdsl.cli.output import colour_on, columns, err, out
from pathdsl.cli.progress import Progress
from pathdsl.cli.saved import save
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, Severity
from pathdsl.lang.only import asked_name

if TYPE_CHECKING:
    from pathdsl.checking.check import FileOutcome
    from pathdsl.checking.lock.drift import Comparison
    from pathdsl.engine.store.store import Store

__all__ = ["check", "failed", "outcome_and_lock", "outcome_of", "vet_locked"]


def check(
    files: Files,
    style: Annotated[
        CheckFormat, typer.Option("--format", help="Text, or one document for programs.")
    ] = CheckFormat("text"),
    sets: Set = [],
    seed: Seed = None,
    only: Only = None,
    device: OnDevice = Device.CPU,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    threads: Threads = None,
    allow_inconclusive: AllowInconclusive = False,
    both_norms: BothNorms = False,
    values: Annotated[
        Path | None,
        typer.Option(
            "--values", metavar="FILE", help="Also write every metric of every run, .jsonl or .csv."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every member, prompt and self-check.")
    ] = False,
    diagnostics: Annotated[
        Diagnostics, typer.Option("--diagnostics", help="Code frames, or a line per fault.")
    ] = Diagnostics.FULL,
    locked: Locked = False,
    no_cache: NoCache = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress; a line per claim.")
    ] = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Judge the claims of files: vet the data, run the model, print verdicts."""
    from pathdsl.lang.program import load_program
    from pathdsl.report.formats import Settings, check_document
    from pathdsl.report.text.style import View

    if values is not None and values.suffix not in (".jsonl", ".csv"):
        raise typer.BadParameter(f"`--values {values}`: wanted a name ending in .jsonl or .csv")
    vet_locked(locked, only)
    scope = read_scope(sets, seed, models, memory, max_states, max_copies, allow_outside)
    view = View(
        width=columns(),
        colour=colour_on(sys.stdout, off=no_color),
        everything=everything,
        quiet=quiet,
        concise=diagnostics is Diagnostics.CONCISE,
    )
    codes: list[ExitCode] = []
    rows: list[dict[str, object]] = []
    settings = Settings(
        view=view, replaced=scope.replaced, allow_inconclusive=allow_inconclusive, locked=locked
    )
    document = check_document(style.value, settings)
    names = expand(files)
    if only is not None or scope.models:
        programs = [load_program(name, None, scope.fence)[0] for name in names]
        vet_names([p for p in programs if p.file.statements], only, scope.models)
    store = None if no_cache or locked else open_store()
    guard = Guard()
    for name in names:
        outcome, comparison = failed(name), None
        with guard.of(name):
            outcome, comparison = outcome_and_lock(
                name, scope, only, device, threads, allow_inconclusive, both_norms, quiet, store,
                locked,
            )  # fmt: skip
        codes.append(outcome.exit_code)
        known = outcome.program.sources if outcome.program else {}
        sources = sources_of(outcome.diagnostics, known)
        out(document.checked(outcome, sources, comparison))
        if values is not None:
            from pathdsl.report.data.values import values_of

            rows += values_of(outcome)
    if store is not None:
        store.close()
        if store.warnings:
            complain(store.warnings)
    code = overall(codes)
    if values is not None and not _write_values(values, rows):
        code = ExitCode.WRONG_INPUT
    out(document.end(code))
    if not names:
        err("no `.circuit` file in " + ", ".join(f"`{name}`" for name in files) + "\n")
    raise typer.Exit(code)


def failed(path: str) -> FileOutcome:
    """The outcome of a file that broke the checker, which the guard has told."""
    from pathdsl.checking.check import FileOutcome

    return FileOutcome(path=path, program=None, diagnostics=(), exit_code=ExitCode.MACHINE_FAILED)


def vet_locked(locked: bool, only: str | None) -> None:
    """`--locked` and `--only` do not go together."""
    if locked and only is not None:
        raise typer.BadParameter("`--locked` compares every claim and takes no `--only`")


def outcome_and_lock(
    path: str,
    scope: Scope,
    only: str | None,
    device: Device,
    threads: int | None,
    allow_inconclusive: bool,
    both_norms: bool,
    quiet: bool,
    store: Store | None,
    locked: bool,
) -> tuple[FileOutcome, Comparison | None]:
    """One file's outcome and, if `locked`, what came of comparing it with its lock.

    Raises typer.BadParameter where `only` names no member of a loop.
    """
    from pathdsl.checking.lock.against import against_lock, lockless

    outcome, comparison = lockless(path, scope.fence) if locked else None, None
    if outcome is None:
        outcome = outcome_of(
            path, scope, only, device, threads, allow_inconclusive, both_norms, quiet, store
        )
        if locked:
            outcome, comparison = against_lock(outcome, scope.check_options())
    if only is not None and outcome.judgement is not None and not _anything(outcome):
        raise typer.BadParameter(f"`--only {only}`: {NO_MEMBER}")
    return outcome, comparison


def outcome_of(
    path: str,
    scope: Scope,
    only: str | None,
    device: Device,
    threads: int | None,
    allow_inconclusive: bool,
    both_norms: bool,
    quiet: bool,
    store: Store | None,
) -> FileOutcome:
    """One file's outcome; a library is only linted."""
    from pathdsl.checking.check import CheckOptions, FileOutcome, check_file
    from pathdsl.checking.vet import vet_file
    from pathdsl.lang.lint import lint_file

    program, found = lint_file(path, None, scope.fence)
    if not (program.claims or program.lets):
        # Nothing will run, so look at the graph here.
        program, found = vet_file(path, None, scope.fence)
    wrong = any(d.severity is Severity.ERROR for d in found)
    if wrong or program.is_library:
        code = ExitCode.WRONG_INPUT if wrong else ExitCode.NOTHING_TO_CHECK
        return FileOutcome(path=path, program=program, diagnostics=tuple(found), exit_code=code)
    if only is not None and asked_name(only) not in judged(program):
        code = ExitCode.NOTHING_TO_CHECK
        return FileOutcome(path=path, program=program, diagnostics=tuple(found), exit_code=code)
    with Progress(quiet) as progress:
        options = CheckOptions(
            overrides=scope.overrides,
            models=scope.models,
            only=only,
            device=device.value,
            allow_inconclusive=allow_inconclusive,
            both_norms=both_norms,
            limits=scope.limits,
            progress=progress.show if progress.on else None,
            threads=threads,
            store=store,
            allow_outside=scope.allow_outside,
        )
        return check_file(path, options)


def _anything(outcome: FileOutcome) -> bool:
    judgement = outcome.judgement
    return judgement is not None and bool(judgement.claims or judgement.quantities)


def _write_values(path: Path, rows: list[dict[str, object]]) -> bool:
    from pathdsl.report.data.values import as_csv, as_jsonl

    return save(path, as_csv(rows) if path.suffix == ".csv" else as_jsonl(rows))
