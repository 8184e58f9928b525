"""The formats that commands take, as their options: each lists the records of `report.formats`."""

from __future__ import annotations

from enum import StrEnum

from pathdsl.report.formats import Verb, taken_by

__all__ = ["CheckFormat", "LintFormat", "ReportFormat"]


def _members(*verbs: Verb) -> dict[str, str]:
    return {one.name.upper(): one.name for verb in verbs for one in taken_by(verb)}


class CheckFormat(StrEnum):
    """What `check` prints."""

    vars().update(_members("check"))


class LintFormat(StrEnum):
    """What `lint` prints."""

    vars().update(_members("lint"))


class ReportFormat(StrEnum):
    """What `report` writes, also for a referee alone."""

    vars().update(_members("report", "referee"))
