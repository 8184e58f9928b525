"""Rows that a circuit file reads from a file without saying which they are.

A lock has the hash of every data file. The circuit file itself, which is what others get, has it
only where its author wrote it: `jsonl("rows.jsonl", sha256: "…")`.
"""

from __future__ import annotations

from dataclasses import replace

from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import Diagnostic, Severity
from pathdsl.lang.lint import sort_diagnostics

__all__ = ["with_unpinned"]


def with_unpinned(outcome: FileOutcome) -> FileOutcome:
    """The outcome of a judged file with a warning (PD529) for each data file without a hash."""
    if outcome.session is None:
        return outcome
    found: dict[str, Diagnostic] = {}
    for name, spec in outcome.session.planner.specs.items():
        digest = outcome.tasks[name].facts.get("data_sha256")
        if digest is None or "sha256" in spec.data.arguments:
            continue
        pinned = replace(spec.data, arguments={**spec.data.arguments, "sha256": digest})
        told = Diagnostic(
            code="PD529",
            message=f"task `{name}`: `{spec.data.path}` has no `sha256:`, so that other rows under "
            "its name would be judged",
            span=spec.data.span,
            help=f"`data = {pinned.written}`",
            severity=Severity.WARNING,
        )
        found.setdefault(pinned.written, told)
    faults = sort_diagnostics([*outcome.diagnostics, *found.values()], first=outcome.path)
    return replace(outcome, diagnostics=tuple(faults))
