"""The how-to pages: every file lints clean, every command prints what is there.

`python -m tests.docs.test_howto` writes what commands print now.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli.run import pathdsl
from tests.docs.test_readme import ROOT, matches

HOW_TO = ROOT / "docs" / "how-to"
PAGES = sorted(page for page in HOW_TO.glob("*.md") if page.name != "index.md")
FILE = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^```console\n\$ pathdsl ([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def printed(page: Path, folder: Path) -> list[tuple[str, str, str]]:
    """What a page's commands are said to print, and what they print."""
    text = page.read_text(encoding="utf-8")
    for name, content in FILE.findall(text):
        (folder / name).write_text(content, encoding="utf-8")
    found = []
    for command, wanted in COMMAND.findall(text):
        done = pathdsl(*command.split(), cwd=folder, NO_COLOR="1", COLUMNS="100")
        assert done.returncode == 0, done.stdout + done.stderr
        found.append((command, wanted, done.stdout))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    shown = printed(page, tmp_path)
    assert shown
    for command, wanted, found in shown:
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"
    (file,) = tmp_path.glob("*.circuit")
    told = pathdsl("lint", str(file), "--format", "concise", cwd=tmp_path).stdout
    faults = [line for line in told.splitlines() if "PD" in line]
    assert all("PD506" in line and page.stem == "causal-tracing" for line in faults)
    assert pathdsl("fmt", "--check", str(file), cwd=tmp_path).returncode == 0


def test_each_page_is_in_the_index() -> None:
    index = (HOW_TO / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z-]+)$", index.partition("{toctree}")[2], re.MULTILINE)
    assert sorted(listed) == [page.stem for page in PAGES]
    assert len(PAGES) == 10


if __name__ == "__main__":
    for page in PAGES if len(sys.argv) == 1 else map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            text = page.read_text(encoding="utf-8")
            for command, wanted, found in printed(page, Path(folder)):
                before, after = (
                    f"$ pathdsl {command}\n{wanted}```",
                    f"$ pathdsl {command}\n{found}```",
                )
                text = text.replace(before, after)
        page.write_text(text, encoding="utf-8")
