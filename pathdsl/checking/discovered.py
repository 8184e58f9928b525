"""That the rows which found a circuit do not judge it.

A file that `pathdsl discover` wrote names its record, `circuit { discovered = "NAME.rows.json" }`
(`pathdsl.discover.rows`). A task that a claim or a `let` reads and that holds one of these rows is
refused, whatever the row is called and wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pathdsl.discover.rows import RowRecord, found_by, read_record, tokenizer_sha256
from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.lang import ast
from pathdsl.lang.check.scope import fault, listed
from pathdsl.lang.fence import outside

if TYPE_CHECKING:
    from pathdsl.checking.prepare import Ready
    from pathdsl.lang.program import Program

__all__ = ["check_discovered", "records_named"]

_SHOWN = 3


def records_named(program: Program) -> list[ast.String]:
    """The records that the circuit block of a program names, and those of files that it uses."""
    return [
        field.value
        for circuit in program.circuits
        for field in circuit.fields
        if field.name == "discovered" and isinstance(field.value, ast.String)
    ]


def check_discovered(ready: Ready, only: str | None) -> Iterator[Diagnostic]:
    """That no row which found what a file claims judges it.

    PD380 where a record is missing or damaged, PD381 where it is of another tokenizer, PD382 where
    a task that is read holds such rows. Rows that runs choose have to be known. Raises as
    `first_round`.
    """
    named = records_named(ready.program)
    if not named:
        return
    asked = dict.fromkeys(run.task for run, _ in ready.first_round(only).requests)
    for one in named:
        place = Path(one.span.path).parent / one.value
        if not ready.program.fence.holds(place):
            yield outside(one.value, one.span)
            continue
        try:
            record = read_record(place)
        except LanguageError as error:
            for told in error.diagnostics:
                yield fault(told.code, told.message, one.span, "named here", help=told.help)
            continue
        yield from _held_by(record, one, asked, ready)


def _held_by(
    record: RowRecord, named: ast.String, asked: Iterable[str], ready: Ready
) -> Iterator[Diagnostic]:
    """PD381 and PD382 for the tasks that are read, against one record."""
    tokenizers = ready.tokenizers
    for name in asked:
        tokenizer = tokenizers[ready.model_of(name)]
        declared = ready.program.tasks[name].name.span
        if tokenizer_sha256(tokenizer) != record.tokenizer:
            yield fault(
                "PD381",
                f"the record `{named.value}` is of another tokenizer than that of the model of "
                f"`{name}`, so that its rows cannot be compared with those that found the circuit",
                named.span,
                "by token ids",
                labels=[(declared, "of this task")],
                help="judge with the model that found it, or discover on this one",
            )
            continue
        task, spec = ready.planner.tasks[name], ready.planner.specs[name]
        rows = found_by(record, task, spec, tokenizer)
        if rows:
            some = listed([task.row_ids[n] for n in rows[:_SHOWN]], "and")
            more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
            yield fault(
                "PD382",
                f"{len(rows)} of the {task.n_rows} rows of `{name}` found the circuit that is "
                f"judged on them: {some}{more}",
                declared,
                "holds rows of the discovery",
                labels=[(named.span, "the rows that found it")],
                help="judge on rows that had no part in finding it: other names, another file, "
                "the held-out rows that `pathdsl discover` wrote",
            )
