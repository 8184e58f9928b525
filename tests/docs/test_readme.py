"""The README's transcripts: every command is run again, and must print what is there.

A line `...` stands for any number of lines. Numbers have the digits that are printed, but for one
in the last place, since machines round apart; the errors of self-checks are rounding themselves.
`python -m tests.docs.test_readme` writes the transcripts of commands that show no output yet.
"""

from __future__ import annotations

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
ROUNDING = re.compile(r"\b\d\.\de-\d\d(?=  allowed )")


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
    """Equal but for the last digit, times, rounding, and blanks that follow from their width."""
    wanted, found = (ROUNDING.sub("0.0e+00", TIME.sub("0.0 s", line)) for line in (wanted, found))
    texts = [" ".join(NUMBER.sub("#", line).split()) for line in (wanted, found)]
    numbers = [NUMBER.findall(line) for line in (wanted, found)]
    return texts[0] == texts[1] and all(map(alike, *numbers))


def alike(wanted: str, found: str) -> bool:
    """The same digits as printed, but for one in the last place; whole numbers are equal."""
    digits = [len(n.partition("e")[0].partition(".")[2]) for n in (wanted, found)]
    power = int(wanted.partition("e")[2] or 0)
    unit = 10.0 ** (power - digits[0])
    apart = abs(float(wanted.replace(",", "")) - float(found.replace(",", "")))
    return digits[0] == digits[1] and apart <= 1.01 * unit * bool(digits[0])


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
        ("estimate 6.66  [6.39, 6.93]", "estimate  6.67 [6.39, 6.93]", True),
        ("estimate 6.66  [6.39, 6.93]", "estimate 6.661 [6.39, 6.93]", False),
        ("n = 128", "n = 129", False),
        ("null pair  8.2e-07  allowed 1e-04", "null pair  0.0e+00  allowed 1e-04", True),
        ("null pair  8.2e-07  allowed 1e-04", "null pair  8.2e-07  allowed 1e-03", False),
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
