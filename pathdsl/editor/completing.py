"""What could be written at a place: nodes, names, positions, columns, options, words.

The parser says which kinds of words its grammar takes there, from the statement up to the cursor;
the signature of the call around the cursor says which options and values. A file is broken most of
the time while it is written: nothing here needs the statement to be whole.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pathdsl.editor.document import Document
from pathdsl.editor.words import meaning, signatures
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.serving import columns_of, fields_of, generator, generator_names
from pathdsl.lang.signatures.calls import (
    CIRCUIT_FIELDS,
    DATA_FILES,
    KNOCKOUTS,
    LOADERS,
    MEASURES,
    METHODS,
    STATISTICS,
    TASK_FIELDS,
    TREATED,
    Kind,
    Parameter,
    Signature,
    path_in,
)
from pathdsl.lang.signatures.kinds import UNITS
from pathdsl.lang.signatures.members import OVER_MEMBERS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.syntax.parse import expected, parse
from pathdsl.lang.syntax.stop import written
from pathdsl.lang.syntax.sweep import KEYWORDS, open_brackets
from pathdsl.models import MODELS
from pathdsl.reading import read_file

__all__ = ["Item", "completions"]

As = Literal["keyword", "node", "name", "position", "column", "option", "value", "function", "file"]
_WORD = re.compile(r"[A-Za-z_][\w.]*\Z|\Z")
_INSIDE = re.compile(r'"(?:[^"\n\\]|\\[^\n])*\Z')
_NESTED = re.compile(r'"(?:[^"\n\\]|\\[^\n])*"|\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}')
_HEADER = 65_536
"""Bytes of a file of rows that are read for the names of its columns."""
_MOST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that could be written: `text` is put in the place of the word before the cursor."""

    text: str
    told: As
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """The call around the cursor: its word, what is given, and what is being written."""

    word: str
    index: int
    keyword: str
    given: frozenset[str]


def completions(document: Document, offset: int) -> tuple[int, list[Item]]:
    """Where the word before the cursor begins, and what could stand in its place."""
    text = document.version.text.text
    start, _ = document.version.stretch(offset)
    line = text.rfind("\n", 0, offset) + 1
    before = text[line:offset]
    if "#" in re.sub(r'"(?:[^"\n\\]|\\.)*"?', "", before):
        return offset, []
    inside = _INSIDE.search(_without_strings(before))
    if inside is not None:
        at = line + inside.start() + 1
        return at, list(_files(document, text[start : at - 1], text[at:offset]))
    word = _WORD.search(before)
    at = line + word.start() if word is not None else offset
    found = list(_here(document, start, at, text[at:offset]))
    if at == line and not open_brackets(text, min(start, at), at):
        partial = text[at:offset]
        begun = [Item(text=one, told="keyword", says=meaning(one)) for one in KEYWORDS
                 if one.startswith(partial)]  # fmt: skip
        found = begun if not text[start:at].strip() else [*begun, *found]
    return at, found


def _without_strings(line: str) -> str:
    """The line with blanks for its whole strings."""
    return re.sub(r'"(?:[^"\n\\]|\\[^\n])*"', lambda m: " " * len(m[0]), line)


def _here(document: Document, start: int, at: int, partial: str) -> Iterator[Item]:
    text = document.version.text.text
    seen: set[str] = set()
    for item in _all(document, text, start, at, partial):
        if item.text not in seen and item.text.lower().startswith(partial.lower()):
            seen.add(item.text)
            yield item
            if len(seen) >= _MOST:
                return


