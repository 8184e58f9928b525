"""`pathdsl report`: from a file, from a result, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pathdsl.cli import main as cli
from tests.cli.run import BROKEN, INDUCTION
from tests.report.pages import made_up

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATHDSL_CACHE", str(tmp_path / "store"))
    (tmp_path / "x.circuit").write_text(INDUCTION)
    (tmp_path / "result.json").write_text(json.dumps(made_up()))
    return tmp_path


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


def test_a_file_and_its_result_give_one_page(folder: Path, capsys: Capture) -> None:
    code = run("check", "x.circuit", "--format", "json", "--set", "take=20", "-q")
    (folder / "x.json").write_text(capsys.readouterr().out)
    assert run("report", "x.json", "--to", "md") == code
    first = capsys.readouterr().out
    assert run("report", "x.circuit", "--to", "md", "--set", "take=20") == code
    second = capsys.readouterr().out
    apart = ("**Laid out from JSON, not checked.**", ", laid out from JSON, not checked")
    assert all(text in first and text not in second for text in apart)
    first = first.replace(f"{apart[0]}\n\n", "").replace(apart[1], "")
    kept = [[line for line in t.splitlines() if " runs, " not in line and "store" not in line]
            for t in (first, second)]  # fmt: skip
    assert kept[0] == kept[1] and "Not the published scope: take = 20" in first
    found = json.loads((folder / "x.json").read_text())["files"][0]
    assert [node["name"] for node in found["drawing"]["nodes"]] == ["a0.h1@FIRST_B", "a1.h2@END"]
    edges = {(e["from"], e["to"], *e["slots"]) for e in found["drawing"]["edges"]}
    assert (0, 1, "k", "v") in edges, "a head is read by keys and values at a later position"
    assert not {e for e in edges if e[:2] == (0, -2)}, "logits are read at END alone"
    assert found["title"] == "Two heads copy what came after the last time"
    assert {t["name"] for t in found["tasks"] if t["read"]} == {"t"}
    worst = {(w["task"], w["index"]) for c in found["claims"] for w in c["worst"]}
    assert worst == {(p["task"], p["index"]) for p in found["prompts"]} != set()
    assert all(len(p["tokens"]) == 16 for p in found["prompts"])


@pytest.mark.parametrize("kind", ["html", "tex", "md"])
def test_a_result_is_laid_out_and_exits_as_its_check(
    folder: Path, capsys: Capture, kind: str
) -> None:
    assert run("report", "result.json", "--to", kind, "-o", "out.txt") == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("out.txt: 5 claims: 1 supported")
    assert "0.932" in (folder / "out.txt").read_text()


def test_a_result_is_laid_out_without_torch(folder: Path) -> None:
    script = (
        "import sys\nfrom pathdsl.cli import main\n"
        "main._run(['report', 'result.json', '-o', 'out.html'], False)\n"
        "print(sorted({'torch', 'transformers', 'sympy', 'scipy', 'networkx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]" and (folder / "out.html").stat().st_size > 5_000


def test_a_broken_file_is_reported_with_its_faults(folder: Path, capsys: Capture) -> None:
    (folder / "broken.circuit").write_text(BROKEN)
    assert run("report", "broken.circuit", "--to", "md") == 2
    told = capsys.readouterr()
    assert "the file was not checked" in told.out and "error PD" in told.out
    assert "error[PD" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.json"], "cannot read `gone.json`"),
        (["bad.json"], "is not what `pathdsl check --format json` prints"),
        (["bytes.json"], "is not UTF-8 text"),
        (["result.json", "--set", "take=5"], "`--set` changes a check"),
        (["result.json", "--no-cache"], "`--no-cache` changes a check"),
        (["none"], "no `.circuit` file in `none`"),
        (["result.json", "--to", "pdf"], "pdf"),
        (["result.json", "-o", "no/such/folder.html"], "cannot write `no/such/folder.html`"),
    ],
)
def test_what_cannot_be_reported(
    folder: Path, capsys: Capture, arguments: list[str], said: str
) -> None:
    (folder / "bad.json").write_text('{"files": []}')
    (folder / "bytes.json").write_bytes(b"\xff\xfe")
    (folder / "none").mkdir()
    assert run("report", *arguments) == 2
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert said in told and "bug in pathdsl" not in told


def test_a_report_shows_the_lock_and_compares_with_it(folder: Path, capsys: Capture) -> None:
    assert run("report", "x.circuit", "--locked", "--to", "md") == 2, "there is none"
    assert "PD650" in capsys.readouterr().out
    assert run("lock", "x.circuit", "-q") == 0
    assert run("report", "x.circuit", "--to", "md") == 0
    assert "this check was not compared with it" in capsys.readouterr().out
    assert run("report", "x.circuit", "--locked", "--to", "md") == 0
    assert "as locked, bit for bit; nothing drifted" in capsys.readouterr().out
    assert run("report", "x.circuit", "--locked", "--set", "take=20", "-o", "x.html") == 1
    assert "drifted from its lock" in capsys.readouterr().err
    assert "task t: n: locked 40, found 20" in (folder / "x.html").read_text("utf-8")
    assert run("check", "x.circuit", "--locked", "--format", "json", "-q") == 0
    (folder / "locked.json").write_text(capsys.readouterr().out)
    assert run("report", "locked.json", "--to", "md") == 0
    assert "nothing drifted" in capsys.readouterr().out


def test_a_report_takes_the_options_of_a_check(folder: Path, capsys: Capture) -> None:
    assert run("report", "x.circuit", "--only", "control", "--threads", "1", "--to", "md") == 0
    told = capsys.readouterr().out
    assert "1 of 2 claims judged: 1 refuted as expected" in told and "threads: 1" in told
    assert run("report", "x.circuit", "--only", "contrl", "--to", "md") == 2
    assert "did you mean `control`" in capsys.readouterr().err
    assert run("report", "x.circuit", "--only", "control", "--locked") == 2
    for option in ("--locked", "--allow-inconclusive", "--only=control", "--threads=2"):
        assert run("report", "result.json", option) == 2
        assert "changes a check" in capsys.readouterr().err


def test_several_files_make_an_index_and_a_page_each(folder: Path, capsys: Capture) -> None:
    (folder / "all").mkdir()
    for name in ("one", "two"):
        text = INDUCTION.replace("circuit induction", f"circuit {name}")
        (folder / "all" / f"{name}.circuit").write_text(text)
    (folder / "all" / "broken.circuit").write_text(BROKEN)
    assert run("report", "all", "--only", "control", "-o", "site/") == 2, "the worst of them"
    told = capsys.readouterr()
    assert "site/index.html: 3 pages" in told.err and "error[PD" in told.err
    assert "site/: all/two.circuit: 1 of 2 claims judged" in told.err
    names = sorted(path.name for path in (folder / "site").iterdir())
    assert names == ["broken.html", "index.html", "one.html", "two.html"]
    index = (folder / "site" / "index.html").read_text("utf-8")
    assert "3 files, 2 claims: 2 refuted as expected" in index
    assert 'href="one.html"' in index and "the file was not checked" in index
    page = (folder / "site" / "one.html").read_text("utf-8")
    assert 'href="index.html"' in page and "two.circuit" not in page

    one, two = "all/one.circuit", "all/two.circuit"
    assert run("report", one, two, "--only", "control", "-o", "both.html") == 0
    both = (folder / "both.html").read_text("utf-8")
    assert 'href="#f2"' in both and both.count('<article class="file"') == 2
    capsys.readouterr()
    assert run("check", one, two, "--format", "json", "-q") == 0
    (folder / "both.json").write_text(printed := capsys.readouterr().out)
    for name, file in zip(("one", "two"), json.loads(printed)["files"], strict=True):
        alone = {"schema_version": 1, "files": [file], "exit_code": 0}
        (folder / f"{name}.json").write_text(json.dumps(alone))
    assert run("report", "one.json", "two.json", "-o", "a") == 0, "several: a name without suffix"
    assert run("report", "both.json", "-o", "b") == 0
    for name in ("index.html", "one.html", "two.html"):
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()
    assert run("report", "one.json", "-o", "c") == 0 and (folder / "c").is_file(), "one: as ever"
    for words, said in (
        (["one.json", one, "-o", "x.html"], "is a result and `all/one.circuit` is to be checked"),
        (["both.json", "--to", "md", "-o", "a"], "`--to md` writes one document"),
        (["both.json", "--referee", "-o", "a/"], "`--referee` writes one document"),
        (["both.json", "-o", "one.json/"], "no folder can be made there"),
    ):
        capsys.readouterr()
        assert run("report", *words) == 2
        assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
