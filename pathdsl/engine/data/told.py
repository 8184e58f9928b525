"""How faults of rows are told of a program: with a line of the file, and once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pathdsl.engine.data.rows import LoadedRows
from pathdsl.engine.data.task import TaskSpec
from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.serving import lineage

__all__ = ["OF_CELLS", "placed_in", "told_once"]

OF_CELLS = ("PD353", "PD355", "PD356", "PD359", "PD519")
"""Warnings about how cells are read and rows written, the same for a task and its parts."""


def _placed(
    found: Iterable[Diagnostic],
    lines: Mapping[str, int],
    path: str,
    span: Span | None,
    counted: str,
) -> tuple[Diagnostic, ...]:
    """The same faults with the line of the data file on which their row begins, and with a place.

    `lines`: row id to line, from 1, of the file that is written as `path`; `counted`: what they
    count, a line or a row. `span` is the place of faults that have none.
    """
    told = []
    for one in found:
        if one.row in lines:
            one = replace(one, notes=(f"{counted} {lines[one.row]} of `{path}`", *one.notes))
        told.append(one if one.span is not None else replace(one, span=span))
    return tuple(told)


def placed_in(
    declaration: ast.TaskDecl,
    spec: TaskSpec | None,
    rows: LoadedRows | None,
    found: Iterable[Diagnostic],
) -> tuple[Diagnostic, ...]:
    """Faults of rows with the line of their file, and all of them with a place in the program."""
    lines = rows.lines if rows is not None else {}
    counted = rows.counted if rows is not None else "line"
    path, span = (spec.data.path, spec.data.span) if spec is not None else ("", None)
    return _placed(found, lines, path, span or declaration.span, counted)


def told_once(program: Program, faults: Mapping[str, tuple[Diagnostic, ...]]) -> list[Diagnostic]:
    """All faults, but for those of a part of a task that the whole task has told already."""
    told: list[Diagnostic] = []
    for name, found in faults.items():
        codes: set[str] = set()
        for whole in list(lineage(program, program.tasks[name]))[1:]:
            codes |= {fault.code for fault in faults.get(whole.name.name, ())}
        told += [fault for fault in found if fault.code not in codes]
    return told
