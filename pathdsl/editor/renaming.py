"""Where a name is declared, all places that mean the same, and what they would be called instead.

A name is renamed only where the file then says what it said before: the new one must be free in
every statement, as a name of the file, of a loop, of a position, and as a word that is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pathdsl.editor.document import Document
from pathdsl.editor.names import Mention
from pathdsl.errors import Span, errors_in
from pathdsl.lang import ast
from pathdsl.lang.check.names import is_reserved
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import kind_of
from pathdsl.lang.serving import fields_of

__all__ = ["Refused", "definition", "references", "renamable", "rename"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)


class Refused(Exception):
    """Why a name is not renamed, as one sentence."""


def definition(document: Document, offset: int) -> Span | None:
    """Where the name at a place gets its meaning; that of a file is its first character."""
    found = document.at(offset)
    if found is None:
        return None
    mention, statement = found
    kind, name = document.meant(mention)
    if kind == "variable":
        return next((m.span for m in document.mentions(statement) if m.declares
                     and m.variable == name), None)  # fmt: skip
    if kind == "declared":
        declaration = document.program.find(mention.name)
        if declaration is not None:
            return declaration.name.span
        circuit = document.program.circuit
        return circuit.name.span if circuit is not None else None
    if kind == "position":
        return _listed(document, mention.name)
    return None


def _listed(document: Document, name: str) -> Span | None:
    """Where a task lists a position."""
    for task in document.program.tasks.values():
        field = fields_of(document.program, task).get("positions")
        statements = [task] if field is not None else []
        for one in (m for s in statements for m in document.mentions(s)):
            if one.told == "position" and one.name == name and field is not None:
                if field.span.start <= one.span.start < field.span.end:
                    return one.span
    return None


def references(document: Document, offset: int) -> list[Span]:
    """Every place that means what the name at a place means, its declaration included."""
    found = document.at(offset)
    return [one.span for one in _alike(document, *found)] if found is not None else []


def _alike(document: Document, mention: Mention, statement: ast.Statement) -> Iterator[Mention]:
    meaning = document.meant(mention)
    kind = meaning[0]
    if kind in ("word", "file"):
        return
    inside = [statement] if kind == "variable" else document.statements()
    for one in (m for s in inside for m in document.mentions(s)):
        if one.name == mention.name and document.meant(one) == meaning:
            yield one


def renamable(document: Document, offset: int) -> Span:
    """The place of the name that would be renamed; raises Refused where that is not one."""
    found = document.at(offset)
    if found is None:
        raise Refused("no name stands here")
    mention, _ = found
    kind, _ = document.meant(mention)
    if kind == "declared":
        declaration = document.program.find(mention.name)
        if declaration is not None and declaration.span.path != document.path:
            raise Refused(
                f"`{mention.name}` is declared in `{declaration.span.path}`: rename it there"
            )
    elif kind != "variable":
        raise Refused(f"`{mention.name}` is not declared in this file")
    return mention.span


def rename(document: Document, offset: int, new: str) -> list[Span]:
    """The places of this file to write `new` at; raises Refused where the file would change."""
    renamable(document, offset)
    found = document.at(offset)
    assert found is not None
    mention, statement = found
    if not _NAME.match(new):
        raise Refused(f"`{new}` is no name: letters, digits and `_`, no digit first")
    if new == mention.name:
        return []
    if why := is_reserved(new):
        raise Refused(f"`{new}` cannot be a name: it is {why}")
    declared = document.program.find(new)
    if declared is not None:
        raise Refused(f"`{new}` is a {kind_of(declared)} already")
    spans = [one.span for one in _alike(document, mention, statement)]
    touched = {id(statement)} if mention.variable is not None else {
        id(s) for s in document.statements()
    }  # fmt: skip
    for one in (s for s in document.statements() if id(s) in touched):
        for other in document.mentions(one):
            if other.name == new and other.told not in ("argument", "field", "file"):
                raise Refused(
                    f"`{new}` stands for a {_as(document, other)} where `{mention.name}` is named"
                )
    _vet(document, spans, new)
    return [one for one in spans if one.path == document.path]


def _as(document: Document, mention: Mention) -> str:
    kind = document.meant(mention)[0]
    return {"declared": "name of the file", "variable": "loop variable"}.get(kind, kind)


def _vet(document: Document, spans: list[Span], new: str) -> None:
    """That the file has no more faults with the new name than it has."""
    text = document.version.text.text
    before = errors_in(lint_file(document.path, text, document.fence)[1])
    places = sorted(
        (place for one in spans if (place := document.version.here(one)) is not None), reverse=True
    )
    for start, end in places:
        text = text[:start] + new + text[end:]
    after = errors_in(lint_file(document.path, text, document.fence)[1])
    if len(after) > len(before):
        worst = next((one for one in after if f"`{new}`" in one.message), after[0])
        raise Refused(f"with `{new}` the file has a fault: {worst.message}")
