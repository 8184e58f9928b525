"""What a program's claims stand on, beside what it was: the model, and the data of every task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pathdsl.checking.breaking.changes import Change, written
from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.defaults import is_default_field, meant, taken
from pathdsl.lang.program import Program
from pathdsl.reading import read_file

__all__ = ["model_changes", "task_changes"]


def model_changes(old: Program, new: Program) -> Iterator[Change]:
    """The model, its revision and its dtype; the name it has in the file is no matter."""
    if old.model is None or new.model is None:
        return
    if spelled(meant(old.model.source)) != spelled(meant(new.model.source)):
        yield Change(
            kind="changed", of="model", what="another model, revision or dtype",
            before=written(old, old.model.source), after=written(new, new.model.source),
        )  # fmt: skip


def task_changes(old: Program, new: Program, names: Mapping[str, str]) -> Iterator[Change]:
    """Every task that was there: its data, treated value and other fields.

    `names`: tasks that have another name now.
    """
    for name, before in old.tasks.items():
        after = new.tasks.get(names.get(name, name))
        of = f"task {name}"
        if after is None:
            yield Change(kind="changed", of=of, what="gone", before=written(old, before.name))
            continue
        if name in names:
            yield Change(kind="noted", of=of, what="renamed", after=names[name])
        for key in ("base", "where_field", "where_value"):
            a, b = getattr(before, key), getattr(after, key)
            same = isinstance(a, ast.Name) and isinstance(b, ast.Name)
            if key == "base" and same and names.get(a.name, a.name) == b.name:
                continue
            if spelled(a) != spelled(b):
                yield Change(
                    kind="changed", of=of, what="another selection of rows",
                    before=written(old, a), after=written(new, b),
                )  # fmt: skip
        yield from _fields(old, new, before, after, of)
        path = _data_path(after)
        if path and _data_path(before) == path:
            texts = [_content(old, before, path), _content(new, after, path)]
            if texts[0] != texts[1]:
                counts = [sum(bool(line.strip()) for line in text.splitlines()) for text in texts]
                fewer = counts[1] < counts[0]
                yield Change(
                    kind="weaker" if fewer else "changed", of=of,
                    what=f"{'fewer' if fewer else 'other'} lines in `{path}`",
                    before=f"{counts[0]} lines", after=f"{counts[1]} lines",
                )  # fmt: skip


def _fields(
    old: Program, new: Program, before: ast.TaskDecl, after: ast.TaskDecl, of: str
) -> Iterator[Change]:
    one = {field.name: field.value for field in before.fields}
    two = {field.name: field.value for field in after.fields}
    for key in dict.fromkeys([*one, *two]):
        a, b = one.get(key), two.get(key)
        if spelled(meant(a)) == spelled(meant(b)):
            continue
        if is_default_field(key, a) and is_default_field(key, b):
            continue
        texts = {"before": written(old, a), "after": written(new, b)}
        rows, now = taken(a), taken(b)
        others = key != "data" or _without_take(a) != _without_take(b)
        if not others and rows is not None and now is not None:
            fewer = now < rows
            yield Change(
                kind="weaker" if fewer else "noted", of=of,
                what=f"{'fewer' if fewer else 'more'} prompts", **texts,
            )  # fmt: skip
        elif key == "positions" and b is not None and _items(a) <= _items(b):
            yield Change(kind="noted", of=of, what="more positions have names", **texts)
        else:
            what = {"data": "other data", "treated": "another treated value"}
            yield Change(
                kind="changed", of=of, what=what.get(key, f"another `{key}`"), **texts
            )  # fmt: skip


def _items(value: ast.Expr | None) -> set[str]:
    return {str(spelled(i)) for i in value.items} if isinstance(value, ast.ListValue) else set()


def _without_take(value: ast.Expr | None) -> Any:
    if not isinstance(value, ast.Call):
        return spelled(value)
    return [value.name, [spelled(a) for a in meant(value).arguments if a.keyword != "take"]]


def _data_path(task: ast.TaskDecl) -> str:
    """The data file that a task names, "" for a generator."""
    for field in task.fields:
        if field.name == "data" and isinstance(field.value, ast.Call):
            for argument in field.value.arguments:
                if argument.keyword in ("", "path") and isinstance(argument.value, ast.String):
                    return argument.value.value
    return ""


def _content(program: Program, task: ast.TaskDecl, path: str) -> bytes:
    """The bytes of a task's data file; none where it cannot be read, which a check would tell."""
    place = Path(program.origin.get(task.name.name, program.path)).parent / path
    try:
        return read_file(place) if program.fence.holds(place) else b""
    except OSError:
        return b""
