"""Writes the TextMate grammar: `python -m pathdsl.editor.textmate` after a change of the words.

It stands in the repository, where editors and code hosts find it; a test fails when it is stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pathdsl.editor.colours import COLOURS, Part, Region, rules

__all__ = ["GRAMMAR", "made"]

GRAMMAR = "circuit.tmLanguage.json"
PLACES = (GRAMMAR, f"vscode/{GRAMMAR}")
"""Below the folder of grammars: an extension holds what it names."""


def made() -> str:
    """The text of the file."""
    grammar = {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "comment": "made by python -m pathdsl.editor.textmate",
        "name": "Circuit",
        "scopeName": "source.circuit",
        "fileTypes": ["circuit"],
        "patterns": [{"include": "#root"}],
        "repository": {
            state: {"patterns": [_pattern(part) for part in parts]}
            for state, parts in rules().items()
        },
    }
    return json.dumps(grammar, indent=1, ensure_ascii=False) + "\n"


def _pattern(part: Part) -> dict[str, Any]:
    if isinstance(part, Region):
        found: dict[str, Any] = {"begin": part.begin, "beginCaptures": _captures(part)}
        if not part.end.startswith("(?="):
            found["endCaptures"] = _captures(part)
        return found | {"end": part.end, "patterns": [{"include": f"#{part.inside}"}]}
    if len(part.kinds) == 1:
        return {"match": part.match, "name": _scope(part.kinds[0])}
    return {"match": part.match, "captures": _captures(part)}


def _captures(part: Part) -> dict[str, dict[str, str]]:
    first = 0 if len(part.kinds) == 1 else 1
    return {
        str(number): {"name": _scope(kind)}
        for number, kind in enumerate(part.kinds, first)
        if COLOURS[kind].scope
    }


def _scope(kind: str) -> str:
    return f"{COLOURS[kind].scope}.circuit"


if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[2] / "grammars"
    for place in PLACES:
        (folder / place).write_text(made(), encoding="utf-8")
