"""The page for a referee: what it answers, that it fits a screen, and that it comes from the JSON.

The file here misled a reader who had verdicts alone: a sweep of sixteen heads of which one is
claimed, a control of another measure, a metric and a path set that no claim is about, prompts that
were chosen by what the model gets right.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import pathdsl
from pathdsl.cli import main as cli
from pathdsl.errors import ExitCode
from pathdsl.lang.method.controls import controls_of
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.sample import HEAD as SAMPLE
from pathdsl.report.content.file import FileContent
from pathdsl.report.content.referee import RefereeContent
from pathdsl.report.data.read import NotAResult, read_result
from pathdsl.report.formats import write
from pathdsl.report.numbers import share_text
from pathdsl.report.text.referee import referee
from pathdsl.report.text.style import View
from tests.report.pages import BAD, TEX, hostile, made_up, sealed

Capture = pytest.CaptureFixture[str]
SCREEN = 46

FILE = """circuit chosen "Two heads carry the name" { language = 1; hypothesis = movers }

model mini = bundled("ioi-mini")

task rows { data = mini_ioi(take: 60, seed: 0); reference = prompt; treated = prompt_abc }
task ioi = rows where order == "abba"
task spare { data = mini_ioi(take: 20, seed: 7); reference = prompt; treated = prompt_abc }

group suppressor = { a3.h1, a3.h2 }
path movers = input ~> suppressor ~> logits
path other  = input ~> a2.h1 ~> logits
path unused = input ~> a2.h2 ~> logits

metric LD: logits = logit(io) - logit(s)
metric P: prob = prob(io)

let sweep for h in attn: logits = mean(LD(reference, task: ioi) - LD(treat(through(h)), task: ioi))
let kept = faithfulness(movers, metric: LD, task: ioi)
let elsewhere = faithfulness(other, metric: P, task: ioi)

claim enough: kept >= 20% at 95% confidence
claim one:    mean(LD(reference, task: ioi) - LD(treat(through(a3.h1)), task: ioi)) > 1 at 51% confidence
claim each for h in suppressor:
  mean(LD(reference, task: ioi) - LD(treat(through(h)), task: ioi)) > 1 at 95% confidence by holm()
claim control:
  faithfulness(random_like(movers), metric: P, task: ioi) >= 20% at 95% confidence expect refuted
"""  # noqa: E501


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `check --format json` prints of the file, held to its schema."""
    path = tmp_path_factory.mktemp("page") / "chosen.circuit"
    path.write_text(FILE)
    made = pathdsl.check(path)
    assert made.claims, [fault.message for fault in made.diagnostics]
    return dict(read_result(json.dumps(made.to_dict())))


def page_of(file: dict[str, Any]) -> RefereeContent:
    return FileContent(file, checked=True).referee


def answers(file: dict[str, Any]) -> dict[str, str]:
    """Everything that each section says, by its title."""
    return {
        section.title.split(" of bundled")[0]: "\n".join(
            f"{p.name}: {p.verdict}, {p.text} · {' · '.join(p.more)}" for p in section.points
        )
        + section.rest
        for section in page_of(file).sections
    }


def test_the_page_answers_what_a_referee_asks(printed) -> None:
    said = answers(printed["files"][0])
    claims = dict(line.split(": ", 1) for line in said["What is claimed"].splitlines())
    assert "kept >= 20% where kept = faithfulness(movers, metric: LD" in claims["enough"]
    assert "of edges · n = " in claims["enough"] and " no control" in claims["enough"]
    assert "at 51%" in claims["one"]
    assert "2 supported, weakest a3.h" in claims["each"] and "none 0 of 2" in claims["each"]
    assert "counts for no claim: `control` measures of a set" in said["Against which controls"]
    assert "none for enough, one, each" in said["Against which controls"]
    prompts = said["On which prompts"]
    assert (
        "from mini_ioi(take: 60, seed: 0)" in prompts and "30 of 60 rows, where order ==" in prompts
    )
    assert "rows sha256" in prompts and "unseen: an effect" in prompts
    assert "treated: prompt_abc" in prompts and "spare" not in prompts
    assert "5 claims decided" in said["How many chances"]
    assert "2 corrected for their number (each); 3 uncorrected" in said["How many chances"]
    warned = said["Warnings of the check"]
    assert "PD501" in warned and warned.count("PD") == len(
        {fault["code"] for fault in printed["files"][0]["diagnostics"]}
    )


def test_what_was_tried_and_not_claimed_is_listed(printed) -> None:
    file = printed["files"][0]
    said = answers(file)["Tried and not claimed"]
    assert "quantities sweep (14 of 16), elsewhere" in said and "kept" not in said
    assert "path sets other, unused (not measured either)" in said
    assert "tasks spare (not measured either)" in said
    assert "metrics" not in said, "a control is a claim about it"
    claimed = {one["name"]: one["claimed"] for one in file["quantities"]}
    assert claimed["kept"] and claimed["sweep[a3.h1]"] and not claimed["sweep[a0.h0]"]


