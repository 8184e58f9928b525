"""What two locks say of the inputs that no text holds: weights, config, tokenizer, rows.

A folder of weights or a file of rows can be exchanged under an unchanged text. Where a lock lies
beside the file now and one lay there at the revision, their `inputs` are compared; a lock of
another text than the one beside it says nothing of that text, and is named.

Source: docs/reproducibility.md, What became weaker; `pathdsl.checking.lock.contents`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pathdsl.checking.breaking.changes import Change
from pathdsl.checking.lock.file import CIRCUIT_FILES, RECORDS, lock_beside
from pathdsl.lang.canonical import tree_hash, used_hashes
from pathdsl.lang.program import Program
from pathdsl.lang.serving import lineage

__all__ = ["Locked", "lock_changes", "locked_inputs"]

SHORT = 12
_ROWS = ("rows", "row_ids", "data_file", "marks")
_NOT_COMPARED = ("data", "n", *_ROWS)
"""Of a task: its data as written is compared as text, numbers and hashes of rows by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The inputs that the lock beside a file holds; None, and `why`, where they say nothing of it.

    `why` is "" where there is no lock at all.
    """

    inputs: Mapping[str, Any] | None = None
    why: str = ""

    def data_file(self, task: str) -> str:
        """The sha256 of a task's data file, "" where the lock does not say."""
        found = self.inputs["tasks"].get(task, {}) if self.inputs is not None else {}
        value = found.get("data_file", "")
        return value if isinstance(value, str) else ""


def locked_inputs(program: Program) -> Locked:
    """What the lock beside a program's file says of its inputs."""
    beside = lock_beside(program.path)
    if beside is None:
        return Locked()
    if beside.lock is None:
        return Locked(why="cannot be read")
    inputs = beside.lock["inputs"]
    trees = {"tree": tree_hash(program.file), "uses": dict(used_hashes(program))}
    if trees != {key: inputs["file"].get(key) for key in trees}:
        return Locked(why="is of another text")
    return Locked(inputs=inputs)


def lock_changes(
    locks: tuple[Locked, Locked], names: Mapping[str, str], new: Program, told: Iterable[Change]
) -> Iterator[Change]:
    """The inputs that differ between the lock of the earlier text and that of now.

    `names`: tasks that have another name now. What a change of the text has `told` of the model or
    of a task is not told again.
    """
    old, now = locks
    subjects = {change.of for change in told if change.kind != "noted"}
    for one, when in ((old, "the earlier lock"), (now, "the lock")):
        if one.why:
            yield _noted(f"{when} {one.why}: weights and rows are not compared")
    if old.inputs is None or now.inputs is None:
        if old.inputs is not None and not now.why:
            yield _noted("no longer there: weights and rows are not compared")
        return
    files = [one.inputs["file"].get(CIRCUIT_FILES, {}) for one in (old, now) if one.inputs]
    for path in sorted(files[0].keys() & files[1].keys()):
        if files[0][path] != files[1][path]:
            hashes = _short(files[0][path]), _short(files[1][path])
            what = "another content under the same name"
            yield Change(
                kind="noted", of=f"file {path}", what=what, before=hashes[0], after=hashes[1]
            )
    records = [one.inputs["file"].get(RECORDS, {}) for one in (old, now) if one.inputs]
    for path in sorted(records[0].keys() & records[1].keys()):
        if records[0][path] != records[1][path]:
            what = "other rows are said to have found the circuit"
            hashes = _short(records[0][path]), _short(records[1][path])
            yield Change(
                kind="changed", of=f"file {path}", what=what, before=hashes[0], after=hashes[1]
            )
    if "model" not in subjects:
        yield from _model(old.inputs["model"], now.inputs["model"])
    further, now_further = old.inputs.get("models", {}), now.inputs.get("models", {})
    for name in (name for name in further if name in now_further):
        yield from _model(further[name], now_further[name], f"model {name}")
    for name, before in old.inputs["tasks"].items():
        after = now.inputs["tasks"].get(names.get(name, name))
        if after is not None and not _of(names.get(name, name), new) & subjects:
            yield from _task(f"task {name}", before, after)
    if old.inputs["overrides"] != now.inputs["overrides"]:
        texts = [_pairs(one.inputs["overrides"]) for one in (old, now) if one.inputs is not None]
        what = "locked with other options of the command line"
        yield Change(kind="changed", of="lock", what=what, before=texts[0], after=texts[1])


def _noted(what: str) -> Change:
    return Change(kind="noted", of="lock", what=what)


def _of(name: str, program: Program) -> set[str]:
    """A task and those that it is a part of, as changes name them."""
    task = program.tasks.get(name)
    return (
        {f"task {one.name.name}" for one in lineage(program, task)} if task is not None else set()
    )


def _model(old: Mapping[str, Any], new: Mapping[str, Any], of: str = "model") -> Iterator[Change]:
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key):
            what = f"other {key} under the same text" if key == "weights" else f"another {key}"
            texts = _short(old.get(key)), _short(new.get(key))
            yield Change(kind="changed", of=of, what=what, before=texts[0], after=texts[1])


def _task(of: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    a, b = old.get("n"), new.get("n")
    if a != b:
        fewer = isinstance(a, int) and isinstance(b, int) and b < a
        what = "fewer prompts under the same text" if fewer else "another number of prompts"
        yield Change(
            kind="weaker" if fewer else "changed", of=of, what=what, before=str(a), after=str(b)
        )
    elif key := next((key for key in _ROWS if old.get(key) != new.get(key)), ""):
        hashed = key if key != "marks" else "rows"
        texts = _short(old.get(hashed)), _short(new.get(hashed))
        what = "other rows under the same text"
        yield Change(kind="changed", of=of, what=what, before=texts[0], after=texts[1])
    for key in dict.fromkeys([*old, *new]):
        if key not in _NOT_COMPARED and old.get(key) != new.get(key):
            texts = _short(old.get(key)), _short(new.get(key))
            yield Change(
                kind="changed", of=of, what=f"another `{key}`", before=texts[0], after=texts[1]
            )


def _short(value: object) -> str:
    """A hash by its first digits, a table of hashes by those of its first that are there."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(one)}" for key, one in sorted(value.items()))
    text = str(value)
    return f"{text[:SHORT]}…" if len(text) == 64 else text


def _pairs(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {one}" for key, one in sorted(value.items())) or "none"
