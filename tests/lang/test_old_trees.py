"""Files that were published before a form was added keep their tree, field by field and place by
place: `trees.json` has texts of shipped files and docs of then, with the hashes of their trees.

A field that a class gained since has a default in them and is left out of the hash. The texts are
never made anew: `python -m tests.lang.test_old_trees` adds those of today that are not there yet.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields
from pathlib import Path

from pathdsl.errors import Span
from pathdsl.lang import ast
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.rules import pages
from pathdsl.lang.syntax.parse import parse
from tests.docs.test_language import FENCE

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parent / "data" / "trees.json"


def spelled(value: object) -> object:
    """A tree as lists and texts, without what is as it is where nothing was written."""
    if isinstance(value, Span):
        return [value.start, value.end]
    if isinstance(value, ast.Node):
        written = {
            one.name: getattr(value, one.name)
            for one in fields(value)
            if one.default is MISSING or getattr(value, one.name) != one.default
        }
        if isinstance(value, ast.File):
            del written["path"]
        return [type(value).__name__, *([name, spelled(part)] for name, part in written.items())]
    if isinstance(value, tuple):
        return [spelled(item) for item in value]
    return str(value)


def tree_of(text: str) -> str:
    file, _ = parse(text, "old.circuit")
    return hashlib.sha256(json.dumps(spelled(file)).encode()).hexdigest()[:32]


def texts() -> list[str]:
    """The text of every shipped file, of every example of the docs and of every page of a code."""
    found: dict[str, None] = {}
    for path in sorted(ROOT.glob("**/*.circuit")):
        if not {".venv", "node_modules", ".git"} & set(path.parts):
            found[path.read_text(encoding="utf-8")] = None
    for path in sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]):
        for fence in FENCE.finditer(path.read_text(encoding="utf-8")):
            if fence[1] == "circuit":
                found[fence[3]] = None
    for page in pages().values():
        for example in filter(None, (page.failing, page.passing)):
            found[example.text] = None
    return list(found)


OLD = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else []


def test_every_old_text_has_its_tree_of_then() -> None:
    assert len(OLD) > 200
    changed = [old["text"] for old in OLD if tree_of(old["text"]) != old["tree"]]
    assert not changed


def test_an_old_text_is_printed_as_it_was() -> None:
    for old in OLD:
        if not parse(old["text"], "old.circuit")[1]:
            printed = hashlib.sha256(format_text(old["text"], "old.circuit").encode())
            assert printed.hexdigest()[:32] == old["printed"], old["text"]


def add() -> None:
    known = {old["text"] for old in OLD}
    for text in texts():
        if text in known:
            continue
        entry = {"text": text, "tree": tree_of(text)}
        if not parse(text, "old.circuit")[1]:
            printed = hashlib.sha256(format_text(text, "old.circuit").encode())
            entry["printed"] = printed.hexdigest()[:32]
        OLD.append(entry)
    KEPT.write_text(json.dumps(OLD, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    add()
