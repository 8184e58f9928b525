"""Members of a score that takes the worst over knockouts or units, those that decide it first."""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.report.numbers import many
from pathdsl.report.text.style import View, clip, table
from pathdsl.score.results import MemberResult

__all__ = ["members_block"]

TOP = 3


def members_block(
    members: Sequence[MemberResult],
    estimate: float | None,
    view: View,
    indent: str,
    *,
    brief: bool = False,
) -> str:
    """The worst of the members and its neighbours; the score is the value of the first one.

    `brief` names the worst alone.
    """

    def distance(member: MemberResult) -> float:
        if member.estimate is None or estimate is None:
            return float("inf")
        return abs(member.estimate - estimate)

    ordered = sorted(members, key=distance)
    title = f"{indent}worst of {many(len(members), 'candidate')}:"
    if brief or len(members) == 1:
        first = ordered[0].decided_by or ordered[0].name
        return f"{title} {clip(first, view.width - len(title) - 1)}"
    kept = ordered if view.everything or len(ordered) <= TOP + 1 else ordered[:TOP]
    room = max(20, view.width - len(indent) - 34)
    rows = [
        [
            f"{indent}  {clip(m.decided_by or m.name, room)}",
            view.number(m.estimate, m.interval),
            view.interval(m.interval, m.estimate),
        ]
        for m in kept
    ]
    lines = [title, *table(rows, right=(1,))]
    if len(kept) < len(ordered):
        lines.append(f"{indent}  … {len(ordered) - len(kept)} more; `--all` shows them")
    return "\n".join(lines)
