"""Which members of which lets and claims are evaluated."""

from __future__ import annotations

from pathdsl.graph.resolve.instances import Instance, members_of
from pathdsl.lang.loops import Looped
from pathdsl.lang.only import asked_name, is_asked, judged_with
from pathdsl.lang.program import Program
from pathdsl.score.session import Resolver

__all__ = ["asked_instances"]


def asked_instances(
    declaration: Looped, program: Program, resolver: Resolver, only: str | None
) -> list[Instance]:
    """The members of a let or claim to evaluate, itself where it has no `for`."""
    name = declaration.name.name
    if declaration.loop is None:
        return [Instance()] if is_asked(only, name) else []
    if only is not None and asked_name(only) != name:
        return []
    members = members_of(program, resolver, declaration)
    judged = judged_with(declaration, [member.label for member in members], only)
    return [member for member in members if member.label in judged]
