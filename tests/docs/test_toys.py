"""docs/toys.md names every field, activation and layout, and what it runs does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from pathdsl.engine.toy.layouts import LAYOUTS
from pathdsl.graph.model.toy import ACTIVATIONS, FIELDS, NORMS, POSITIONS
from tests.cli.run import pathdsl
from tests.engine.test_convert import saved

PAGE = Path(__file__).parents[2] / "docs" / "toys.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_name_is_there() -> None:
    bare = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    named = set(re.findall(r"`([^`]+)`", bare))
    assert {*FIELDS} <= named
    assert {*ACTIVATIONS, *NORMS, *POSITIONS, *LAYOUTS} <= named


def test_the_example_runs(tmp_path: Path) -> None:
    """On a smaller model of the same structure, from a checkpoint of its producer."""
    saved(tmp_path / "theirs", "grokking")
    found = pathdsl("convert", "theirs", "addition", cwd=tmp_path)
    shown = re.findall(r"^  (\w[\w ]*?)  ", found.stdout, re.MULTILINE)
    told = re.search(r"```console\n\$ pathdsl convert.*?```", TEXT, re.DOTALL)
    assert told is not None
    known = re.findall(r"^  (\w[\w ]*?)  ", told[0], re.MULTILINE)
    assert {*shown} <= {*known, "layout", "structure"}
    rows = [
        {"prompt": [a, b, 10], "other": [a, (b + 3) % 10, 10], "answer": (a + b) % 10,
         "wrong": (a + b + 3) % 10}
        for a in range(6) for b in range(6)
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "add.jsonl").write_text(text)
    block = re.search(r"```circuit\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    (tmp_path / "add.circuit").write_text(block[1])
    found = pathdsl("check", "add.circuit", "--no-cache", cwd=tmp_path)
    assert found.returncode in (0, 1) and "error[" not in found.stdout, found.stdout
    assert "row 1: answer 0; wrong 3" in found.stdout
    assert torch.are_deterministic_algorithms_enabled()
