"""docs/coming-from: its scripts and files are those of benchmarks/coming_from, its tables what was
measured there, and what `pathdsl` computes is computed again.

`python -m tests.docs.test_coming_from FILE.json` puts the tables of a new measurement in.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.coming_from import __main__ as measuring
from benchmarks.coming_from.__main__ import DRAWN, HERE, PAGES, markdown, numbers, ours, rows_of
from tests.cli.run import pathdsl
from tests.docs.test_readme import FENCE, ROOT, matches

FOLDER = ROOT / "docs" / "coming-from"
KEPT = ROOT / "benchmarks" / "results" / "2026-11-30-coming-from.json"
MEASURED = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
COMMAND = re.compile(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
FILE = re.compile(r"^```(?:circuit|json) file=(\S+)\n((?:.*\n)*?)```$", re.MULTILINE)


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the rows that the index makes."""
    found = tmp_path_factory.mktemp("from")
    assert f"pathdsl data '{DRAWN}'" in page("index")
    rows = rows_of(pathdsl("data", DRAWN, cwd=found).stdout)
    assert rows.count("\n") == 50
    (found / "rows.jsonl").write_text(rows, encoding="utf-8")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_scripts_and_files_are_those_that_were_measured(name: str) -> None:
    text, of = page(name), PAGES[name]
    (script,) = [fence[3] for fence in FENCE.finditer(text) if fence[1] == "python"]
    assert script == (HERE / of.script).read_text(encoding="utf-8")
    ((file, circuit),) = FILE.findall(text)
    assert (file, circuit) == (of.circuit, (HERE / file).read_text(encoding="utf-8"))
    assert MEASURED[name]["repeat"] >= 3 and markdown(MEASURED[name], of.title) in text
    assert f"python -m benchmarks.coming_from {name} --in {name}=PYTHON" in text


@pytest.mark.parametrize("name", PAGES)
def test_what_the_files_compute(name: str, folder: Path) -> None:
    of = PAGES[name]
    (folder / of.circuit).write_text((HERE / of.circuit).read_text("utf-8"), encoding="utf-8")
    done = pathdsl("check", of.circuit, "--format", "json", "--no-cache", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = ours(done.stdout)
    for key, (theirs, mine) in MEASURED[name]["numbers"].items():
        assert found[key] == pytest.approx(mine, abs=1e-5)
        assert found[key] == pytest.approx(theirs, abs=2e-5)


@pytest.mark.parametrize("name", ["nnsight", "pyvene", "eap-ig"])
def test_transcripts(name: str, folder: Path) -> None:
    text = page(name)
    files = dict(FILE.findall(text))
    shown = COMMAND.findall(text)
    assert shown
    for command, wanted in shown:
        for file in {*files} & {*shlex.split(command)}:
            (folder / file).write_text(files[file], encoding="utf-8")
        done = pathdsl(*shlex.split(command)[1:], cwd=folder, NO_COLOR="1", COLUMNS="100",
                       PATHDSL_CACHE=str(folder / "store"))  # fmt: skip
        lines = [line.rstrip() for line in done.stdout.strip().splitlines()]
        assert matches(wanted.rstrip().splitlines(), lines), f"{done.stdout}{done.stderr}"


def test_links_lead_somewhere() -> None:
    pages = sorted(FOLDER.glob("*.md"))
    assert {path.stem for path in pages} == {"index", "eap-ig", *PAGES}
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            assert "://" in link or (path.parent / link).exists(), f"{path.name}: {link}"
        assert path.stem == "index" or f"({path.name})" in page("index")


def test_a_script_prints_a_number_by_name() -> None:
    assert numbers("loading a model\nhead[a0.h0@END] -1.5\nnothing\nedge 2e-3\n") == {
        "head[a0.h0@END]": -1.5, "edge": 2e-3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lens"], "no library `lens`"),
        (["--in", "lens=python"], "--in LIBRARY=PYTHON"),
        (["--in", "pyvene"], "--in LIBRARY=PYTHON"),
        (["--repeat", "0"], "--repeat is at least 1"),
    ],
)
def test_wrong_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measuring.main(words)
    assert said in capsys.readouterr().err


def test_a_library_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    measuring.main(["pyvene", "--in", f"pyvene={sys.executable}"])
    assert "pyvene: skipped, not installed" in capsys.readouterr().out


if __name__ == "__main__":
    measured = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name, row in measured.items():
        title, text = PAGES[name].title, page(name)
        start, end = f"| | {title} | pathdsl |", "`pathdsl check` again | "
        before, _, rest = text.partition(start)
        rest = rest.partition(end)[2].partition("\n")[2]
        (FOLDER / f"{name}.md").write_text(before + markdown(row, title) + rest, encoding="utf-8")
    KEPT.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
