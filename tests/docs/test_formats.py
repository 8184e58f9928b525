"""docs/formats.md: its table is that of the records, and its examples are imported.

`python -m tests.docs.test_formats` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pathdsl.graph.formats.records import CARRIED, FORMATS
from tests.cli.run import pathdsl

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```\w+ file=(\S+)\n(.*?)```", TEXT, re.DOTALL)
HEAD, RULE = "| format | of | ends in |", "|---|---|---|"


def table() -> str:
    """The rows as they have to be."""
    rows = []
    for one in FORMATS:
        cells = [f"`{one.name}`", one.title, f"`{one.ending}`"]
        cells += ["yes" if carried in one.carries else "" for carried in CARRIED]
        named = not one.tensors and "edges" in one.carries  # by a `.circuit` file
        cells += ["yes" if named else "", "yes" if one.writes else ""]
        rows.append("| " + " | ".join(cells) + " |\n")
    return "".join(rows)


def test_the_page_has_every_format() -> None:
    assert table() in TEXT
    (head,) = [line for line in TEXT.splitlines() if line.startswith(HEAD)]
    assert [cell.strip() for cell in head.strip("|").split("|")[3:-2]] == list(CARRIED)


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_every_example_is_imported(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    words = ("--rows", "mini_ioi(take: 4)", "--treated", "prompt_abc", "--answer", "io")
    done = pathdsl("import", name, "--model", "bundled:ioi-mini", *words, "--wrong", "s",
                   "-o", "x.circuit", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = pathdsl("lint", "x.circuit", cwd=tmp_path)
    assert done.returncode == 0 and "warning" not in done.stdout, done.stdout


def test_there_is_an_example_of_every_format_that_is_text() -> None:
    assert len(EXAMPLES) == sum(not one.tensors for one in FORMATS) - 1  # `graph` shows node-link


if __name__ == "__main__":
    before, _, rest = TEXT.partition(HEAD)
    head, _, rest = rest.partition("\n")
    rule, _, rest = rest.partition("\n")
    while rest.startswith("|"):
        rest = rest.partition("\n")[2]
    PAGE.write_text(f"{before}{HEAD}{head}\n{rule}\n{table()}{rest}", encoding="utf-8")
