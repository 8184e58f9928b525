"""A sound model passes every proof; a model or engine that is off fails the right one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import pathdsl.engine.run.execute as execute_module
import pathdsl.engine.run.kept as kept_module
import pathdsl.engine.run.treated as treated_module
from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
from pathdsl.engine.proof import Proof, unproved
from pathdsl.engine.rounding import ROUNDING
from pathdsl.engine.run.runner import Settings
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.engine.session import EngineSession
from pathdsl.plan.readout import Measure
from tests.engine.engine_cases import (
    COLUMNS,
    CONFIG,
    MEAN,
    NOISE,
    PAIRED,
    REFERENCE,
    RESAMPLE,
    SPECS,
    TASK,
    ZERO,
    all_runs,
    planner,
)  # fmt: skip
from tests.oracle.cases import build_model

CODES = ["PD630", "PD631", "PD632", "PD633"]


def fresh(dtype: torch.dtype = torch.float64) -> Gpt2Adapter:
    return Gpt2Adapter(build_model(CONFIG, 5).to(dtype))


def proofs(adapter: Gpt2Adapter, treated=PAIRED) -> dict[str, Proof]:
    return {p.code: p for p in prove(planner(treated=treated), adapter, TASK)}


def wrong(found: dict[str, Proof]) -> set[str]:
    return {code for code, proof in found.items() if not proof.holds}


def null_pair(adapter: Gpt2Adapter, treated=PAIRED, measures=COLUMNS) -> Proof:
    session = EngineSession(planner(treated=treated), adapter)
    runs = [REFERENCE, *all_runs(treated)]
    session.measures([(run, m) for run in runs for m in measures])
    return prove_null_pair(session.plans[-1], TASK, adapter, session.rounding())


# ----------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_sound_model_passes(dtype: torch.dtype) -> None:
    adapter = fresh(dtype)
    found = proofs(adapter)
    assert list(found) == CODES and not wrong(found)
    assert {p.tolerance for p in found.values()} == {ROUNDING[str(dtype).removeprefix("torch.")]}
    assert max(p.error for p in found.values()) > 0  # something was compared
    assert null_pair(adapter).holds
    assert unproved([("t", proof) for proof in found.values()]) == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_every_treated_kind_passes(spec) -> None:
    found = proofs(fresh(), spec)
    wanted = CODES if spec is PAIRED else CODES[:3]
    assert list(found) == wanted and not wrong(found)
    assert null_pair(fresh(), spec).holds


def test_without_a_treated_value_two_proofs_are_left() -> None:
    assert list(proofs(fresh(), None)) == CODES[:2]


# ----------------------------------------------------------------------------------- PD630, PD631


def test_a_scaled_mlp_is_pd630() -> None:
    adapter = fresh()
    mlp = adapter.mlp
    adapter.mlp = lambda *given: 1.01 * mlp(*given)  # type: ignore[method-assign]
    assert {"PD630", "PD631"} <= wrong(proofs(adapter))


def test_a_dropped_bias_is_pd630() -> None:
    adapter = fresh()
    adapter.write_bias = lambda layer: torch.zeros(8, dtype=torch.float64)  # type: ignore[method-assign]
    assert {"PD630", "PD631"} <= wrong(proofs(adapter))


@pytest.mark.parametrize(
    "where",
    ["transformer.h.1.attn.c_proj", "transformer.h.0.ln_1", "transformer.ln_f", "transformer.wte"],
)
def test_a_hook_of_the_user_on_the_model(where: str) -> None:
    """Hooks that the engine's own calls do not run are noticed; others change both alike."""
    adapter = fresh()
    part = adapter.model.get_submodule(where)
    part.register_forward_hook(lambda _m, _i, out: out * 1.01)
    if where == "transformer.h.1.attn.c_proj":
        assert {"PD630", "PD631"} <= wrong(proofs(adapter))
    else:
        assert wrong(proofs(adapter)) <= {"PD631"}


def test_writers_that_do_not_add_up_are_pd631() -> None:
    adapter = fresh()
    each = adapter.write_each
    adapter.write_each = lambda *a, **k: 1.001 * each(*a, **k)  # type: ignore[method-assign]
    assert wrong(proofs(adapter)) == {"PD631"}


# ----------------------------------------------------------------------------------- PD632, PD633


