"""Pages PD305, PD306, PD361 and PD362: conditions by which rows are chosen."""

from __future__ import annotations

from typing import Literal

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.pd3_data import rows_text
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL

__all__ = ["PAGES"]

_ROWS = rows_text({"shots": 2}, {"shots": 4})
_LET = "\nlet part = mean(LD(reference, task: these))\n"


def _part(where: str, command: Literal["lint", "plan"] = "plan", claim: str = "") -> Example:
    """A file with a task of two rows and a part of it."""
    task = (
        '\ntask own {\n  data = jsonl("rows.jsonl")\n  reference = prompt\n}\n'
        f"\ntask these = own where {where}\n"
    )
    text = CIRCUIT + MODEL + task + METRIC + "metric ok = top1(io)\n" + _LET + claim
    return Example(text=text, files={"rows.jsonl": _ROWS}, command=command)


PAGES: tuple[Page, ...] = (
    Page(
        code="PD305",
        name="no-order",
        summary="A condition compares what has no order.",
        why="`<`, `<=`, `>` and `>=` compare numbers. By its letters `10` comes before `9`, so "
        "that texts would choose other rows than are meant.",
        repair="Compare texts with `==` or `!=`, and write numbers into the rows.",
        failing=_part('shots >= "4"', "lint"),
        passing=_part("shots >= 4", "lint"),
    ),
    Page(
        code="PD361",
        name="condition-leaves-none-out",
        summary="Every row meets a condition of a `where`.",
        why="The part is the whole task under another name. A number is no text: in rows with "
        '`"shots": 4` all of them meet `shots != "4"`.',
        repair="Leave the condition out, or write the value as the rows have it.",
        failing=_part('shots != "4"'),
        passing=_part("shots != 4"),
    ),
    Page(
        code="PD306",
        name="no-yes-or-no",
        summary="A condition on a run is no metric of a plain run that is 1 or 0.",
        why="Rows are chosen by what the model does on the plain prompts, before anything is "
        "treated. Where a row stands on a scale, a threshold would be one more choice.",
        repair="Choose by a metric of hits, `metric ok = top1(io)` and `where ok(reference) == 1`.",
        failing=_part("LD(reference) == 1", "lint"),
        passing=_part("ok(reference) == 1", "lint"),
    ),
    Page(
        code="PD362",
        name="claim-about-its-choice",
        summary="A claim reads nothing but the run that chose its rows, and the column by which.",
        why="Of the rows on which the answer is the most likely token, the answer is the most "
        "likely token: such a claim holds of any model that is ever right.",
        repair="Claim it on all rows, or about another run: what a circuit does on these rows, "
        "`accuracy(keep(P), task: these, answer: io)`.",
        failing=_part(
            "ok(reference) == 1", "plan", "\nclaim c: mean(LD(reference, task: these)) > 0"
        ),
        passing=_part(
            "ok(reference) == 1", "plan", "\nclaim c: mean(LD(reference, task: own)) > 0"
        ),
    ),
)
