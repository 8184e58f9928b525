"""`pathdsl plan`: what a check would run and cost, without loading weights."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pathdsl.cli.checked import files_with
from pathdsl.cli.complaints import complain
from pathdsl.cli.files import no_files
from pathdsl.cli.options import (
    AllowOutside,
    Files,
    Format,
    MaxCopies,
    MaxStates,
    Memory,
    Models,
    NoColor,
    Only,
    Seed,
    Set,
    Style,
    known_names,
    read_options,
)
from pathdsl.cli.output import err, out, view_of
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, PathdslError
from pathdsl.lang.syntax.source import sources_of

__all__ = ["plan"]


def plan(
    files: Files,
    style: Style = Format.TEXT,
    sets: Set = [],
    seed: Seed = None,
    only: Only = None,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    everything: Annotated[bool, typer.Option("--all", help="List every run.")] = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Say what a check would run and what it would cost; loads no weights."""
    from pathdsl.checking.planned import plan_file
    from pathdsl.report.data.result import diagnostic_object, dump
    from pathdsl.report.text.plan import plan_object, plan_report

    options = read_options(
        sets=sets, seed=seed, models=models, memory=memory, max_states=max_states,
        max_copies=max_copies, only=only, allow_outside=allow_outside,
    )  # fmt: skip
    view = view_of(no_color=no_color, everything=everything)
    codes = [ExitCode.AS_EXPECTED]
    objects: list[dict[str, Any]] = []
    guard = Guard()
    names = files_with(files, options)
    if not names:
        err(no_files(files))
        codes.append(ExitCode.NOTHING_TO_CHECK)
    for name in names:
        outcome = None
        try:
            with guard.of(name, leave=PathdslError), known_names():
                outcome = plan_file(name, options)
                if outcome is None and only is None:
                    err(f"nothing to plan in `{name}`: no claim and no let\n")
        except PathdslError as error:
            complain(error.diagnostics)
            codes.append(error.exit_code)
            sources = sources_of(error.diagnostics, {})
            faults = [diagnostic_object(d, sources) for d in error.diagnostics]
            objects.append({"path": name, "diagnostics": faults})
            continue
        if outcome is None:
            continue
        if style is Format.JSON:
            objects.append(plan_object(outcome))
            continue
        if outcome.warnings:
            complain(outcome.warnings, outcome.sources)
        out(plan_report(outcome, view))
    code = max(*codes, guard.code)
    if style is Format.JSON:
        out(dump({"schema_version": 1, "files": objects, "exit_code": int(code)}))
    raise typer.Exit(code)
