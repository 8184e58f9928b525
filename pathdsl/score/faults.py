"""Making the diagnostics of scoring; their pages are in `pathdsl.lang.rules.pd4_scores`."""

from __future__ import annotations

from pathdsl.errors import Diagnostic, LanguageError, Severity, Span
from pathdsl.lang import ast

__all__ = ["fault", "warning"]


def fault(code: str, message: str, at: ast.Node | None = None, help: str = "") -> LanguageError:
    """The exception that carries one diagnostic, to be raised by the caller."""
    span: Span | None = at.span if at is not None else None
    return LanguageError(Diagnostic(code=code, message=message, span=span, help=help))


def warning(
    code: str,
    message: str,
    at: ast.Node | None = None,
    help: str = "",
    notes: tuple[str, ...] = (),
    label: str = "",
) -> Diagnostic:
    """A diagnostic that changes no exit code."""
    span: Span | None = at.span if at is not None else None
    return Diagnostic(
        code=code, message=message, span=span, label=label, help=help, notes=notes,
        severity=Severity.WARNING,
    )  # fmt: skip
