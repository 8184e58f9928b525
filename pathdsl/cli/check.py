"""`pathdsl check`: run what the claims of files need and judge them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pathdsl.cli.checked import checked, failed, files_with
from pathdsl.cli.files import no_files
from pathdsl.cli.formats import CheckFormat
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
    Seed,
    Set,
    Threads,
    read_options,
)
from pathdsl.cli.output import err, out, view_of
from pathdsl.cli.saved import save
from pathdsl.cli.store import result_store
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, overall

__all__ = ["check"]


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
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="No progress; a line per claim, or the numbers where none is made.",
        ),
    ] = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Judge the claims of files: vet the data, run the model, print verdicts."""
    from pathdsl.report.formats import Settings, document_of

    if values is not None and values.suffix not in (".jsonl", ".csv"):
        raise typer.BadParameter(f"`--values {values}`: wanted a name ending in .jsonl or .csv")
    options = read_options(
        sets=sets, seed=seed, models=models, memory=memory, max_states=max_states,
        max_copies=max_copies, only=only, device=device, threads=threads,
        allow_inconclusive=allow_inconclusive, both_norms=both_norms, locked=locked,
        allow_outside=allow_outside,
    )  # fmt: skip
    view = view_of(
        no_color=no_color,
        everything=everything,
        quiet=quiet,
        concise=diagnostics is Diagnostics.CONCISE,
    )
    codes: list[ExitCode] = []
    rows: list[dict[str, object]] = []
    settings = Settings(view=view, allow_inconclusive=allow_inconclusive, locked=locked)
    document = document_of(style.value, "check", settings)
    names = files_with(files, options)
    guard = Guard()
    with result_store(off=no_cache or locked) as store:
        options = replace(options, store=store)
        for name in names:
            outcome = failed(name, options)
            with guard.of(name):
                outcome = checked(name, options, quiet=quiet)
            codes.append(outcome.exit_code)
            out(document.checked(outcome))
            if values is not None:
                from pathdsl.report.data.values import values_of

                rows += values_of(outcome)
    code = overall(codes)
    if values is not None and not _write_values(values, rows):
        code = ExitCode.WRONG_INPUT
    out(document.end(code))
    if not names:
        err(no_files(files))
    raise typer.Exit(code)


def _write_values(path: Path, rows: list[dict[str, object]]) -> bool:
    from pathdsl.report.data.values import as_csv, as_jsonl

    return save(path, as_csv(rows) if path.suffix == ".csv" else as_jsonl(rows))