def test_controls_stand_beside_each_claim(printed) -> None:
    file = printed["files"][0]
    found = {one["name"]: (one["controls"], one["no_control"]) for one in file["claims"]}
    assert found["enough"] == ([], None) and found["each[a3.h1]"] == ([], None)
    assert found["control"][0] is None and found["control"][1].startswith("`control` measures")


CONTROLS = {
    "claim a: faithfulness(main, metric: LD) >= 85% at 95% confidence\n"
    "claim b: faithfulness(random_like(main), metric: LD) >= 85% at 95% confidence expect refuted\n"
    "claim c: mean(LD(keep(main))) > 1 at 95% confidence": {"a": ("b",), "c": ()},
    "claim a: faithfulness(main, metric: LD) >= 85% at 95% confidence\n"
    "claim b: faithfulness(main, metric: LD) > faithfulness(random_like(main), metric: LD) "
    "at 95% confidence": {"a": ("b",), "b": ("b",)},
    "claim a: chance(faithfulness(main, metric: LD), draws: 20) <= 5%": {"a": ("a",)},
    "claim a: faithfulness(main, metric: LD) >= 85% at 95% confidence expect refuted": {},
}


@pytest.mark.parametrize("claims", CONTROLS)
def test_a_control_is_one_of_a_claim(claims: str) -> None:
    program, faults = load_program(
        "x.circuit", f"{SAMPLE}path main = a0.h1 -> a2.h0 -> logits\n{claims}\n"
    )
    assert faults == [], [fault.message for fault in faults]
    assert controls_of(program).of == CONTROLS[claims]


# ------------------------------------------------------------------------------- layouts


def plain(text: str) -> str:
    for mark in ("\\allowbreak{}", "\\penalty5000", "<wbr>", "{}", "\\"):
        text = text.replace(mark, "")
    for mark, letter in (("&gt;", ">"), ("&lt;", "<"), ("&#64;", "@"), ("textgreater", ">")):
        text = text.replace(mark, letter)
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["text", "html", "md", "tex"])
def test_every_layout_says_the_same(printed, name: str) -> None:
    text = plain(write(printed, name, checked=True, referee=True))
    for section in page_of(printed["files"][0]).sections:
        for point in section.points:
            number = point.text.split(" at ")[0].split(",")[0]
            assert plain(number) in text, (name, point)
    if name != "text":
        whole = plain(write(printed, name, checked=True))
        assert "Tried and not claimed" in whole and "Tried and not claimed" in text
        assert len(text) < len(whole)


def test_numbers_are_those_of_the_report(printed) -> None:
    content = FileContent(printed["files"][0], checked=True)
    claims = {point.name: point for point in content.referee.sections[0].points}
    for claim in content.claims:
        if claim.name in claims:
            assert claims[claim.name].text.startswith(f"{claim.numbers} {claim.asked}, ")


def test_the_page_is_one_screen(printed) -> None:
    text = write(printed, "text", checked=True, referee=True)
    assert len(text.splitlines()) <= SCREEN and max(map(len, text.splitlines())) <= 100
    many = deepcopy(printed)
    file = many["files"][0]
    for i in range(300):
        more = deepcopy(file["claims"][i % 2])
        file["claims"].append(more | {"name": f"{'long_' * 30}{i}", "controls": []})
        file["quantities"].append(file["quantities"][-1] | {"name": f"again_{i}"})
        file["tasks"].append(file["tasks"][1] | {"name": f"task_{i}"})
    file["claims"][299] |= {"verdict": "refuted", "as_expected": False}
    text = referee(many, True)
    assert len(text.splitlines()) <= SCREEN and max(map(len, text.splitlines())) <= 100
    first = page_of(file).sections[0].points[0]
    assert first.verdict == "refuted NOT as expected", "the most telling one comes first"
    assert "more claims: " in text and "more tasks" in text
    assert all(len(line) <= 60 for line in referee(printed, True, View(width=60)).splitlines())


def test_no_name_hides_a_number(printed) -> None:
    found = deepcopy(printed)
    found["files"][0]["claims"][0]["name"] = "x" * 300
    number = FileContent(printed["files"][0], checked=True).claims[0].numbers
    assert number in " ".join(referee(found, True).split())


# ------------------------------------------------------------------------------- from JSON alone

NEW = ("controls", "no_control", "about", "instead", "path_sets")


def old(result: dict[str, Any]) -> dict[str, Any]:
    """The result as versions wrote it that knew none of the page's own keys."""
    found = deepcopy(result)
    for file in found["files"]:
        for key in ("not_claimed", "path_sets", "weights", "lock_file", "formulas"):
            file.pop(key, None)
        for claim in file["claims"]:
            for key in NEW:
                claim.pop(key, None)
        for quantity in file["quantities"]:
            quantity.pop("claimed", None)
        for task in file.get("tasks", ()):
            for key in ("distinct", "near_copies", "data", "sha256", "rows", "where", "taken"):
                task.pop(key, None)
        file.pop("result_sha256", None)
    return found


