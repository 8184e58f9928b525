"""Files and results that misled a reader, or were told off wrongly, when a stranger tried."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode
from pathdsl.report.data.families import families_of
from pathdsl.report.data.hashed import result_hash
from pathdsl.report.data.read import ChangedResult, read_result
from pathdsl.report.data.result import check_object, file_object
from pathdsl.report.formats import write
from pathdsl.report.text.check import report
from pathdsl.report.text.style import View
from tests.referee.test_cannot_fail import MINI, checked, told

MAIN = "path main = through(a3.h1@END, a3.h2@END)"
AT = "at 95% confidence"


def text_of(outcome: FileOutcome) -> str:
    return " ".join(report(outcome, View()).split())


# -------------------------------------------------------------------------------------------------
# Loops that say one thing many times
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        [f"claim each for h in {{a0@S2}}: effect(main) <= -1 {AT} by holm()"],
        ["let found for h in {a0@S2}: logits = effect(main)",
         f"claim each for h in {{a0@S2}}: found[h] <= -1 {AT} by holm()"],
    ],
)  # fmt: skip
def test_a_loop_without_its_variable(tmp_path: Path, lines: list[str]) -> None:
    """Four heads "supported" by what is said of other ones."""
    outcome = checked(tmp_path, MAIN, *lines)
    assert told(outcome, "PD104") == ["the loop variable `h` is never used"]


def test_a_loop_with_its_variable(tmp_path: Path) -> None:
    lines = [
        "let found for h in {a3@END}: logits = effect(through(h))",
        f"claim each for k1 in {{a3.h1@END, a3.h2@END}}: found[k1] <= -1 {AT} by holm()",
        "let pairs for w in windows({a3@END}, 2): logits = effect(w -> logits)",
    ]
    assert not told(checked(tmp_path, *lines), "PD104")


@pytest.mark.parametrize(("correction", "counted"), [("", 3), (" by holm()", 1)])
def test_members_count_to_families_of_files(tmp_path: Path, correction: str, counted: int) -> None:
    """An uncorrected loop did not count to the chances of a folder."""
    heads = "{a3.h1@END, a3.h2@END, a3.h3@END}"
    claim = f"claim each for h in {heads}: effect(through(h)) <= -1 {AT}{correction}"
    outcome = checked(tmp_path, claim)
    file = file_object(outcome)
    assert [bool(one["about"]) for one in file["claims"]].count(True) == counted
    families = families_of([file, file | {"path": "another"}])
    assert [one["count"] for one in families] == ([6] if counted == 3 else [])


# -------------------------------------------------------------------------------------------------
# Names that say another thing than what is measured
# -------------------------------------------------------------------------------------------------


def test_a_claim_through_lets_says_what_it_measures(tmp_path: Path) -> None:
    """A faithfulness of 75%, times 3 over 2 in a chain of lets: `faithful: 1.12, wanted >= 1`."""
    outcome = checked(
        tmp_path, MAIN, "let a1x = faithfulness(main)", "let b1x = a1x * 3",
        "let whole = b1x / 2", f"claim faithful: whole >= 100% {AT}",
    )  # fmt: skip
    claimed = "whole >= 100% where whole = b1x / 2, b1x = a1x * 3, a1x = faithfulness(main)"
    assert f"claimed: {claimed}" in text_of(outcome)
    result = check_object([file_object(outcome)], outcome.exit_code)
    assert claimed in " ".join(write(result, "text", referee=True).split())


def test_a_count_says_what_was_counted(tmp_path: Path) -> None:
    """An overlap of 1.000 with a published circuit, divided by the smaller one."""
    claim = "overlap(main, through(a3.h1@END), as: of_second) >= 50%"
    assert f"claimed: {claim}" in text_of(checked(tmp_path, MAIN, f"claim agree: {claim}"))


def test_text_says_what_metrics_are(tmp_path: Path) -> None:
    lines = [
        "metric difference: logits = abs(logit(io) - logit(s))",
        MAIN, f"claim some: mean(difference(keep(main))) >= 1 {AT}",
    ]  # fmt: skip
    text = text_of(checked(tmp_path, *lines))
    assert "difference: logits = abs(logit(io) - logit(s))" in text.split("metrics:")[1]


# -------------------------------------------------------------------------------------------------
# Numbers that agree
# -------------------------------------------------------------------------------------------------

PARTS = ('task a = ioi where order == "abba"', 'task b = ioi where order == "baba"')
ALIKE = f"claim alike: faithfulness(main, task: a) - faithfulness(main, task: b) ~= 0 within 1 {AT}"


def test_two_numbers_that_agree_are_no_fault(tmp_path: Path) -> None:
    """Of none and of all paths both are 0 and both are 1; of most sets they differ."""
    alone = told(checked(tmp_path, MAIN, *PARTS, ALIKE), "PD525")
    assert alone == ["`alike` is satisfied by no path at all in the place of `main`, too"]
    does = f"claim does: faithfulness(main, task: ioi) >= 50% {AT}"
    assert not told(checked(tmp_path, MAIN, *PARTS, ALIKE, does), "PD525")


def test_one_number_twice_is_a_fault(tmp_path: Path) -> None:
    lines = [
        MAIN,
        "metric twice: logits = 2 * logit(io) - 2 * logit(s)",
        f"claim does: faithfulness(main, metric: LD) >= 50% {AT}",
        "claim alike: faithfulness(main, metric: LD) - faithfulness(main, metric: twice) "
        f"~= 0 within 1 {AT}",
    ]
    (message,) = told(checked(tmp_path, *lines), "PD525")
    assert message.startswith("`alike` cannot fail")


# -------------------------------------------------------------------------------------------------
# Results that were edited, with the hash made anew
# -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a claim that any set satisfies, at a low confidence."""
    claim = "claim weak: accuracy(keep(main), answer: io) >= 0.1% at 50% confidence"
    treated = MINI.replace("prompt_abc", "prompt_names_exchanged")
    outcome = checked(tmp_path_factory.mktemp("edited"), MAIN, claim, head=treated)
    assert {"PD524", "PD525"} <= {one.code for one in outcome.diagnostics}
    result = json.loads(json.dumps(check_object([file_object(outcome)], ExitCode.AS_EXPECTED)))
    assert read_result(json.dumps(result))
    return dict(result)


