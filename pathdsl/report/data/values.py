"""The per-prompt value of every metric in every run, for `--values`.

One record per task, run, metric, draw and prompt, in the order in which they were asked for. Runs
are numbered over the file and named as the file writes them. What scores measure beside the metrics
of the file is named as metrics spell it, `top1(io)@END`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from pathdsl.checking.outcome import FileOutcome
from pathdsl.lang.program import Program
from pathdsl.lang.serving import metrics_elsewhere
from pathdsl.plan.readout import Measure
from pathdsl.score.metrics import Metric, atom, compile_metric
from pathdsl.score.quantity import row_metrics

__all__ = ["as_csv", "as_jsonl", "values_of"]

COLUMNS = ("file", "task", "run", "written", "treated", "metric", "draw", "row", "value")


def values_of(outcome: FileOutcome) -> list[dict[str, Any]]:
    """All records of one file; empty where nothing ran."""
    session = outcome.session
    if session is None:
        return []
    metrics, records = _metrics(outcome.program), []
    for number, (run, measures) in enumerate(session.asked.items()):
        task = outcome.tasks[run.task]
        for metric in _measured(metrics, measures):
            values = metric.evaluate({m: session.value(run, m) for m in metric.measures})
            for draw, by_row in enumerate(values):
                for row_id, value in zip(task.row_ids, by_row, strict=True):
                    records.append(
                        {
                            "file": outcome.path,
                            "task": run.task,
                            "run": number,
                            "written": run.label or run.kind,
                            "treated": str(run.treated) if run.treated else "",
                            "metric": metric.name,
                            "draw": draw,
                            "row": row_id,
                            "value": float(value) if isfinite(value) else None,
                        }
                    )
    return records + _scores(outcome)


def _scores(outcome: FileOutcome) -> list[dict[str, Any]]:
    """The scores that were read, prompt by prompt: `metric` is the one that was attributed."""
    session = outcome.session
    found = []
    for (run, measure), (sender, receiver, slot, at) in session.scores_read if session else ():
        asked = measure.asked
        unit = f"{sender} {f'-[{slot}]->' if slot else '->'} {receiver}"
        if not (sender and receiver):
            unit = f"{sender or receiver}{f', slot: {slot}' if slot else ''}"
        unit += f", at: {at}" if at is not None else ""
        unit += f", read at: {asked.reader}" if asked.reader is not None else ""
        assert session is not None
        values = session.scored(run, measure, (sender, receiver, slot), at)[0]
        for row_id, value in zip(outcome.tasks[run.task].row_ids, values, strict=True):
            found.append(
                {
                    "file": outcome.path,
                    "task": run.task,
                    "run": None,
                    "written": f"attribution({unit}, by: {asked.method})",
                    "treated": str(run.treated) if run.treated is not None else None,
                    "metric": next((one.metric.name for one in row_metrics(asked.metric)), None),
                    "draw": 0,
                    "row": row_id,
                    "value": float(value) if isfinite(value) else None,
                }
            )
    return found


def _metrics(program: Program | None) -> list[Metric]:
    """The file's metrics, then those that are read elsewhere than they say."""
    if program is None:
        return []
    elsewhere = metrics_elsewhere(program, program.declarations())
    declared = (*program.metrics.values(), *elsewhere)
    return [compile_metric(decl, program.groups) for decl in declared]


def _measured(metrics: Iterable[Metric], measures: Iterable[Measure]) -> list[Metric]:
    """The metrics that these measures suffice for, then the measures left over."""
    measured = set(measures)
    metrics = [metric for metric in metrics if set(metric.measures) <= measured]
    used = {measure for metric in metrics for measure in metric.measures}
    return [*metrics, *(atom(measure) for measure in measures if measure not in used)]


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
