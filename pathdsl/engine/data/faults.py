"""Collects what is wrong with a task's rows: all of it in one go, but not ten thousand lines.

Row faults repeat, so each kind (a code together with a word for what it is about) is written out
ten times at most and then counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.errors import DataError, Diagnostic, Severity, Span, errors_in
from pathdsl.near import quoted

__all__ = ["DataFaults", "listed", "shown"]

_WRITTEN_OUT = 10
_LONGEST = 400
"""Characters of a message: an id, a label or a mark of a row may be a whole book."""


class DataFaults:
    """A growing list of diagnostics about one task's data."""

    def __init__(self, task: str = "", span: Span | None = None) -> None:
        self.task = task
        self.span = span
        self._found: list[Diagnostic] = []
        self._counts: dict[tuple[str, str], int] = {}

    def add(
        self,
        code: str,
        message: str,
        *,
        about: str = "",
        notes: tuple[str, ...] = (),
        advice: str = "",
        severity: Severity = Severity.ERROR,
        span: Span | None = None,
    ) -> None:
        """Note one fault; those of one code about one thing are counted after the tenth."""
        key = (code, about)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] <= _WRITTEN_OUT:
            self._found.append(self._make(code, message, notes, advice, severity, span))

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
        return (*self._found, *more)

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


def shown(value: object) -> str:
    """A value in a message, cut where it is long."""
    return quoted("null" if value is None else repr(value))


def listed(words: Sequence[str]) -> str:
    """Words in a message, the first ones where they are many."""
    return " ".join(map(quoted, words[:8])) + (" …" if len(words) > 8 else "")
