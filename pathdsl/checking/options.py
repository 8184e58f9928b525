"""What goes into a check beside the file, and whether the names in it are in the file.

options = CheckOptions(overrides={"take": 50}, only="sufficient")
vet_names(["hypotheses/quickstart/induction.circuit"], options)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.only import asked_name
from pathdsl.lang.program import Program, load_program
from pathdsl.limits import DIGITS
from pathdsl.near import did_you_mean
from pathdsl.record import record

if TYPE_CHECKING:
    from pathdsl.checking.training.shared import OneOfSeries
    from pathdsl.engine.load.held import Held
    from pathdsl.engine.load.source import ModelSource
    from pathdsl.engine.meter import Progress
    from pathdsl.engine.planner import Limits
    from pathdsl.engine.shards import Share
    from pathdsl.engine.store.store import Store
    from pathdsl.score.statistics.book import Book

__all__ = ["CheckOptions", "UnknownName", "read_setting", "read_size", "vet_names"]


@record
class CheckOptions:
    """What a caller may set; everything that changes a number is recorded.

    `overrides`: `take` and `seed` of every task's data. `models`: replacements by the model's name.
    `only`: one claim or let. `limits`: None means the defaults. `both_norms`: judge tasks that
    recompute norms with frozen ones, too (those that freeze them are always judged both ways).
    `store`: where values are kept between checks; None keeps nothing. `locked`: compare with the
    lock beside the file, which takes no store. `book` has what an earlier check of the file worked
    out, and `held` its model, where one goes on in the same process. `series`: what the check knows
    of the series of revisions that it is one of. `share`: measure that share of the items alone,
    into a shared store, and judge nothing. `every_plan`: have the plans of stored values in the
    outcome, too, for a lock. `allow_outside`: the file may
    name others outside of its own folder and of the one that pathdsl was started in.
    """

    overrides: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, ModelSource] = field(default_factory=dict)
    only: str | None = None
    device: str = "cpu"
    allow_inconclusive: bool = False
    both_norms: bool = False
    limits: Limits | None = None
    progress: Progress | None = None
    threads: int | None = None
    store: Store | None = None
    locked: bool = False
    allow_outside: bool = False
    book: Book | None = None
    held: Held | None = None
    series: OneOfSeries | None = None
    share: Share | None = None
    every_plan: bool = False

    @property
    def fence(self) -> Fence | None:
        """Where what a file names may lie; None for the fence around each file."""
        return FREE if self.allow_outside else None

    @property
    def replaced(self) -> dict[str, str]:
        """What stands in place of what the file says, as the command line writes it.

        `only` is among it: the claims that it leaves out are no part of the result.
        """
        told = {name: str(self.overrides[name]) for name in sorted(self.overrides)}
        told |= {"only": self.only} if self.only is not None else {}
        return told | {f"model {name}": _typed(source) for name, source in self.models.items()}


def _typed(source: ModelSource) -> str:
    """A replacement as `--model NAME=…` writes it."""
    revision = f"@{source.revision}" if source.revision else ""
    dtype = f",dtype={source.dtype}" if source.dtype else ""
    return f"{source.kind}:{source.typed or source.location}{revision}{dtype}"


class UnknownName(Exception):
    """A name in the options that no file has: `name` as it was given in `option`, and why not."""

    def __init__(self, option: Literal["only", "models"], name: str, why: str) -> None:
        super().__init__(f"`{name}`: {why}")
        self.option, self.name, self.why = option, name, why

    @classmethod
    def member(cls, only: str) -> UnknownName:
        """`only` names a loop that is there and a member that is not."""
        return cls("only", only, "no such member; write it as the report does, `each[a9.h9@END]`")


def judged_names(program: Program) -> list[str]:
    """The names that `only` may ask for; members of loops by the name of the loop."""
    return [*program.lets, *(claim.name.name for claim in program.claims)]


def is_in(only: str | None, program: Program) -> bool:
    """Whether a program has what `only` asks for, as far as its text tells."""
    return only is None or asked_name(only) in judged_names(program)


_SHOWN = 8
"""Names that are listed where one was asked for that is not there."""


def _there_are(names: Iterable[str]) -> str:
    """`there are `a`, `b`, …`, the first ones of many; "" of none."""
    known = list(dict.fromkeys(names))
    shown = ", ".join(f"`{one}`" for one in known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
    return f"there are {shown}" if known else ""


def vet_names(paths: Iterable[str], options: CheckOptions) -> None:
    """Raise UnknownName for a name that none of these files has; files without a statement are
    left to the check."""
    if options.only is None and not options.models:
        return
    programs = [load_program(path, None, options.fence)[0] for path in paths]
    programs = [program for program in programs if program.file.statements]
    if not programs:
        return
    if (only := options.only) is not None:
        name = asked_name(only)
        names = [one for program in programs for one in judged_names(program)]
        if name not in names:
            hint = did_you_mean(name, names) or _there_are(names)
            raise UnknownName("only", only, f"no claim or quantity `{name}`; {hint}".rstrip("; "))
        loops = [getattr(program.find(name), "loop", None) for program in programs]
        if "[" in only and not any(loops):
            why = f"no such member, since `{name}` has no members; write `{name}`"
            raise UnknownName("only", only, why)
    models = sorted({name for program in programs for name in program.models})
    for model in options.models:
        if models and model not in models:
            listed = ", ".join(f"`{one}`" for one in models)
            raise UnknownName("models", model, f"the file's model is {listed}")


# ------------------------------------------------------------------------------- their texts

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
          "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip


def read_setting(text: str) -> tuple[str, int]:
    """`take=50` or `seed=0` as a name and its number; raises ValueError for anything else."""
    name, equals, value = text.partition("=")
    if name not in ("take", "seed") or not equals:
        raise ValueError("wanted `take=N` or `seed=N`")
    if not re.fullmatch(rf"-?[0-9]{{1,{DIGITS.most}}}", value):
        raise ValueError(f"`{value[:40]}` is no whole number, {DIGITS.most} digits at most")
    if name == "take" and int(value) < 1:
        raise ValueError("at least one row is needed")
    return name, int(value)


def read_size(text: str) -> int:
    """Bytes: `2GB`, `512 MiB`, `1000000`; raises ValueError for what is no size, or none at all."""
    number = rf"[0-9]{{1,{DIGITS.most}}}(?:\.[0-9]{{1,{DIGITS.most}}})?"
    match = re.fullmatch(rf"({number})\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"`{text[:40]}` is no size; wanted for example `2GB` or `512MiB`")
    count = int(float(match[1]) * _UNITS[match[2].lower()])
    if count < 1:
        raise ValueError(f"`{text}` is nothing")
    return count
