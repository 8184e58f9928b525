"""`--format junit|sarif|github` on the command line: one document for all files, same codes."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from pathdsl.cli import main as cli
from tests.cli.run import BROKEN, INDUCTION, LIBRARY
from tests.report.test_formats import SARIF, vet_junit

Capture = pytest.CaptureFixture[str]
REFUTED = "claim wrong: mean(LD(keep(none))) >= 1 at 95% confidence\n"
FILES = ("a.circuit", "b.circuit", "lib.circuit", "none.circuit")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.circuit").write_text(INDUCTION + REFUTED)
    (tmp_path / "b.circuit").write_text(BROKEN)
    (tmp_path / "lib.circuit").write_text(LIBRARY)


def run(capsys: Capture, *arguments: str) -> tuple[int, str]:
    code = cli._run(list(arguments), False)
    said = capsys.readouterr()
    assert said.err == ""
    return code, said.out


def test_junit_has_a_suite_for_each_file(capsys: Capture) -> None:
    code, told = run(capsys, "check", *FILES, "--format", "junit")
    root = vet_junit(told)
    assert code == 2 and [suite.attrib["name"] for suite in root] == list(FILES)
    wanted = {"a.circuit": "3 1 0", "b.circuit": "1 0 1", "lib.circuit": "0 0 0",
              "none.circuit": "1 0 1"}  # fmt: skip
    counts = ("tests", "failures", "errors")
    assert {s.attrib["name"]: " ".join(s.attrib[n] for n in counts) for s in root} == wanted
    assert float(root.attrib["time"]) > 0


def test_sarif_of_a_check(capsys: Capture) -> None:
    code, told = run(capsys, "check", "a.circuit", "b.circuit", "--format", "sarif")
    log = json.loads(told)
    Draft202012Validator(SARIF).validate(log)
    (done,) = log["runs"]
    assert code == 2 and done["invocations"][0]["exitCode"] == 2
    claims = [r for r in done["results"] if r["ruleId"] == "claim-refuted"]
    assert [r["properties"]["claim"] for r in claims] == ["wrong"]
    region = claims[0]["locations"][0]["physicalLocation"]["region"]
    line = (INDUCTION + REFUTED).splitlines()[region["startLine"] - 1]
    assert line[region["startColumn"] - 1 : region["endColumn"] - 1] == "wrong"


def test_github_of_a_check(capsys: Capture) -> None:
    code, told = run(capsys, "check", "a.circuit", "--format", "github")
    assert code == 1
    line = (INDUCTION + REFUTED).count("\n")
    first, last = told.splitlines()
    assert first.startswith(f"::error file=a.circuit,line={line},endLine={line},col=7,")
    assert "title=refuted%3A wrong::claim `wrong`: refuted, not as expected" in first
    assert last == "1 file, 3 claims: 1 claim not as expected"


def test_nothing_wrong_is_told_too(capsys: Capture) -> None:
    Path("a.circuit").write_text(INDUCTION)
    code, told = run(capsys, "check", "a.circuit", "--format", "github")
    assert (code, told) == (0, "1 file, 2 claims: all as expected\n")


@pytest.mark.parametrize("style", ["sarif", "github"])
def test_lint_annotates_too(style: str, capsys: Capture) -> None:
    code, told = run(capsys, "lint", "a.circuit", "b.circuit", "--format", style)
    assert code == 2
    if style == "github":
        first, last = told.splitlines()
        assert first.startswith(
            "::error file=b.circuit,line=1,endLine=1,col=18,endColumn=19,title=PD"
        )
        assert last == "2 files: 1 error"
        return
    log = json.loads(told)
    Draft202012Validator(SARIF).validate(log)
    assert [r["ruleId"] for r in log["runs"][0]["results"]] == ["PD003"]


def test_no_file_is_an_empty_document(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty").mkdir()
    assert cli._run(["check", "empty", "--format", "junit"], False) == 5
    assert ET.fromstring(capsys.readouterr().out).attrib["tests"] == "0"