def without(code: str) -> Callable[[dict[str, Any]], None]:
    def edit(file: dict[str, Any]) -> None:
        file["diagnostics"] = [one for one in file["diagnostics"] if one["code"] != code]

    return edit


def sized(**sizes: int | None) -> Callable[[dict[str, Any]], None]:
    return lambda file: file["path_sets"][0].update(sizes)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without("PD524"), "no warning is there (PD524)"),
        (without("PD525"), "no warning is there (PD525)"),
        (sized(nodes=30), "`nodes`: 30 of 20"),
        (sized(edges=1000), "`edges`: 1,000 of 479"),
        (sized(of_edges=None), "are known and some are not"),
        (lambda file: file["tasks"][0].update(distinct=99), "`distinct`: 99 of 32 prompts"),
        (lambda file: file["tasks"][0].update(rows=5), "`prompts`: 32 of 5 rows"),
    ],
)
def test_an_edited_result_is_refused(
    printed: dict[str, Any], edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    result = copy.deepcopy(printed)
    file = result["files"][0]
    edit(file)
    file["result_sha256"] = result_hash(file)
    with pytest.raises(ChangedResult) as found:
        read_result(json.dumps(result))
    assert said in str(found.value)


def test_a_result_of_an_earlier_version_has_no_such_warning(printed: dict[str, Any]) -> None:
    result = copy.deepcopy(printed)
    file = result["files"][0]
    del file["result_sha256"], file["claims"][0]["instead"]
    file["diagnostics"] = []
    assert read_result(json.dumps(result))