def _all(document: Document, text: str, start: int, at: int, partial: str) -> Iterator[Item]:
    statement = text[start:at]
    keyword = re.match(r"[a-z]*", statement)
    head = keyword.group() if keyword is not None else ""
    accepted = expected(text, document.path, start, at)
    brackets = open_brackets(text, start, at)
    line = statement[statement.rfind("\n") + 1 :]
    field = re.search(r"(?:^|[{;])\s*(\w+)\s*=\s*[^;=]*\Z", line)
    fields = {"task": TASK_FIELDS, "circuit": CIRCUIT_FIELDS}.get(head)
    if fields is not None and len(brackets) == 1 and brackets[0][0] == "{":
        if re.search(r"(?:^|[{;])\s*\Z", line):
            for name, parameter in fields.items():
                yield Item(text=name, told="option", says=str(parameter.kind))
            return
        if field is not None and (one := fields.get(field[1])) is not None:
            yield from _values(document, one, _task_of(document, statement))
            return
    behind = statement.rstrip()
    if behind.endswith("@") or re.search(r"@\s*[\[{][^\]}]*\Z|@[^\s,()]*\.\.\s*\Z", behind):
        yield from _positions(document, text, start, at)
        return
    if fields is not None and field is not None and len(brackets) == 2:
        one = fields.get(field[1])
        if one is not None and brackets[1][0] == "[":
            yield from _values(document, one, _task_of(document, statement))
            return
    if head in ("metric", "let") and re.search(r":\s*\Z", statement) and not brackets:
        for name in UNITS:
            yield Item(text=name, told="value", says="unit")
        return
    tail = re.search(r"(\w+)\s+\Z", statement)
    if tail is not None and not brackets and head in ("claim", "metric"):
        if tail[1] == "by":
            yield from (_function(name, one) for name, one in METHODS.items())
            return
        if tail[1] == "expect":
            yield from (Item(text=one, told="value") for one in ("supported", "refuted"))
            return
        if tail[1] == "on":
            yield from _named(document, "task")
            return
    if tail is not None and tail[1] == "with":
        yield from _named(document, "intervention")
        return
    if head == "model" and not brackets and "=" in statement:
        yield from (_function(name, one) for name, one in LOADERS.items())
        return
    if head == "task" and not brackets and re.search(r"=\s*\Z", statement):
        yield from _named(document, "task")
        return
    call = _call(text, brackets, at)
    if call is not None:
        told = list(_of_call(document, head, call, statement))
        yield from told
        if call.keyword and told:
            return
    if accepted is None:
        accepted = frozenset({"NAME", "HEAD"})
    yield from _by_grammar(document, accepted, head, statement, partial)


def _call(text: str, brackets: list[tuple[str, int]], at: int) -> _Call | None:
    """The innermost call that is open at a place."""
    for bracket, place in reversed(brackets):
        if bracket != "(":
            continue
        word = re.search(r"([A-Za-z_]\w*)\s*\Z", text[:place])
        if word is None:
            return None
        given = text[place + 1 : at]
        while (flat := _NESTED.sub("", given)) != given:
            given = flat
        parts = given.split(",")
        last = re.match(r"\s*([A-Za-z_]\w*)\s*:", parts[-1])
        names = (re.match(r"\s*([A-Za-z_]\w*)\s*:", one) for one in parts[:-1])
        return _Call(
            word=word[1], index=len(parts) - 1, keyword=last[1] if last else "",
            given=frozenset(one[1] for one in names if one is not None),
        )  # fmt: skip
    return None


def _of_call(document: Document, head: str, call: _Call, statement: str) -> Iterator[Item]:
    """Options of a call that are not given yet, or the values of the one that is written."""
    made = generator(call.word) if head == "task" else None
    if made is not None:
        for one in made.parameters:
            if call.keyword == one.name:
                yield from (Item(text=c, told="value", says=one.doc) for c in one.choices)
            elif not call.keyword and one.name not in call.given:
                yield Item(text=f"{one.name}: ", told="option", says=f"{one.doc}; {one.default}")
        return
    signature = _signature(document, head, call.word)
    if signature is None:
        return
    task = _task_of(document, statement)
    if call.keyword:
        parameter = signature.parameter(call.keyword)
        if parameter is not None:
            yield from _values(document, parameter, task)
        return
    places = signature.by_place
    if call.index < len(places):
        yield from _values(document, places[call.index], task, measured=head == "metric")
    for parameter in signature.parameters:
        if not parameter.by_place and parameter.name not in call.given:
            yield Item(text=f"{parameter.name}: ", told="option", says=str(parameter.kind))


def _signature(document: Document, head: str, word: str) -> Signature | None:
    if word in document.program.metrics:
        return Signature(
            name=word,
            parameters=(
                Parameter(name="RUN", kind=Kind.RUN, by_place=True),
                Parameter(name="task", kind=Kind.TASK),
            ),
            example=f"{word}(reference)",
        )
    if head == "metric":
        return MEASURES.get(word)
    if head == "task":
        return TREATED.get(word) or DATA_FILES.get(word)
    return signatures().get(word)


