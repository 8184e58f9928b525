"""Which rows of a task a `where` keeps, and what is wrong with its conditions.

A CSV cell is compared as it is written: `n >= 4` reads its text as a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from pathdsl.engine.data.faults import DataFaults, shown
from pathdsl.engine.data.task import Filter, Hits, Scalar, TaskSpec
from pathdsl.errors import Severity
from pathdsl.lang.signatures.comparisons import COMPARISONS

__all__ = ["matches", "select"]

Row = dict[str, Any]

MOST_SHOWN = 6
"""Values of a label that are listed where a condition keeps no row."""


def select(
    rows: Sequence[Row], task: TaskSpec, faults: DataFaults, known: Hits, *, whole: bool
) -> list[Row]:
    """The rows of a task that meet its conditions, those of the tasks that it is a part of first.

    `known`: what was measured of them; a condition on a run that was not leaves no row out.

    Notes PD328 where rows lack a label, PD305 where one that is ordered is no number, PD324 where
    no row is left, and PD361, a warning, where a condition of the task leaves none out; `whole`:
    the rows are those that the file says, of which alone that can be said.
    """
    kept = list(rows)
    before = ""
    for one in task.filters:
        if one.run:
            if one.measured not in known:
                continue
            hits = known[one.measured]
            wanted = (one.value == 1) is (COMPARISONS[one.relation].asks == "equal")
            met: list[Row] | None = [row for row in kept if hits[row["id"]] is wanted]
        else:
            met = _met(kept, one, faults)
        if met is None:
            continue
        if not met and kept:
            notes = () if one.run else (_values(kept, one),)
            faults.add("PD324", f"no row{before} meets `{one}`", span=one.span, notes=notes)
        elif not one.run and whole and len(met) == len(kept) and _own(one, task):
            faults.add(
                "PD361", f"every row{before} meets `{one}`: it leaves none out", span=one.span,
                notes=(_values(kept, one),), severity=Severity.WARNING,
            )  # fmt: skip
        kept = met
        before += f"{' and' if before else ' with'} `{one}`"
    return kept


def _own(one: Filter, task: TaskSpec) -> bool:
    """Whether a condition is the task's own, and not one of a task that it is a part of."""
    if one.span is None or task.span is None:
        return False
    return one.span.path == task.span.path and (
        task.span.start <= one.span.start and one.span.end <= task.span.end
    )


def _met(rows: Sequence[Row], one: Filter, faults: DataFaults) -> list[Row] | None:
    """The rows that meet a condition; None with the fault noted."""
    lacking = [str(row["id"]) for row in rows if one.field not in row]
    if lacking:
        faults.add(
            "PD328",
            f"row `{lacking[0]}` has no field `{one.field}` to filter by"
            + (f", nor have {len(lacking) - 1} others" if len(lacking) > 1 else ""),
            row=lacking[0],
            span=one.span,
        )
        return None
    comparison = COMPARISONS[one.relation]
    if not comparison.ordered:
        equal = comparison.asks == "equal"
        return [row for row in rows if matches(row[one.field], one.value) is equal]
    numbers = [_number(row[one.field]) for row in rows]
    bound = _number(one.value)
    assert bound is not None  # PD305, before any row is read
    if None in numbers:
        at = numbers.index(None)
        others = numbers.count(None) - 1
        faults.add(
            "PD305",
            f"row `{rows[at]['id']}` has no number in `{one.field}`: found "
            f"{shown(rows[at][one.field])}{f', nor have {others} others' if others else ''}, and "
            f"`{one.relation}` compares numbers",
            row=rows[at]["id"],
            span=one.span,
        )
        return None
    return [
        row
        for row, number in zip(rows, numbers, strict=True)
        if number is not None and comparison.holds(number, bound)
    ]


def _values(rows: Sequence[Row], one: Filter) -> str:
    """Which values a label has: the ends of numbers that are ordered, else the first few."""
    cells = [row.get(one.field) for row in rows]
    if COMPARISONS[one.relation].ordered:
        numbers = [number for cell in cells if (number := _number(cell)) is not None]
        return f"`{one.field}` goes from {min(numbers):g} to {max(numbers):g}"
    different = list(dict.fromkeys(map(shown, cells)))
    more = f" and {len(different) - MOST_SHOWN} more" if len(different) > MOST_SHOWN else ""
    return f"`{one.field}` is {', '.join(different[:MOST_SHOWN])}{more}"


def _number(cell: object) -> float | None:
    """A cell as a finite number, whole ones exactly; None for any other."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    if isinstance(cell, int):
        return cell
    try:
        return int(cell) if isinstance(cell, str) else _finite(cell)
    except ValueError:
        pass
    try:
        return _finite(float(cell))
    except ValueError:
        return None


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None


def matches(found: object, wanted: Scalar) -> bool:
    """Whether a row's field has the value of a `where`; a CSV cell is compared as it is written."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        if isinstance(found, str) and isinstance(wanted, bool):
            return found.lower() == str(wanted).lower()
        return found is wanted
    if isinstance(found, str) and isinstance(wanted, int | float):
        try:
            return float(found) == wanted
        except ValueError:
            return False
    return found == wanted
