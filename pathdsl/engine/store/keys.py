"""Keys of the result store: the sha256 of everything that decides the bits of a value.

A key has three parts. The *setting*: program text of the package below scoring, versions of the
libraries, weights, config, dtype, device, processor, threads and limits. The *run*: its path set as
resolved on the model's graph, its treated value, and the measure. The *data*: the token ids,
lengths, positions, labels and answers that this run and this measure read, and nothing else of the
task, so that another column or another task of the same rows leaves the key as it is.

The run is spelled field by field from its dataclass; a field that is added to it enters the key
without a change here. What is only a name in the run (a task, a position) is replaced by the
arrays it stands for.

What is no part of a key are the other runs of a run's plan: they share its matrix products, which
may move the last digits (docs/store.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from pathdsl.engine.data.places import places
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.store.digest import digest, metric_text
from pathdsl.graph.paths.pathset import Pos, positions_in
from pathdsl.lang.signatures.treated import ROW
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.quantity import RowMetric, RowOp

__all__ = ["TaskKeys"]


# ------------------------------------------------------------------------------- runs and data


class TaskKeys:
    """The keys of one task's runs in one setting.

    `own`: the task's own treated value, which measures may compare any run with.
    """

    def __init__(
        self, setting: str, task: TaskData, layernorm: str, own: TreatedSpec | None = None
    ) -> None:
        self.setting = setting
        self.task = task
        self.layernorm = layernorm
        self.own = own
        self._mask = position_mask(task)
        self._known: dict[tuple[str, str], str] = {}
        self._runs: dict[RunSpec, str] = {}

    def value(self, run: RunSpec, measure: Measure) -> str:
        """The key of a value."""
        if run not in self._runs:
            self._runs[run] = digest(self._bare(run), self._rows(), *self._read_by(run))
        places = [self._place(Pos.parse(name)) for name in measure.places]
        column = measure.column
        answers = None if column in ("", "next") else self._array("answers", column)
        found = [self.setting, self._runs[run], measure, places, answers]
        if measure.asked is not None:
            found += self._of_metric(measure.asked.metric)
            if measure.asked.reader is not None:
                found.append(self._place(measure.asked.reader))
        if measure.run == "treated":
            beside = RunSpec(task="", kind="treated", treated=self.own)
            found += [self.own, *self._read_by(beside)]
        return digest("value", *found)

    def _of_metric(self, expr: object) -> list[object]:
        """What the metric of an attribution reads, measure by measure: positions and answers."""
        if isinstance(expr, RowOp):
            return [expr.op, *(self._of_metric(arg) for arg in expr.args)]
        if not isinstance(expr, RowMetric):
            return [expr]
        reference = RunSpec(task="", kind="reference")
        found: list[object] = [expr.metric.canonical, metric_text()]
        return [
            *found,
            *(self.value(reference, self.task.as_read(m)) for m in expr.metric.measures),
        ]

    def proofs(self, treated: TreatedSpec | None) -> str:
        """The key of what the model proves about itself on this task."""
        run = RunSpec(task="", kind="treated", treated=treated)
        answered = [
            TaskKeys(self.setting, rows, self.layernorm).proofs(treated)
            for rows in self.task.branches.values()
        ]
        return digest("proofs", self.setting, treated, self._rows(), *self._read_by(run),
                      self.layernorm, *answered)  # fmt: skip

    def _bare(self, run: RunSpec) -> list[object]:
        """The run without the task's name, which its rows stand for."""
        compared = [f.name for f in fields(run) if f.compare and f.name != "task"]
        return [self.layernorm, *([name, getattr(run, name)] for name in compared)]

    def _rows(self) -> list[str]:
        read = ["lengths"] if self.task.appended is None else ["lengths", "appended"]
        return [self._array("prompts", self.task.reference), *(self._array(n, "") for n in read)]

    def _read_by(self, run: RunSpec) -> list[object]:
        """What a run reads of the task beside the reference prompts."""
        found: list[object] = [self._place(pos) for pos in sorted(set(positions_in(run.paths)))]
        if run.treated is not None and run.treats:
            found += self._of_treated(run.treated)
        for action in run.actions:
            found += map(self._place, (*action.keys, *(t.at for t in action.targets if t.at)))
            for spec in action.values:
                found += self._of_treated(spec)
            if isinstance(action.source, RunSpec):
                found += self._read_by(action.source)
        return found

    def _of_treated(self, treated: TreatedSpec) -> list[object]:
        """What a treated value reads of the task."""
        found: list[object] = []
        if treated.column:
            found.append(self._array("prompts", treated.column))
        if treated.by == ROW:
            found.append(self._array("row_ids", ""))
        elif treated.by:
            found.append(self._array("labels", treated.by))
        if treated.how.drawn != "nothing":  # by the names of the rows
            found.append(self._array("row_ids", ""))
            if (repeats := self.task.repeats) is not None:  # a copy is no partner
                found.append(self._once(("copies", ""), lambda: repeats.first))
        if treated.placed:
            theirs = self.task.reading(treated.column)
            found.append(self._once(("lengths", treated.column), lambda: theirs.lengths))
            for name, task in (("", self.task), (treated.column, theirs)):
                which = f"places in {name}", str(treated)
                found.append(self._once(which, lambda task=task: places(task, treated)))  # type: ignore[misc]
        else:
            found += map(self._place, treated.at)
        return found

    def _array(self, kind: str, name: str) -> str:
        task = self.task
        read: dict[str, Callable[[], object]] = {
            "prompts": lambda: task.prompts[name],
            "answers": lambda: task.answers[name],
            "labels": lambda: task.labels[name],
            "lengths": lambda: task.lengths,
            "appended": lambda: task.appended,
            "row_ids": lambda: task.row_ids,
        }
        return self._once((kind, name), read[kind])

    def _place(self, pos: Pos) -> str:
        return self._once(("place", str(pos)), lambda: self._mask(pos))

    def _once(self, which: tuple[str, str], value: Callable[[], object]) -> str:
        if which not in self._known:
            self._known[which] = digest(value())
        return self._known[which]