def _task_of(document: Document, statement: str) -> ast.TaskDecl | None:
    """The task that a statement declares or names; the only one, else None."""
    program = document.program
    if re.match(
        r"task\s+\w+\s*\{", statement
    ):  # so far as it stands: what follows is not yet there
        whole = statement[: max(statement.rfind("\n"), statement.rfind(";")) + 1] + "}"
        for one in parse(whole, document.path)[0].statements:
            if isinstance(one, ast.TaskDecl):
                return one
    named = re.match(r"task\s+(\w+)", statement) or re.search(r"\bon\s+(\w+)", statement)
    if named is not None and named[1] in program.tasks:
        return program.tasks[named[1]]
    return next(iter(program.tasks.values()), None)


def _values(
    document: Document, parameter: Parameter, task: ast.TaskDecl | None, measured: bool = False
) -> Iterator[Item]:
    """What an argument or field may be."""
    yield from (Item(text=one, told="value") for one in parameter.choices)
    match parameter.kind:
        case Kind.BOOL:
            yield from (Item(text=one, told="value") for one in ("true", "false"))
        case Kind.METRIC:
            yield from _named(document, "metric")
        case Kind.TASK:
            yield from _named(document, "task")
        case Kind.MODEL:
            yield from _named(document, "model")
        case Kind.PATHS:
            yield from _named(document, "path")
        case Kind.NODES | Kind.UNITS | Kind.UNIT | Kind.OVER:
            yield from _named(document, "group")
        case Kind.POSITIONS:
            yield from (Item(text=one, told="position") for one in document.positions())
        case Kind.COLUMN | Kind.COLUMNS:
            token = parameter.name in ("answer", "ids", "texts") or measured
            yield from _columns(document, task, "token" if token else "prompt")
            if measured:
                yield Item(text="next", told="column", says="the token that really comes next")
        case Kind.LABEL | Kind.LABELS:
            yield from _columns(document, task, "label")
        case Kind.TREATED:
            yield from _columns(document, task, "prompt")
            yield from (_function(name, one) for name, one in TREATED.items())
        case Kind.KNOCKOUTS:
            yield from (_function(name, one) for name, one in KNOCKOUTS.items())
        case Kind.SOURCE:
            for name in generator_names() or ():
                made = generator(name)
                says = made.summary if made is not None else ""
                yield Item(text=name, told="function", says=says)
            yield from (_function(name, one) for name, one in DATA_FILES.items())
        case Kind.RUN:
            for name in ("reference", "treated", "treat", "keep"):
                yield Item(text=name, told="keyword", says=meaning(name))


def _by_grammar(
    document: Document, accepted: frozenset[str], head: str, statement: str, partial: str
) -> Iterator[Item]:
    """Words, nodes and names that the grammar takes."""
    nodes, path = "HEAD" in accepted, "FULL" in accepted
    number = "SCORE" in accepted
    if "NAME" in accepted:
        for name in _variables(statement):
            yield Item(text=name, told="name", says="loop variable")
    if nodes:
        kinds = ("path", "group") if path else ("group",)
        if "NAME" in accepted:
            yield from _named(document, *kinds)
    if number:
        yield from _named(document, "let", "metric")
        for table in (STATISTICS, P_VALUES, OVER_MEMBERS, SCORES):
            yield from (_function(name, one) for name, one in table.items())
    if head == "metric" and number:
        yield from (_function(name, one) for name, one in MEASURES.items())
    for terminal in sorted(accepted):
        word = written(terminal)
        if re.fullmatch(r"[a-z_]+", word) and not (head == "circuit" or word in MEASURES):
            yield Item(text=word, told="keyword", says=meaning(word))
    if "SLOT" in accepted:
        yield from (Item(text=one, told="keyword", says=meaning(one)) for one in "qkv")
    if nodes:
        yield from (Item(text=one, told="node", says=meaning(one)) for one in _SETS)
        whole = document.whole
        if whole is not None and whole.resolver is not None:
            yield from _nodes(whole.resolver.shape, partial)


_SETS = ("input", "logits", "attn", "mlp", "any")


