"""Edits of source text, and a program with all that it uses as one text.

Rewriting text instead of trees keeps the author's words and comments, and what is judged is
literally what a reader gets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pathdsl.lang import ast
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.program import Program, load_program
from pathdsl.lang.signatures.calls import DATA_FILES, path_in
from pathdsl.lang.syntax.parse import BLANK
from pathdsl.lang.walk import walk
from pathdsl.record import record

__all__ = ["Edit", "edited", "flatten", "pruned", "reached", "relocate", "replaced", "text_of"]

_TO_PATH = re.compile(rf"\w+{BLANK}\({BLANK}\"")
"""What stands before the path of `edges("file.json")` and `nodes("file.json")`."""


@record
class Edit:
    """`text` in the place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


def replaced(node: ast.Node, text: str) -> Edit:
    """The edit that writes `text` in the place of a node."""
    return Edit(start=node.span.start, end=node.span.end, text=text)


def edited(text: str, edits: Iterable[Edit], path: str) -> str:
    """The text with these edits made, in canonical form; raises LanguageError (PD0) if broken.

    Edits must not overlap; equal ones are made once.
    """
    for edit in sorted(set(edits), key=lambda e: (e.start, e.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return format_text(text, path)


def text_of(program: Program, node: ast.Node) -> str:
    """A node as it is written."""
    return program.sources[node.span.path].text[node.span.start : node.span.end]


def flatten(program: Program) -> str:
    """The program as one text without `use`, with paths relative to its main file's folder."""
    source = program.sources[program.path]
    home = Path(program.path).parent
    edits = _moved(program, program.file, home, home)
    uses = [s for s in program.file.statements if isinstance(s, ast.UseDecl)]
    brought = []
    for declaration in program.declarations():
        origin = program.origin.get(declaration.name.name, program.path)
        if origin != program.path:
            brought.append(_text_moved(program, declaration, Path(origin).parent, home))
    for i, use in enumerate(uses):
        edits.append(replaced(use, "" if i else "\n".join(brought)))
    return edited(source.text, edits, program.path)


def relocate(text: str, path: str, to: Path) -> str:
    """A text that stands at `path` with its relative paths written for the folder `to`."""
    program, _ = load_program(path, text)
    return edited(text, _moved(program, program.file, Path(path).parent, to), path)


def _text_moved(program: Program, node: ast.Node, home: Path, to: Path) -> str:
    text, start = text_of(program, node), node.span.start
    for edit in sorted(_moved(program, node, home, to), key=lambda e: -e.start):
        text = text[: edit.start - start] + edit.text + text[edit.end - start :]
    return text


def _moved(program: Program, node: ast.Node, home: Path, to: Path) -> list[Edit]:
    """Edits that make the paths below a node relative to another folder."""
    found: list[Edit] = []
    if home.resolve() == to.resolve():
        return found
    for at, path in _paths(program, node):
        if not os.path.isabs(path):
            moved = Path(os.path.relpath(home.resolve() / path, to.resolve())).as_posix()
            found.append(Edit(start=at, end=at + len(path), text=moved))
    return found


def _paths(program: Program, node: ast.Node) -> Iterator[tuple[int, str]]:
    """Where a path stands in the text, inside its quotes, and what it is."""
    for inner in walk(node):
        if isinstance(inner, ast.Call) and (path := path_in(inner)) is not None:
            if not _of_hub(inner, path):
                yield path.span.start + 1, path.value
        elif isinstance(inner, ast.EdgesFile | ast.NodesFile):
            before = _TO_PATH.match(program.sources[inner.span.path].text, inner.span.start)
            assert before is not None
            yield before.end(), inner.path


def _of_hub(call: ast.Call, path: ast.String) -> bool:
    """Whether what looks like a path names a data set of the hub."""
    file = DATA_FILES.get(call.name)
    home = os.path.dirname(path.span.path)
    return file is not None and file.hub and not os.path.isdir(os.path.join(home, path.value))


# -------------------------------------------------------------------------------------------------
# Claims with what they need
# -------------------------------------------------------------------------------------------------


def reached(program: Program, claims: Iterable[ast.ClaimDecl]) -> dict[str, ast.LetDecl]:
    """The lets that these claims are made of, directly or through others."""
    found: dict[str, ast.LetDecl] = {}
    pending: list[ast.Node] = list(claims)
    while pending:
        for node in walk(pending.pop()):
            if isinstance(node, ast.Name) and node.name in program.lets and node.name not in found:
                found[node.name] = program.lets[node.name]
                pending.append(program.lets[node.name])
    return found


def pruned(program: Program, claims: Iterable[str]) -> str:
    """The text of a flat program with these claims alone, and the lets that they need."""
    names = set(claims)
    kept = [claim for claim in program.claims if claim.name.name in names]
    lets = reached(program, kept)
    gone: list[ast.Node] = [c for c in program.claims if c.name.name not in names]
    gone += [let for name, let in program.lets.items() if name not in lets]
    text = program.sources[program.path].text
    return edited(text, [replaced(node, "") for node in gone], program.path)
