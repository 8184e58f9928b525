"""`report --index`: a folder of files by their locks, of every state that a lock can be in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl.cli import main as cli
from tests.docs.test_readme import ROOT

Capture = pytest.CaptureFixture[str]
QUICKSTART = ROOT / "hypotheses" / "quickstart"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    top = tmp_path / "all"
    (top / "in").mkdir(parents=True)
    text = (QUICKSTART / "induction.circuit").read_text()
    lock = (QUICKSTART / "induction.circuit.lock").read_text()
    for name in ("good", "other", "damaged", "none"):
        (top / f"{name}.circuit").write_text(text)
        (top / f"{name}.circuit.lock").write_text(lock)
    (top / "other.circuit").write_text(text.replace(">= 99%", ">= 98%"))
    (top / "damaged.circuit.lock").write_text("{")
    (top / "none.circuit.lock").unlink()
    (top / "faulty.circuit").write_text("path p = (\n")
    (top / "lib.circuit").write_text("group g = { a0.h0 }\n")
    title = 'circuit x "A | b <i>" { language = 1; cite = "arXiv:2211.00593v1" }\n'
    (top / "in" / "a b.circuit").write_text(title + 'model m = bundled("ioi-mini")\n')
    return top


def run(*arguments: str) -> int:
    return cli._run(["report", *arguments], False)


def rows(text: str) -> dict[str, str]:
    """The last cell of each file's row."""
    lines = [line for line in text.splitlines() if line.startswith("| [")]
    return {line[3 : line.index("](")]: line.split(" | ")[-1].rstrip(" |") for line in lines}


def test_every_state_of_a_lock(folder: Path, capsys: Capture) -> None:
    assert run("--index", "all") == 0
    told = capsys.readouterr().out
    assert rows(told) == {
        "good.circuit": "4 supported; 1 refuted as expected ([lock](good.circuit.lock))",
        "other.circuit": "its lock is of another text (4 claims)",
        "damaged.circuit": "its lock cannot be read (4 claims)",
        "none.circuit": "not judged here (4 claims)",
        "faulty.circuit": "not judged: the file has faults",
        "lib.circuit": "no claim: it is there to be used",
        "a b.circuit": "not judged here",
    }
    assert "7 files, of which 1 is judged." in told
    assert "[a b.circuit](in/a%20b.circuit) | A \\| b &lt;i&gt;" in told
    assert "[arXiv:2211.00593v1](https://arxiv.org/abs/2211.00593)" in told


def test_what_came_out_otherwise_than_expected_is_said(folder: Path, capsys: Capture) -> None:
    lock = json.loads((folder / "good.circuit.lock").read_text())
    lock["claims"]["sufficient"]["verdict"] = "inconclusive"
    lock["claims"]["necessary"]["verdict"] = "refuted"
    lock["claims"]["control"]["verdict"] = "supported"
    (folder / "good.circuit.lock").write_text(json.dumps(lock))
    assert run("--index", "all") == 0
    assert rows(capsys.readouterr().out)["good.circuit"].startswith(
        "3 supported, 1 not expected; 1 refuted, not expected; 1 inconclusive ("
    )


def test_links_are_from_where_the_index_lies(folder: Path, capsys: Capture) -> None:
    (folder / "deep").mkdir()
    assert run("--index", "all", "-o", "all/deep/x.md") == 0
    told = capsys.readouterr()
    assert "all/deep/x.md: 7 files" in told.err and told.out == ""
    text = (folder / "deep" / "x.md").read_text()
    assert "](../good.circuit)" in text and "](../in/a%20b.circuit)" in text
    assert "`pathdsl report --index all -o all/deep/x.md`" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--index", "all/good.circuit"], "lists the files of a folder"),
        (["--index", "empty"], "no `.circuit` file in `empty`"),
        (["--index", "all", "--to", "html"], "takes no `--to`"),
        (["--index", "all", "--only", "x"], "takes no `--only`"),
        (["--index", "all", "empty"], "takes one folder, and `empty` is another"),
    ],
)
def test_wrong_command_lines(
    arguments: list[str], said: str, folder: Path, capsys: Capture
) -> None:
    Path("empty").mkdir()
    assert run(*arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
