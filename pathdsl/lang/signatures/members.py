"""Functions over the members of a set, `max(h in attn: effect(through(h)))`: a record for each.

None of their names is reserved: where a file declares `share` or `sum`, its own is meant.

Source: docs/language.md, Functions over members.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import Kind, Parameter, Signature, table
from pathdsl.record import record

__all__ = ["HOW_MANY", "OVER_MEMBERS", "OverRecord", "over_of"]


@record
class OverRecord(Signature):
    """What is known of a function over members.

    `makes`: an `extreme` of their values, an `addition` of them, divided by their number where
    `divided`, a `counting` of those that satisfy a condition, or a `selection` of those with the
    largest values on one half of the prompts, of which it is the mean on the other. `titled` is
    what a report says before the number of its members, "" where none of them decides.
    """

    makes: Literal["extreme", "addition", "counting", "selection"]
    divided: bool
    titled: str

    @property
    def counts(self) -> bool:
        """Whether it is told first how many members are meant."""
        return self.makes == "selection"


OVER_MEMBERS = table(
    OverRecord(
        name="max", example="max(h in attn: effect(through(h)))", makes="extreme", divided=False,
        titled="largest of",
    ),
    OverRecord(
        name="min", example="min(h in attn: effect(through(h)))", makes="extreme", divided=False,
        titled="smallest of",
    ),
    OverRecord(
        name="mean", example="mean(h in attn: effect(through(h)))", makes="addition", divided=True,
        titled="",
    ),
    OverRecord(
        name="sum", example="sum(h in attn: effect(through(h)))", makes="addition", divided=False,
        titled="",
    ),
    OverRecord(
        name="share", example="share(h in attn: effect(through(h)) < -0.1)", makes="counting",
        divided=True, titled="",
    ),
    OverRecord(
        name="top", example="top(10, h in attn: effect(through(h)))", makes="selection",
        divided=True, titled="",
    ),
)  # fmt: skip
HOW_MANY = Parameter(name="count", kind=Kind.COUNT, least=1, by_place=True)
"""What a selection is told first: so many members, or such a part of them."""


def over_of(
    node: ast.Node, kind: Callable[[str], str]
) -> tuple[OverRecord, ast.OverMembers] | None:
    """The function over members that a call is, and what it takes; None for any other node.

    `kind(name)` says what a file declares by a name, "" for nothing: a declared name wins, but for
    a claim's, which is never called.
    """
    if not isinstance(node, ast.Call) or node.name not in OVER_MEMBERS:
        return None
    if kind(node.name) not in ("", "claim"):
        return None
    values = [argument.value for argument in node.arguments]
    if OVER_MEMBERS[node.name].counts and not isinstance(
        values[0] if values else None, ast.OverMembers
    ):
        values = values[1:]
    value = values[0] if values else None
    return (OVER_MEMBERS[node.name], value) if isinstance(value, ast.OverMembers) else None
