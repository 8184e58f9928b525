"""All of a device in ten minutes: what is told of it is right here, where no device is at hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import pathdsl
from benchmarks import alike, cuda, peers
from benchmarks.__main__ import main
from benchmarks.child import ROOT, Failed, Overtime, rows_of
from benchmarks.circuit import checked_twice
from benchmarks.cuda import ON_DEVICE, STEPS, Step, disagreements, measure_cuda, steps_of
from benchmarks.launches import counted
from benchmarks.peers import compare_all
from benchmarks.table import markdown

TELLING = "tests.benchmarks.telling"


def test_rows_come_before_a_process_ends() -> None:
    assert list(rows_of(TELLING, {"rows": 2, "end": "well"}, 60)) == [{"number": 0}, {"number": 1}]
    got = []
    with pytest.raises(Failed, match="no good"):
        for row in rows_of(TELLING, {"rows": 1, "end": "fail"}, 60):
            got.append(row)
    started = time.monotonic()
    with pytest.raises(Overtime):
        for row in rows_of(TELLING, {"rows": 3, "end": "hang"}, 3):
            got.append(row)
    assert time.monotonic() - started < 30
    assert [row["number"] for row in got] == [0, 0, 1, 2]


def step(name: str, suite: str = "launches", seconds: float = 60, **arguments: Any) -> Step:
    return Step(name=name, suite=suite, seconds=seconds, arguments=arguments)


def test_each_step_is_kept_and_what_did_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def rows(module: str, given: dict[str, Any], limit: float, _: Any) -> Iterator[dict[str, Any]]:
        limits.append(limit)
        yield {"agrees": given.get("agrees", True), "same_bits": True}
        if given["end"] == "late":
            raise Overtime
        if given["end"] == "bad":
            raise Failed("Traceback\nValueError: not like this")
        if given["end"] == "long":
            clock[0] += 600

    clock = [0.0]
    monkeypatch.setattr(cuda, "rows_of", rows)
    monkeypatch.setattr(cuda.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    told: list[str] = []
    kept: list[dict[str, Any]] = []
    found = measure_cuda(
        "cpu", 5, told.append, lambda so_far: kept.append(json.loads(json.dumps(so_far))),
        steps=[
            step("good", end="well"), step("wrong", end="well", agrees=False),
            step("late", end="late"), step("bad", end="bad"),
            step("lacking", "tests", end="well"), step("long", end="long"),
            step("over", end="well"),
        ],
    )  # fmt: skip
    assert {one["step"]: one["state"] for one in found["steps"]} == {
        "good": "done", "wrong": "done", "late": "cut off after 30 s",
        "bad": "failed: ValueError: not like this", "lacking": "skipped: pytest is not installed",
        "long": "done", "over": "left out: the minutes are over",
    }  # fmt: skip
    assert limits == [30] * 5  # half of ten minutes, half of each
    assert len(found["launches"]) == 5  # the rows of what was cut off, too
    assert [len(one["steps"]) for one in kept] == [1, 2, 3, 4, 5, 6, 7]
    assert len(kept[0]["launches"]) == 1
    assert disagreements(found) == [{"agrees": False, "same_bits": True}]
    assert sum("NOT THE SAME" in line for line in told) == 1


@pytest.mark.parametrize("tiny", [False, True])
def test_every_point_has_its_step_for_both_shapes_and_dtypes(tiny: bool) -> None:
    steps = steps_of("cuda", tiny)
    assert len({one.name for one in steps}) == len(steps)
    assert {one.suite for one in steps} == set(STEPS)
    json.dumps([dict(one.arguments) for one in steps])
    for suite, of_both in (("workloads", 4), ("libraries", 4)):
        shapes = [one.arguments for one in steps if one.suite == suite and
                  one.arguments["names"] != ("W4",)]  # fmt: skip
        assert len({(a["shape"], a["dtype"]) for a in shapes}) == of_both
    assert {one.arguments["dtype"] for one in steps if one.suite == "circuit"} == {
        "float32", "bfloat16",
    }  # fmt: skip
    assert [one.suite for one in steps[:2]] == ["alike", "tests"]
    assert all((ROOT / file).is_file() for file in ON_DEVICE)


def test_a_wrong_number_on_the_device_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "SPECS", alike.SPECS[:1])
    (right,) = alike.models_alike(["toy_shortformer"], ["float64"], "cpu", [])
    assert right["agrees"] and right["error"] == 0 and right["proofs"] >= 6
    assert right["without"] == 6 and right["values"] > 500  # a graph without MLPs
    real, calls = alike.execute, []

    def off(plan: Any, task: Any, adapter: Any, settings: Any) -> Any:
        calls.append(adapter)
        found = real(plan, task, adapter, settings)
        if len(calls) == 2:  # one value of the first plan on the device
            first = next(iter(found))
            found[first] = found[first] + 1e-6
        return found

    monkeypatch.setattr(alike, "execute", off)
    (wrong,) = alike.models_alike(["toy_shortformer"], ["float64"], "cpu", [])
    assert not wrong["agrees"] and wrong["error"] == pytest.approx(1e-6, rel=1e-3)


def test_values_that_are_missing_or_none_do_not_agree() -> None:
    key = (0, alike.COLUMNS[0])
    one = torch.ones(2).numpy()
    assert alike.compared({key: one}, {key: one}, exact=True) == 0
    assert not alike.compared({}, {key: one}, exact=True) <= 1
    assert not alike.compared({key: one * float("nan")}, {key: one}, exact=True) <= 1


@pytest.mark.parametrize(
    ("dtype", "names", "timed"),
    [("float32", ["W1h", "W2", "W3", "W7b"], [5, 5, 1, 5]), ("bfloat16", ["W2"], [5])],
)
def test_hooks_agree_on_the_modules_of_llama(
    monkeypatch: pytest.MonkeyPatch, dtype: str, names: list[str], timed: list[int]
) -> None:
    monkeypatch.setattr(peers, "_in_child", peers.run_child)
    rows = compare_all(
        names, "small_llama", 1, lambda line: None, peers=["hooks"], rows=2,
        threads=1, dtype=dtype, most=5, together=True,
    )  # fmt: skip
    theirs = [row for row in rows if row["peer"] == "hooks"]
    assert all(row["agrees"] for row in theirs)
    assert [row["runs_timed"] for row in theirs] == timed
    assert all(row["largest"] > 0.1 for row in theirs)
    ours = {row["workload"]: row for row in rows if row["peer"] == "pathdsl"}
    for row in theirs:
        assert row["dtype"] == dtype
        assert row["times_pathdsl"] * ours[row["workload"]]["multiple"] == pytest.approx(
            row["multiple"]
        )


def test_operators_that_do_something_are_counted() -> None:
    x = torch.ones(4, 4)
    assert counted(lambda: x @ x + x, "cpu")["kernels"] == 2
    assert counted(lambda: x.t().view(2, 8) if x.is_sparse else x.t()[1:], "cpu")["kernels"] == 0
    assert counted(lambda: torch.softmax(x[1:] @ x, -1), "cpu")["kernels"] == 2


def test_a_check_that_comes_out_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["a", "b"])

    def check(file: str, **options: Any) -> Any:
        assert options["models"] == {"toy": "bundled:induction-2l,dtype=float32"}
        claim = SimpleNamespace(verdict=SimpleNamespace(value="supported"))
        return SimpleNamespace(
            to_dict=lambda: {"files": [{"result_sha256": next(digests)}]}, claims=[claim, claim],
            exit_code=0, diagnostics=[SimpleNamespace(code="PD700")],
        )  # fmt: skip

    monkeypatch.setattr(pathdsl, "check", check)
    rows = list(checked_twice(cuda.INDUCTION, 16, f"{cuda.BUNDLED},dtype=float32", "cpu"))
    assert [row["same_bits"] for row in rows] == [True, False]
    assert rows[0]["verdicts"] == {"supported": 2} and rows[0]["dtype"] == "float32"
    text = markdown({"about": {}, "cuda": {"name": "cpu", "minutes": 10, "circuit": rows}})
    assert "| 2 supported | NO |" in text


def test_tables_of_all_suites() -> None:
    """Of what the script wrote on two cores without a device."""
    kept = json.loads((ROOT / "benchmarks/results/2026-11-30-cuda-tiny.json").read_text())
    text = markdown(kept)
    assert all(kept["cuda"][suite] for suite in STEPS)
    rows = sum(len(kept["cuda"][suite]) for suite in (*STEPS, "steps"))
    tables = len(STEPS) + 1
    assert sum(line.startswith("| ") for line in text.splitlines()) == rows + tables
    assert not disagreements(kept["cuda"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_no_device_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "cuda", "--minutes", "2"])
    with pytest.raises(SystemExit, match=r"^no usable device `cuda`: [^\n]+$"):
        main()
