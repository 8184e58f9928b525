"""What is said of the name under the cursor: what a word means, what a name denotes on the model.

Of a declaration that is what `pathdsl explain FILE:NAME` prints; of a claim also the verdict that
the lock beside the file has, and that of the last check. Nothing here loads weights or reads rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pathdsl.checking.lock.file import lock_path, read_lock
from pathdsl.checking.said import One, Said, last_said
from pathdsl.editor.document import Document
from pathdsl.editor.names import Mention
from pathdsl.editor.words import meaning
from pathdsl.engine.store.folder import default_folder
from pathdsl.engine.store.index import INDEX
from pathdsl.errors import Diagnostic, LanguageError, PathdslError, Span
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.canonical import tree_hash
from pathdsl.lang.rules import pages
from pathdsl.lang.serving import columns_of, fields_of, generator
from pathdsl.lang.words import words_named
from pathdsl.report.text.explain_name import described
from pathdsl.report.text.explain_task import generator_text
from pathdsl.report.text.style import View

__all__ = ["hover", "page"]

_VIEW = View(width=88)
_MEMBERS = 12


class _NoGraph(PathdslError):
    """No config of the model is on this machine."""


def hover(document: Document, offset: int) -> tuple[Span, str] | None:
    """The place that is explained, and the explanation as Markdown; None where nothing is known."""
    found = document.at(offset)
    if found is None:
        return _plain_word(document, offset)
    mention, statement = found
    kind, _ = document.meant(mention)
    match kind:
        case "declared":
            text = _declared(document, mention.name)
        case "variable":
            text = _variable(document, mention, statement)
        case "position":
            text = _position(document, mention.name)
        case "column":
            text = _column(document, mention.name)
        case "file":
            text = f"the file `{mention.name}`"
        case _:
            text = meaning(mention.name, mention.told) or _generator(mention.name)
    return (mention.span, text) if text else None


def page(code: str) -> str:
    """The page of a diagnostic code as Markdown."""
    found = pages().get(code)
    if found is None:
        return ""
    return f"**{found.code} {found.name}** · {found.summary}\n\n{found.why}\n\n_{found.repair}_"


def _plain_word(document: Document, offset: int) -> tuple[Span, str] | None:
    """A word of the language, which is no name: `for`, `a9.h6`, `treat`."""
    text = document.version.text.text
    start = end = offset
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_."):
        start -= 1
    while end < len(text) and (text[end].isalnum() or text[end] in "_."):
        end += 1
    line = text[text.rfind("\n", 0, start) + 1 : start]
    if start == end or "#" in line or line.count('"') % 2:
        return None
    said = meaning(text[start:end])
    there = document.version.there(start)
    if not said or there is None:
        return None
    return Span(path=document.path, start=there, end=there + end - start), said


def _declared(document: Document, name: str) -> str:
    program = document.program
    declaration = program.find(name)
    if declaration is None:
        return ""
    if isinstance(declaration, ast.MetricDecl):  # its formula takes an algebra system
        return f"```circuit\n{_source(document, declaration)}\n```"

    def resolver() -> Resolver:
        known = document.whole.resolver if document.whole is not None else None
        if known is None or known.program.find(name) is not declaration:
            raise _NoGraph(Diagnostic(code="PD000", message="not looked at on the model yet"))
        return known

    source = _source(document, declaration)
    try:
        lines = described(name, program, resolver, _VIEW).split("\n")
        shown = "\n".join(line for line in lines[1:] if line.strip() not in source.split("\n"))
        # The source is shown above, in the colours of the language.
        told = "\n".join(line for line in shown.split("\n") if not _is_of(line, source)).strip("\n")
        parts = [f"```circuit\n{source}\n```"]
        if told.strip():
            parts.append(f"```text\n{_dedented(told)}\n```")
    except (PathdslError, RecursionError):
        parts = [f"```circuit\n{source}\n```"]
    if isinstance(declaration, ast.ClaimDecl | ast.LetDecl):
        parts += _said(document, declaration)
    return "\n\n".join(parts)


def _is_of(line: str, source: str) -> bool:
    return bool(line.strip()) and line.strip() in {one.strip() for one in source.split("\n")}


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("  ") for line in text.split("\n"))


def _source(document: Document, node: ast.Node) -> str:
    source = document.program.sources.get(node.span.path)
    return source.text[node.span.start : node.span.end].rstrip() if source is not None else ""


def _said(document: Document, declaration: ast.ClaimDecl | ast.LetDecl) -> list[str]:
    """What the last check and the lock beside the file say of a claim or let.

    Once where both say the same.
    """
    if declaration.span.path != document.path:
        return []
    claims, name = isinstance(declaration, ast.ClaimDecl), declaration.name.name
    tree = tree_hash(document.program.file)

    def told(title: str, of: Mapping[str, One], by: str) -> tuple[str, list[str]] | None:
        found = {k: one for k, one in of.items() if k == name or k.startswith(f"{name}[")}
        lines = [f"- {_result(key, one, name)}" for key, one in list(found.items())[:_MEMBERS]]
        if len(found) > _MEMBERS:
            lines.append(f"- … {len(found) - _MEMBERS} more")
        title += "" if by == tree else ", of an earlier text of the file"
        return (title, lines) if lines else None

    parts, locked, last = [], None, _last(document.path)
    try:
        lock: Mapping[str, Any] = read_lock(document.path)
        title = f"in `{os.path.basename(lock_path(document.path))}`"
        of = lock["claims" if claims else "quantities"]
        locked = told(title, of, lock["inputs"]["file"]["tree"])
    except LanguageError as error:
        if error.diagnostics[0].code != "PD650" and claims:
            parts.append(f"_{error.diagnostics[0].message}_")
    checked = None
    if last is not None:
        checked = told("in the last check", last.claims if claims else last.quantities, last.tree)
    if locked is not None and checked is not None and locked[1] == checked[1]:
        checked = None
    for one in filter(None, (checked, locked)):
        parts.append(f"{one[0]}:\n\n" + "\n".join(one[1]))
    return parts


def _last(path: str) -> Said | None:
    """What the result store keeps of the last check of a file."""
    if not (default_folder() / INDEX).is_file():
        return None
    from pathdsl.engine.store.store import Store

    with Store(default_folder()) as store:
        return last_said(path, store)


def _result(key: str, one: Mapping[str, Any], name: str) -> str:
    def shown(value: float | None) -> str:
        return "undefined" if value is None else f"{value:.4g}"

    label = f"`{key.removeprefix(name).strip('[]')}` " if key != name else ""
    verdict = one.get("verdict")
    expected = one.get("expected")
    said = f"**{verdict}**" if verdict else ""
    if verdict and expected and verdict != expected:
        said += f" (expected {expected})"
    ends = (one.get("low"), one.get("high"))
    between = f", {shown(ends[0])} to {shown(ends[1])}" if None not in ends else ""
    return (
        f"{label}{said}{': ' if said else ''}{shown(one.get('estimate'))}{between}, n = {one['n']}"
    )


def _variable(document: Document, mention: Mention, statement: ast.Statement) -> str:
    loops = (n for n in document.program.nodes(statement) if isinstance(n, ast.Loop))
    for one in (binding for loop in loops for binding in loop.bindings):
        if one.variable.span.start == mention.variable:
            inside = " ".join(_source(document, one.members).split())
            return f"loop variable: each member of `{inside}`"
    return ""


def _position(document: Document, name: str) -> str:
    known = [one.meaning for one in words_named(name) if one.kind == "position"]
    lines = [f"**{name}** · position" + "".join(f": {text}" for text in known)]
    for task in document.program.tasks.values():
        data = fields_of(document.program, task).get("data")
        made = generator(data.value.name) if data and isinstance(data.value, ast.Call) else None
        docs = [one.doc for one in made.positions if one.name == name] if made is not None else []
        lines += [f"in `{task.name.name}`: {doc}" for doc in docs]
    return "\n\n".join(lines)


def _generator(name: str) -> str:
    """What `pathdsl explain NAME` prints of a generator of rows."""
    made = generator(name)
    return f"```text\n{generator_text(made, _VIEW).strip()}\n```" if made is not None else ""


def _column(document: Document, name: str) -> str:
    lines = []
    for task in document.program.tasks.values():
        data = fields_of(document.program, task).get("data")
        made = generator(data.value.name) if data and isinstance(data.value, ast.Call) else None
        if made is None or columns_of(document.program, task) is None:
            continue
        for kind, columns in (
            ("prompt column", made.prompt_columns),
            ("token column", made.token_columns),
            ("label", made.labels),
        ):
            lines += [
                f"**{name}** · {kind} of `{made.name}`: {one.doc}"
                for one in columns
                if one.name == name
            ]
    return "\n\n".join(dict.fromkeys(lines)) or f"**{name}** · column of the data"
