"""`pathdsl check` as typer reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pathdsl.checking.options import CheckOptions
from pathdsl.cli.formats import CheckFormat
from pathdsl.cli.judging import judge_files
from pathdsl.cli.options import (
    Address,
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
    OfSlurm,
    OnDevice,
    Only,
    RunsOn,
    Seed,
    Set,
    ShardOf,
    Shards,
    StoreFolder,
    Threads,
    Timeout,
    Wait,
    read_options,
)
from pathdsl.cli.output import view_of
from pathdsl.cli.running import run_on, vet_on, words_of
from pathdsl.cli.sharding import measure_shard, read_share, refuse
from pathdsl.cli.training import judge_revisions
from pathdsl.errors import ExitCode
from pathdsl.report.formats import Settings

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
    revisions: Annotated[
        str | None,
        typer.Option(
            "--revisions",
            metavar="SERIES",
            help="Judge the file at each checkpoint: step0..step143000:1000, a list, or folders by "
            "a pattern.",
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", metavar="FILE", help="Also draw the series of --revisions, .svg or .html."
        ),
    ] = None,
    store: StoreFolder = None,
    shard: ShardOf = None,
    wait: Wait = False,
    timeout: Timeout = None,
    on: RunsOn = None,
    shards: Shards = None,
    address: Address = None,
    slurm: OfSlurm = [],
    watch: Annotated[
        bool, typer.Option("--watch", help="Check again whenever a file that is read changes.")
    ] = False,
) -> None:
    """Judge the claims of files: vet the data, run the model, print verdicts."""
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
    settings = Settings(view=view, allow_inconclusive=allow_inconclusive, locked=locked)
    vet_on(on, shards=shards, address=address, slurm=slurm)
    if store is not None:
        refuse("--store DIR", "--no-cache" * no_cache, "--locked" * locked,
               "--revisions" * (revisions is not None), "--watch" * watch)  # fmt: skip
    if shard is not None:
        share = read_share(shard, store, wait=wait, timeout=timeout)
        refuse("--shard", "--on" * (on is not None), "--values" * (values is not None),
               "--all" * everything, "--figure" * (figure is not None),
               "--allow-inconclusive" * allow_inconclusive,
               "--format" * (style is not CheckFormat("text")))  # fmt: skip
        assert store is not None
        raise typer.Exit(measure_shard(files, options, share, store, quiet=quiet))
    if on is not None:
        refuse("--on", "--wait" * wait, "--timeout" * (timeout is not None),
               "--figure" * (figure is not None))  # fmt: skip
        words = words_of(
            files, sets=sets, seed=seed, only=only, device=device.value, models=models,
            memory=memory, max_states=max_states, max_copies=max_copies, threads=threads,
            store=store, diagnostics=diagnostics.value,
            flags=("--both-norms" * both_norms, "--allow-outside" * allow_outside),
        )  # fmt: skip
        more = words_of(
            [], format=style.value, values=values,
            flags=("--all" * everything, "--allow-inconclusive" * allow_inconclusive,
                   "--quiet" * quiet, "--no-color" * no_color),
        )  # fmt: skip
        raise typer.Exit(
            run_on(on, words, more, store, shards, threads, address=address, slurm=slurm,
                   quiet=quiet)
        )  # fmt: skip
    if wait or timeout is not None:
        raise typer.BadParameter("`--wait` and `--timeout` are for one `--shard` of several")
    if revisions is not None:
        for name, given in (("--watch", watch), ("--values", values is not None)):
            if given:
                raise typer.BadParameter(f"`--revisions` takes no `{name}`")
        raise typer.Exit(
            judge_revisions(
                files, revisions, options, settings, style.value, figure=figure,
                store=not no_cache,
            )
        )  # fmt: skip
    if figure is not None:
        raise typer.BadParameter("`--figure` draws the series of `--revisions`")
    if watch:
        raise typer.Exit(_watched(files, options, settings, style, values, store=not no_cache))
    raise typer.Exit(
        judge_files(
            files, options, settings, style.value, values=values, store=not no_cache, shared=store
        )
    )


def _watched(
    files: list[str],
    options: CheckOptions,
    settings: Settings,
    style: CheckFormat,
    values: Path | None,
    *,
    store: bool,
) -> ExitCode:
    from pathdsl.cli.watching import watch_file

    for wrong, why in (
        (len(files) != 1 or os.path.isdir(files[0]), "one file"),
        (style is not CheckFormat("text"), "no `--format`: it prints for people"),
        (values is not None, "no `--values`"),
        (options.locked, "no `--locked`, which computes everything each time"),
    ):
        if wrong:
            raise typer.BadParameter(f"`--watch` takes {why}")
    return watch_file(files[0], options, settings, store=store)
