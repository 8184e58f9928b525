"""What became of a program since an earlier one, as far as texts can say.

Three kinds of change. `weaker`: the claim says less than before. `changed`: it says something else,
and which of the two says more cannot be told from the text. `noted`: it says the same under another
name, or more. The first two have to be looked at by whoever built on the earlier text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.defaults import is_default_field, meant, taken
from pathdsl.lang.program import Program
from pathdsl.lang.walk import strip

__all__ = [
    "Change",
    "Kind",
    "constant",
    "data_path",
    "model_changes",
    "renamed",
    "task_changes",
    "written",
]

Kind = Literal["weaker", "changed", "noted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: what it is of (`claim sufficient`), what happened, and both texts."""

    kind: Kind
    of: str
    what: str
    before: str = ""
    after: str = ""


def written(program: Program, node: ast.Node | None) -> str:
    """A node as its author wrote it, on one line; "" for none."""
    if node is None:
        return ""
    source = program.sources.get(node.span.path)
    text = source.text[node.span.start : node.span.end] if source is not None else ""
    return " ".join(text.split())


def constant(node: ast.Node | None) -> float | None:
    """The value of an expression of numbers alone; None for any other."""
    match strip(node) if node is not None else None:
        case ast.Number(value=value):
            return value
        case ast.Unary(operand=operand):
            inner = constant(operand)
            return None if inner is None else -inner
        case ast.Binary(op=op, left=left, right=right):
            a, b = constant(left), constant(right)
            if a is None or b is None:
                return None
            try:
                return _ARITHMETIC[op](a, b)
            except (ArithmeticError, ValueError):
                return None
        case _:
            return None


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: float(a**b),
}


def renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Old names that are gone, and the new name of an equal declaration, each once."""
    free = {_nameless(new[name]): name for name in reversed(list(new)) if name not in old}
    found = {}
    for name, declaration in old.items():
        if name not in new and (other := free.pop(_nameless(declaration), None)) is not None:
            found[name] = other
    return found


def _nameless(declaration: ast.Node) -> str:
    return str({**spelled(declaration), "name": None, "text": None})


# ------------------------------------------------------------------------------- model and data


def model_changes(old: Program, new: Program) -> Iterator[Change]:
    """The model, its revision and its dtype; the name it has in the file is no matter."""
    if old.model is None or new.model is None:
        return
    if spelled(meant(old.model.source)) != spelled(meant(new.model.source)):
        yield Change(
            kind="changed", of="model", what="another model, revision or dtype",
            before=written(old, old.model.source), after=written(new, new.model.source),
        )  # fmt: skip


def task_changes(
    old: Program, new: Program, names: Mapping[str, str], content: Callable[[Program, str], bytes]
) -> Iterator[Change]:
    """Every task that was there: its data, treated value and other fields.

    `names`: tasks that have another name now. `content` gives the bytes of a data file of a task.
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
        path = data_path(after)
        if path and data_path(before) == path:
            texts = [content(p, t.name.name) for p, t in ((old, before), (new, after))]
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
        takes = taken(a), taken(b)
        if key == "data" and _without_take(a) == _without_take(b) and None not in takes:
            fewer = takes[1] < takes[0]  # type: ignore[operator]
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


def data_path(task: ast.TaskDecl) -> str:
    """The data file that a task names, "" for a generator."""
    for field in task.fields:
        if field.name == "data" and isinstance(field.value, ast.Call):
            for argument in field.value.arguments:
                if argument.keyword in ("", "path") and isinstance(argument.value, ast.String):
                    return argument.value.value
    return ""
