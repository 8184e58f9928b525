"""Members of a score that takes the worst over knockouts or units, those that decide it first."""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.report.numbers import many, pair, shown
from pathdsl.report.style import View, clip, table
from pathdsl.score.results import MemberResult

__all__ = ["members_block"]

TOP = 3


def members_block(
    members: Sequence[MemberResult], estimate: float | None, view: View, indent: str
) -> str:
    """The worst of the members and its neighbours; the score is the value of the first one."""

    def distance(member: MemberResult) -> float:
        if member.estimate is None or estimate is None:
            return float("inf")
        return abs(member.estimate - estimate)

    ordered = sorted(members, key=distance)
    kept = ordered if view.everything or len(ordered) <= TOP + 1 else ordered[:TOP]
    room = max(20, view.width - len(indent) - 34)
    rows = [
        [
            f"{indent}  {clip(m.name, room)}",
            shown(m.estimate, m.interval),
            pair(m.interval, m.estimate or 0.0),
        ]
        for m in kept
    ]
    lines = [f"{indent}worst of {many(len(members), 'candidate')}:", *table(rows, right=(1,))]
    if len(kept) < len(ordered):
        lines.append(f"{indent}  … {len(ordered) - len(kept)} more; `--all` shows them")
    return "\n".join(lines)
