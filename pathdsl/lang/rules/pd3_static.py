"""Pages PD300 to PD319: faults of data and tasks that show without reading the rows."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL, TASK, sample, whole

__all__ = ["STATIC_PAGES"]

_ROWS = '{"id": "0", "prompt": "a b", "io": " c"}\n'
_FILE = """
task own {
  data      = jsonl("rows.jsonl")
  reference = prompt
}
"""
_SECOND = TASK.replace("task ioi", "task held_out").replace("seed: 0", "seed: 1")

STATIC_PAGES: tuple[Page, ...] = (
    Page(
        code="PD300",
        name="missing-file",
        summary="A data file, or a file of edges, is not there.",
        why="Nothing could be run.",
        repair="Correct the path: it is relative to the file that it is written in.",
        failing=whole(CIRCUIT, MODEL, _FILE),
        passing=whole(CIRCUIT, MODEL, _FILE, files={"rows.jsonl": _ROWS}),
    ),
    Page(
        code="PD301",
        name="unknown-column",
        summary="The generator of the task has no such column, or it is of another use.",
        why="Prompts, tokens and labels are different things: a metric reads tokens, `reference` "
        "and `treated` are prompts, `by:` and `cluster` are labels.",
        repair="`pathdsl explain ioi` lists the columns of the generator `ioi`.",
        failing=whole(CIRCUIT, MODEL, TASK, "metric LD: logits = logit(oi) - logit(s)"),
        passing=whole(CIRCUIT, MODEL, TASK, "metric LD: logits = logit(io) - logit(s)"),
    ),
    Page(
        code="PD302",
        name="no-treated-value",
        summary="A run treats paths, and the task does not say which value they then carry.",
        why="Zero, a mean, another prompt: the choice changes the verdict, so it has no default.",
        repair="Give the task a `treated`, or the run a `treated:`.",
        failing=whole(
            CIRCUIT,
            MODEL,
            TASK.replace("  treated   = prompt_abc\n", ""),
            METRIC,
            "let kept = mean(LD(keep(through(a3.h1))))",
        ),
        passing=sample("let kept = mean(LD(keep(through(a3.h1))))"),
    ),
    Page(
        code="PD303",
        name="which-task",
        summary="A metric or score could be on any of several tasks.",
        why="The prompts decide the number.",
        repair="Choose: `LD(RUN, task: ioi)`, `metric LD on ioi`, or `task: ioi` in a score.",
        failing=sample(_SECOND, "let whole = mean(LD(reference))"),
        passing=sample(_SECOND, "let whole = mean(LD(reference, task: held_out))"),
    ),
    Page(
        code="PD304",
        name="metric-of-another-task",
        summary="A metric is asked for on a task that it does not serve.",
        why="It is declared `on` another task, or the data lack the columns that it reads.",
        repair="Name a task that it serves, or declare a metric for this one.",
        failing=whole(
            CIRCUIT,
            MODEL,
            TASK,
            _SECOND,
            "metric LD on ioi: logits = logit(io) - logit(s)",
            "let whole = mean(LD(reference, task: held_out))",
        ),
        passing=whole(
            CIRCUIT,
            MODEL,
            TASK,
            _SECOND,
            "metric LD: logits = logit(io) - logit(s)",
            "let whole = mean(LD(reference, task: held_out))",
        ),
    ),
)