def _nodes(shape: ModelShape, partial: str) -> Iterator[Item]:
    """Nodes of the model that begin with what is written; heads once their layer stands."""
    if head := re.match(r"a(\d+|\*)\.", partial):
        yield Item(text=f"a{head[1]}.h*", told="node", says="all heads of the layer")
        layer = int(head[1]) if head[1].isdecimal() and int(head[1]) < shape.n_layers else 0
        says = "recurrence" if shape.recurs(layer) else "attention head"
        for number in range(shape.heads_in(layer)):
            yield Item(text=f"a{head[1]}.h{number}", told="node", says=says)
        if (groups := shape.groups_of(layer)) != shape.heads_in(layer):
            for number in range(groups):
                yield Item(text=f"a{head[1]}.kv{number}", told="node", says="key/value group")
        return
    for letter, says, count in (
        ("a", "all heads of layer", shape.n_layers),
        ("m", "MLP of layer", shape.n_layers if shape.has_mlp else 0),
        ("r", "residual stream where it enters layer", shape.n_layers + 1),
    ):
        for layer in range(count):
            yield Item(text=f"{letter}{layer}", told="node", says=f"{says} {layer}")


def _named(document: Document, *kinds: str) -> Iterator[Item]:
    whole = document.whole
    sizes = whole.sizes if whole is not None else {}
    for name in document.program.names(*kinds):
        kind = document.program.kind(name)
        size = f", {sizes[name]}" if name in sizes else ""
        yield Item(text=name, told="name", says=f"{kind}{size}")
    if "model" in kinds:
        yield from (Item(text=name, told="name") for name in document.program.models)


def _variables(statement: str) -> list[str]:
    """The variables of the loops that a statement has so far."""
    return re.findall(r"(?:\bfor|[(,])\s+?([A-Za-z_]\w*)\s+in\b", statement)


def _positions(document: Document, text: str, start: int, at: int) -> Iterator[Item]:
    for name in document.positions():
        yield Item(text=name, told="position")
    yield from (Item(text=name, told="position", says="loop variable")
                for name in _variables(text[start:at]))  # fmt: skip


def _columns(document: Document, task: ast.TaskDecl | None, use: str) -> Iterator[Item]:
    """The columns of a task's rows; those of a file by what its first row has."""
    if task is None:
        return
    known = columns_of(document.program, task)
    if known is not None:
        names = {"prompt": known.prompts, "token": known.tokens, "label": known.labels}[use]
        yield from (Item(text=one, told="column", says=f"{use} column") for one in names)
        return
    yield from (Item(text=one, told="column", says="column of the file")
                for one in _of_file(document, task))  # fmt: skip


def _of_file(document: Document, task: ast.TaskDecl) -> Iterable[str]:
    field = fields_of(document.program, task).get("data")
    call = field.value if field is not None else None
    path = path_in(call) if isinstance(call, ast.Call) and call.name in DATA_FILES else None
    if path is None or field is None:
        return ()
    place = os.path.join(os.path.dirname(field.span.path), path.value)
    if not document.fence.holds(place):
        return ()
    try:
        first = read_file(place, _HEADER).decode("utf-8", "replace").split("\n", 1)[0]
        if isinstance(call, ast.Call) and DATA_FILES[call.name].untyped:
            return [one.strip() for one in next(csv.reader([first]), [])]
        row = json.loads(first)
    except (OSError, ValueError, RecursionError):
        return ()
    return [str(one) for one in row] if isinstance(row, dict) else ()


def _files(document: Document, before: str, partial: str) -> Iterator[Item]:
    """What a text in quotes may name: a circuit file, rows, a bundled model."""
    word = re.search(r"([A-Za-z_]\w*)\s*\(?\s*\Z", before)
    name = word[1] if word is not None else ""
    if name in LOADERS and LOADERS[name].lies == "in pathdsl":
        yield from (Item(text=one.name, told="value", says=one.summary) for one in MODELS)
        return
    suffixes = _SUFFIXES.get(name)
    if suffixes is None:
        return
    folder = os.path.join(os.path.dirname(document.path), os.path.dirname(partial))
    if not document.fence.holds(folder):
        return
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda one: one.name)[:_MOST]
    except OSError:
        return
    stem = os.path.dirname(partial)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = f"{stem}/{entry.name}" if stem else entry.name
        if entry.is_dir():
            yield Item(text=f"{path}/", told="file")
        elif entry.name.endswith(suffixes) and os.path.realpath(entry.path) != document.path:
            yield Item(text=path, told="file")


_SUFFIXES: dict[str, tuple[str, ...]] = {
    "use": (".circuit",), "edges": (".json",),
    **{one.name: one.endings for one in DATA_FILES.values()},
    "nodes": (".json",), "folder": (), "vector": (".safetensors",),
}  # fmt: skip


def _function(name: str, signature: Signature) -> Item:
    return Item(text=name, told="function", says=f"`{signature.example}`")
