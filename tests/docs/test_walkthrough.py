"""The transcripts of docs/walkthrough.md, run again where the model is; they skip without it.

`python -m tests.docs.test_walkthrough` writes the transcripts that show no output yet.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pathdsl.cli.main import app
from tests.docs.test_readme import FENCE, ROOT, matches
from tests.engine.data_cases import SHARED

PAGE = ROOT / "docs" / "walkthrough.md"
CASE = Path("tests/cases/stories260k")
STORIES = SHARED / "models" / "stories260K"


def laid_out(folder: Path) -> Path:
    """The files and the model beneath `folder`, as they stand to one another in a checkout."""
    there = folder / "checkout" / CASE
    shutil.copytree(ROOT / CASE, there, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(STORIES, folder / "shared" / "models" / "stories260K")
    return there


def run(command: str, folder: Path) -> str:
    """What a command prints; in this process, since torch takes seconds to import."""
    surroundings = {"NO_COLOR": "1", "COLUMNS": "100"}
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, command.split()[1:], env={**os.environ, **surroundings})
    assert done.exit_code in (0, 5), done.output
    return done.stdout


def commands(text: str) -> list[tuple[str, str]]:
    """Every block of commands with what it shows; a command stands on a line after `$ `."""
    bodies = [fence[3] for fence in FENCE.finditer(text) if fence[1] == "console"]
    return [
        (line.removeprefix("$ "), output)
        for line, _, output in (body.partition("\n") for body in bodies)
    ]


@pytest.mark.skipif(not STORIES.is_dir(), reason=f"the model is not at {STORIES}")
def test_transcripts(tmp_path: Path) -> None:
    there, shown = laid_out(tmp_path), commands(PAGE.read_text(encoding="utf-8"))
    assert len(shown) >= 6
    for command, wanted in shown:
        found = run(command, there)
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert wanted and matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        there = laid_out(Path(folder))
        for command, wanted in commands(page):
            if not wanted:
                page = page.replace(
                    f"{command}\n```", f"{command}\n{run(command, there).strip()}\n```", 1
                )
    PAGE.write_text(page, encoding="utf-8")
