"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.errors import MOST_THREADS, LanguageError
from pathdsl.lang.fence import FREE, Fence
from pathdsl.limits import DIGITS

if TYPE_CHECKING:
    from pathdsl.checking.check import CheckOptions
    from pathdsl.engine.load.source import ModelSource
    from pathdsl.engine.planner import Limits

__all__ = [
    "AllowOutside", "Device", "Diagnostics", "Files", "Format", "MaxCopies", "MaxStates", "Memory",
    "Models", "NoColor", "Only", "Scope", "Seed", "Set", "read_scope",
]  # fmt: skip


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
    str | None, typer.Option("--memory", metavar="SIZE", help="Values of one batch, as in 2GB.")
]
MaxStates = Annotated[
    int | None, typer.Option("--max-states", metavar="N", min=1, help="Largest automaton.")
]
MaxCopies = Annotated[
    int | None, typer.Option("--max-copies", metavar="N", min=1, help="Largest plan.")
]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR says the same.")]
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
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Compute everything; read and keep no results.")
]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
          "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the command line sets in place of what the file says; `replaced` says so as written."""

    overrides: dict[str, int]
    models: dict[str, ModelSource]
    replaced: dict[str, str]
    limits: Limits | None
    allow_outside: bool = False

    @property
    def fence(self) -> Fence | None:
        """Where what a file names may lie; None for the fence around each file."""
        return FREE if self.allow_outside else None

    def check_options(self, only: str | None = None) -> CheckOptions:
        """The options of a check with nothing else set."""
        from pathdsl.checking.check import CheckOptions

        return CheckOptions(
            overrides=self.overrides,
            models=self.models,
            limits=self.limits,
            only=only,
            allow_outside=self.allow_outside,
        )


def read_scope(
    sets: Sequence[str],
    seed: int | None,
    models: Sequence[str],
    memory: str | None,
    max_states: int | None,
    max_copies: int | None,
    allow_outside: bool = False,
) -> Scope:
    """The options read; raises typer.BadParameter for what cannot be."""
    from pathdsl.engine.load.source import parse_override

    overrides = dict(_setting(text) for text in sets)
    if seed is not None:
        if overrides.get("seed", seed) != seed:
            raise typer.BadParameter(f"`--seed {seed}` and `--set seed={overrides['seed']}` differ")
        overrides["seed"] = seed
    replaced = {name: str(overrides[name]) for name in sorted(overrides)}
    sources = {}
    for text in models:
        try:
            name, source = parse_override(text)
        except LanguageError as error:
            fault = error.diagnostics[0]
            raise typer.BadParameter("; ".join([fault.message, *fault.notes])) from error
        sources[name] = source
        replaced[f"model {name}"] = text.partition("=")[2]
    return Scope(
        overrides=overrides,
        models=sources,
        replaced=replaced,
        limits=_limits(memory, max_states, max_copies),
        allow_outside=allow_outside,
    )


def _limits(memory: str | None, max_states: int | None, max_copies: int | None) -> Limits | None:
    wanted = None if memory is None else size(memory)
    if wanted is None and max_states is None and max_copies is None:
        return None
    from pathdsl.engine.planner import Limits

    usual = Limits()
    return Limits(
        memory=usual.memory if wanted is None else wanted,
        max_states=usual.max_states if max_states is None else max_states,
        max_copies=usual.max_copies if max_copies is None else max_copies,
    )


def _setting(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if name not in ("take", "seed") or not equals:
        raise typer.BadParameter(f"`--set {text}`: wanted `take=N` or `seed=N`")
    if not re.fullmatch(rf"-?[0-9]{{1,{DIGITS.most}}}", value):
        raise typer.BadParameter(
            f"`--set {text[:40]}`: `{value[:40]}` is no whole number, {DIGITS.most} digits at most"
        )
    if name == "take" and int(value) < 1:
        raise typer.BadParameter(f"`--set {text}`: at least one row is needed")
    return name, int(value)


def size(text: str) -> int:
    """Bytes: `2GB`, `512 MiB`, `1000000`."""
    found = re.fullmatch(
        rf"([0-9]{{1,{DIGITS.most}}}(?:\.[0-9]{{1,{DIGITS.most}}})?)\s*([A-Za-z]*)", text.strip()
    )
    if found is None or found[2].lower() not in _UNITS:
        raise typer.BadParameter(f"`{text[:40]}` is no size; wanted for example `2GB` or `512MiB`")
    count = int(float(found[1]) * _UNITS[found[2].lower()])
    if count < 1:
        raise typer.BadParameter(f"`{text}` is nothing")
    return count
