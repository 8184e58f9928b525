"""What decides whether compiling would pay: every way is timed, and a device must be there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import compiled
from benchmarks.__main__ import main
from benchmarks.table import markdown


def test_every_way_is_timed_and_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The compiler is stood in for by something that is off by a known amount."""
    calls: list[dict[str, object]] = []

    def compile_(function, **options):
        calls.append(options)
        return lambda x: function(x) + 0.5

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(compiled, "TOKENS", (3, 5))
    rows = compiled.run_child(
        {"shape": "small", "device": "cpu", "dtype": "float32", "threads": 1, "repeat": 1,
         "scratch": str(tmp_path)}
    )  # fmt: skip
    assert calls == [{"dynamic": True}]
    assert [(r["tokens"], r["by"]) for r in rows] == [
        (3, "as it is"), (3, "compiled"), (5, "as it is"), (5, "compiled"),
    ]  # fmt: skip
    for row in rows:
        assert row["seconds"] > 0
        assert row["difference"] == pytest.approx(0.5 * (row["by"] == "compiled"), abs=1e-6)
        assert row["multiple"] == 1 or row["by"] == "compiled"
    text = markdown({"about": {"torch": "x"}, "compiled": rows})
    assert text.count("| small | float32 | cpu |") == 4 and "5.0e-01" in text


def test_a_compiler_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def compile_(function, **options):
        def fails(x):
            raise RuntimeError("no compiler\nand more")

        return fails

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(compiled, "TOKENS", (3,))
    rows = compiled.run_child(
        {"shape": "small", "device": "cpu", "dtype": "bfloat16", "threads": 1, "repeat": 1,
         "scratch": str(tmp_path)}
    )  # fmt: skip
    assert [row.get("failed") for row in rows] == [None, "no compiler"]
    text = markdown({"about": {}, "compiled": rows})
    assert "| compiled | no compiler |" in text and "bfloat16" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_a_device_that_is_not_there_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "engine", "W3", "--device", "cuda"])
    with pytest.raises(SystemExit, match=r"^no usable device `cuda`: [^\n]+$"):
        main()
