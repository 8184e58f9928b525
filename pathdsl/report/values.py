"""The per-prompt value of every measure in every run, for `--values`.

One record per task, run, measure, draw and prompt, in the order in which they were asked for. Runs
are named as the file writes them, measures as metrics spell them, `logit(io)@END`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from pathdsl.score.check import FileOutcome
from pathdsl.score.metrics import atom

__all__ = ["as_csv", "as_jsonl", "values_of"]

COLUMNS = ("file", "task", "run", "treated", "measure", "draw", "row", "value")


def values_of(outcome: FileOutcome) -> list[dict[str, Any]]:
    """All records of one file; empty where nothing ran."""
    session = outcome.session
    if session is None:
        return []
    found = []
    for plan in outcome.plans:
        task = outcome.tasks[plan.task]
        for output in plan.outputs:
            run = output.run
            for measure in output.measures:
                values = session.value(run, measure)
                for draw, by_row in enumerate(values):
                    for row_id, value in zip(task.row_ids, by_row, strict=True):
                        number = float(value)
                        found.append(
                            {
                                "file": outcome.path,
                                "task": plan.task,
                                "run": run.label or run.kind,
                                "treated": str(run.treated) if run.treated else "",
                                "measure": atom(measure).name,
                                "draw": draw,
                                "row": row_id,
                                "value": number if isfinite(number) else None,
                            }
                        )
    return found


def as_jsonl(records: Sequence[dict[str, Any]]) -> str:
    """One JSON object per line."""
    return "".join(json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in records)


def as_csv(records: Sequence[dict[str, Any]]) -> str:
    """Comma-separated with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
