"""Functions over the members of a set, `max(h in attn: effect(through(h)))`: a record for each.

None of their names is reserved: where a file declares `share` or `sum`, its own is meant.

Source: docs/language.md, Functions over members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import Signature, table

__all__ = ["OVER_MEMBERS", "OverRecord", "over_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverRecord(Signature):
    """What is known of a function over members.

    `makes`: an `extreme` of their values, an `addition` of them, divided by their number where
    `divided`, or a `counting` of those that satisfy a condition. `titled` is what a report says
    before the number of its members, "" where none of them decides.
    """

    makes: Literal["extreme", "addition", "counting"]
    divided: bool
    titled: str


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
)  # fmt: skip


def over_of(
    node: ast.Node, kind: Callable[[str], str]
) -> tuple[OverRecord, ast.OverMembers] | None:
    """The function over members that a call is, and what it takes; None for any other node.

    `kind(name)` says what a file declares by a name, "" for nothing: a declared name wins.
    """
    if not isinstance(node, ast.Call) or node.name not in OVER_MEMBERS or kind(node.name):
        return None
    value = node.arguments[0].value if node.arguments else None
    return (OVER_MEMBERS[node.name], value) if isinstance(value, ast.OverMembers) else None
