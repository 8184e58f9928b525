"""The example of docs/revisions.md runs, and prints what the page says.

`python -m tests.docs.test_revisions` writes the transcript where it shows no output yet.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.docs.test_readme import ROOT, matches, replay

PAGE = ROOT / "docs" / "revisions.md"


def test_transcripts(tmp_path: Path) -> None:
    shown = replay(PAGE.read_text(encoding="utf-8"), tmp_path)
    assert len(shown) == 1
    for command, wanted, found in shown:
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert wanted and matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"


if __name__ == "__main__":
    document = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for command, wanted, found in replay(document, Path(folder)):
            if not wanted:
                document = document.replace(
                    f"{command}\n```", f"{command}\n{found.strip()}\n```", 1
                )
    PAGE.write_text(document, encoding="utf-8")
