"""The transcripts of docs/ci.md, run again from the top.

`python -m tests.docs.test_ci` writes the transcripts of commands that show no output yet.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT, matches, replay

PAGE = ROOT / "docs" / "ci.md"
SURROUNDINGS = {  # the plugin whether or not the entry point is installed
    "PYTEST_PLUGINS": "pathdsl.pytest_plugin",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
    "PYTHONPATH": str(ROOT),
}


def test_transcripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SURROUNDINGS.items():
        monkeypatch.setenv(name, value)
    shown = replay(PAGE.read_text(encoding="utf-8"), tmp_path / "page")
    assert len(shown) >= 3
    for command, wanted, found in shown:
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert wanted and matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"


if __name__ == "__main__":
    os.environ |= SURROUNDINGS
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for command, wanted, found in replay(page, Path(folder) / "page"):
            if not wanted:
                page = page.replace(f"{command}\n```", f"{command}\n{found.strip()}\n```", 1)
    PAGE.write_text(page, encoding="utf-8")
