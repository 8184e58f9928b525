"""Drawn cases as tasks and plans, and one engine run of several path sets of a case at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.run.runner import Settings, execute
from pathdsl.graph.paths.pathset import FULL, PathSet, Pos, intersection, minus
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec
from tests.oracle.cases import Case, build_model, oracle_logits

torch.set_num_threads(1)  # products this small only wait for other threads

VOCABULARY = 11
COLUMNS = tuple(Measure(kind="logit", column=f"t{i}") for i in range(VOCABULARY))
REFERENCE = RunSpec(task="t", kind="reference")


def task_of(case: Case) -> TaskData:
    """The rows of a drawn case as a task whose answers are every token of the vocabulary."""
    lengths = np.array([len(row.reference) for row in case.rows])

    def padded(column: str) -> np.ndarray:
        ids = np.zeros((len(case.rows), int(lengths.max())), np.int64)
        for i, row in enumerate(case.rows):
            ids[i, : lengths[i]] = getattr(row, column)
        return ids

    names = {name for row in case.rows for name in row.positions}
    return TaskData(
        name="t",
        row_ids=tuple(str(i) for i in range(len(case.rows))),
        reference="reference",
        prompts={"reference": padded("reference"), "treated": padded("treated")},
        lengths=lengths,
        answers={f"t{i}": tuple((i,) for _ in case.rows) for i in range(VOCABULARY)},
        positions={name: tuple(row.positions[name] for row in case.rows) for name in names}
        | {"END": tuple((int(n) - 1,) for n in lengths)},
        labels={"template": tuple(row.template for row in case.rows)},
        clusters=np.arange(len(case.rows)),
    )


def position_mask(task: TaskData) -> Callable[[Pos], np.ndarray]:
    """Positions as masks, written apart from the engine's own reading of them."""

    def mask(pos: Pos) -> np.ndarray:
        if pos.among:
            return np.logical_or.reduce([mask(one) for one in pos.among])
        if pos.ends:
            first, last = map(mask, pos.ends)
            behind = first.cumsum(axis=1) > 0
            before = last[:, ::-1].cumsum(axis=1)[:, ::-1] > 0
            return np.asarray(behind & before)
        out = np.zeros_like(task.valid)
        for row in range(task.n_rows):
            if pos.name:
                places = [p + pos.offset for p in task.positions[pos.name][row]]
            else:
                places = [pos.index]
            for place in places:
                if 0 <= place < task.lengths[row]:
                    out[row, place] = True
        return out

    return mask


def moved(task: TaskData) -> Callable[[TreatedSpec], np.ndarray | None]:
    """Where treated prompts have other tokens than reference prompts; None for constants."""

    def mask(spec: TreatedSpec) -> np.ndarray | None:
        if spec.kind != "paired":
            return None
        return np.asarray(task.prompts[spec.column] != task.prompts["reference"])

    return mask


def spec_of(case: Case) -> TreatedSpec:
    """The treated value of a case."""
    match case.treated:
        case "paired":
            return TreatedSpec(kind="paired", column="treated")
        case "mean":
            return TreatedSpec(kind="mean", column="treated", by="template")
        case _:
            return TreatedSpec(kind="zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A case on its model: path set P, the set that is kept or treated within, and the run's T.

    `frozen`: the norm mode of its plans and of its tree; `routed`: whether routings are frozen.
    `by_value`: whether plans know which tokens are equal.
    """

    case: Case
    adapter: Adapter
    task: TaskData
    paths: PathSet
    scope: PathSet
    frozen: bool = False
    routed: bool = False
    by_value: bool = True

    @property
    def treated(self) -> PathSet:
        """The set T such that the case's run is `treat(T)`."""
        if self.case.run == "treat":
            return intersection(self.paths, self.scope)
        return minus(self.scope, self.paths)

    def run(self, treated: PathSet) -> RunSpec:
        """`treat(T)` with the case's treated value."""
        return RunSpec(task="t", kind="treat", paths=treated, treated=spec_of(self.case))

    def plan(self, runs: Sequence[RunSpec], **bounds: int) -> Plan:
        """One plan of several runs that reads every logit at END."""
        (plan,) = build_plans(
            self.adapter.shape,
            "t",
            self.task.valid,
            position_mask(self.task),
            [(run, m) for run in runs for m in COLUMNS],
            frozen=self.frozen,
            routed=self.routed,
            moved=moved(self.task) if self.by_value else lambda spec: None,
            **bounds,
        )
        return plan

    def logits(self, runs: Sequence[RunSpec], **options: object) -> np.ndarray:
        """(runs, rows, vocabulary) logits at END, all runs in one plan."""
        return logits(self.plan(runs), self.adapter, self.task, **options)

    def plain(self, column: str) -> np.ndarray:
        """(rows, vocabulary) logits of the unmodified model at END, row by row."""
        found = []
        for row in self.case.rows:
            with torch.no_grad():
                out = self.adapter.model(torch.tensor([getattr(row, column)])).logits
            found.append(out[0, -1].double().numpy())
        return np.stack(found)


def open_case(
    case: Case, dtype: torch.dtype = torch.float64, model: torch.nn.Module | None = None
) -> Opened:
    """The case on its GPT-2, or on a given model, ready to be planned.

    Raises LanguageError for path sets that the graph refuses.
    """
    if model is None:
        model = build_model(case.config, case.seed, case.std).to(dtype)
    adapter = adapter_for(model)
    program, faults = load_program("case.circuit", case.text)
    assert not faults, faults
    resolver = Resolver(program, adapter.shape)
    paths = resolver.path_set(program.paths[case.path].path)
    scope = FULL if case.scope is None else resolver.path_set(program.paths[case.scope].path)
    return Opened(case=case, adapter=adapter, task=task_of(case), paths=paths, scope=scope)


def logits(plan: Plan, adapter: Adapter, task: TaskData, **options: object) -> np.ndarray:
    """(runs, rows, vocabulary) logits of every output of a plan."""
    values = execute(plan, task, adapter, Settings(**options))  # type: ignore[arg-type]
    return np.stack(
        [np.stack([values[n, m][0] for m in COLUMNS], -1) for n in range(len(plan.outputs))]
    )


def from_tree(opened: Opened, parts: object = None) -> np.ndarray:
    """(rows, vocabulary) logits of the case's run by the literal definition.

    `parts` are the tree's own parts of the model, for families that it does not know by itself.
    """
    case, model = opened.case, parts or opened.adapter.model
    rows = range(len(case.rows))
    found = [oracle_logits(case, row, model, frozen=opened.frozen) for row in rows]
    return np.stack([np.asarray(one) for one in found])
