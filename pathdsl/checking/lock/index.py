"""An index of files by their locks: what each is about, and what came out where it was judged.

Nothing is checked: a verdict is that of the lock beside the file, and stands only where that lock
is of the text as it is now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pathdsl.checking.breaking.changes import written
from pathdsl.checking.breaking.locked import locked_inputs
from pathdsl.checking.lock.file import lock_beside
from pathdsl.errors import errors_in
from pathdsl.lang import ast
from pathdsl.lang.fence import Fence
from pathdsl.lang.program import Program, load_program

__all__ = ["Indexed", "LockedClaim", "index_of"]

State = Literal["locked", "stale", "unreadable", "unlocked", "faulty", "library"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedClaim:
    """What a lock says came out of one claim, or of one member of it."""

    name: str
    verdict: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """One file: its circuit's title, the models as written, what it cites, and its lock.

    `claims` are those of a lock of this text, () in every other `state`: `stale` is a lock of
    another text, `unlocked` a file that was not judged here, `faulty` one that cannot be read.
    `declared`: how many claims the file makes.
    """

    path: str
    title: str
    models: tuple[str, ...]
    cites: tuple[str, ...]
    state: State
    declared: int
    claims: tuple[LockedClaim, ...]


def index_of(paths: Iterable[str], fence: Fence | None = None) -> tuple[Indexed, ...]:
    """What is known of each file without checking it, in the order of the paths."""
    return tuple(_indexed(path, fence) for path in paths)


def _indexed(path: str, fence: Fence | None) -> Indexed:
    program, faults = load_program(path, None, fence)
    state = "faulty" if errors_in(faults) else _state(program)
    lock = lock_beside(path) if state == "locked" else None
    judged = lock.lock["claims"] if lock is not None and lock.lock is not None else {}
    circuit = program.circuit
    return Indexed(
        path=path,
        title=(circuit.title or circuit.name.name) if circuit is not None else "",
        models=tuple(written(program, one.source) for one in program.models.values()),
        cites=_cites(program),
        state=state,
        declared=len(program.claims),
        claims=tuple(
            LockedClaim(name=name, verdict=one["verdict"], expected=one["expected"])
            for name, one in judged.items()
        ),
    )


def _state(program: Program) -> State:
    if program.is_library:
        return "library"
    locked = locked_inputs(program)
    if locked.inputs is not None:
        return "locked"
    if not locked.why:
        return "unlocked"
    beside = lock_beside(program.path)
    return "unreadable" if beside is not None and beside.lock is None else "stale"


def _cites(program: Program) -> tuple[str, ...]:
    """What the circuit block cites."""
    for field in program.circuit.fields if program.circuit is not None else ():
        if field.name == "cite":
            items = field.value.items if isinstance(field.value, ast.ListValue) else [field.value]
            return tuple(
                one.value if isinstance(one, ast.String) else written(program, one) for one in items
            )
    return ()
