"""A page of `pathdsl explain CODE`: what the fault is, why it matters, a failing and a good file.

Both examples run as tests: the first must give the code, the second must not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from pathdsl.record import record


@record
class Example:
    """Text of `example.circuit`, files beside it, and the command that shows the point.

    `files`: name to text (data files and the like). `command` is run as
    `pathdsl COMMAND example.circuit`: `lint` needs no model, `plan` vets the data, `check` runs.
    """

    text: str
    files: Mapping[str, str] = field(default_factory=dict)
    command: Literal["lint", "plan", "check"] = "lint"


@record
class Page:
    """One code: `name` is kebab-case and names the fault; `summary` is one sentence.

    `failing`/`passing` are None only for faults that no file alone can show (a machine without
    memory, damaged weights); `shown_by` then names the test that provokes it.
    """

    code: str
    name: str
    summary: str
    why: str
    repair: str
    failing: Example | None = None
    passing: Example | None = None
    shown_by: str = ""
