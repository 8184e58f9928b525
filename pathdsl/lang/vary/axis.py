"""What an axis is: its values on a program, which claims a value leaves out, and its edits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.serving import choose_metric, choose_task, named_option, wants_metric
from pathdsl.lang.vary.edits import Edit, reached
from pathdsl.lang.walk import walk

__all__ = ["Axis", "below", "scores_of", "tasks_of"]


class Axis(Protocol):
    """One choice of method. `program` is always flat: one text, no `use`."""

    @property
    def name(self) -> str:
        """The word for it on the command line."""

    def values(self, program: Program) -> tuple[str, ...]:
        """The values that differ from the file's own; none where the choice does not arise."""

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """Claims that the value does not apply to, each with the reason."""

    def edits(self, program: Program, value: str) -> list[Edit]:
        """The edits that set the value, in a program without the claims left out."""


def below(program: Program, claim: ast.ClaimDecl) -> Iterator[ast.Node]:
    """Every syntax node of a claim and of the lets that it is made of."""
    yield from walk(claim)
    for let in reached(program, [claim]).values():
        yield from walk(let)


def scores_of(program: Program, claim: ast.ClaimDecl) -> list[ast.Score]:
    """The scores of a claim and of its lets, `chance(…)` with the one inside it."""
    return [node for node in below(program, claim) if isinstance(node, ast.Score)]


def tasks_of(program: Program, claim: ast.ClaimDecl) -> set[str]:
    """The tasks that a claim reads, a part of a task by the name of the whole that it is cut from.

    Empty where that is not clear from the text.
    """
    found: set[str] = set()
    for node in below(program, claim):
        if isinstance(node, ast.Call) and node.name in program.metrics:
            metric: str | None = node.name
            asked = named_option(node.arguments, "task")
        elif isinstance(node, ast.Score):
            metric = choose_metric(program, node).name if wants_metric(node) else None
            asked = named_option(node.options, "task")
        else:
            continue
        name = choose_task(program, program.metrics.get(metric or ""), asked).name
        while name is not None and (task := program.tasks.get(name)) is not None:
            if task.base is None:
                found.add(name)
                break
            name = task.base.name
    return found
