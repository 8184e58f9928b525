"""`pathdsl diff A B`: what two circuits share, and how far apart they score."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

import typer

from pathdsl.checking.options import vet_names
from pathdsl.cli.checked import file_and_name, path_set_of, program_of, vet_task
from pathdsl.cli.complaints import complain
from pathdsl.cli.options import (
    AllowOutside,
    Device,
    Format,
    MaxCopies,
    MaxStates,
    Memory,
    Models,
    NoCache,
    NoColor,
    OnDevice,
    Quiet,
    Seed,
    Set,
    Style,
    Threads,
    known_names,
    read_options,
)
from pathdsl.cli.output import out, view_of
from pathdsl.cli.progress import ProgressDisplay
from pathdsl.cli.store import result_store
from pathdsl.errors import PathdslError
from pathdsl.near import did_you_mean

__all__ = ["diff"]

_SUBJECT = "A `.circuit` file, or FILE:PATH for a path set of it; its hypothesis without one."


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_SUBJECT)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one, likewise.")],
    scores: Annotated[
        list[str],
        typer.Option("--score", metavar="NAME", help="What to measure; faithfulness if absent."),
    ] = [],
    within: Annotated[
        str, typer.Option("--within", metavar="X", help="Scores so near to one another are alike.")
    ] = "5%",
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="NAME", help="Measure on this task of A, shared or not."),
    ] = None,
    graph_only: Annotated[
        bool, typer.Option("--graph-only", help="Measure nothing; load no weights.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every node and edge.")] = False,
    style: Style = Format.TEXT,
    sets: Set = [],
    seed: Seed = None,
    device: OnDevice = Device.CPU,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    threads: Threads = None,
    no_cache: NoCache = False,
    quiet: Quiet = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Say what two circuits share, and how far apart they score on the tasks that both have.

    Exits 0 however different they are: that is no fault.
    """
    from pathdsl.checking.diff.compare import compare
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.diff import Side, diff_object, diff_text

    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?%?", within) or not float(within.rstrip("%")):
        raise typer.BadParameter(f"`--within {within[:40]}`: wanted for example 5% or 0.2")
    _vet_scores(scores)
    view = view_of(no_color=no_color, everything=everything)
    options = read_options(
        sets=sets, seed=seed, models=models, memory=memory, max_states=max_states,
        max_copies=max_copies, device=device, threads=threads, allow_outside=allow_outside,
    )  # fmt: skip
    sides = []
    for subject in (a, b):
        path, name = file_and_name(subject)
        program = program_of(path, options)
        named = path_set_of(program, path, name or None, f"{path}:NAME")
        sides.append(Side(path=path, program=program, name=named))
    first, second = sides
    with known_names():
        vet_names([first.path, second.path], options)
    vet_task(first.program, first.path, task)
    try:
        with (
            result_store(off=no_cache or graph_only) as store,
            ProgressDisplay(quiet or graph_only) as display,
        ):
            found = compare(
                first.program, first.name, second.program, second.name,
                replace(options, store=store, progress=None if quiet else display.show),
                task=task, scores=scores or ["faithfulness"], within=within, graph_only=graph_only,
            )  # fmt: skip
    except PathdslError as error:
        complain(error.diagnostics, {**second.program.sources, **first.program.sources})
        raise typer.Exit(error.exit_code) from error
    code = found.exit_code
    if style is Format.JSON:
        out(dump(diff_object(first, second, found, int(code))))
    else:
        out(diff_text(first, second, found, view))
    if found.scores is not None and found.scores.faults:
        complain(found.scores.faults, found.scores.outcome.sources)
    raise typer.Exit(code)


def _vet_scores(scores: list[str]) -> None:
    from pathdsl.checking.diff.scores import SCORED

    for name in scores:
        if name not in SCORED:
            hint = did_you_mean(name, SCORED) or "wanted one of " + ", ".join(SCORED)
            raise typer.BadParameter(f"`--score {name}`: {hint}")
