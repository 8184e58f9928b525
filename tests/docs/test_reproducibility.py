"""The transcripts of docs/reproducibility.md, run again in a repository of their own.

`python -m tests.docs.test_reproducibility` writes those of commands that show no output yet.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from typer.testing import CliRunner

from pathdsl.cli.main import app
from tests.docs.test_readme import ROOT, matches

PAGE = ROOT / "docs" / "reproducibility.md"
FENCE = re.compile(r"^```(console|text replace=)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def repository(folder: Path) -> None:
    """A repository whose only commit has the project's hypotheses."""
    shutil.copytree(ROOT / "hypotheses", folder / "hypotheses")
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "First")):
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def replay(text: str, folder: Path) -> list[tuple[str, str, str]]:
    """Do what the page says; (command, what it shows, what was printed) for each command."""
    repository(folder)
    shown = []
    for kind, name, body in (fence.groups() for fence in FENCE.finditer(text)):
        if kind == "console":
            command, _, output = body.partition("\n")
            words = command.removeprefix("$ pathdsl ").split()
            with contextlib.chdir(folder):
                environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
                done = CliRunner().invoke(app, words, env=environment)
            assert done.exit_code in (0, 1), done.output
            shown.append((command, output, done.stdout))
            continue
        path = folder / name
        start = re.escape(" ".join(body.split()[:2]))
        now, n_lines = re.subn(rf"^{start}.*\n", body, path.read_text("utf-8"), flags=re.MULTILINE)
        assert n_lines == 1, body
        path.write_text(now, encoding="utf-8")
    return shown


def test_transcripts(tmp_path: Path) -> None:
    shown = replay(PAGE.read_text(encoding="utf-8"), tmp_path)
    assert len(shown) == 4
    for command, wanted, found in shown:
        lines = [line.rstrip() for line in found.strip().splitlines()]
        # On another machine than the lock's the surroundings are a warning, which the page has not.
        lines = [part for part in without_surroundings(lines)]
        if command.startswith("$ pathdsl lock"):
            assert wanted.partition(": ")[2] == f"{lines[0].partition(': ')[2]}\n"
            continue
        wanted_lines = [line.partition("as locked, ")[0] for line in wanted.rstrip().splitlines()]
        found_lines = [line.partition("as locked, ")[0] for line in lines]
        assert wanted and matches(wanted_lines, found_lines), f"{command}\n{found}"


def without_surroundings(lines: list[str]) -> list[str]:
    """The lines without the warning PD660 and the empty line behind it."""
    kept, inside = [], False
    for line in lines:
        inside = (inside and bool(line)) or line.startswith("warning[PD660]")
        if not inside:
            kept.append(line)
    return kept


def test_the_page_names_every_code_of_locks() -> None:
    from pathdsl.lang.rules.pd6_locks import LOCK_PAGES

    text = PAGE.read_text(encoding="utf-8")
    assert [page.code for page in LOCK_PAGES if page.code not in text] == []


if __name__ == "__main__":
    document = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        for asked, shown_now, printed in replay(document, Path(temporary)):
            if not shown_now:
                text = "\n".join(line.rstrip() for line in printed.strip().splitlines())
                document = document.replace(f"{asked}\n```", f"{asked}\n{text}\n```", 1)
    PAGE.write_text(document, encoding="utf-8")
