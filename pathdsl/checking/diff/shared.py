"""Which tasks and metrics two files have in common, and why they have not.

Tasks are the same where `breaking` finds no change of one into the other: the same rows, reference,
treated value and model. Names, positions and how many rows are taken do not count: both path sets
are measured on the first file's rows, with the positions that either file names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pathdsl.checking.breaking.changes import Change
from pathdsl.checking.breaking.inputs import model_changes, task_changes
from pathdsl.checking.breaking.locked import Locked
from pathdsl.checking.breaking.measured import Pair, expanded, skeleton
from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.defaults import taken
from pathdsl.lang.program import Program
from pathdsl.lang.serving import fields_of, serving
from pathdsl.lang.signatures.calls import DATA_FILES

__all__ = ["SharedTask", "Sharing", "forced", "sharing"]

POSITIONS = "positions"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTask:
    """A task of the first file to measure both path sets on.

    `declared` has the positions of both files. `other` is its name in the second, "" where that has
    none like it. `takes`: how many rows each file takes, None where it does not say. `metrics` are
    those of the first file to measure by.
    """

    name: str
    declared: ast.TaskDecl
    other: str
    takes: tuple[float | None, float | None]
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The tasks that both files have; `why` says for each other task of the first why not."""

    tasks: tuple[SharedTask, ...]
    why: tuple[str, ...]


def sharing(a: Program, b: Program) -> Sharing:
    """The tasks and metrics that two files share."""
    found: list[SharedTask] = []
    whys: list[str] = []
    names: dict[str, str] = {}
    models = list(model_changes(a, b))
    for name in a.tasks:
        other, why = ("", _text(models[0])) if models else _counterpart(a, b, name, names)
        if why:
            whys.append(f"task {name}: {why}")
            continue
        names[name] = other
        metrics = tuple(_metrics(a, b, name, names))
        if metrics:
            found.append(_shared(a, b, name, other, metrics))
        else:
            whys.append(f"task {name}: no metric that serves it is the same in both files")
    if not a.tasks:
        whys.append("A has no task")
    return Sharing(tasks=tuple(found), why=tuple(whys))


def forced(a: Program, name: str) -> Sharing:
    """A task of the first file, by its metrics, whether the second has one like it or not."""
    metrics = tuple(m for m, d in a.metrics.items() if name in serving(a, d))
    if not metrics:
        return Sharing(tasks=(), why=(f"task {name}: no metric serves it",))
    return Sharing(tasks=(_shared(a, a, name, "", metrics),), why=())


def _shared(a: Program, b: Program, name: str, other: str, metrics: tuple[str, ...]) -> SharedTask:
    declared = a.tasks[name]
    lists = [fields_of(a, declared).get(POSITIONS)]
    if other:
        lists.append(fields_of(b, b.tasks[other]).get(POSITIONS))
    field = _united(lists)
    if field is not None:
        kept = (one for one in declared.fields if one.name != POSITIONS)
        declared = replace(declared, fields=(*kept, field))
    takes = _taken(a, name), _taken(b, other) if other else None
    return SharedTask(name=name, declared=declared, other=other, takes=takes, metrics=metrics)


def _united(lists: list[ast.Field | None]) -> ast.Field | None:
    """One field with the positions of both; None where there is none."""
    items: dict[str, ast.Expr] = {}
    first: ast.Field | None = None
    for one in lists:
        if one is not None and isinstance(one.value, ast.ListValue):
            first = first or one
            items |= {str(spelled(item)): item for item in one.value.items}
    if first is None:
        return None
    value = ast.ListValue(span=first.value.span, items=tuple(items.values()))
    return replace(first, value=value)


def _taken(program: Program, name: str) -> float | None:
    data = fields_of(program, program.tasks[name]).get("data")
    return taken(data.value) if data is not None else None


def _counterpart(a: Program, b: Program, name: str, names: Mapping[str, str]) -> tuple[str, str]:
    """The task of B that is the same as A's, and "" or why the nearest one is not.

    `names`: the counterparts of tasks before it, which it may be derived from.
    """
    whys = []
    for other in sorted(b.tasks, key=lambda one: one != name):
        told = [one for one in _changes(a, b, name, other, names) if one.kind != "noted"]
        if not told:
            return other, ""
        whys.append(f"B's `{other}`: {_text(told[0])}")
    return "", whys[0] if whys else "B has no task"


def _changes(
    a: Program, b: Program, name: str, other: str, names: Mapping[str, str]
) -> Iterator[Change]:
    """What `breaking` would say if the one task had become the other."""
    one, two = (
        replace(p, tasks={**p.tasks, task: _bare(p, task)}) for p, task in ((a, name), (b, other))
    )
    nothing = Locked(), Locked()
    found = task_changes(one, two, {**names, name: other}, nothing)
    return (change for change in found if change.of == f"task {name}")


def _bare(program: Program, name: str) -> ast.TaskDecl:
    """A task without what does not count; a file of rows by where it lies."""
    task = program.tasks[name]
    home = Path(program.origin.get(name, program.path)).parent
    fields = []
    for field in task.fields:
        value = field.value
        if field.name == POSITIONS:
            continue
        if field.name == "data" and isinstance(value, ast.Call):
            kept = tuple(one for one in value.arguments if one.keyword != "take")
            if value.name in DATA_FILES:
                kept = tuple(_placed(one, home) for one in kept)
            value = replace(value, arguments=kept)
        fields.append(replace(field, value=value))
    return replace(task, fields=tuple(fields))


def _placed(argument: ast.Argument, home: Path) -> ast.Argument:
    value = argument.value
    if argument.keyword not in ("", "path") or not isinstance(value, ast.String):
        return argument
    if not (home / value.value).exists():
        return argument  # a data set of the hub
    real = str((home / value.value).resolve())
    return replace(argument, value=replace(value, value=real))


def _metrics(a: Program, b: Program, task: str, names: Mapping[str, str]) -> Iterator[str]:
    """The metrics of A on a task that B has as well, on its task, whatever it calls them."""
    others = [_meaning(b, d, {}) for d in b.metrics.values() if names[task] in serving(b, d)]
    for name, declared in a.metrics.items():
        if task in serving(a, declared) and _meaning(a, declared, names) in others:
            yield name


def _meaning(program: Program, metric: ast.MetricDecl, names: Mapping[str, str]) -> object:
    """A metric without its name and without the task that it is of."""
    pair = Pair(old=program, new=program, names=names, resolvers=None)
    tree, paths = skeleton(pair, program, replace(metric, task=None))
    return {**tree, "name": None}, expanded(program, tuple(paths))


def _text(change: Change) -> str:
    both = [part for part in (change.before, change.after) if part]
    return change.what + (f": {' and '.join(both)}" if both else "")
