"""Runs of a careful user, stacked, have the numbers of the check."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.small import NAMES, compared, main


@pytest.mark.parametrize("name", NAMES)
def test_stacked_hooks_agree(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.small.STACKED", (5,))  # runs are left over in the last batch
    row = compared(name, "mini", tmp_path, rows=2, turns=1, knockouts=0, threads=1)
    assert row["difference"] < 1e-5
    assert row["runs"] >= 1 and row["counted"] > 0 and row["pathdsl_s"] > 0 < row["hooks_s"]


def test_a_workload_that_is_not_written_by_hand_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["small", "W5"])
    with pytest.raises(SystemExit):
        main()
    assert "not written by hand: W5" in capsys.readouterr().err
