"""`pathdsl check --shard K/N`: one share of the items of files, computed into a shared store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pathdsl.checking.options import CheckOptions
from pathdsl.cli.checked import checked, failed, files_with
from pathdsl.cli.complaints import complain
from pathdsl.cli.files import no_files
from pathdsl.cli.options import readable
from pathdsl.cli.output import err, out
from pathdsl.cli.store import result_store
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, overall
from pathdsl.report.numbers import many

if TYPE_CHECKING:
    from pathdsl.engine.shards import Share

__all__ = ["measure_shard", "read_share", "refuse"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def refuse(option: str, *others: str) -> None:
    """typer.BadParameter for the first of the options beside which this one has no meaning."""
    for other in filter(None, others):
        raise typer.BadParameter(f"`{option}` takes no `{other}`")


def read_share(shard: str, store: Path | None, *, wait: bool, timeout: str | None) -> Share:
    """The share that a command line asks for."""
    from pathdsl.engine.shards import Share, read_shard

    if store is None:
        raise typer.BadParameter("`--shard` computes into a folder: give `--store DIR`")
    if timeout is not None and not wait:
        raise typer.BadParameter("`--timeout` is how long `--wait` waits")
    with readable("`--shard`: "):
        found = read_shard(shard)
    seconds = inf if wait else 0.0
    return Share(shard=found, wait=seconds if timeout is None else _time(timeout))


def _time(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"`--timeout {text[:40]}`: wanted for example `90s`, `20m`, `2h`")
    return float(match[1]) * _SECONDS[match[2]]


def measure_shard(
    files: Sequence[str], options: CheckOptions, share: Share, folder: Path, *, quiet: bool
) -> ExitCode:
    """Compute a share of the items of each file and say so in a line; what to exit with."""
    codes: list[ExitCode] = []
    names = files_with(files, options)
    guard = Guard()
    who = f"{share.shard.number}-of-{share.shard.of}"
    with result_store(shared=folder, who=who) as store:
        for name in names:
            share = replace(share, asked=0, ours=0, computed=0, once={})
            given = replace(options, store=store, share=share)
            outcome = failed(name, options)
            with guard.of(name):
                outcome = checked(name, given, quiet=quiet)
            codes.append(outcome.exit_code)
            complain(outcome.diagnostics, outcome.sources)
            there = share.ours - share.computed
            if outcome.exit_code in (ExitCode.AS_EXPECTED, ExitCode.LACKING):
                so_far = "" if outcome.exit_code is ExitCode.AS_EXPECTED else " so far"
                out(
                    f"shard {share.shard} of {name}: {many(share.computed, 'item')} computed, "
                    f"{there} {'was' if there == 1 else 'were'} there; {share.asked} in all"
                    f"{so_far}\n"
                )
            elif outcome.exit_code is ExitCode.NOTHING_TO_CHECK:
                out(f"shard {share.shard} of {name}: nothing to check\n")
            else:
                out(f"shard {share.shard} of {name}: stopped, see above\n")
    if not names:
        err(no_files(files))
    return overall(codes)
