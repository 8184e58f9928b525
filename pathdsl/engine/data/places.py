"""Means at named places: which tokens such a mean is made of, and which tokens have it.

A place is one position of `at:`, or with `at: any` every token but special ones: one value of each
component, over all tokens of the column's prompts that stand there. Prompts of the column may be of
any length. Where they differ in length from the reference prompts, or the rows say so, positions
are those of the column: `"positions": {"S": 3, "harmless": {"S": 5}}`. `END` and what is counted
from it need no saying.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pathdsl.engine.data.faults import Cell, DataFaults
from pathdsl.engine.data.given import PLACES, row_positions
from pathdsl.engine.data.positions import resolve_positions
from pathdsl.engine.data.repeats import numbered
from pathdsl.engine.data.rows import Row
from pathdsl.engine.data.tokens import Encoder, Prompt
from pathdsl.plan.taskdata import Apart, TaskData
from pathdsl.plan.treated import EVERY, TreatedSpec

__all__ = ["own_places", "own_tokens", "places", "vet_places"]


def own_places(
    rows: Sequence[Row],
    column: str,
    reference: Sequence[Prompt | None],
    found: Sequence[Prompt | None],
    positions: Mapping[str, Sequence[tuple[int, ...]]],
    encoder: Encoder,
    faults: DataFaults,
) -> Apart | None:
    """The lengths and positions of a column; None where they are those of the reference prompts.

    `positions` are those. On rows of one length a name that the column is not given is shared.
    """
    own = [_own(row, column) for row in rows]
    pairs = [
        (ours, theirs) for ours, theirs in zip(reference, found, strict=True) if ours and theirs
    ]
    alike = all(len(ours.ids) == len(theirs.ids) for ours, theirs in pairs)
    if len(pairs) < len(rows) or (alike and not any(len(row) > 1 for row in own)):
        return None
    by_row = []
    for number, (row, (ours, theirs)) in enumerate(zip(own, pairs, strict=True)):
        shared = {}
        if len(ours.ids) == len(theirs.ids):
            shared = {name: indices[number] for name, indices in positions.items()}
        by_row.append(shared | row_positions(row, theirs, theirs, encoder.words, faults))
    names = [name for name in by_row[0] if all(name in one for one in by_row)]
    return Apart(
        lengths=np.array([len(theirs.ids) for _, theirs in pairs], dtype=np.int64),
        positions={name: tuple(one[name] for one in by_row) for name in names},
    )


def _own(row: Row, column: str) -> Row:
    """The row's id, and what it says of positions in one column."""
    found = {"id": row["id"]}
    for name in PLACES:
        given = row.get(name)
        if isinstance(given, Mapping) and isinstance(given.get(column), Mapping):
            found[name] = given[column]
    return found


def places(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """(rows, pos) int64: the place at which each token of the reference prompts stands, or -1.

    Of a column's prompts: `places(task.reading(column), spec)`.
    """
    if spec.at == (EVERY,):
        return np.where(task.ordinary, 0, -1)
    found = np.full((task.n_rows, task.n_pos), -1, dtype=np.int64)
    for number, at in enumerate(spec.at):
        for row, indices in enumerate(resolve_positions(task, at)):
            found[row, list(indices)] = number
    return found


def own_tokens(task: TaskData, spec: TreatedSpec, groups: np.ndarray) -> np.ndarray:
    """(rows,) bool: where the mean at each token of the row is made of that token alone."""
    theirs = task.reading(spec.column)
    prompts = numbered(
        one.prompts[one.reference][row, :n].tobytes()
        for one in (theirs, task)
        for row, n in enumerate(one.lengths.tolist())
    )
    width = max(task.n_pos, theirs.n_pos)
    cells, tokens = [], []
    for one, numbers in ((theirs, prompts[: task.n_rows]), (task, prompts[task.n_rows :])):
        row, place = np.nonzero((where := places(one, spec)) >= 0)
        cells.append(groups[row] * len(spec.at) + where[row, place])
        tokens.append(numbers[row] * width + place)
    n_cells = max(int(each.max()) for each in cells) + 1
    least, most = np.full(n_cells, np.iinfo(np.int64).max), np.full(n_cells, -1)
    np.minimum.at(least, cells[0], tokens[0])
    np.maximum.at(most, cells[0], tokens[0])
    other = (least[cells[1]] != tokens[1]) | (most[cells[1]] != tokens[1])
    changed = np.zeros(task.n_rows, dtype=bool)
    changed[np.nonzero(places(task, spec) >= 0)[0][other]] = True
    return ~changed


def vet_places(task: TaskData, spec: TreatedSpec) -> None:
    """Raise a DataError where a mean at named places has no token, or a token two means.

    PD336, PD338 (no such position), PD368 (not known in the column), PD369.
    """
    theirs = task.reading(spec.column)
    for at in () if spec.at == (EVERY,) else spec.at:
        resolve_positions(task, at)
        for name in sorted(at.names - theirs.positions.keys()):
            _say_unknown(task, theirs, name)
        resolve_positions(theirs, at)
    for one in dict.fromkeys([task, theirs]):
        where = places(one, spec)
        if spec.at == (EVERY,):
            for row in np.flatnonzero((where < 0).all(axis=1)):
                cell = Cell(row=task.row_ids[row], column=one.reference)
                _say(task, cell, "all tokens are special, so no mean is taken", "another row")
        _vet_overlaps(one, spec)


def _vet_overlaps(task: TaskData, spec: TreatedSpec) -> None:
    known: dict[tuple[int, int], int] = {}
    for number, at in enumerate(() if spec.at == (EVERY,) else spec.at):
        for row, indices in enumerate(resolve_positions(task, at)):
            for index in indices:
                first = known.setdefault((row, index), number)
                if first != number:
                    _say(
                        task,
                        Cell(row=task.row_ids[row], column=task.reference),
                        f"`{spec.at[first]}` and `{at}` are both at token {index}, and `{spec}` "
                        "has a value for each",
                        "leave one of them out of `at:`",
                    )


def _say(task: TaskData, where: Cell, message: str, advice: str) -> None:
    faults = DataFaults(task.name)
    faults.add("PD369", f"{where}: {message}", row=where.row, advice=advice)
    faults.stop()


def _say_unknown(task: TaskData, theirs: TaskData, name: str) -> None:
    """Raise PD368 for a position that the rows do not give for a column of other lengths."""
    lengths = task.lengths, theirs.lengths
    row = int(np.flatnonzero(lengths[0] != lengths[1])[0])
    column = theirs.reference
    faults = DataFaults(task.name)
    faults.add(
        "PD368",
        f"row `{task.row_ids[row]}`: `{column}` has {lengths[1][row]} tokens, `{task.reference}` "
        f"{lengths[0][row]}, and the row does not say where `{name}` is in `{column}`",
        row=task.row_ids[row],
        about=column,
        advice=f'"positions": {{"{column}": {{"{name}": 5}}}}, or a place counted from `END`',
    )
    faults.stop()
