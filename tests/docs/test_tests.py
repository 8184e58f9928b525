"""docs/tests.md has the numbers of tests/seeds.py.

`python -m tests.docs.test_tests` writes them anew.
"""

from __future__ import annotations

import re

from tests.docs.test_readme import ROOT
from tests.seeds import CASES, SAMPLES

PAGE = ROOT / "docs" / "tests.md"
TABLE = re.compile(r"^\| family .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def table() -> str:
    lines = ["| family | what | default | `test-long` |", "|---|---|--:|--:|"]
    for name, cases in CASES.items():
        every = len(cases.default) + len(cases.more)
        lines.append(f"| `{name}` | {cases.what} | {len(cases.default)} | {every} |")
    for name, samples in SAMPLES.items():
        lines.append(f"| `{name}` | {samples.what} | {samples.default} | {samples.long} |")
    return "\n".join(lines)


def test_the_table_is_that_of_the_seeds() -> None:
    found = TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None and found[0].strip() == table()


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), encoding="utf-8")
