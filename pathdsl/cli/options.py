"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pathdsl.checking.options import CheckOptions, UnknownName, read_setting, read_size
from pathdsl.errors import MOST_THREADS, LanguageError

if TYPE_CHECKING:
    from pathdsl.engine.load.source import ModelSource
    from pathdsl.engine.planner import Limits

__all__ = [
    "Address", "AllowInconclusive", "AllowOutside", "BothNorms", "Device", "Diagnostics", "Files",
    "Format", "Locked", "MaxCopies", "MaxStates", "Memory", "Models", "NoCache", "NoColor",
    "OfSlurm", "On", "OnDevice", "Only", "Quiet", "RunsOn", "Seed", "Set", "ShardOf", "Shards",
    "StoreFolder", "Style", "Threads", "Timeout", "Wait", "known_names", "read_options",
    "readable", "size",
]  # fmt: skip

T = TypeVar("T")


class Format(StrEnum):
    """Text for people or one object for programs."""

    TEXT = "text"
    JSON = "json"


class Device(StrEnum):
    """Where the model runs; auto: on as many devices as it needs."""

    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"
    AUTO = "auto"


class Diagnostics(StrEnum):
    """Code frames, or a line per fault."""

    FULL = "full"
    CONCISE = "concise"


Style = Annotated[Format, typer.Option("--format", help="Text, or one object.")]
Files = Annotated[list[str], typer.Argument(metavar="FILES", help="Files or folders.")]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=N", help="Set `take` or `seed` of every task's data."),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="The same as --set seed=N.")]
Models = Annotated[
    list[str],
    typer.Option(
        "--model", metavar="NAME=WHERE", help="Replace a model: folder:PATH, hf:ID, bundled:NAME."
    ),
]
Only = Annotated[
    str | None, typer.Option("--only", metavar="NAME", help="Judge this claim or let alone.")
]
Memory = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="Weights and values, as in 2GB.")
]
MaxStates = Annotated[
    int | None, typer.Option("--max-states", metavar="N", min=1, help="Largest automaton.")
]
MaxCopies = Annotated[
    int | None, typer.Option("--max-copies", metavar="N", min=1, help="Largest plan.")
]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR says the same.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
OnDevice = Annotated[Device, typer.Option("--device", help="Where the model runs.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, max=MOST_THREADS, help="Threads of the CPU."),
]
AllowInconclusive = Annotated[
    bool, typer.Option("--allow-inconclusive", help="An inconclusive claim is no failure.")
]
BothNorms = Annotated[bool, typer.Option("--both-norms", help="Also judge in the other norm mode.")]
Locked = Annotated[
    bool, typer.Option("--locked", help="Compute everything, and compare it with the file's lock.")
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Files may name others outside of their own folder and of this one.",
    ),
]


class On(StrEnum):
    """What runs the shards of a check."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


RunsOn = Annotated[
    On | None,
    typer.Option(
        "--on", help="Run all --shards N here, by Ray or by Slurm, then the check, into --store."
    ),
]
Shards = Annotated[
    int | None,
    typer.Option("--shards", metavar="N", min=1, max=10_000, help="How many shards --on runs."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST", help="The cluster of --on ray; without it: here."),
]
OfSlurm = Annotated[
    list[str],
    typer.Option(
        "--slurm", metavar="NAME=VALUE", help="What --on slurm tells sbatch, as in partition=gpu."
    ),
]


StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="A folder of values that others may fill, in place of the result store.",
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Compute every N-th item from the K-th on into --store DIR, and judge nothing.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="A shard waits for values of others that a later round needs."),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="TIME", help="Wait so long at most while nothing comes: 90s, 20m, 2h."
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Compute everything; read and keep no results.")
]


def read_options(
    *,
    sets: Sequence[str] = (),
    seed: int | None = None,
    models: Sequence[str] = (),
    memory: str | None = None,
    max_states: int | None = None,
    max_copies: int | None = None,
    only: str | None = None,
    device: Device = Device.CPU,
    threads: int | None = None,
    allow_inconclusive: bool = False,
    both_norms: bool = False,
    locked: bool = False,
    allow_outside: bool = False,
) -> CheckOptions:
    """The options of a check as a command line gives them; typer.BadParameter for what is none."""
    from pathdsl.engine.load.source import parse_override

    if locked and only is not None:
        raise typer.BadParameter("`--locked` compares every claim and takes no `--only`")
    overrides: dict[str, int] = {}
    for text in sets:
        with readable(f"`--set {text[:40]}`: "):
            _once(overrides, *read_setting(text))
    if seed is not None:
        if overrides.get("seed", seed) != seed:
            raise typer.BadParameter(f"`--seed {seed}` and `--set seed={overrides['seed']}` differ")
        overrides["seed"] = seed
    sources: dict[str, ModelSource] = {}
    for text in models:
        with readable(f"`--model {text}`: "):
            _once(sources, *parse_override(text))
    return CheckOptions(
        overrides=overrides,
        models=sources,
        limits=_limits(memory, max_states, max_copies),
        only=only,
        device=device.value,
        threads=threads,
        allow_inconclusive=allow_inconclusive,
        both_norms=both_norms,
        locked=locked,
        allow_outside=allow_outside,
    )


def _once(found: dict[str, T], name: str, value: T) -> None:
    """Keep what an option says of a name; ValueError where it said something else before."""
    if found.setdefault(name, value) != value:
        raise ValueError(f"`{name}` is given another value before")


@contextmanager
def known_names() -> Iterator[None]:
    """A name that no file has is a fault of the command line."""
    try:
        yield
    except UnknownName as error:
        option = f"--model {error.name}=…" if error.option == "models" else f"--only {error.name}"
        raise typer.BadParameter(f"`{option}`: {error.why}") from error


@contextmanager
def readable(before: str = "") -> Iterator[None]:
    """What cannot be read is a fault of the command line."""
    try:
        yield
    except LanguageError as error:
        fault = error.diagnostics[0]
        raise typer.BadParameter("; ".join([fault.message, *fault.notes])) from error
    except ValueError as error:
        raise typer.BadParameter(f"{before}{error}") from error


def size(option: str, text: str) -> int:
    """Bytes: `2GB`, `512 MiB`, `1000000`; typer.BadParameter for what is no size."""
    with readable(f"`{option}`: "):
        return read_size(text)


def _limits(memory: str | None, max_states: int | None, max_copies: int | None) -> Limits | None:
    given = {
        "memory": None if memory is None else size("--memory", memory),
        "max_states": max_states,
        "max_copies": max_copies,
    }
    if all(bound is None for bound in given.values()):
        return None
    from pathdsl.engine.planner import Limits

    return Limits(**{name: bound for name, bound in given.items() if bound is not None})
