"""`pathdsl discover`: from a task to a circuit that other rows have judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.options import (
    AllowOutside,
    Device,
    Memory,
    NoCache,
    NoColor,
    OnDevice,
    Quiet,
    Threads,
    read_options,
)
from pathdsl.cli.output import err, out, view_of
from pathdsl.cli.progress import ProgressDisplay
from pathdsl.cli.store import result_store
from pathdsl.errors import ExitCode, PathdslError

__all__ = ["discover"]


def discover(
    file: Annotated[
        str, typer.Argument(metavar="TASK", help="A `.circuit` file: a model, a task, a metric.")
    ],
    method: Annotated[
        str, typer.Option("--method", metavar="M", help="How edges are scored, or `acdc`.")
    ] = "eap",
    size: Annotated[
        str | None, typer.Option("--size", metavar="N", help="Edges: `200`, or `5%` of all.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="W0s", help="Plain forward passes: `40`, or `40W0s`."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="GOAL", help='The smallest with "faithfulness >= 90%", "kl <= 0.1".'
        ),
    ] = None,
    select: Annotated[
        str,
        typer.Option("--select", metavar="RULE", help="top, greedy, pnr, ilp, or stable."),
    ] = "top",
    tau: Annotated[
        float | None, typer.Option("--tau", metavar="X", help="Threshold of `--method acdc`.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Points of the method's integral.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", metavar="RULE", help="Rule of the method's integral.")
    ] = None,
    signed: Annotated[
        bool, typer.Option("--signed", help="Rank by how far the metric falls.")
    ] = False,
    bound: Annotated[
        str | None,
        typer.Option(
            "--bound",
            metavar="N",
            help="Bound what is outside, by N random subsets: `290`, or as `580W0s` pay for.",
        ),
    ] = None,
    curves: Annotated[
        bool, typer.Option("--curves", help="Measure circuits of all sizes: CPR and CMD.")
    ] = False,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="The task whose rows find it.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", metavar="NAME", help="A task whose rows judge it.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME", help="The metric, of several.")
    ] = None,
    share: Annotated[
        str, typer.Option("--share", metavar="N%", help="Part of the rows that finds.")
    ] = "50%",
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of the division and of resamples.")
    ] = 0,
    where: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there.")
    ] = False,
    device: OnDevice = Device.CPU,
    memory: Memory = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object instead of text.")] = False,
    no_cache: NoCache = False,
    quiet: Quiet = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Find a circuit of a task, write it as a file with draft claims, and judge it on other rows.

    Without `--judge` the rows are divided by the seed: one part finds, the other judges.
    """
    from pathdsl.checking.discovery.goal import Unwanted, read_goal
    from pathdsl.checking.discovery.run import discover_file
    from pathdsl.checking.discovery.wanted import (
        Wanted,
        read_bound,
        read_passes,
        read_share_or_count,
    )
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.discover import discovery_object, discovery_text, forecast_text

    options = read_options(
        memory=memory, device=device, threads=threads, allow_outside=allow_outside
    )
    view = view_of(no_color=no_color)
    try:
        part = read_share_or_count(share, "--share")
        wanted = Wanted(
            method=method,
            select=select,
            size=None if size is None else read_share_or_count(size, "--size"),
            budget=None if budget is None else read_passes(budget, "--budget"),
            until=None if until is None else read_goal(until),
            tau=tau, steps=steps, rule=rule, signed=signed,
            bound=None if bound is None else read_bound(bound),
            curves=curves, task=task, metric=metric, judge=judge, seed=seed, share=float(part),
            out=where, force=force,
        )  # fmt: skip
        with result_store(off=no_cache) as store, ProgressDisplay(quiet) as display:
            progress = None if quiet else display.show
            told = err if as_json else out
            found = discover_file(
                file,
                wanted,
                replace(options, store=store, progress=progress),
                lambda forecast: told(forecast_text(forecast, view)),
            )
    except Unwanted as error:
        raise typer.BadParameter(str(error)) from error
    except PathdslError as error:
        complain(error.diagnostics)
        raise typer.Exit(error.exit_code) from error
    out(dump(discovery_object(found)) if as_json else discovery_text(found, view))
    raise typer.Exit(ExitCode(found.exit_code))
