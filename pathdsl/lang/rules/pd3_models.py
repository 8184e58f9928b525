"""Pages PD138, PD239, PD307, PD308 and PD309: several models in a file, and derived tasks."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, TASK, whole

__all__ = ["OF_GRAPHS", "OF_NAMES", "PAGES"]

_TWO = """
model base  = bundled("ioi-mini")
model tuned = bundled("ioi-mini", dtype: float64)
"""
_SMALL = """
model base  = bundled("ioi-mini")
model small = bundled("induction-2l")
"""
_ON_BASE = TASK.replace("prompt_abc\n", "prompt_abc\n  model     = base\n").replace(
    "ioi(", "mini_ioi("
)
_LETS = """
let kept  = mean(LD(keep(through(a3.h1)), task: ioi))
let tuned_kept = mean(LD(keep(through(a3.h1)), task: ioi_tuned))
"""


def _of_two(*derived: str) -> Example:
    """A file with a base model and a tuned one, a task of the first and a derived one."""
    return whole(CIRCUIT, _TWO, _ON_BASE, *derived, METRIC, _LETS)


_LIBRARY = {"tasks.circuit": _ON_BASE.lstrip()}


def _using(models: str) -> Example:
    return whole(
        CIRCUIT, 'use "tasks.circuit"\n', models, METRIC, "let kept = mean(LD(reference))",
        files=_LIBRARY,
    )  # fmt: skip


def _of_shapes(*lets: str) -> Example:
    """A file with tasks on models of two shapes."""
    copy = """
task copy {
  data      = induction(take: 20, seed: 0)
  reference = prompt
  treated   = prompt_other
  model     = small
}
metric right: logits = logit(answer) - logit(wrong)
"""
    made = whole(CIRCUIT, _SMALL, _ON_BASE, copy, METRIC, *lets)
    return Example(text=made.text, command="plan")


OF_NAMES: tuple[Page, ...] = (
    Page(
        code="PD138",
        name="model-of-a-used-task",
        summary="A task of a used file runs on a model that this file does not declare.",
        why="`use` brings tasks and never models: which weights a file is about is said in the "
        "file itself.",
        repair="Declare a model of that name.",
        failing=_using('model mini = bundled("ioi-mini")\n'),
        passing=_using('model base = bundled("ioi-mini")\n'),
    ),
)
OF_GRAPHS: tuple[Page, ...] = (
    Page(
        code="PD239",
        name="nodes-of-one-model-only",
        summary="A loop over nodes, or a count of them, is on models whose nodes differ.",
        why="A variable stands for the nodes of one graph. Where an expression reads tasks of two "
        "models, of which one has a head that the other has not, no member would mean the same "
        "in both.",
        repair="Make one `let … for` or claim of each model; say `task:` where sets are counted.",
        failing=_of_shapes(
            "let both for h in a0.h*:\n  logits = effect(through(h), task: ioi, metric: LD)"
            " - effect(through(h), task: copy, metric: right)"
        ),
        passing=_of_shapes(
            "let one for h in a0.h*: logits = effect(through(h), task: ioi, metric: LD)",
            "let other for h in a0.h*: logits = effect(through(h), task: copy, metric: right)",
        ),
    ),
)
PAGES: tuple[Page, ...] = (
    Page(
        code="PD307",
        name="task-without-a-model",
        summary="The file has several models, and a task does not say on which it runs.",
        why="With one model there is nothing to say. With several the first one would be a guess.",
        repair="Write `model = NAME` in the task, or in the one that it is derived from.",
        failing=whole(
            CIRCUIT, _TWO, TASK, METRIC, "let kept = mean(LD(keep(through(a3.h1)), task: ioi))"
        ),
        passing=_of_two("task ioi_tuned = ioi { model = tuned }"),
    ),
    Page(
        code="PD308",
        name="rows-of-the-parent",
        summary="A derived task has other rows of its own, or differs from its parent in nothing.",
        why="A derived task has its parent's rows: prompt by prompt they are compared, and "
        "resampled together. Other data make another task.",
        repair="Leave `data` and `cluster` to the parent, or declare a task with all fields.",
        failing=_of_two(
            "task ioi_tuned = ioi { model = tuned; data = mini_ioi(take: 9, seed: 1) }"
        ),
        passing=_of_two("task ioi_tuned = ioi { model = tuned }"),
    ),
    Page(
        code="PD309",
        name="value-of-another-task",
        summary="A treated value is named like a task or a model: nothing is patched across them.",
        why="Treated paths carry what the same model computes on another prompt of the same row. "
        "Values of another model, or of another task's runs, have no place in this model's graph.",
        repair="Compare the two models' numbers instead, on tasks with the same rows.",
        failing=_of_two("task ioi_tuned = ioi { model = tuned; treated = ioi }"),
        passing=_of_two("task ioi_tuned = ioi { model = tuned; treated = prompt_abc }"),
    ),
)
