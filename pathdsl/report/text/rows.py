"""Rows of a task as text: each prompt as tokens, with the names of positions under them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pathdsl.report.numbers import many
from pathdsl.report.text.style import View, paragraph

if TYPE_CHECKING:
    from pathdsl.checking.rows import TaskRows
    from pathdsl.engine.data.shown import ShownPrompt

__all__ = ["shown_text"]

_INDENT = "    "
_BLANK = "·"
_MOST = 4  # tokens of a list that are written out


def shown_text(found: TaskRows, columns: Sequence[str], count: int, view: View) -> str:
    """These prompt columns of the first `count` rows. Raises DataError where a row is wrong."""
    lines = []
    for index, row in enumerate(found.rows[:count]):
        lines.append(view.heading(row["id"]))
        for prompt in found.shown(index, columns):
            lines += ["", f"  {prompt.column}", *_cells(prompt, view)]
        told = {*found.prompts, "id", "spans", "positions"}
        values = {name: value for name, value in row.items() if name not in told}
        lines += ["", *_values(values, view), ""]
    rest = len(found.rows) - count
    legend = [f"{_BLANK} is a blank", "^ differs from the reference"]
    if found.tokenizer is None and isinstance(found.rows[0].get(found.spec.reference), str):
        legend.append("cut into words: `--model` shows tokens")
    if rest > 0:
        legend.append(many(rest, "more row"))
    if found.taken:
        legend.append(found.taken)
    lines.append(view.faint("; ".join(legend)))
    return "\n".join(lines) + "\n"


def _cells(prompt: ShownPrompt, view: View) -> list[str]:
    """Tokens side by side, and under each the names of its place, or a mark of a change."""
    from rich.cells import cell_len

    under: dict[int, list[str]] = {i: ["^"] for i in prompt.changed}
    for name, places in prompt.names.items():
        for place in places:
            under.setdefault(place, []).append(name)
    lines: list[str] = []
    above, below, room = "", [""], view.width - len(_INDENT)

    def end() -> None:
        nonlocal above, below
        if above:
            marks = [view.faint(line.rstrip()) for line in below if line.strip()]
            lines.extend(_INDENT + line for line in (above.rstrip(), *marks))
        above, below = "", [""]

    for i, piece in enumerate(prompt.pieces):
        shown = json.dumps(piece, ensure_ascii=False)[1:-1].replace('\\"', '"')
        shown = shown.replace(" ", _BLANK)
        names = under.get(i, [])
        width = max(cell_len(shown), *(len(name) for name in names), 1) + 1
        if above and cell_len(above) + width > room:
            end()
        below += [" " * cell_len(above)] * (len(names) - len(below))
        below = [
            line.ljust(cell_len(above)) + (names[n] if n < len(names) else "").ljust(width)
            for n, line in enumerate(below)
        ]
        above += shown + " " * (width - cell_len(shown))
        if "\n" in piece:
            end()
    end()
    return lines


def _values(values: Mapping[str, Any], view: View) -> list[str]:
    """Tokens and labels, `io = " Emily"`, several to a line."""
    return [
        paragraph("   ".join(f"{k} = {_value(v)}" for k, v in values.items()), view, "  ", "  ")
    ]


def _value(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > _MOST:
        first = ", ".join(json.dumps(one, ensure_ascii=False) for one in value[:_MOST])
        return f"[{first}, … {len(value) - _MOST} more]"
    return json.dumps(value, ensure_ascii=False)
