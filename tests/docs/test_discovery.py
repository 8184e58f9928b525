"""The transcripts of docs/discovery.md, run again; those of stories260K where the model is.

`python -m tests.docs.test_discovery` writes the transcripts that show no output yet.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from typer.testing import CliRunner

from pathdsl.cli.main import app
from tests.docs.test_readme import FENCE, ROOT, matches
from tests.docs.test_walkthrough import STORIES, laid_out

PAGE = ROOT / "docs" / "discovery.md"
KINDS = ("", "stories")


def run(command: str, folder: Path) -> str:
    """What a command prints; in this process, since torch takes seconds to import."""
    surroundings = {"NO_COLOR": "1", "COLUMNS": "100", "PATHDSL_CACHE": str(folder / "store")}
    with contextlib.chdir(folder), mock.patch.dict(os.environ, surroundings):
        done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code in (0, 1), done.output
    return done.stdout


def commands(text: str, kind: str) -> list[tuple[str, str]]:
    """Every block of commands of a kind with what it shows."""
    found = [f for f in FENCE.finditer(text) if f[1] == "console" and f[2].strip() == kind]
    parts = (fence[3].partition("\n") for fence in found)
    return [(line.removeprefix("$ "), output) for line, _, output in parts]


def place(folder: Path, text: str, kind: str) -> Path:
    """Where the commands of a kind run."""
    if kind:
        return laid_out(folder)
    for fence in FENCE.finditer(text):
        if fence[2].strip().startswith("file="):
            (folder / fence[2].strip().removeprefix("file=")).write_text(fence[3])
    return folder


@pytest.mark.parametrize(
    "kind",
    [
        "",
        pytest.param(
            "stories",
            marks=[
                pytest.mark.long,
                pytest.mark.skipif(not STORIES.is_dir(), reason=f"no model at {STORIES}"),
            ],
        ),
    ],
)
def test_transcripts(kind: str, tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    there, shown = place(tmp_path, text, kind), commands(text, kind)
    assert len(shown) >= 3
    for command, wanted in shown:
        found = run(command, there)
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert wanted and matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            there = place(Path(folder), page, kind)
            for command, wanted in commands(page, kind):
                found = run(command, there).strip()
                if not wanted:
                    page = page.replace(f"{command}\n```", f"{command}\n{found}\n```", 1)
    PAGE.write_text(page, encoding="utf-8")
