"""`pathdsl robustness`: exit codes, formats, written cells, the figure, and refusals."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pathdsl.cli.main import app
from tests.cli.run import INDUCTION, LIBRARY

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATHDSL_CACHE", str(tmp_path / "store"))
    monkeypatch.setenv("NO_COLOR", "1")
    Path("case.circuit").write_text(INDUCTION, encoding="utf-8")
    return "case.circuit"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["robustness", *arguments])


def test_no_flip_ends_with_0(file: str) -> None:
    done = run(file, "--only", "control", "--grid", "average", "--grid", "positions=off")
    assert done.exit_code == 0, done.output
    assert "positions = off" in done.stdout and "FLIPPED" not in done.stdout
    assert "worst case: " in done.stdout and "the same verdict" in done.stdout
    assert "1 claim: 1 with one verdict in every cell judged" in done.stdout


def test_a_flip_ends_with_1_and_is_drawn(file: str) -> None:
    done = run(
        file, "--grid", "treated=resample(prompt_other)", "--grid", "metric=top1",
        "--only", "sufficient", "--format", "json", "--figure", "out.svg", "--write", "cells/deep",
    )  # fmt: skip
    found = json.loads(done.stdout)
    claim = found["claims"][0]
    flipped = [cell for cell in claim["cells"] if cell["flipped"]]
    assert done.exit_code == found["exit_code"] == (1 if flipped else 0)
    assert claim["flips"] == len(flipped) >= 1
    assert claim["worst"] in [cell["cell"] for cell in flipped]
    assert [c["changes"] for c in found["cells"]] == [
        {"treated": "resample(prompt_other)"}, {"metric": "top1"}
    ]  # fmt: skip

    drawn = ElementTree.parse("out.svg").getroot()
    texts = [text.text or "" for text in drawn.iter(f"{SVG}text")]
    assert {"as written", "treated = resample(prompt_other)", "metric = top1"} <= set(texts)
    assert sum(", flipped" in text for text in texts) == len(flipped)
    assert any(text.startswith("threshold; ") for text in texts)  # the legend
    assert any(text.endswith(", worst") for text in texts)
    width = float(drawn.attrib["width"])
    lines: dict[str, list[tuple[float, float]]] = {}  # where each text begins and ends, by line
    for text in drawn.iter(f"{SVG}text"):
        x, wide = float(text.attrib["x"]), 6.8 * len(text.text or "")
        begin = x - wide if "text-anchor" in text.attrib else x
        lines.setdefault(text.attrib["y"], []).append((begin, begin + wide))
    for ends in lines.values():
        ends.sort()
        assert ends[-1][1] < width
        assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))
    for mark in drawn.iter(f"{SVG}circle"):
        assert 0 < float(mark.attrib["cx"]) < width

    written = sorted(path.name for path in Path("cells/deep").iterdir())
    assert written == [
        "000-as-written.circuit", "001-treated-resample-prompt-other.circuit",
        "002-metric-top1.circuit",
    ]  # fmt: skip
    again = CliRunner().invoke(app, ["check", f"cells/deep/{written[1]}", "--format", "json"])
    alone = json.loads(again.stdout)["files"][0]["claims"][0]
    assert alone["estimate"] == claim["cells"][0]["estimate"]
    assert alone["verdict"] == claim["cells"][0]["verdict"]


def test_a_plan_runs_nothing(file: str) -> None:
    done = run(file, "--plan", "--grid", "treated", "--grid", "positions", "--full")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == 9  # as written, 2 x 4 - 1 cells, the sum
    assert all("forward passes" in one for one in lines)
    assert "positions = off, treated = zero" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grid", "colour"], "the choices are reading"),
        (["--grid", "metric=loss"], "beside the file's own are"),
        (["--grid", "reading"], "nothing to change"),
        (["--full", "--max-cells", "3"], "more than 3"),
        (["--only", "sufficent"], "did you mean"),
        (["--only", "total"], "a claim has a verdict"),
        (["--figure", "out.png"], ".svg"),
    ],
)
def test_wrong_options_end_with_2(file: str, arguments: list[str], said: str) -> None:
    done = run(file, *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_nothing_judged_ends_with_2_and_says_why(file: str) -> None:
    done = run(file, "--grid", "treated=mean(nothing)", "--only", "sufficient")
    assert done.exit_code == 2, done.output
    assert "not judged" in done.stdout and "[PD301]" in done.stdout
    assert "1 judged in no cell" in done.stdout


def test_files_without_claims_and_broken_ones(file: str) -> None:
    Path("library.circuit").write_text(LIBRARY, encoding="utf-8")
    assert run("library.circuit").exit_code == 5
    Path("broken.circuit").write_text(INDUCTION.replace("within(", "within("[:-1]), "utf-8")
    done = run("broken.circuit")
    assert done.exit_code == 2 and "PD0" in done.stderr
    assert run("absent.circuit").exit_code == 2
