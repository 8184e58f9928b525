"""The first hour of a newcomer, `docs/try.sh`, command by command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "try.sh"


def tried(*words: str) -> str:
    command = f"{sys.executable} -m pathdsl"
    surroundings = {
        **os.environ, "PATHDSL": command, "COLUMNS": "100", "PYTHONPATH": str(SCRIPT.parents[1])
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(SCRIPT), *words],
        env=surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_what_starts_no_check() -> None:
    assert "--- Done, the short form" in tried("short")


@pytest.mark.long
def test_all_of_it() -> None:
    assert tried().rstrip().endswith("--- Done")
