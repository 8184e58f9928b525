"""The documentation of a data generator as text, with one row of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pathdsl.report.text.style import View, paragraph, table
from pathdsl.tasks import Generator, Parameter

__all__ = ["generator_text"]


def generator_text(made: Generator, view: View) -> str:
    """Arguments, columns, labels, positions and the first row of the defaults."""
    lines = [view.heading(f"{made.name}: {made.summary}"), ""]
    for part in made.doc.strip().split("\n\n"):
        for item in re.split(r"\n\s*(?=- )", part):
            hanging = "  " if item.lstrip().startswith("- ") else ""
            lines.append(paragraph(" ".join(item.split()), view, "", hanging))
        lines.append("")
    shown = ", ".join(f"{p.name}: {_value(p.default)}" for p in made.parameters)
    lines += [view.heading("Write"), f"  data = {made.name}({shown})", ""]
    rows = [
        [f"  {p.name}", p.kind, f"default {_value(p.default)}", _doc(p)] for p in made.parameters
    ]
    lines += [view.heading("Arguments"), *_wrapped(rows, view), ""]
    for title, columns in (
        ("Prompt columns", made.prompt_columns),
        ("Token columns", made.token_columns),
        ("Labels", made.labels),
        ("Positions", made.positions),
    ):
        if columns:
            cells = [[f"  {column.name}", column.doc] for column in columns]
            lines += [view.heading(title), *_wrapped(cells, view), ""]
    row = made.rows(take=1)[0]
    lines.append(view.heading("One row"))
    rows = [[f"  {name}", json.dumps(value, ensure_ascii=False)] for name, value in row.items()]
    lines += _wrapped(rows, view)
    return "\n".join(lines) + "\n"


def _doc(parameter: Parameter) -> str:
    limits = []
    if parameter.choices:
        limits.append("one of " + ", ".join(parameter.choices))
    if parameter.least is not None:
        limits.append(f"at least {parameter.least}")
    if parameter.most is not None:
        limits.append(f"at most {parameter.most}")
    if parameter.odd:
        limits.append("odd")
    return parameter.doc + (f" ({', '.join(limits)})" if limits else "")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, str) else str(value)


def _wrapped(rows: Sequence[Sequence[str]], view: View) -> list[str]:
    """A table whose last cells go on under themselves."""
    lines: list[str] = []
    for row, line in zip(rows, table(rows), strict=True):
        hanging = " " * (len(line) - len(row[-1]))
        lines += paragraph(line[2:], view, "  ", hanging[2:]).splitlines() or [""]
    return lines
