"""The benchmarks' own code: workloads are what a user would write, and every row is whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import parsed
from benchmarks.engine import measure_all, multiple, prepare_workload, run_child
from benchmarks.quotients import quotients
from benchmarks.shapes import DEPTHS, SHAPES, save
from benchmarks.workloads import (
    WORKLOADS,
    acted_heads,
    circuit_heads,
    circuit_text,
    edges_text,
    receivers_of,
    rows_text,
    units,
)
from pathdsl.engine.run.runner import plan_cost
from pathdsl.graph.model.decoders import gpt2_shape
from pathdsl.lang.lint import lint_file

CASES = [
    (name, shape)
    for name, workload in WORKLOADS.items()
    for shape in {*workload.shapes, "small"}
    if not workload.waits and name != "W4"
]


def test_rows_are_the_same_each_time_and_differ_at_three_places() -> None:
    text = rows_text(1000, 5, 15)
    assert text == rows_text(1000, 5, 15)
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["id"] for row in rows] == ["r0", "r1", "r2", "r3", "r4"]
    for row in rows:
        assert len(row["prompt"]) == len(row["cf"]) == 15
        places = [t for t in range(15) if row["prompt"][t] != row["cf"][t]]
        assert set(places) <= {3, 7, 12}
        assert row["io"] != row["s"]
        assert all(0 <= x < 1000 for x in [*row["prompt"], *row["cf"], row["io"], row["s"]])
    assert any(row["prompt"] != rows[0]["prompt"] for row in rows[1:])
    assert rows_text(1000, 2, 15) == "".join(text.splitlines(keepends=True)[:2])


@pytest.mark.parametrize("first", [1, 9])
def test_rows_differ_from_a_token_on(first: int) -> None:
    rows = [json.loads(line) for line in rows_text(100_000, 3, 15, first).splitlines()]
    for row in rows:
        places = [t for t in range(15) if row["prompt"][t] != row["cf"][t]]
        assert places[0] == first and len(places) == 3


@pytest.mark.parametrize(("name", "most"), [("W7a@9", 0.3), ("W7b@9", 0.6)])
def test_what_is_equal_in_both_runs_is_not_computed(name: str, most: float, tmp_path: Path) -> None:
    """On twelve layers that is 0.2 and 0.43 of what there is to do."""
    ready = prepare_workload(name, "small", tmp_path, rows=2)
    planners = ready.planner, replace(ready.planner, by_value=False)
    costs = [plan_cost(*one.plans(list(ready.requests)), 4).forwards for one in planners]
    assert costs[0] < most * costs[1]


@pytest.mark.parametrize(("name", "shape"), sorted(CASES))
def test_circuits_lint_clean(name: str, shape: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(rows_text(1000, 2, 15))
    path = tmp_path / "a.circuit"
    path.write_text(circuit_text(name, shape, tmp_path / "model"))
    _, found = lint_file(str(path))
    assert [d.code for d in found if d.severity.name == "ERROR"] == []


def test_every_edge_is_one_quantity(tmp_path: Path) -> None:
    fields = SHAPES["small"].fields
    shape = gpt2_shape({"model_type": "gpt2", "layer_norm_epsilon": 1e-5, **fields})
    text = edges_text(shape, tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text(rows_text(1000, 2, 15))
    path = tmp_path / "a.circuit"
    path.write_text(text)
    _, found = lint_file(str(path))
    assert [d.code for d in found if d.severity.name == "ERROR"] == []
    assert text.count("\nlet ") == WORKLOADS["W4"].per == units("W4", "small")


def test_units_are_what_a_workload_asks_for() -> None:
    assert units("W6a", "gpt2") == len(circuit_heads("gpt2")) == 26
    assert units("W6a", "small") == len(circuit_heads("small")) == 3
    assert units("W6b", "gpt2") == 100
    assert units("W1h", "gpt2") == units("W8a", "gpt2") == 1
    assert len(set(acted_heads("gpt2"))) == 100 and len(set(acted_heads("small"))) == 16


def test_heads_are_there_and_differ() -> None:
    for shape, about in SHAPES.items():
        wide = circuit_heads(shape, 6)
        assert len(set(wide)) == 6
        receivers = receivers_of(shape)
        assert len(set(receivers)) == 3
        for layer, head in (*wide, *receivers):
            assert 0 <= layer < about.n_layers
            assert 0 <= head < about.n_heads


def test_depths_differ_in_depth_only() -> None:
    first, *others = (SHAPES[f"depth{depth}"] for depth in DEPTHS)
    for depth, shape in zip(DEPTHS[1:], others, strict=True):
        assert shape.fields == {**first.fields, "n_layer": depth}


def test_a_row_has_everything(tmp_path: Path) -> None:
    row = run_child(
        {"name": "W3", "shape": "small", "repeat": 1, "threads": 1, "scratch": str(tmp_path),
         "options": {"rows": 4}}
    )  # fmt: skip
    assert row["workload"] == "W3" and row["shape"] == "small"
    assert (row["rows"], row["length"], row["threads"]) == (4, 15, 1)
    assert (row["runs"], row["units"], row["attention"]) == (1, 1, "eager")
    seconds = ("plain_s", "planning_s", "execution_s", "lowering_s")
    assert all(0 < row[name] < 60 for name in seconds)
    assert row["execution_least_s"] <= row["execution_s"] <= row["execution_most_s"]
    assert 0.05 < row["peak_gb"] < 8
    assert row["copies"] > 0
    assert 0.5 < row["counted"] < 4
    assert multiple(row) > 0


def test_families_are_measured_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {
        "bert": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8,
                 "intermediate_size": 12, "vocab_size": 50},
        "attention": {**SHAPES["attention"].fields, "n_layers": 2, "n_heads": 2, "d_head": 4,
                      "d_model": 8, "d_vocab": 50},
    }  # fmt: skip
    for name, fields in tiny.items():
        shape = replace(SHAPES[name], fields=fields, n_layers=2, n_heads=2, d_vocab=50)
        monkeypatch.setitem(SHAPES, name, shape)
    for workload in ("W1h", "W3"):
        found = quotients(workload, list(tiny), 2, 1, tmp_path)
        for plain, times, counted in found.values():
            assert plain > 0 and times > 0 and 0.3 < counted < 4


def test_a_longer_table_of_positions_is_made(tmp_path: Path) -> None:
    folder = save("small", tmp_path, length=600)
    assert json.loads((folder / "config.json").read_text())["n_positions"] == 600
    assert save("small", tmp_path, length=512) != folder


@pytest.mark.parametrize("name", [n for n, w in WORKLOADS.items() if w.attributes])
def test_an_attribution_has_a_row_without_runs(name: str, tmp_path: Path) -> None:
    row = run_child(
        {"name": name, "shape": "small", "repeat": 1, "threads": 1, "scratch": str(tmp_path),
         "options": {"rows": 2}}
    )  # fmt: skip
    assert 0 < row["execution_s"] < 60 and row["planning_s"] == 0
    assert (row["runs"], row["copies"], row["counted"]) == (0, 0, 0)


@pytest.mark.parametrize(("one", "looped"), [("W1h", "W9a"), ("W7a", "W9b")])
def test_a_loop_of_several_variables_plans_the_same_steps(
    one: str, looped: str, tmp_path: Path
) -> None:
    """So it costs what the other form costs."""
    plans = []
    for name in (one, looped):
        ready = prepare_workload(name, "small", tmp_path, rows=2)
        plans += ready.planner.plans(list(ready.requests))
    assert len(plans) == 2 and plans[0].steps == plans[1].steps and plans[0].need == plans[1].need
    assert [o.run for o in plans[0].outputs] == [o.run for o in plans[1].outputs]


def test_what_waits_is_named_and_has_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setitem(WORKLOADS, "W5", replace(WORKLOADS["W5"], waits="an engine"))
    rows = measure_all(["W5"], ["gpt2"], 1, None, lines.append)
    assert rows == [{"workload": "W5", "shape": "gpt2", "waits": "an engine"}]
    assert "W5" in lines[-1] and "waits for an engine" in lines[-1]


def test_a_name_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed(["engine", "W9"])
    assert stopped.value.code == 2
    assert "no workload `W9`" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parsed(["engine", "length"])
    assert parsed(["scaling", "length"]).names == ["length"]
    assert parsed([]).suites == ["engine", "processes"]
