"""The grid: one axis at a time, or the product of all; every cell a text that can be run alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from pathdsl.errors import LanguageError
from pathdsl.lang.program import Program, load_program
from pathdsl.lang.signatures.calls import AVERAGES
from pathdsl.lang.signatures.norms import NORM_MODES
from pathdsl.lang.vary.axis import Axis
from pathdsl.lang.vary.edits import edited, flatten, pruned
from pathdsl.lang.vary.method_axis import Estimates
from pathdsl.lang.vary.path_axes import Positions, Reading
from pathdsl.lang.vary.task_axes import Treated, Word
from pathdsl.lang.vary.value_axes import Direction, MetricAxis
from pathdsl.record import record

__all__ = [
    "AXES", "Cell", "apply", "base_of", "one_at_a_time", "product_of", "product_size", "silent",
    "values_of",
]  # fmt: skip

# The direction writes scores as means of metrics, in the task's order of averaging: it stands
# behind what looks at scores and paths as the author wrote them, and before the metric.
AXES: tuple[Axis, ...] = (
    Reading(),
    Positions(),
    Treated(),
    Word(name="layernorm", words=tuple(NORM_MODES)),
    Word(name="average", words=AVERAGES),
    Direction(),
    MetricAxis(),
    Estimates(),
)
"""Every axis, in the order in which a cell of several applies them."""

Change = tuple[str, str]


@record
class Cell:
    """One choice of values: its changes as (axis, value) and the text that makes them.

    `claims` are judged in it; `left_out` says of every other why the changes do not apply to it.
    `fault` says why there is no text, which is then "".
    """

    path: str
    changes: tuple[Change, ...] = ()
    text: str = ""
    claims: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    @property
    def name(self) -> str:
        """`treated = zero`; "as written" for the file's own choices."""
        return ", ".join(f"{axis} = {value}" for axis, value in self.changes) or "as written"

    @property
    def program(self) -> Program:
        """The text, parsed."""
        return load_program(self.path, self.text)[0]

    def only(self, claims: Iterable[str]) -> Cell:
        """The cell with some of its claims."""
        kept = tuple(claims)
        return Cell(
            path=self.path, changes=self.changes, text=pruned(self.program, kept), claims=kept,
            left_out=self.left_out,
        )  # fmt: skip


def base_of(program: Program, claims: Iterable[str]) -> Cell:
    """The cell of the file's own choices: one text without `use`, with these claims alone."""
    kept = tuple(claims)
    flat, _ = load_program(program.path, flatten(program), program.fence)
    return Cell(path=program.path, text=pruned(flat, kept), claims=kept)


def values_of(base: Cell) -> dict[str, tuple[str, ...]]:
    """The values of every axis that has some beside the file's own."""
    program = base.program
    found = {axis.name: axis.values(program) for axis in AXES}
    return {name: values for name, values in found.items() if values}


def silent(base: Cell) -> dict[str, str]:
    """The axes that change nothing here, each with the reason; without one it does not arise."""
    program, have = base.program, values_of(base)
    reasons = {}
    for axis in AXES:
        if axis.name not in have:
            why = axis.left_out(program, axis.probe) if axis.probe else {}
            reasons[axis.name] = next(iter(why.values()), axis.nothing)
    return {name: reason for name, reason in reasons.items() if reason}


def apply(cell: Cell, axis: str, value: str) -> Cell:
    """The cell with one more change; claims that it does not apply to are left out."""
    how = next(one for one in AXES if one.name == axis)
    changes = (*cell.changes, (axis, value))
    left = dict(cell.left_out)
    if cell.fault or not cell.claims:
        return Cell(path=cell.path, changes=changes, left_out=left, fault=cell.fault)
    left |= how.left_out(cell.program, value)
    kept = tuple(name for name in cell.claims if name not in left)
    if not kept:
        return Cell(path=cell.path, changes=changes, left_out=left)
    program = cell.only(kept).program
    try:
        text = edited(program.sources[program.path].text, how.edits(program, value), program.path)
    except LanguageError as error:
        fault = error.diagnostics[0]
        why = f"[{fault.code}] {fault.message}"
        return Cell(path=cell.path, changes=changes, claims=kept, left_out=left, fault=why)
    return Cell(path=cell.path, changes=changes, text=text, claims=kept, left_out=left)


def one_at_a_time(base: Cell, values: Mapping[str, Sequence[str]]) -> list[Cell]:
    """A cell for every value of every axis, all else as written."""
    return [apply(base, axis, value) for axis, some in values.items() for value in some]


def product_size(values: Mapping[str, Sequence[str]]) -> int:
    """The number of cells of the product, the file's own choices left out."""
    size = 1
    for some in values.values():
        size *= len(some) + 1
    return size - 1


def product_of(base: Cell, values: Mapping[str, Sequence[str]]) -> Iterator[Cell]:
    """Every combination of values, the file's own among those of each axis; fewest changes first.

    A combination that leaves a claim out says nothing new about it, so it is not judged there.
    """
    names = [axis.name for axis in AXES if axis.name in values]
    choices = [[None, *values[name]] for name in names]
    found = [c for c in itertools.product(*choices) if any(v is not None for v in c)]
    for combination in sorted(found, key=lambda c: sum(v is not None for v in c)):
        cell = base
        for name, value in zip(names, combination, strict=True):
            if value is not None:
                cell = apply(cell, name, value)
        yield cell
