"""Treated values: what treated paths carry, as plain hashable data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.resolve.places import pos_of
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import resolve_arguments
from pathdsl.lang.signatures.treated import TREATED_KINDS, TreatedKind, kind_of, written

__all__ = ["EVERY", "TreatedSpec", "treated_spec"]

EVERY = Pos(name="any token")
"""`at: any`: every token but special ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatedSpec:
    """The value that treated paths carry; `kind` is a name of `TREATED_KINDS`.

    `paired`: the prompt in `column`, row by row. `mean`: each component's mean output per token
    index over rows of equal `by` label and length, run on `column`; with `at` its mean output at
    each of these positions, or at `EVERY` token, over rows of equal `by` label and any length, and
    the reference's own elsewhere. `zero`. `noise`: Gaussian added to `input` at the positions `at`,
    `scale` times the standard deviation of the embedding matrix, `draws` times anew. `resample`:
    `draws` other rows' `column`, of equal length (and `by` label), never the row's own.

    Raises ValueError for a kind that there is not.
    """

    kind: str
    column: str = ""
    by: str = ""
    at: tuple[Pos, ...] = ()
    scale: float = 0.0
    seed: int = 0
    draws: int = 1

    def __post_init__(self) -> None:
        if self.kind not in TREATED_KINDS:
            raise ValueError(f"no kind of treated value is called `{self.kind}`")

    @property
    def how(self) -> TreatedKind:
        """What is true of every treated value of this kind."""
        return TREATED_KINDS[self.kind]

    @property
    def columns(self) -> tuple[str, ...]:
        """The prompt columns that it reads, beside the reference."""
        return (self.column,) if self.column else ()

    @property
    def placed(self) -> bool:
        """Whether it is a constant at the positions `at`, and the reference's own elsewhere."""
        return self.how.constant and bool(self.at)

    @property
    def by_draw(self) -> bool:
        """Whether a run with it is several, one for each draw, in a plan of its own."""
        return self.how.drawn == "rows" or self.draws > 1

    @property
    def runs(self) -> int:
        """How many plain runs of all rows its values take, in all draws."""
        return self.how.runs * self.draws

    def __str__(self) -> str:
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        given["at"] = "any" if self.at == (EVERY,) else self.at or None
        given["draws"] = self.draws if self.by_draw else None
        return written(self.how, given)


def treated_spec(value: ast.Node) -> TreatedSpec:
    """The value that `treated = …` or `treat(P, treated: …)` names, in a file without faults."""
    kind = kind_of(value)
    if kind is None or not isinstance(value, ast.Name | ast.Call):
        raise ValueError("no treated value: the file was not checked")
    if kind.signature is None:
        return TreatedSpec(kind=kind.name, column=value.name)
    arguments = value.arguments if isinstance(value, ast.Call) else ()
    given: dict[str, Any] = resolve_arguments(kind.signature, arguments)
    found = {name: argument for name, argument in given.items() if argument is not None}
    if "at" in found:
        found["at"] = (EVERY,) if found["at"] == "any" else tuple(map(pos_of, found["at"]))
    return TreatedSpec(kind=kind.name, **found)
