"""What a program's claims stand on, beside what it was: the model, and the data of every task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pathdsl.checking.breaking.changes import Change, written
from pathdsl.checking.breaking.locked import SHORT, Locked
from pathdsl.checking.breaking.selection import selection_changes
from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.defaults import is_default_field, meant, taken
from pathdsl.lang.program import Program
from pathdsl.lang.serving import model_of
from pathdsl.reading import read_file

__all__ = ["model_changes", "task_changes"]


def model_changes(old: Program, new: Program) -> Iterator[Change]:
    """The model, its revision and its dtype; the name it has in the file is no matter.

    Of several each task says which is its own, and changes of that are told of it.
    """
    if old.model is None or new.model is None or max(len(old.models), len(new.models)) > 1:
        return
    if spelled(meant(old.model.source)) != spelled(meant(new.model.source)):
        yield Change(
            kind="changed", of="model", what="another model, revision or dtype",
            before=written(old, old.model.source), after=written(new, new.model.source),
        )  # fmt: skip


def task_changes(
    old: Program, new: Program, names: Mapping[str, str], locks: tuple[Locked, Locked]
) -> Iterator[Change]:
    """Every task that was there: its data, treated value and other fields.

    `names`: tasks that have another name now. `locks`: those of both, for rows that are in no
    commit.
    """
    for name, before in old.tasks.items():
        after = new.tasks.get(names.get(name, name))
        of = f"task {name}"
        if after is None:
            yield Change(kind="changed", of=of, what="gone", before=written(old, before.name))
            continue
        if name in names:
            yield Change(kind="noted", of=of, what="renamed", after=names[name])
        if before.base is None and after.base is not None and after.where:
            yield Change(
                kind="weaker", of=of, what="a `where` leaves rows out", after=written(new, after)
            )
            continue
        yield from selection_changes((old, before), (new, after), names, of)
        yield from _runs_on(old, new, before, after, of)
        yield from _fields(old, new, before, after, of)
        path = _data_path(after)
        if path and _data_path(before) == path:
            yield from _rows(_Side(old, before, locks[0]), _Side(new, after, locks[1]), path, of)


def _runs_on(
    old: Program, new: Program, before: ast.TaskDecl, after: ast.TaskDecl, of: str
) -> Iterator[Change]:
    """The model of a task of a file with several, whatever its name."""
    if max(len(old.models), len(new.models)) < 2:
        return
    was, now = model_of(old, before.name.name), model_of(new, after.name.name)
    if was is None or now is None or spelled(meant(was.source)) == spelled(meant(now.source)):
        return
    yield Change(
        kind="changed", of=of, what="on another model, revision or dtype",
        before=written(old, was.source), after=written(new, now.source),
    )  # fmt: skip


class _Side(NamedTuple):
    """A task of one of the two programs, and the lock of that program."""

    program: Program
    task: ast.TaskDecl
    lock: Locked


def _rows(old: _Side, new: _Side, path: str, of: str) -> Iterator[Change]:
    """The data file that both tasks name: by its lines, else by its hash."""
    texts = [_content(side, path) for side in (old, new)]
    a, b = texts
    if a is not None and b is not None:
        if a != b:
            counts = [sum(bool(line.strip()) for line in text.splitlines()) for text in (a, b)]
            fewer = counts[1] < counts[0]
            yield Change(
                kind="weaker" if fewer else "changed", of=of,
                what=f"{'fewer' if fewer else 'other'} lines in `{path}`",
                before=f"{counts[0]} lines", after=f"{counts[1]} lines",
            )  # fmt: skip
        return
    hashes = [
        sha256(text).hexdigest() if text is not None else _stated(side)
        for text, side in zip(texts, (old, new), strict=True)
    ]
    if not all(hashes):
        why = "in no commit" if a is None else "not to be read"
        what = f"the rows of `{path}` cannot be compared: they are {why}, and neither `sha256:`"
        yield Change(kind="changed", of=of, what=f"{what} nor a lock says what they were")
    elif hashes[0] != hashes[1]:
        shorts = [f"{one[:SHORT]}…" for one in hashes]
        yield Change(
            kind="changed", of=of, what=f"other rows in `{path}`", before=shorts[0], after=shorts[1]
        )


def _stated(side: _Side) -> str:
    """The sha256 of a data file that the text states, or the lock; "" where neither does."""
    for argument in _arguments(side.task):
        if argument.keyword == "sha256" and isinstance(argument.value, ast.String):
            return argument.value.value.lower()
    return side.lock.data_file(side.task.name.name)


def _fields(
    old: Program, new: Program, before: ast.TaskDecl, after: ast.TaskDecl, of: str
) -> Iterator[Change]:
    one = {field.name: field.value for field in before.fields}
    two = {field.name: field.value for field in after.fields}
    for key in dict.fromkeys([*one, *two]):
        if key == "model":
            continue  # told by what it is, not by its name
        a, b = one.get(key), two.get(key)
        if spelled(meant(a)) == spelled(meant(b)):
            continue
        derived = before.base is not None or after.base is not None
        if is_default_field(key, a) and is_default_field(key, b) and not derived:
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
        elif key == "positions" and _items(a) and _items(a) == _items(b):
            continue  # in another order
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


def _arguments(task: ast.TaskDecl) -> tuple[ast.Argument, ...]:
    """Those of the call that a task's data come from."""
    for field in task.fields:
        if field.name == "data" and isinstance(field.value, ast.Call):
            return field.value.arguments
    return ()


def _data_path(task: ast.TaskDecl) -> str:
    """The data file that a task names, "" for a generator."""
    for argument in _arguments(task):
        if argument.keyword in ("", "path") and isinstance(argument.value, ast.String):
            return argument.value.value
    return ""


def _content(side: _Side, path: str) -> bytes | None:
    """The bytes of a task's data file; None where they are not at hand."""
    program = side.program
    place = Path(program.origin.get(side.task.name.name, program.path)).parent / path
    try:
        return read_file(place) if program.fence.holds(place) else None
    except OSError:
        return None
