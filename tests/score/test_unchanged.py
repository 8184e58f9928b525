"""Treated values that are the reference's own: refused on all rows, counted on some."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine.data.treated import moved_places, unchanged_rows, vet_treated
from pathdsl.errors import ExitCode, Severity
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.treated import TreatedSpec
from pathdsl.report.data.result import file_object
from pathdsl.report.text.check import report
from pathdsl.report.text.style import View
from tests.engine.data_cases import build

TWICE = [2, 3, 4]


def rows(*prompts: list[int], **columns: list[object]) -> list[dict[str, object]]:
    return [
        {"prompt": ids, **{name: values[i] for name, values in columns.items()}}
        for i, ids in enumerate(prompts)
    ]


@pytest.mark.parametrize(
    ("treated", "unchanged"),
    [
        (TreatedSpec(kind="paired", column="other"), [True, False, False, False]),
        (TreatedSpec(kind="paired", column="prompt"), [True] * 4),
        (TreatedSpec(kind="mean", column="prompt"), [False] * 4),
        # Alone in its group, and a group of equal prompts; a group of different ones.
        (TreatedSpec(kind="mean", column="prompt", by="g"), [False, False, False, True]),
        (TreatedSpec(kind="mean", column="prompt", by="same"), [True, False, True, False]),
        # The mean of one other prompt is that prompt, not the reference.
        (TreatedSpec(kind="mean", column="other", by="id_"), [True, False, False, False]),
        (TreatedSpec(kind="resample", column="prompt", by="same"), [True, False, True, False]),
        (TreatedSpec(kind="noise", at=(Pos(name="END"),), scale=0.0), [True] * 4),
        (TreatedSpec(kind="noise", at=(Pos(name="END"),), scale=1.0), [False] * 4),
        (TreatedSpec(kind="zero"), [False] * 4),
    ],
    ids=str,
)
def test_rows_without_a_treated_value_of_their_own(
    treated: TreatedSpec, unchanged: list[bool]
) -> None:
    table = rows(
        TWICE, [2, 3, 5], TWICE, [2, 3, 6],
        other=[TWICE, [5, 5, 5], [6, 6, 6], [7, 7, 7]],
        g=["x", "x", "x", "y"], same=["x", "y", "x", "y"], id_=["1", "2", "3", "4"],
    )  # fmt: skip
    task = build(table, treated=[TreatedSpec(kind="paired", column="other")])
    assert unchanged_rows(task, treated).tolist() == unchanged
    found = [(one.code, one.severity) for one in vet_treated(task, treated).all]
    if all(unchanged):
        assert found == [("PD358", Severity.ERROR)]
    elif any(unchanged):
        assert {code for code, _ in found} & {"PD340", "PD341"}
        assert {severity for _, severity in found} == {Severity.WARNING}


def test_all_rows_alone_in_their_group_are_an_error() -> None:
    task = build(rows([2, 3], [4, 3], g=["a", "b"]))
    (found,) = vet_treated(task, TreatedSpec(kind="mean", column="prompt", by="g")).all
    assert found.code == "PD358"
    assert "on all 2 rows: no other of its `g` and length is there" in found.message


def test_rows_whose_treated_prompt_is_the_reference_are_told_once() -> None:
    task = build(
        rows(*[[2, i] for i in range(20)], other=[[2, min(i, 15)] for i in range(20)]),
        treated=[spec := TreatedSpec(kind="paired", column="other")],
    )
    (found,) = vet_treated(task, spec).all
    assert "on row `0` and on 15 others `other` equals `prompt`" in found.message
    assert found.notes == ("16 of 20 rows; reports count them beside n",)


def test_places_that_treating_moves() -> None:
    task = build(
        rows([2, 3, 4], [2, 3], other=[[2, 9, 4], [5, 3]]),
        treated=[spec := TreatedSpec(kind="paired", column="other")],
    )
    moved = moved_places(task, spec)
    assert moved is not None
    assert moved.tolist() == [[False, True, False], [True, False, False]]
    assert moved_places(task, TreatedSpec(kind="mean", column="prompt")) is None
    noise = moved_places(task, TreatedSpec(kind="noise", at=(Pos(name="END"),), scale=2.0))
    assert noise is not None
    assert np.argwhere(noise).tolist() == [[0, 2], [1, 1]]


# ------------------------------------------------------------------------------- end to end

NAMES = [" Mary", " John", " Sarah", " Paul"]
FILE = """circuit c "c" {{ language = 1 }}
model mini = bundled("ioi-mini")
task t {{
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = {treated}
}}
metric LD: logits = logit(io) - logit(s)
path early = input@[3] ~> logits
path late = input@END ~> logits
let lost: logits = mean(LD(reference) - LD(treat(through(a3.h1@END))))
let right: logits = mean(LD(reference))
claim small: mean(LD(reference) - LD(treat({paths}))) ~= 0 within 0.1 at 95% confidence
"""


PLACES = ["park", "zoo", "museum", "bakery"]


def prompt(a: str, b: str, place: str) -> str:
    return f"Then,{a} and{b} went to the {place}.{b} gave a book to"


def check(
    folder: Path, treated: str, alone: int, paths: str = "through(a3.h1@END)", keeping: int = 0
) -> FileOutcome:
    """40 rows, of which the first `alone` are alone in their group, or treated with themselves.

    The treated prompts of the first `keeping` begin with the reference's name.
    """
    lines = []
    for i in range(40):
        a, b = NAMES[i % 4], NAMES[(i + 1 + i // 4 % 3) % 4]
        c, d = (n for n in NAMES if n not in (a, b))
        place = PLACES[i // 12]
        same = prompt(a, b, place)
        other = same if i < alone else prompt(a if i < keeping else c, d, place)
        row = {"prompt": same, "other": other, "io": a, "s": b}
        lines.append(json.dumps({**row, "grp": f"g{i}" if i < alone else "x"}) + "\n")
    (folder / "rows.jsonl").write_text("".join(lines))
    path = folder / "null.circuit"
    path.write_text(FILE.format(treated=treated, paths=paths))
    return check_file(str(path), CheckOptions())


@pytest.mark.parametrize(
    "treated", ["mean(prompt, by: grp)", "other", "noise(at: [END], scale: 0)"]
)
def test_a_null_treatment_supports_nothing(treated: str, tmp_path: Path) -> None:
    outcome = check(tmp_path, treated, alone=40)
    assert outcome.exit_code is ExitCode.WRONG_INPUT
    assert [d.code for d in outcome.diagnostics if d.severity is Severity.ERROR] == ["PD358"]


@pytest.mark.parametrize(
    ("treated", "code"), [("mean(prompt, by: grp)", "PD341"), ("other", "PD340")]
)
def test_rows_with_nothing_to_treat_stand_beside_n(treated: str, code: str, tmp_path: Path) -> None:
    outcome = check(tmp_path, treated, alone=30)
    assert code in [d.code for d in outcome.diagnostics]
    assert outcome.judgement is not None
    (claim,) = outcome.judgement.claims
    assert (claim.n, claim.unchanged) == (40, 30)
    text = " ".join(report(outcome, View()).split())
    assert "n = 40, 30 with nothing to treat, 95% confidence" in text
    found = file_object(outcome)
    assert found["claims"][0]["unchanged"] == 30
    assert [(q["name"], q["unchanged"]) for q in found["quantities"]] == [
        ("lost", 30),
        ("right", 0),
    ]


def test_paths_of_a_run_with_a_treated_value_of_its_own_are_left_alone(tmp_path: Path) -> None:
    outcome = check(tmp_path, "other", alone=0, paths="late, treated: mean(prompt)")
    assert outcome.judgement is not None
    assert "PD518" not in [d.code for d in outcome.diagnostics]


@pytest.mark.parametrize(("paths", "told"), [("late", 40), ("early", 4), ("full", 0)])
def test_paths_that_begin_at_equal_tokens_are_told(paths: str, told: int, tmp_path: Path) -> None:
    """Both prompts end in the same token, and begin with one name on four rows."""
    outcome = check(tmp_path, "other", alone=0, paths=paths, keeping=4)
    found = [d.message for d in outcome.diagnostics if d.code == "PD518"]
    assert [f"`{paths}` begins" in one and f"on {told} of 40 " in one for one in found] == (
        [True] * (told > 0)
    )
    assert outcome.judgement is not None
    (claim,) = outcome.judgement.claims
    assert claim.estimate is not None
    assert (abs(claim.estimate) < 1e-5) == (told == 40)
