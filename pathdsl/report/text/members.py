"""Members of a score that takes the worst over knockouts or units, those that decide it first."""

from __future__ import annotations

from pathdsl.report.content.rows import WorstOf
from pathdsl.report.text.style import View, clip, table

__all__ = ["members_block"]

TOP = 3


def members_block(number: WorstOf, view: View, indent: str, *, brief: bool = False) -> str:
    """The worst of the members and its neighbours; the score is the value of the first one.

    `brief` names the worst alone.
    """
    members, title = number.members, f"{indent}{number.members_title}:"
    if brief or len(members) == 1:
        return f"{title} {clip(members[0].name, view.width - len(title) - 1)}"
    kept = members if view.everything or len(members) <= TOP + 1 else members[:TOP]
    room = max(20, view.width - len(indent) - 34)
    rows = [[f"{indent}  {clip(one.name, room)}", one.estimate, one.interval] for one in kept]
    lines = [title, *table(rows, right=(1,))]
    if len(kept) < len(members):
        lines.append(f"{indent}  … {len(members) - len(kept)} more; `--all` shows them")
    return "\n".join(lines)
