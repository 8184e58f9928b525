"""What became weaker since a revision, for people and as an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pathdsl.checking.breaking.changes import FileChanges, Kind
from pathdsl.report.numbers import many
from pathdsl.report.text.style import View, paragraph

__all__ = ["breaking_object", "breaking_text"]

_ORDER: tuple[Kind, ...] = ("weaker", "changed", "noted")
_COLOURS = {"weaker": "red", "changed": "yellow", "noted": "green"}
_SHORT = 70


def breaking_text(file: FileChanges, revision: str, view: View) -> str:
    """One file as text: a line for each change, weaker ones first; ends in a line break."""
    lines = [view.heading(file.path)]
    if file.note:
        return "\n".join([*lines, f"  {file.note}"]) + "\n"
    for change in sorted(file.changes, key=lambda change: _ORDER.index(change.kind)):
        text = f"{change.of}: {change.what}"
        both = [_cut(part) for part in (change.before, change.after)]
        if change.before and change.after:
            text += f": {both[0]} -> {both[1]}"
        elif change.before or change.after:
            text += f": {both[0] or both[1]}"
        label = view.paint(f"{change.kind:<8}", _COLOURS[change.kind])
        lines.append(paragraph(f"{label} {text}", view, "  ", " " * 11))
    counts = Counter(change.kind for change in file.changes)
    parts = [f"{counts[kind]} {kind}" for kind in _ORDER if counts[kind]]
    lines.append(f"  since {revision}: {', '.join(parts) or 'every claim says what it said'}")
    return "\n".join(lines) + "\n"


def breaking_object(
    files: Sequence[FileChanges], revision: str, commit: str, exit_code: int
) -> dict[str, Any]:
    """What `breaking --format json` prints."""
    return {
        "schema_version": 1,
        "against": {"revision": revision, "commit": commit},
        "files": [
            {
                "path": one.path,
                "note": one.note,
                "weakened": one.broken,
                "changes": [asdict(change) for change in one.changes],
            }
            for one in files
        ],
        "exit_code": exit_code,
    }


def closing(files: Sequence[FileChanges], view: View) -> str:
    """The last line, where there were several files."""
    if len(files) < 2:
        return ""
    n_broken = sum(one.broken for one in files)
    text = f"{many(len(files), 'file')}: {n_broken or 'none'} with something weaker or changed"
    return "\n" + view.heading(text) + "\n"


def _cut(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
