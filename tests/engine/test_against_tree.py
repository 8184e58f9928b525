"""The engine against the literal tree: random models, path sets, treated kinds, positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
from pathdsl.engine.runner import Settings, execute
from pathdsl.errors import LanguageError
from pathdsl.graph.pathset import FULL, NONE, PathSet, Pos, minus
from pathdsl.graph.resolve import PathResolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec, TreatedSpec
from pathdsl.plan.steps import Plan
from pathdsl.plan.taskdata import TaskData
from tests.oracle.cases import Case, build_model, oracle_logits
from tests.oracle.strategies import draw_case

VOCABULARY = 11
COLUMNS = [Measure(kind="logit", column=f"t{i}") for i in range(VOCABULARY)]


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


def position_mask(task: TaskData):  # noqa: ANN201
    def mask(pos: Pos) -> np.ndarray:
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


def spec_of(case: Case) -> TreatedSpec:
    match case.treated:
        case "paired":
            return TreatedSpec(kind="paired", column="treated")
        case "mean":
            return TreatedSpec(kind="mean", column="treated", by="template")
        case _:
            return TreatedSpec(kind="zero")


def plan_for(case: Case, model, kind: str = "") -> tuple[Plan, Gpt2Adapter, TaskData]:  # noqa: ANN001
    adapter = Gpt2Adapter(model)
    task = task_of(case)
    program, faults = load_program("case.circuit", case.text)
    assert not faults, faults
    resolver = PathResolver(program, adapter.shape)
    paths = resolver.path_set(program.paths[case.path].path)
    scope: PathSet = FULL
    if case.scope is not None:
        scope = resolver.path_set(program.paths[case.scope].path)
    from pathdsl.graph.pathset import intersection

    if (kind or case.run) == "treat":
        treated = intersection(paths, scope)
    else:
        treated = minus(scope, paths)
    run = RunSpec(task="t", kind="treat", paths=treated, treated=spec_of(case))
    plans = build_plans(
        adapter.shape, "t", task.valid, position_mask(task), [(run, m) for m in COLUMNS]
    )
    assert len(plans) == 1
    return plans[0], adapter, task


def logits(plan: Plan, adapter: Gpt2Adapter, task: TaskData, **options: object) -> np.ndarray:
    """(rows, vocabulary) logits of the plan's only output."""
    values = execute(plan, task, adapter, Settings(**options))  # type: ignore[arg-type]
    return np.stack([values[0, m][0] for m in COLUMNS], axis=1)


@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(case=draw_case())
def test_engine_is_the_literal_tree(case: Case) -> None:
    model = build_model(case.config, case.seed, case.std)
    try:
        plan, adapter, task = plan_for(case, model)
    except LanguageError:
        assume(False)
    found = logits(plan, adapter, task)
    for row in range(len(case.rows)):
        expected = np.asarray(oracle_logits(case, row, model))
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-9, err_msg=case.text)
