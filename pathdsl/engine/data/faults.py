"""Collects what is wrong with a task's rows: all of it in one go, but not ten thousand lines.

Row faults repeat, so each kind (a code together with a word for what it is about) is written out
for the first row that has it, with the names of the others; what is no row's is written out ten
times at most and then counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pathdsl.errors import DataError, Diagnostic, Severity, Span, errors_in
from pathdsl.near import quoted
from pathdsl.record import record

__all__ = ["Cell", "DataFaults", "listed", "shown"]

_WRITTEN_OUT = 10
_NAMED = 8
"""Rows with the same fault that are named; the others are counted."""
_LONGEST = 400
"""Characters of a message: an id, a label or a mark of a row may be a whole book."""


@record
class Cell:
    """A place in the rows, as messages begin."""

    row: str
    column: str

    def __str__(self) -> str:
        """Row and column, in words."""
        return f"row `{self.row}`, column `{self.column}`"


class DataFaults:
    """A growing list of diagnostics about one task's data."""

    def __init__(self, task: str = "", span: Span | None = None) -> None:
        self.task = task
        self.span = span
        self._found: list[Diagnostic] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._rows: dict[tuple[str, str], tuple[int, list[str]]] = {}

    def add(
        self,
        code: str,
        message: str,
        *,
        row: str = "",
        line: int = 0,
        about: str = "",
        notes: tuple[str, ...] = (),
        advice: str = "",
        severity: Severity = Severity.ERROR,
        span: Span | None = None,
    ) -> None:
        """Note one fault; rows that have it after the first one are named with that one.

        `row`: the id of the row that the message names, or `line`: where what is no row begins.
        """
        key = (code, about)
        made = replace(self._make(code, message, notes, advice, severity, span), row=row)
        if row or line:
            if key in self._rows:
                self._rows[key][1].append(f"`{row}`" if row else str(line))
                return
            self._rows[key] = len(self._found), []
            self._found.append(made)
            return
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] <= _WRITTEN_OUT:
            self._found.append(made)

    def keep(self, found: Diagnostic) -> None:
        """Take over a diagnostic that was made elsewhere."""
        self._found.append(found)

    def _make(
        self,
        code: str,
        message: str,
        notes: tuple[str, ...],
        advice: str,
        severity: Severity,
        span: Span | None,
    ) -> Diagnostic:
        whole = (f"task `{self.task}`: " if self.task else "") + message
        return Diagnostic(
            code=code,
            message=f"{whole[:_LONGEST]}…" if len(whole) > _LONGEST else whole,
            span=span or self.span,
            notes=notes,
            help=advice,
            severity=severity,
        )

    @property
    def all(self) -> tuple[Diagnostic, ...]:
        """Everything found, each kind's uncounted rest summed up behind the others."""
        found = list(self._found)
        for place, others in self._rows.values():
            if others:
                also = f"likewise {_named_rows(others)}"
                found[place] = replace(found[place], notes=(*found[place].notes, also))
        severity = {d.code: d.severity for d in self._found}
        more = [
            self._make(
                code,
                f"and {count - _WRITTEN_OUT} more like this" + (f" ({about})" if about else ""),
                (),
                "",
                severity[code],
                None,
            )
            for (code, about), count in self._counts.items()
            if count > _WRITTEN_OUT
        ]
        return (*found, *more)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The part that stops nothing."""
        return tuple(d for d in self.all if d.severity is Severity.WARNING)

    def __bool__(self) -> bool:
        """Whether there is an error."""
        return bool(errors_in(self._found))

    def stop(self) -> None:
        """Raise DataError with everything found if there is an error among it."""
        if self:
            raise DataError(self.all)


def _named_rows(rows: Sequence[str]) -> str:
    """`row `2``, `3 more rows: `2`, `3`, `4``, the first ones where they are many."""
    what = "row" if rows[0].startswith("`") else "line"
    if len(rows) == 1:
        return f"{what} {rows[0]}"
    more = ", …" if len(rows) > _NAMED else ""
    return f"{len(rows):,} more {what}s: {', '.join(rows[:_NAMED])}{more}"


def shown(value: object) -> str:
    """A value in a message, cut where it is long."""
    return quoted("null" if value is None else repr(value))


def listed(words: Sequence[str]) -> str:
    """Words in a message, the first ones where they are many."""
    return " ".join(map(quoted, words[:8])) + (" …" if len(words) > 8 else "")
