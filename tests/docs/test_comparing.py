"""The transcripts of docs/comparing.md, and the index of the project's hypotheses.

`python -m tests.docs.test_comparing` writes the transcripts of commands that show no output yet.
"""

from __future__ import annotations

from pathlib import Path

from tests.cli.run import pathdsl
from tests.docs.test_readme import ROOT, matches, replay

PAGE = ROOT / "docs" / "comparing.md"
INDEX = ("report", "--index", "hypotheses", "-o", "hypotheses/README.md")


def test_transcripts(tmp_path: Path) -> None:
    shown = replay(PAGE.read_text(encoding="utf-8"), tmp_path)
    assert len(shown) == 3
    for command, wanted, found in shown:
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert wanted and matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"


def test_the_index_of_the_hypotheses_is_of_today(tmp_path: Path) -> None:
    """Stale: `pathdsl report --index hypotheses -o hypotheses/README.md`, and commit it."""
    (tmp_path / "hypotheses").symlink_to(ROOT / "hypotheses")
    found = pathdsl(*INDEX[:3], cwd=tmp_path)
    there = (ROOT / "hypotheses" / "README.md").read_text(encoding="utf-8")
    assert found.returncode == 0
    assert there == found.stdout.replace(" ".join(INDEX[:3]), " ".join(INDEX))


if __name__ == "__main__":
    import tempfile

    document = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for command, wanted, found in replay(document, Path(folder)):
            if not wanted:
                document = document.replace(
                    f"{command}\n```", f"{command}\n{found.strip()}\n```", 1
                )
    PAGE.write_text(document, encoding="utf-8")