def test_wrong_columns_of_the_vocabulary_are_pd632() -> None:
    adapter = fresh()
    columns = adapter.unembed_columns
    adapter.unembed_columns = lambda n, ids: columns(n, (ids + 1) % 11)  # type: ignore[method-assign]
    assert wrong(proofs(adapter)) == {"PD632", "PD633"}


def test_a_wrong_treated_run_is_pd633(monkeypatch: pytest.MonkeyPatch) -> None:
    run = treated_module.Rows.of_column

    def slipped(self, column, *rest):
        return run(self, self.task.reference if column == "other" else column, *rest)

    monkeypatch.setattr(treated_module.Rows, "of_column", slipped)
    assert wrong(proofs(fresh())) == {"PD633"}


@pytest.mark.parametrize("spec", [ZERO, MEAN, NOISE, RESAMPLE], ids=lambda spec: spec.kind)
def test_a_wrong_reference_run_is_pd632(spec, monkeypatch: pytest.MonkeyPatch) -> None:
    run = kept_module.plain_run

    def slipped(adapter, embedded, *rest):
        return run(adapter, embedded * 1.001, *rest)

    monkeypatch.setattr(kept_module, "plain_run", slipped)
    assert "PD632" in wrong(proofs(fresh(), spec))


# ------------------------------------------------------------------------------------------ PD634


@contextmanager
def attention_off_by(factor: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Head copies, and they alone, come out scaled."""
    attend = execute_module.attend_group

    def scaled(*arguments):
        z, pattern = attend(*arguments)
        return z * factor, pattern

    with monkeypatch.context() as patch:
        patch.setattr(execute_module, "attend_group", scaled)
        yield


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_wrong_copies_are_pd634(spec, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = fresh()
    with attention_off_by(1.001, monkeypatch):
        assert not wrong(proofs(adapter, spec))  # no proof without a hypothesis computes a copy
        found = null_pair(adapter, spec)
    assert found.code == "PD634" and not found.holds and found.error > 1e-6


def test_copies_that_are_no_numbers_are_pd634(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = fresh()
    with attention_off_by(float("nan"), monkeypatch):
        assert not null_pair(adapter).holds


def test_the_null_pair_without_a_reference_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of draws stand in a plan of their own; they are compared with each other."""
    assert null_pair(fresh(), RESAMPLE).holds
    with attention_off_by(1.001, monkeypatch):
        assert not null_pair(fresh(), RESAMPLE).holds


def test_measures_that_jump_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    jumping = (Measure(kind="rank", column="t0"), Measure(kind="top1", column="t0"))
    assert null_pair(fresh(), measures=jumping).error == 0
    kl = (Measure(kind="kl"),)
    assert null_pair(fresh(), measures=kl).holds
    with attention_off_by(1.5, monkeypatch):
        assert not null_pair(fresh(), measures=kl).holds


# -------------------------------------------------------------------------------------------- nan


def test_nan_never_passes() -> None:
    nan = Proof(code="PD630", name="x", error=float("nan"), tolerance=1.0, compared="nothing")
    assert not nan.holds
    (found,) = unproved([("t", nan)])
    assert found.code == "PD630" and "nan" in found.message and "task `t`" in found.message


@pytest.mark.parametrize("column", ["prompt", "other"])
def test_logits_that_are_no_numbers_on_one_prompt_column(column: str) -> None:
    """The largest error of several columns is nan when one of them is."""
    adapter = fresh()
    unembed, columns = adapter.unembed, iter(("prompt", "other"))

    def spoiled(normed: torch.Tensor) -> torch.Tensor:
        """Whole vocabularies are wanted of the two columns put together from the parts, in turn."""
        return unembed(normed) * (float("nan") if next(columns) == column else 1.0)

    adapter.unembed = spoiled  # type: ignore[method-assign]
    assert wrong(proofs(adapter)) == {"PD630"}


def test_every_failed_proof_is_said() -> None:
    adapter = fresh()
    mlp = adapter.mlp
    adapter.mlp = lambda *given: 1.01 * mlp(*given)  # type: ignore[method-assign]
    found = proofs(adapter)
    faults = unproved([("t", proof) for proof in found.values()])
    assert {d.code for d in faults} == wrong(found)
    assert all(d.help and "allowed" in d.notes[0] for d in faults)
    assert Settings().null_pair is False
