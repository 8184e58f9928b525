"""What is wrong with rows as far as it shows without a model: what `lint` says of files of rows.

The same steps as `pathdsl.engine.data.build`, on the same rows, without arrays. Texts are tokens
where a tokenizer's kept answers say so; of others nothing is said that hangs on tokens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pathdsl.engine.data.asked import Asked, asked_of
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.rows import LoadedRows, Row, load_rows
from pathdsl.engine.data.task import TaskSpec, task_spec
from pathdsl.engine.data.tokens import Encoder, Ids, Prompt
from pathdsl.engine.data.told import placed_in, told_once
from pathdsl.engine.data.vetted import (
    Read,
    answers_of,
    check_columns,
    check_crossed,
    check_lengths,
    free_columns,
    labels_of,
    not_one,
    of_one_token,
    on_all,
    own_everywhere,
    positions_of,
    prompts_of,
    read_of,
    same_answers,
)
from pathdsl.errors import DataError, Diagnostic
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import DATA_FILES
from pathdsl.lang.signatures.measures import columns_in
from pathdsl.record import record

__all__ = ["MOST_BYTES", "AtHand", "NotKept", "large_files", "row_faults"]

MOST_BYTES = 1_000_000
"""Of a file of rows; a larger one is left to those who read all of it."""


class NotKept(Exception):
    """A tokenizer was not asked about this text before."""


@record
class AtHand:
    """What is at hand of the model of a task: its shape, and a tokenizer.

    `tokenizer` raises NotKept for a text that it does not know; it is None where the model has
    none, and "unknown" where nothing is known of it.
    """

    shape: ModelShape | None
    tokenizer: Any | Literal["unknown"] | None


def row_faults(
    program: Program, model: Callable[[str], AtHand], *, generated: bool = False
) -> list[Diagnostic]:
    """The faults of the rows that lie in files, of a program without faults.

    `model`: what is at hand of the model of a task. `generated`: those of generators, too, which
    take their time.
    """
    faults: dict[str, tuple[Diagnostic, ...]] = {}
    asked: Asked | None = None
    for name, declaration in program.tasks.items():
        spec, rows = None, None
        try:
            spec = task_spec(declaration, program.tasks)
            base = Path(program.origin.get(name, program.path)).parent
            size = _size(spec, base)
            if (size is None and not generated) or (size or 0) > MOST_BYTES:
                continue
            asked = asked or asked_of(program)
            rows = load_rows(spec, base, None, program.fence)
            found = (*rows.warnings, *_look(spec, rows, asked, model(name)))
        except DataError as error:
            found = error.diagnostics
        faults[name] = placed_in(declaration, spec, rows, found)
    return told_once(program, faults)


def large_files(program: Program) -> dict[str, int]:
    """Bytes of the files of rows that `row_faults` does not read, by path, of a program without
    faults."""
    found = {}
    for name, declaration in program.tasks.items():
        spec = task_spec(declaration, program.tasks)
        size = _size(spec, Path(program.origin.get(name, program.path)).parent)
        if size is not None and size > MOST_BYTES:
            found[spec.data.path] = size
    return found


def _size(spec: TaskSpec, base: Path) -> int | None:
    """Bytes of the file that the rows are in; None where they are in none."""
    kind = DATA_FILES.get(spec.data.name)
    if kind is None or kind.hub or not spec.data.path:
        return None
    try:
        return os.stat(base / spec.data.path).st_size
    except (OSError, ValueError):
        return 0  # those who read it say why they cannot


def _look(spec: TaskSpec, rows: LoadedRows, asked: Asked, model: AtHand) -> Sequence[Diagnostic]:
    """Columns, prompts, positions, answers and labels of the rows of one task."""
    faults = DataFaults(spec.name, spec.data.span or spec.span)
    table, present = rows.rows, set(rows.rows[0])
    read = read_of(spec, asked.treated(spec.name, present), (), asked.answers(spec.name, present))
    check_columns(table, read, faults)
    if model.shape is not None and not spec.chat:
        found = _look_at_tokens(spec, table, read, model.shape, model.tokenizer, faults)
        for call in asked.single[spec.name] if not faults else ():
            for column in (one.name for one in columns_in(call)):
                ids = [row["id"] for row in table]
                if said := not_one(spec.name, ids, found.get(column, ()), column):
                    faults.keep(replace(of_one_token(said, column, call.name), span=call.span))
    labels = labels_of(table, set(read.prompts) - read.labels, faults, read.labels)
    check_crossed(spec, labels, faults)
    if not faults:
        ids = [row["id"] for row in table]
        same_answers(ids, _as_written(table, read), asked.contrasts[spec.name], faults)
        own = spec.treated
        if own is not None and own.how.own_run and own.columns:
            if all(row[own.column] == row[spec.reference] for row in table):
                why = f"`{own.column}` equals `{spec.reference}` {on_all(ids)}"
                own_everywhere(why, "a column with another prompt", faults)
    return faults.all


def _look_at_tokens(
    spec: TaskSpec,
    table: Sequence[Row],
    read: Read,
    shape: ModelShape,
    tokenizer: Any | None,
    faults: DataFaults,
) -> dict[str, tuple[Ids, ...]]:
    """Prompts, positions and answers, of texts as far as the tokenizer is known.

    The accepted tokens of each column of answers, row by row; those of whole answers are left out.
    """
    unknown = tokenizer == "unknown"

    def encoder(made: Any | None, *, unread: bool) -> Encoder:
        return _Encoder(made, shape, spec.bos, faults, texts=spec.data.texts, unread=unread)

    by = encoder(None if unknown else tokenizer, unread=unknown)
    prompts = prompts_of(table, read.prompts, by)
    free = free_columns(read.treated, [spec.reference])
    check_lengths(table, spec.reference, prompts, free, by, faults)
    positions_of(table, spec, prompts[spec.reference], by, faults)
    found = {}
    if not spec.whole:
        alone = encoder(None, unread=True) if spec.continued and tokenizer is not None else by
        for column in read.answers:
            found[column] = answers_of(table, column, prompts[spec.reference], spec, alone)
    return found


class _Encoder(Encoder):
    """Says nothing of a text whose tokens are not known."""

    def prompt(self, row: str, column: str, value: object) -> Prompt | None:
        try:
            return super().prompt(row, column, value)
        except NotKept:
            return None

    def answer(self, row: str, column: str, value: object, after: Any = None) -> Ids:
        try:
            return super().answer(row, column, value, after)
        except NotKept:
            return ()

    def words(self, ids: Sequence[int]) -> tuple[str, ...]:
        try:
            return super().words(ids)
        except NotKept:
            return tuple(map(str, ids))


def _as_written(table: Sequence[Row], read: Read) -> dict[str, list[Hashable]]:
    """The cells of the token columns: equal ones are equal tokens."""

    def cell(value: object) -> Hashable:
        return tuple(map(str, value)) if isinstance(value, list) else (str(value),)

    return {column: [cell(row[column]) for row in table] for column in read.answers}
