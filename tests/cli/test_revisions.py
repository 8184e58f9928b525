"""`pathdsl check --revisions` as a user types it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.run import pathdsl

TEXT = """circuit first "Names <b>& colors</b>" { language = 1 }
model m = bundled("reuse-mini")
task names { data = mini_ioi(take: 40, seed: 0); reference = prompt; treated = prompt_abc }
let right = accuracy(reference, answer: io)
claim late: emerges(accuracy(reference, answer: io) >= 80%) <= 900 at 95% confidence "words"
claim any_time: accuracy(reference, answer: io) >= 0.1% at 95% confidence
"""
SERIES = "reuse-mini-step-300,reuse-mini-step-600,reuse-mini-step-700,reuse-mini-step-900"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("revisions")
    (place / "first.circuit").write_text(TEXT)
    return place


def check(folder: Path, *more: str):  # type: ignore[no-untyped-def]
    return pathdsl("check", "first.circuit", *more, cwd=folder, PATHDSL_CACHE=str(folder / "store"))


def test_text_json_figure_and_page(folder: Path) -> None:
    told = check(folder, "--revisions", SERIES, "--figure", "first.svg")
    assert told.returncode == 2, told.stderr  # step 600 is a hole, and `any_time` does not hold
    assert "reuse-mini-step-600` (step 600) is not judged: [PD613]" in told.stdout
    assert "SUPPORTED  late  wanted emerges(>= 0.8) <= 900" in told.stdout
    assert '"words"' in told.stdout and "3 of 4 revisions judged" in told.stdout
    drawn = ElementTree.fromstring((folder / "first.svg").read_text())
    assert drawn.tag.endswith("svg")
    page = check(folder, "--revisions", SERIES, "--figure", "first.html", "-q")
    text = (folder / "first.html").read_text()
    assert "<svg" in text and "&lt;b&gt;" in text and "<b>&" not in text and "<script" not in text
    assert "-o" not in page.stdout  # no curves
    found = json.loads(check(folder, "--revisions", SERIES, "--format", "json").stdout)
    assert [one["step"] for one in found["revisions"]] == [300, 600, 700, 900]
    assert [one["judged"] for one in found["revisions"]] == [True, False, True, True]
    assert len({str(one["weights"]) for one in found["revisions"] if one["judged"]}) == 3
    (late,) = found["emerges"]
    assert (late["lower"], late["upper"], late["verdict"]) == (900, 900, "supported")
    assert [one["verdict"] for one in late["steps"]] == ["refuted", None, "refuted", "supported"]
    (any_time,) = found["claims"]
    assert [one["verdict"] for one in any_time["steps"]][1] is None
    (right,) = found["quantities"]
    assert right["steps"][1]["estimate"] is None and right["steps"][3]["estimate"] > 0.9
    assert found["exit_code"] == 2 and found["prepared"] == 1
    again = json.loads(check(folder, "--revisions", SERIES, "--format", "json").stdout)
    assert again == found


def test_exit_codes(folder: Path) -> None:
    two = "reuse-mini-step-700,reuse-mini-step-900"
    assert check(folder, "--revisions", two, "--only", "late").returncode == 0
    assert check(folder, "--revisions", "reuse-mini-step-900,reuse-mini:2000").returncode == 0
    text = TEXT.replace("<= 900", "<= 700")
    (folder / "other.circuit").write_text(text)
    done = pathdsl("check", "other.circuit", "--revisions", two, cwd=folder)
    assert done.returncode == 1 and "REFUTED  late" in done.stdout


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--locked",), "no `--locked`: a lock is of one model"),
        (("--watch",), "no `--watch`"),
        (("--values", "v.csv"), "no `--values`"),
        (("--both-norms",), "no `--both-norms`"),
        (("--format", "sarif"), "no `--format sarif`: text, json"),
        (("--figure", "a.png"), "a `--figure` in .svg or .html"),
        (("first.circuit",), "takes one file"),
        (("--only", "nothing"), "no claim or quantity `nothing`"),
    ],
)
def test_what_goes_not_together(folder: Path, more: tuple[str, ...], told: str) -> None:
    done = check(folder, "--revisions", SERIES, *more)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", "").split())


def test_without_revisions(folder: Path) -> None:
    done = check(folder)
    assert done.returncode == 2 and "PD438" in done.stdout
    assert "pathdsl check first.circuit --revisions step0..step143000:1000" in done.stdout
    assert check(folder, "--only", "right").returncode == 0
    assert check(folder, "--figure", "a.svg").returncode == 2
    locked = pathdsl("lock", "first.circuit", cwd=folder)
    assert locked.returncode == 2 and "PD438" in locked.stdout + locked.stderr
    assert not (folder / "first.circuit.lock").exists()
    robust = pathdsl("robustness", "first.circuit", "--only", "late", cwd=folder)
    assert robust.returncode == 2 and "PD438" in robust.stdout + robust.stderr
    planned = pathdsl("plan", "first.circuit", cwd=folder)
    assert planned.returncode == 0
    explained = pathdsl("explain", "first.circuit:late", cwd=folder)
    assert "emerges(accuracy(reference, answer: io) >= 80%) <= 900" in explained.stdout


def test_faults_of_the_file_are_told_once(folder: Path) -> None:
    (folder / "wrong.circuit").write_text(TEXT.replace("answer: io", "answer: of"))
    done = pathdsl("check", "wrong.circuit", "--revisions", SERIES, cwd=folder)
    assert done.returncode == 2 and (done.stdout + done.stderr).count("error[") <= 3
    (folder / "lib.circuit").write_text("group g = { a0.h0 }\n")
    done = pathdsl("check", "lib.circuit", "--revisions", SERIES, cwd=folder)
    assert done.returncode == 5
    done = pathdsl("check", "gone.circuit", "--revisions", SERIES, cwd=folder)
    assert done.returncode == 2
