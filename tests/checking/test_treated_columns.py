"""A treated value of a run or an action is of a column that the rows have, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.checking.options import CheckOptions
from pathdsl.checking.planned import plan_file
from pathdsl.errors import PathdslError

FILE = """\
circuit x { language = 1 }
model toy = bundled("induction-2l")
task t { data = jsonl("t.jsonl"); reference = prompt; treated = other }
task u { data = jsonl("u.jsonl"); reference = prompt; treated = prompt_b }
metric L: nats = logprob(answer)
"""
ROW = '{"id": "%s", "prompt": [0, %s, 9, 5], "%s": [0, 6, 8, 6], "answer": 9}\n'


def told(tmp_path: Path, line: str) -> dict[str, str]:
    for name, column in (("t", "other"), ("u", "prompt_b")):
        (tmp_path / f"{name}.jsonl").write_text(ROW % (1, 5, column) + ROW % (2, 7, column))
    file = tmp_path / "x.circuit"
    file.write_text(FILE + line + "\n")
    try:
        plan_file(str(file), CheckOptions())
    except PathdslError as error:
        return {d.code: f"{d.message} | {d.help}" for d in error.diagnostics}
    return {}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("let a: nats = mean(L(treat(through(a1.h0), treated: othr), task: t))", "PD301"),
        ("let a: nats = mean(L(treat(through(a1.h0), treated: mean(othr)), task: t))", "PD301"),
        ("let a: nats = effect(through(a1.h0), task: t, treated: othr)", "PD301"),
        ("let a: nats = effect(through(a1.h0), task: t, treated: prompt_b)", "PD301"),
        ("let a for k in [t, u]: nats = effect(through(a1.h0), task: k, treated: other)", "PD301"),
        ("let a: nats = effect(through(a1.h0), task: t, treated: u)", "PD309"),
        ("let a: nats = effect(through(a1.h0), task: t, treated: toy)", "PD309"),
        (
            "intervene z { set a1 = mean(nix) }\nlet a: nats = mean(L(reference with z, task: t))",
            "PD328",
        ),
        ("let a: nats = effect(through(a1.h0), task: u, treated: mean(prompt_b))", ""),
    ],
)
def test_a_value_of_a_column_that_is_not_there(line: str, code: str, tmp_path: Path) -> None:
    found = told(tmp_path, line)
    assert set(found) == ({code} if code else set()), found
    assert all(text.partition(" | ")[2] for text in found.values())


def test_a_column_that_no_row_has_is_told_once(tmp_path: Path) -> None:
    found = told(
        tmp_path, "metric M: nats = logprob(wrong)\nlet a: nats = mean(M(reference, task: t))"
    )
    assert found["PD328"].startswith(("task `t`: no row has a column", "task `u`: no row has"))
    assert "metric NAME on TASK" in found["PD328"]


def test_a_row_may_be_moved_by_what_its_own_value_lacks(tmp_path: Path) -> None:
    moved = "mean(other, by: id, at: END) - mean(prompt, by: id, at: END)"
    runs = "let a: nats = mean(L(reference with z, task: t))"
    assert told(tmp_path, f"intervene z {{ add r1@END = {moved} }}\n{runs}") == {}
    own = told(tmp_path, f"intervene z {{ set r1@END = mean(prompt, by: id, at: END) }}\n{runs}")
    assert "PD358" in own


def test_the_token_behind_the_prompt_is_of_the_answer(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(ROW % (1, 5, "other") + ROW % (2, 7, "other"))
    task = (
        'task t { data = jsonl("t.jsonl"); reference = prompt; treated = other; answers = whole }'
    )
    head = FILE.partition("task")[0] + task + "\nmetric L: nats = logprob(answer)\n"
    file = tmp_path / "x.circuit"
    file.write_text(head + "let a: nats = effect(through(a1@END+1))\n")
    with pytest.raises(PathdslError) as raised:
        plan_file(str(file), CheckOptions())
    assert {d.code for d in raised.value.diagnostics} == {"PD336"}
    assert "`ANSWER`" in raised.value.diagnostics[0].help
