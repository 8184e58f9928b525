"""Names on the command line: claims and lets for `--only`, models for `--model`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from pathdsl.lang.only import asked_name
from pathdsl.near import did_you_mean

if TYPE_CHECKING:
    from pathdsl.lang.program import Program

__all__ = ["NO_MEMBER", "judged", "vet_names"]

NO_MEMBER = "no such member; write it as the report does, `each[a9.h9@END]`"


def judged(program: Program) -> list[str]:
    """The names that `--only` may ask for."""
    return [*program.lets, *(claim.name.name for claim in program.claims)]


def vet_names(programs: list[Program], only: str | None, models: Iterable[str]) -> None:
    """Names on the command line that no file has are faults of the command line."""
    if not programs:
        return
    name = asked_name(only) if only is not None else None
    known = [known for program in programs for known in judged(program)]
    if name is not None and name not in known:
        hint = did_you_mean(name, known)
        raise typer.BadParameter(f"`--only {only}`: no such claim or let; {hint}".rstrip("; "))
    found = [program.find(name) for program in programs] if name is not None else []
    if "[" in (only or "") and not any(getattr(d, "loop", None) is not None for d in found):
        raise typer.BadParameter(f"`--only {only}`: `{name}` has no members; `--only {name}`")
    have = {p.model.name.name for p in programs if p.model is not None}
    for model in models:
        if have and model not in have:
            told = ", ".join(f"`{one}`" for one in sorted(have))
            raise typer.BadParameter(f"`--model {model}=…`: the file's model is {told}")
