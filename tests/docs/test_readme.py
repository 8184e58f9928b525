"""The README's transcripts: every command is run again, from the top, and must print what is there.

A line `...` stands for any number of lines. Numbers may differ as much as machines round apart.
`python -m tests.docs.test_readme` writes the transcripts of commands that show no output yet.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.run import pathdsl

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FENCE = re.compile(r"^```(console|python|circuit)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
TIME = re.compile(r"\b\d+\.\d s\b")
RELATIVE, ABSOLUTE = 0.02, 2e-3


def run(command: str, folder: Path) -> str:
    """What a command prints; `pathdsl` runs in this process: importing torch takes seconds."""
    words = command.split()
    store = folder.with_name(f"{folder.name}-store")  # one for the whole transcript
    surroundings = {"NO_COLOR": "1", "COLUMNS": "100", "PATHDSL_CACHE": str(store)}
    if words[0] == "pathdsl":
        done = pathdsl(*words[1:], cwd=folder, **surroundings)
    else:
        done = subprocess.run(
            [sys.executable, *(("-m", *words) if words[0] == "pytest" else words[1:])],
            cwd=folder, env={**os.environ, **surroundings}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    assert done.returncode in (0, 1, 2), done.stderr
    return done.stdout


def same(wanted: str, found: str) -> bool:
    """Equal but for rounding, times, and blanks that follow from the width of numbers."""
    wanted, found = TIME.sub("0.0 s", wanted), TIME.sub("0.0 s", found)
    texts = [" ".join(NUMBER.sub("#", line).split()) for line in (wanted, found)]
    numbers = [[float(n.replace(",", "")) for n in NUMBER.findall(s)] for s in (wanted, found)]
    return texts[0] == texts[1] and all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        for a, b in zip(*numbers, strict=True)
    )


def matches(wanted: list[str], found: list[str]) -> bool:
    """Whether the lines are the ones wanted, `...` being any."""
    if not wanted:
        return not found
    if wanted[0] == "...":
        return any(matches(wanted[1:], found[at:]) for at in range(len(found) + 1))
    return bool(found) and same(wanted[0], found[0]) and matches(wanted[1:], found[1:])


def replay(text: str, folder: Path) -> list[tuple[str, str, str]]:
    """Do what the README says; (command, what it shows, what was printed) for each command."""
    shutil.copytree(ROOT / "hypotheses", folder / "hypotheses")
    shown = []
    for kind, words, body in (fence.groups() for fence in FENCE.finditer(text)):
        action, _, name = words.strip().partition("=")
        path = folder / (name or "script.py")
        if kind == "console":
            command, _, output = body.partition("\n")
            shown.append((command, output, run(command.removeprefix("$ "), folder)))
        elif kind == "python":
            path.write_text(body, encoding="utf-8")
            run(f"python {path.name}", folder)
        elif action == "file":
            path.write_text(body, encoding="utf-8")
        elif action == "append":
            path.write_text(path.read_text(encoding="utf-8") + body, encoding="utf-8")
        elif action == "replace":
            start = re.escape(" ".join(body.split()[:3]))
            now = re.sub(rf"^{start}.*\n", body, path.read_text("utf-8"), flags=re.MULTILINE)
            path.write_text(now, encoding="utf-8")
    return shown


def test_transcripts(tmp_path: Path) -> None:
    shown = replay(README.read_text(encoding="utf-8"), tmp_path)
    assert len(shown) >= 7
    for command, wanted, found in shown:
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"


@pytest.mark.parametrize(
    ("wanted", "found", "fits"),
    [
        ("estimate 6.66  [6.39, 6.93]", "estimate 6.661 [6.39, 6.93]", True),
        ("estimate 6.66", "estimate 6.01", False),
        ("supported  claim", "refuted    claim", False),
        ("9.1 s in all", "17.4 s in all", True),
        ("105,456 paths", "105,456 paths", True),
        ("...\nlast", "first\nsecond\nlast", True),
        ("...\nlast", "first\nsecond", False),
    ],
)
def test_what_counts_as_the_same(wanted: str, found: str, fits: bool) -> None:
    assert matches(wanted.splitlines(), found.splitlines()) is fits


def test_links_lead_somewhere() -> None:
    for page in (README, *sorted((ROOT / "docs").glob("*.md"))):
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"


if __name__ == "__main__":
    import tempfile

    document = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for command, wanted, found in replay(document, Path(folder)):
            if not wanted:
                document = document.replace(
                    f"{command}\n```", f"{command}\n{found.strip()}\n```", 1
                )
    README.write_text(document, encoding="utf-8")
