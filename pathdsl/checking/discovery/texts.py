"""A task of a file in other words: on rows of its own, with what is to be measured on them.

What discovery measures it measures as anybody would, by the text of a file that is judged by the
checker; only the search itself, of many circuits, goes by runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pathdsl.checking.discovery.wanted import Named
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.serving import answer_columns, fields_of, lineage
from pathdsl.lang.signatures.calls import DATA_FILES
from pathdsl.lang.walk import walk
from pathdsl.plan.taskdata import TaskData

__all__ = ["Pieces", "pieces_of", "rows_text", "task_on_rows"]

_OF_FILE = ("data", "model", "positions")
"""Fields that are written anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Statements of a file as their author wrote them: the model, the metric without `on`, the
    groups that it names."""

    model: str
    metric: str
    groups: tuple[str, ...]


def text_of(program: Program, node: ast.Node) -> str:
    """The text of a node, as it stands in its file."""
    return program.sources[node.span.path].text[node.span.start : node.span.end]


def pieces_of(program: Program, named: Named, metric: str, task: str) -> Pieces:
    """What a file on this task needs besides its rows; the metric is said to be on `task`."""
    decl = program.metrics[metric]
    whole = text_of(program, decl)
    after = (decl.task or decl.name).span.end - decl.span.start
    on = f" on {task}" if task else ""
    groups: dict[str, str] = {}
    pending: list[ast.Node] = [decl]
    while pending:
        for node in walk(pending.pop()):
            if isinstance(node, ast.Name) and node.name in program.groups:
                if node.name not in groups:
                    group = program.groups[node.name]
                    groups[node.name] = text_of(program, group)
                    pending.append(group.nodes)
    return Pieces(
        model=text_of(program, program.models[named.model]),
        metric=f"metric {decl.name.name}{on}{whole[after:]}",
        groups=tuple(groups.values()),
    )


def rows_text(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as JSONL."""
    from pathdsl.tasks import to_jsonl

    return to_jsonl(list(rows))


def task_on_rows(
    program: Program, name: str, file: str, content: str, data: TaskData, called: str
) -> str:
    """The task with its rows in `file`, whose text is `content`; `called` is its name.

    `data`: the rows as they were read, whose positions are declared.
    """
    decl = program.tasks[name]
    fields = fields_of(program, decl)
    sha = hashlib.sha256(content.encode()).hexdigest()[:12]
    texts = _texts(program, name, data)
    read = f", texts: [{', '.join(texts)}]" if texts else ""
    positions = [one for one in data.positions if one not in ("END", "ANSWER")]
    lines = [f'data = jsonl("{file}", sha256: "{sha}"{read})']
    lines += [f"{key} = {text_of(program, fields[key].value)}" for key in ("reference", "treated")]
    if positions:
        lines.append(f"positions = [{', '.join(positions)}]")
    lines += [
        f"{key} = {text_of(program, field.value)}"
        for key, field in fields.items()
        if key not in (*_OF_FILE, "reference", "treated")
    ]
    return f"task {called} {{\n" + "".join(f"  {line}\n" for line in lines) + "}"


def _texts(program: Program, name: str, data: TaskData) -> list[str]:
    """Token columns whose cells are texts and could be read as ids: digits alone."""
    root = list(lineage(program, program.tasks[name]))[-1]
    call = next((f.value for f in root.fields if f.name == "data"), None)
    if isinstance(call, ast.Call) and call.name in DATA_FILES:
        stated = next((a.value for a in call.arguments if a.keyword == "texts"), None)
        items = stated.items if isinstance(stated, ast.ListValue) else ()
        return [one.name for one in items if isinstance(one, ast.Name)]
    read = {one.name for decl in program.metrics.values() for one in answer_columns(decl)}
    found = []
    for column in sorted(read & {*data.first_answers}):
        shown: Sequence[tuple[str, int]] = data.first_answers[column]
        if shown and all(word.strip().isdigit() and word != str(n) for word, n in shown):
            found.append(column)
    return found