def test_an_old_result_says_what_is_not_known(printed) -> None:
    found = old(printed)
    read_result(json.dumps(found))
    text = " ".join(write(found, "text", referee=True).split())
    for what in ("weights not known", "distinct ones not counted", "from mini_ioi(take: 60"):
        assert what in text
    assert text.count("not known: the result is of an earlier version") == 3
    assert "no control" not in text and "nothing: every" not in text
    assert "laid out from JSON, not checked" in text and "wanted >= 0.2" in text
    older = made_up()
    older["files"][0].pop("tasks", None)
    assert "On which prompts: not known" in write(older, "text", referee=True)
    older = made_up()
    older["files"][0]["methodology"].clear()
    text = " ".join(write(older, "text", referee=True).split())
    assert "unseen: not known" in text


def test_everything_said_comes_from_the_object(printed) -> None:
    """Equal objects give equal pages, whatever lies on the disk; every key that counts is read."""
    again = json.loads(json.dumps(printed))
    assert write(again, "text", referee=True) == write(printed, "text", referee=True)

    def changed(change: Callable[[dict[str, Any]], object]) -> str:
        found = deepcopy(printed)
        change(found["files"][0])
        return " ".join(write(found, "text", referee=True).split())

    assert "11 distinct of" in changed(lambda f: f["tasks"][1].update(distinct=11))
    assert "3 of them one token" in changed(lambda f: f["tasks"][1].update(near_copies=3))
    number = FileContent(printed["files"][0], checked=True).claims[4].estimate
    assert f"control {number}" in changed(lambda f: f["claims"][0].update(controls=[4]))
    assert "compared with random sets itself" in changed(
        lambda f: f["claims"][0].update(controls=[0])
    )
    assert "nothing: every quantity" in changed(
        lambda f: f.update(not_claimed=[], quantities=f["quantities"][-2:-1])
    )
    assert "not the published scope: take = 5" in changed(
        lambda f: f.update(replaced={"take": "5"})
    )
    part = {"field": "template", "value": "x", "n": 3, "estimate": 0.0, "interval": None}
    assert "does not hold in 1 of 1 parts by template" in changed(
        lambda f: f["claims"][0].update(parts=[part | {"satisfied": False}])
    )


def test_a_control_that_is_not_there_is_refused(printed) -> None:
    found = deepcopy(printed)
    found["files"][0]["claims"][0]["controls"] = [99]
    with pytest.raises(NotAResult, match="control that is not there"):
        read_result(json.dumps(sealed(found)))


@pytest.mark.parametrize("bad", [BAD, TEX], ids=["html", "tex"])
def test_a_stranger_s_texts_stay_texts(bad: str) -> None:
    result = hostile(bad)
    html = write(result, "html", referee=True)
    assert "<img" not in html.lower() and html.count("<script>") == 1
    tex = write(result, "tex", referee=True)
    typeset = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    assert r"\input{secret}" not in typeset and r"\write18" not in typeset
    assert write(result, "md", referee=True) and write(result, "text", referee=True)


def test_a_file_with_faults_has_a_short_page(tmp_path: Path) -> None:
    path = tmp_path / "wrong.circuit"
    path.write_text(FILE.replace("a2.h1", "a9.h1"))
    result = pathdsl.check(path)
    text = result.referee()
    assert "the file was not checked" in text and "PD205" in text and "claimed" not in text


# ------------------------------------------------------------------------------- command line


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


def test_the_command_prints_the_section_alone(
    printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("result.json").write_text(json.dumps(printed))
    code = int(printed["exit_code"])
    assert run("report", "result.json", "--referee") == code
    text = capsys.readouterr().out
    assert text == write(printed, "text", referee=True) and "laid out from JSON" in text
    for name in ("md", "html", "tex"):
        assert run("report", "result.json", "--referee", "--to", name, "-o", "out") == code
        assert Path("out").read_text() == write(printed, name, referee=True)
    capsys.readouterr()
    assert run("report", "result.json", "--to", "text") == ExitCode.WRONG_INPUT
    assert "--referee" in " ".join(capsys.readouterr().err.split())


def test_shares_are_all_or_nothing_only_where_they_are() -> None:
    assert share_text([(0, 5)]) == "0%" and share_text([(5, 5)]) == "100%"
    assert share_text([(1, 10**6)]) == "under 0.1%" and share_text([(999, 1000)]) == "99.9%"
    assert share_text([(9999, 10000)]) == "99.9%" and share_text([(3, 4), (1, 4)]) == "25% to 75%"
