"""What an axis is: its values on a program, which claims a value leaves out, and its edits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from pathdsl.lang import ast
from pathdsl.lang.loops import meant_nodes
from pathdsl.lang.program import Program
from pathdsl.lang.vary.edits import Edit, reached
from pathdsl.lang.walk import walk

__all__ = ["Axis", "below", "meant_below", "scores_of"]


class Axis(Protocol):
    """One choice of method. `program` is always flat: one text, no `use`."""

    @property
    def name(self) -> str:
        """The word for it on the command line."""

    @property
    def probe(self) -> str:
        """A value whose reasons for leaving claims out say why the axis has none; "" for none."""

    @property
    def nothing(self) -> str:
        """Why the axis has no value where no claim says it; "" where that goes without saying."""

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


def meant_below(program: Program, claim: ast.ClaimDecl) -> Iterator[ast.Node]:
    """The same as they are meant, with the items of lists in the place of their variables."""
    yield from meant_nodes(program, claim)
    for let in reached(program, [claim]).values():
        yield from meant_nodes(program, let)


def scores_of(program: Program, claim: ast.ClaimDecl) -> list[ast.Score]:
    """The scores of a claim and of its lets, `chance(…)` with the one inside it."""
    return [node for node in meant_below(program, claim) if isinstance(node, ast.Score)]
