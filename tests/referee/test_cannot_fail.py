"""Claims that cannot fail are not supported in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode

MINI = """
circuit c { language = 1 }
model mini = bundled("ioi-mini")
task ioi {
  data = mini_ioi(take: 32, seed: 0)
  reference = prompt
  treated = prompt_abc
  positions = [IO, S1, S2]
}
metric LD: logits = logit(io) - logit(s)
"""


def checked(folder: Path, *lines: str, head: str = MINI) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return check_file(str(path), CheckOptions())


# -------------------------------------------------------------------------------------------------
# Nothing is there
# -------------------------------------------------------------------------------------------------

IN_LAST_LAYER = "at 95% confidence by holm()"
NOWHERE = {
    "treated": "effect(through(h)) ~= 0 within 0.1",
    "taken away": "mean(LD(keep(full - through(h))) - LD(reference)) ~= 0 within 0.1",
    "taken away, in brackets": "faithfulness((full - (through(h)))) >= 90%",
    "taken away from the scope": "effect(full, scope: full - through(h)) <= 100",
    "from all but it": "mean(LD(treat(full - through(h))) - LD(treated)) ~= 0 within 0.1",
}


@pytest.mark.parametrize("claim", NOWHERE.values(), ids=NOWHERE)
@pytest.mark.parametrize("members", ["{a3@IO}", "{m3.n[0..1]@IO}", "windows({a3@IO}, 2)"])
def test_members_that_no_path_reaches(tmp_path: Path, claim: str, members: str) -> None:
    outcome = checked(tmp_path, f"claim e for h in {members}: {claim} {IN_LAST_LAYER}")
    assert outcome.exit_code is ExitCode.WRONG_INPUT
    (fault,) = [d for d in outcome.diagnostics if d.code == "PD223"]
    assert "with h = " in fault.notes[-1] and fault.help.startswith("take")


@pytest.mark.parametrize(
    "lines",
    [
        ["claim e: faithfulness(full - through(a3.h0@IO)) >= 90%"],
        ["path rest = full - through(a3.h0@IO)", "claim e: faithfulness(rest) >= 90%"],
        ["path gone = through(a3.h0@IO)", "path rest = full - gone",
         "claim e: faithfulness(rest) >= 90%"],
        ["let f for h in {a3@IO} = faithfulness(full - through(h))", "claim e: f[a3.h0] >= 90%"],
    ],
)  # fmt: skip
def test_what_is_taken_away_is_there(tmp_path: Path, lines: list[str]) -> None:
    outcome = checked(tmp_path, *lines)
    told = [d.message for d in outcome.diagnostics if d.code == "PD223"]
    assert told == ["what is taken away holds no path on any prompt of task `ioi`"]


def test_what_is_there_is_taken_away(tmp_path: Path) -> None:
    lines = ["path rest = full - through(a3.h0@END)", "claim e: faithfulness(rest) >= 90%"]
    assert not [d for d in checked(tmp_path, *lines).diagnostics if d.code in ("PD223", "PD224")]
