"""Attribution beside other libraries: what is run without any, and the numbers where they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import attributed
from benchmarks.attributed import BUNDLED, COMPARED, case_files, compare, main, markdown, run_child


def test_libraries_that_are_not_there_are_named() -> None:
    lines: list[str] = []
    nowhere = {one.peer: sys.executable for one in COMPARED}
    found = compare([], nowhere, lines.append)
    assert found == [] and len(lines) == sum(
        not attributed.installed(p, e) for p, e in nowhere.items()
    )
    assert all("skipped, not installed (--in " in line for line in lines)


def test_scores_that_are_the_same_agree_and_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library is played by `pathdsl` itself, off by one part in a thousand."""
    off = {"edges": 1.0, "edges by masks": 1.001, "edges by an integral over masks": 2.0}

    def played(module: str, arguments: dict[str, Any], *_: Any) -> dict[str, Any]:
        told = run_child(arguments) | {"version": "0"}
        if module.endswith("peers"):
            path = Path(arguments["out"])
            held = json.loads(path.read_text())
            by = off[arguments["what"]]
            path.write_text(json.dumps({k: [by * x for x in v] for k, v in held.items()}))
        return told

    monkeypatch.setattr(attributed, "result_of", played)
    monkeypatch.setattr(attributed, "installed", lambda package, _: package == "auto_circuit")
    lines: list[str] = []
    rows = compare([BUNDLED], {}, lines.append, rows=2, repeat=1, threads=1)
    assert [row["agrees"] for row in rows] == [True, False, False]
    assert "by more than" in lines[-2] and "by definition" in lines[-1]
    assert all(row["units"] == 479 and row["numbers"] == 479 for row in rows)
    assert rows[1]["difference"] == pytest.approx(1e-3 * rows[1]["largest"], rel=1e-3)
    assert markdown(rows).count("another definition") == 2


def test_rows_of_a_case_are_of_one_length(tmp_path: Path) -> None:
    _, path = case_files(BUNDLED, 3, tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 3 and len({len(row[key]) for row in rows for key in ("prompt", "cf")}) == 1
    assert all(row["prompt"] != row["cf"] and row["io"] != row["s"] for row in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ioi"], "no case `ioi`"),
        (["--in", "lens"], "PACKAGE=PYTHON"),
        (["--rows", "1"], "at least 2"),
    ],
)
def test_wrong_words_are_told(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert said in capsys.readouterr().err
