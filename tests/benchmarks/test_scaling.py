"""Scaling: the points, the plots, the tables and the profile's shares."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import engine, long, scaling
from benchmarks.__main__ import main
from benchmarks.plot import line_plot, series, write_figures
from benchmarks.profile import OUTSIDE, kind_of, run_child, shares
from benchmarks.scaling import AXES, LENGTHS, TOKENS, points, scale_all
from benchmarks.shapes import SHAPES
from benchmarks.table import markdown

SVG = "{http://www.w3.org/2000/svg}"


def row(axis: str, x: int, **fields: Any) -> dict[str, Any]:
    return {
        "axis": axis, "x": x, "workload": "W6b", "shape": "small", "rows": 4, "runs": 2 * x,
        "copies": 3 * x, "counted": 1.5 * x, "times_plain": 2.0 * x, "peak_gb": 0.4, **fields,
    }  # fmt: skip


def test_points_hold_what_they_vary() -> None:
    counts = [p["options"]["knockouts"] for p in points("knockouts", "small")]
    assert counts == [1, 10, 100, 1000]
    for point in points("length", "small"):
        options = point["options"]
        assert options["length"] == point["x"]
        assert options["length"] <= SHAPES["small"].fields["n_positions"]
        assert options["rows"] * options["length"] <= TOKENS["small"]
        assert options["rows"] >= 1
    assert {p["x"] for p in points("length", "small")} == set(LENGTHS)
    assert {p["shape"] for p in points("depth", "small")} <= set(SHAPES)
    with pytest.raises(ValueError, match="no axis"):
        points("width", "small")


def test_knockouts_are_as_many_as_asked_and_share_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SETS", {"small": (1, 20)})
    monkeypatch.setattr(scaling, "in_child", engine.run_child)
    lines: list[str] = []
    one, many = scale_all(["knockouts"], ["small"], 1, lines.append, 1)
    assert len(lines) == 3
    assert (one["runs"], many["runs"]) == (2, 40)
    assert one["copies"] < many["copies"] < 20 * one["copies"]
    assert many["counted"] < 20 * one["counted"]
    assert one["times_plain"] > 0


def test_shape_that_is_not_measured_is_refused() -> None:
    with pytest.raises(SystemExit, match="not on llama"):
        scale_all(AXES, ["llama"], 1, print)


def test_long_prompts_are_fused_as_in_check() -> None:
    import tempfile

    from benchmarks.engine import run_child

    with tempfile.TemporaryDirectory() as scratch:
        found = run_child({
            "name": "W3", "shape": "small", "repeat": 1, "threads": 1, "scratch": scratch,
            "options": {"rows": 1, "length": 256},
        })  # fmt: skip
    assert (found["length"], found["attention"]) == (256, "sdpa")


def test_long_prompts_have_times_and_peaks(tmp_path: Path) -> None:
    found = {
        measure: long.run_child(
            {"name": "W13", "shape": "small", "rows": 1, "length": 300, "turns": 1,
             "scratch": str(tmp_path), "measure": measure}
        )
        for measure in ("time", "work", "own", "trunk")
    }  # fmt: skip
    assert found["time"]["attention"] == "sdpa" and found["time"]["times"] > 0
    assert 1 < found["time"]["counted"] < 10
    assert found["work"]["peak"] >= 0 and found["trunk"]["peak"] <= found["own"]["peak"] + 2**24


def test_figures_are_svg_with_every_line(tmp_path: Path) -> None:
    rows = [row("knockouts", 1), row("knockouts", 10), row("depth", 2, shape="depth2"),
            row("depth", 4, shape="depth4", workload="W3")]  # fmt: skip
    paths = write_figures(rows, tmp_path / "figures")
    assert [path.name for path in paths] == ["scaling-knockouts-small.svg", "scaling-depth.svg"]
    tree = ElementTree.parse(paths[0]).getroot()
    texts = [node.text for node in tree.iter(f"{SVG}text")]
    lines = series(rows[:2])
    assert set(lines) <= set(texts)
    assert lines["runs, counted"] == [(1, 2), (10, 20)]
    assert len(list(tree.iter(f"{SVG}circle"))) == sum(len(line) for line in lines.values())
    for node in tree.iter(f"{SVG}circle"):
        assert 0 < float(node.attrib["cx"]) < 660 and 0 < float(node.attrib["cy"]) < 360


def test_kept_results_are_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept.json"
    file.write_text(json.dumps({"about": {}, "scaling": [row("knockouts", 1)]}))
    words = ["benchmarks", "table", str(file), "--figures", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    main()
    assert "| knockouts | 1 | W6b |" in capsys.readouterr().out
    assert (tmp_path / "scaling-knockouts-small.svg").is_file()


def test_plot_places_are_logarithmic() -> None:
    text = line_plot("a & b", "x", "y", {"line": [(1, 1), (10, 10), (100, 100)]})
    circles = ElementTree.fromstring(text).iter(f"{SVG}circle")
    (x0, y0), (x1, y1), (x2, y2) = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in circles]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y0 > y1
    with pytest.raises(ValueError, match="above 0"):
        line_plot("", "", "", {"line": [(1, 0)]})


def test_tables_have_a_line_for_each_row_and_name_what_waits() -> None:
    engine = {
        "workload": "W1h", "shape": "gpt2", "units": 1, "plain_s": 0.5, "planning_s": 0.25,
        "execution_s": 0.75, "counted": 1.3, "peak_gb": 1.0,
    }  # fmt: skip
    peers = {
        "workload": "W3", "shape": "small", "peer": "nnsight", "version": "0.8.1", "plain_s": 0.1,
        "seconds": 0.3, "multiple": 3.0, "times_pathdsl": 2.0, "peak_gb": 1.0, "difference": 3e-7,
    }  # fmt: skip
    waits = {"workload": "W5", "shape": "gpt2", "waits": "attribution"}
    text = markdown({
        "about": {"python": "3.11"}, "engine": [engine, waits], "peers": [peers],
        "scaling": [row("knockouts", 1000)],
    })  # fmt: skip
    assert "Measured with python 3.11." in text
    assert (
        "| W1h | direct effect of each head, MLPs held | gpt2 | 0.500 s | 0.25 s | 0.75 s | 2.00 |"
        in text
    )
    assert "W5 (eap of every edge) waits for attribution." in text
    assert (
        "| W3 | small | nnsight 0.8.1 | 0.100 s | 0.30 s | 3.00 | 2.0 | 1.00 GB | 3.0e-07 |" in text
    )
    assert "| knockouts | 1,000 | W6b | small | 4 | 2,000 | 3,000 |" in text


def test_shares_add_up_to_the_wall() -> None:
    found = shares({"aten::addmm": 2.0, "aten::copy_": 1.0, "aten::gelu": 0.5}, 5.0)
    assert {part["kind"]: part["share"] for part in found} == {
        "matrix products": 0.4, "attention": 0.0, "copying": 0.2, "other operators": 0.1,
        OUTSIDE: pytest.approx(0.3),
    }  # fmt: skip
    assert found[0]["operators"] == ["aten::addmm"]
    assert sum(part["share"] for part in shares({"aten::mm": 8.0}, 5.0)) == pytest.approx(1)
    assert kind_of("aten::bmm") == "matrix products"


def test_profile_sees_matrix_products(tmp_path: Path) -> None:
    found = run_child(
        {"name": "W3", "shape": "small", "rows": 2, "threads": 1, "scratch": str(tmp_path)}
    )
    assert found["operators"]["aten::addmm"] > 0
    assert found["calls"]["aten::addmm"] > 0
    assert found["wall"] > 0 and found["unprofiled"] > 0
