"""Planner and session: what is planned, what is run once, what is said about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pathdsl.engine.run.runner as module
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.planner import Limits
from pathdsl.engine.rounding import ROUNDING
from pathdsl.engine.run.runner import vocab_columns
from pathdsl.engine.session import EngineSession
from pathdsl.errors import DataError, PlanError
from pathdsl.graph.paths.pathset import FULL, Pos
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec
from tests.engine.engine_cases import (
    COLUMNS,
    PAIRED,
    REFERENCE,
    RESAMPLE,
    TASK,
    ZERO,
    adapter_of,
    logits,
    make_task,
    planner,
    treat,
    values,
)  # fmt: skip

END = COLUMNS[0]


def session(**options: object) -> EngineSession:
    return EngineSession(planner(**options), adapter_of())  # type: ignore[arg-type]


def test_a_run_takes_its_tasks_treated_value() -> None:
    plan = planner(treated=ZERO)
    bare = RunSpec(task="t", kind="treat", paths=FULL)
    assert plan.normal(bare).treated == ZERO
    assert plan.normal(treat(FULL, PAIRED)).treated == PAIRED
    odd = RunSpec(task="t", kind="reference", paths=FULL, treated=PAIRED)
    assert plan.normal(odd) == REFERENCE


def test_values_are_those_of_the_runner() -> None:
    one = session()
    runs = [treat("q"), treat("c"), REFERENCE]
    one.measures([(run, m) for run in runs for m in COLUMNS])
    for run in runs:
        found = np.stack([one.value(run, m) for m in COLUMNS], axis=-1)
        np.testing.assert_allclose(found, logits(run), atol=1e-10)
    assert len(one.plans) == len(one.costs) == 1


def test_what_is_known_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    execute = module.execute

    def counted(plan, *arguments):
        ran.append(len(plan.outputs))
        return execute(plan, *arguments)

    monkeypatch.setattr(module, "execute", counted)
    one = session()
    one.measures([(treat("q"), END), (treat("q"), END)])
    bare = RunSpec(task="t", kind="treat", paths=treat("q").paths)
    one.measures([(treat("q"), END), (bare, END)])
    one.measures([])
    assert ran == [1]
    one.measures([(treat("q"), END), (treat("q"), COLUMNS[1]), (treat("c"), END)])
    assert ran == [1, 2]


def test_the_task_s_value_and_its_name_are_one_run() -> None:
    one = session(treated=ZERO)
    one.measures([(RunSpec(task="t", kind="treat", paths=FULL), END), (treat(FULL, ZERO), END)])
    assert len(one.plans[0].outputs) == 1
    same = one.value(RunSpec(task="t", kind="treat", paths=FULL), END)
    np.testing.assert_array_equal(same, one.value(treat(FULL, ZERO), END))


def test_draws_show_in_the_values() -> None:
    one = session()
    one.measures([(treat("q", RESAMPLE), END), (treat("q"), END), (REFERENCE, END)])
    assert one.value(treat("q", RESAMPLE), END).shape == (3, TASK.n_rows)
    assert one.value(treat("q"), END).shape == one.value(REFERENCE, END).shape == (1, TASK.n_rows)
    assert len(one.plans) == 2


def test_what_was_not_asked_for_is_not_there() -> None:
    with pytest.raises(KeyError):
        session().value(REFERENCE, END)


def test_several_tasks() -> None:
    two = make_task((4, 2, 4), seed=3)
    plan = planner()
    plan.tasks = {"t": TASK, "u": replace(two, name="u")}
    plan.specs = {"t": plan.specs["t"], "u": replace(plan.specs["t"], name="u", treated=ZERO)}
    one = EngineSession(plan, adapter_of())
    other = RunSpec(task="u", kind="treat", paths=FULL)
    one.measures([(treat("q"), END), (other, END), (REFERENCE, END)])
    assert [p.task for p in one.plans] == ["t", "u"]
    assert one.value(other, END).shape == (1, 3)
    assert one.tasks == plan.tasks


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    one = EngineSession(
        planner(limits=Limits(memory=1)), adapter_of(), lambda *said: told.append(said)
    )
    one.measures([(treat("q"), END)])
    assert told.pop() == ("judging", 0, 1)
    dones, totals = [done for _, done, _ in told], {total for _, _, total in told}
    assert len(totals) == 1 and dones == sorted(dones)
    assert dones[0] == 0 and {dones[-1]} == totals
    assert {what for what, _, _ in told} == {"task `t`: 1 run"}


def test_limits_reach_the_planner() -> None:
    for limits, code in ((Limits(max_copies=3), "PD211"), (Limits(max_states=1), "PD210")):
        with pytest.raises(PlanError) as caught:
            session(limits=limits).measures([(treat("e"), END)])
        assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_task_without_a_treated_value() -> None:
    one = session(treated=None)
    one.measures([(REFERENCE, END)])
    with pytest.raises(PlanError, match="PD221"):
        one.measures([(RunSpec(task="t", kind="treat", paths=FULL), END)])
    named = treat(FULL, TreatedSpec(kind="zero"))
    one.measures([(named, END)])
    assert one.value(named, END).shape == (1, TASK.n_rows)


def test_positions_as_masks() -> None:
    mask = position_mask(TASK)
    for name in ("A", "S", "END"):
        for row in range(TASK.n_rows):
            assert tuple(np.flatnonzero(mask(Pos(name=name))[row])) == TASK.positions[name][row]
    assert mask(Pos(index=0)).sum() == TASK.n_rows
    assert (mask(Pos(name="END", offset=-1)).argmax(1) == TASK.lengths - 2).all()
    for pos in (Pos(name="END", offset=1), Pos(index=4), Pos(name="A", offset=-1)):
        with pytest.raises(DataError) as caught:
            mask(pos)
        assert {d.code for d in caught.value.diagnostics} <= {"PD336", "PD338"}
        assert "r" in caught.value.diagnostics[0].message
    with pytest.raises(DataError):
        mask(Pos(name="NOWHERE"))


def test_columns_of_the_vocabulary() -> None:
    one = session()
    one.measures([(treat("q"), END), (treat("q"), COLUMNS[1]), (treat("c"), END)])
    assert vocab_columns(one.plans[0]) == 2
    one.measures([(treat("v"), Measure(kind="prob", column="t0"))])
    assert vocab_columns(one.plans[1]) is None
    assert one.costs[0].forwards > 0


def test_rounding_follows_the_dtype() -> None:
    assert session().rounding() == ROUNDING["float64"]
    from_finest = ("float64", "float32", "float16", "bfloat16")
    assert sorted(ROUNDING.values()) == [ROUNDING[dtype] for dtype in from_finest]
    assert values([REFERENCE], [END])[REFERENCE, END].dtype == np.float64


def test_logit_is_of_one_token() -> None:
    with pytest.raises(DataError) as caught:
        planner(TASK).plans([(REFERENCE, Measure(kind="logit", column="several"))])
    (found,) = caught.value.diagnostics
    assert found.code == "PD350" and "row `r0` has 2 tokens" in found.message
    planner(TASK).plans([(REFERENCE, Measure(kind="prob", column="several"))])
