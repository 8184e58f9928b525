"""The options of `check --on`: what they mean together, and the command line of each shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pathdsl.cli.options import On

if TYPE_CHECKING:
    from pathdsl.cli.doors import Door

__all__ = ["run_on", "vet_on", "words_of"]


def vet_on(on: On | None, *, shards: int | None, address: str | None, slurm: Sequence[str]) -> None:
    """typer.BadParameter for options that say nothing beside this `--on`."""
    if on is None and shards is not None:
        raise typer.BadParameter("`--shards` is how many `--on` runs")
    if on is not On.RAY and address is not None:
        raise typer.BadParameter("`--address` is where `--on ray` finds its cluster")
    if on is not On.SLURM and slurm:
        raise typer.BadParameter("`--slurm` is what `--on slurm` tells sbatch")


def words_of(
    files: Sequence[str],
    *,
    flags: Sequence[str],
    sets: Sequence[str] = (),
    models: Sequence[str] = (),
    **options: object,
) -> list[str]:
    """A command line after its verb, as options were given; what is None or "" was not."""
    words = [flag for flag in flags if flag]
    for name, several in (("--set", sets), ("--model", models)):
        words += [word for one in several for word in (name, one)]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, *files]


def run_on(
    on: On,
    words: Sequence[str],
    more: Sequence[str],
    store: Path | None,
    shards: int | None,
    threads: int | None,
    *,
    address: str | None,
    slurm: Sequence[str],
    quiet: bool,
) -> int:
    """Run all shards of a check and the check behind them; what to exit with."""
    from pathdsl.cli.coordinating import coordinate

    for given, option, why in (
        (store, "--store DIR", "where the values go"),
        (shards, "--shards N", "how many there are"),
        (threads, "--threads N", "of each shard, which the last bits of values depend on"),
    ):
        if given is None:
            raise typer.BadParameter(f"`--on {on.value}` needs `{option}`, {why}")
    assert store is not None and shards is not None and threads is not None
    door = _door(on, store, threads, address, slurm)
    return coordinate(words, more, store, shards, door, quiet=quiet)


def _door(on: On, store: Path, threads: int, address: str | None, slurm: Sequence[str]) -> Door:
    from pathdsl.cli import doors

    if on is On.LOCAL:
        return doors.Local()
    if on is On.RAY:
        return doors.Ray(address, threads)
    given = {}
    for one in slurm:
        name, equals, value = one.partition("=")
        if not (name.isidentifier() and equals and value):
            raise typer.BadParameter(f"`--slurm {one[:40]}`: wanted NAME=VALUE")
        given[name] = value
    return doors.Slurm(store / "jobs", threads, given)
