"""`pathdsl data`: rows as JSONL, prompts with positions under their tokens, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl import tasks
from tests.cli.run import pathdsl

FILE = """circuit two "Two tasks" {
  language = 1
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 20, seed: 3)
  reference = prompt
  treated   = prompt_abc
}

task abba = ioi where order == "abba"

task right = ioi where ok(reference) == 1

metric ok = top1(io)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "two.circuit").write_text(FILE, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(
        '{"prompt": [0, 5, 9, 5], "positions": {"A": 1}, "answer": 9}\n'
        '{"prompt": [0, 5, 9, 5], "positions": {"A": 8}, "answer": 9}\n',
        encoding="utf-8",
    )
    return tmp_path


def test_a_call_gives_its_rows(folder: Path) -> None:
    for call in (
        "ioi(take: 5, seed: 2)",
        'facts(take: 5, relation: "sport")',
        "induction(take: 5)",
    ):
        done = pathdsl("data", call, cwd=folder)
        assert done.returncode == 0 and done.stderr == ""
        (folder / "again.jsonl").write_text(done.stdout, encoding="utf-8")
        again = pathdsl("data", 'jsonl("again.jsonl")', cwd=folder)
        assert again.stdout == done.stdout and len(done.stdout.splitlines()) == 5
    assert (
        json.loads(pathdsl("data", "ioi", cwd=folder).stdout.splitlines()[0])
        == (tasks.get("ioi").rows(take=1)[0])
    )


def test_a_task_gives_its_rows(folder: Path) -> None:
    rows = [
        json.loads(line)
        for line in pathdsl("data", "two.circuit:abba", cwd=folder).stdout.splitlines()
    ]
    assert {row["order"] for row in rows} == {"abba"} and 0 < len(rows) < 20
    done = pathdsl("data", "two.circuit:right", "--set", "take=7", cwd=folder)
    assert len(done.stdout.splitlines()) == 7
    assert done.stderr == (
        "`where ok(reference) == 1` is decided by runs of the model, which are not made here: of "
        "these 7 rows the task has those that `pathdsl check` keeps\n"
    )


def test_prompts_are_shown_as_tokens(folder: Path) -> None:
    done = pathdsl(
        "data", "two.circuit:ioi", "--show", "1", "--columns", "prompt,prompt_swap", cwd=folder
    )
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "mini_ioi-3-both-test-00000" and lines[-1].endswith("19 more rows")
    tokens, names = lines[3], lines[4]
    row = tasks.get("mini_ioi").rows(take=1, seed=3)[0]
    for name, (start, end) in row["spans"].items():
        assert tokens[names.index(name) :].startswith(f"·{row['prompt'][start:end]}")
    assert "prompt_abc" not in done.stdout


def test_words_stand_for_tokens_where_there_is_no_model(folder: Path) -> None:
    call = "greater_than(take: 2)"
    done = pathdsl("data", call, "--show", "9", cwd=folder)
    row = tasks.get("greater_than").rows(take=1)[0]
    names = next(line for line in done.stdout.splitlines() if "NOUN" in line)
    shown = done.stdout.splitlines()[done.stdout.splitlines().index(names) - 1]
    assert shown[names.index("YY") :].startswith(f"{row['year']:02d} ")
    assert "cut into words" in done.stdout
    with_model = pathdsl("data", "ioi(take: 2)", "--show", "1", "--model", "ioi-mini", cwd=folder)
    assert with_model.returncode == 0 and "cut into words" not in with_model.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ioi(take: 2"], "is no call of a data source"),
        (["ioi(take: 2)\n} task x { data = ioi(take: 1)"], "is no call of a data source"),
        (["iou(take: 2)"], "did you mean `ioi`?"),
        (["ioi(take: 0)"], "wanted at least 1"),
        (["facts(take: 361)"], "`take: 360`"),
        (["facts"], ""),
        (["mini_iio"], "did you mean `mini_ioi`"),
        (["rows.jsonl"], """'jsonl("rows.jsonl")'"""),
        (["gone.circuit:ioi"], "no file `gone.circuit`"),
        (["two.circuit"], "its tasks are `ioi`, `abba`, `right`"),
        (["two.circuit:aba"], "did you mean `abba`?"),
        (['jsonl("gone.jsonl")'], "no file `gone.jsonl`"),
        (['jsonl("../rows.jsonl")'], "leads out of"),
        (['jsonl("rows.jsonl")', "--show", "2"], "position `A` is 8"),
        (["ioi(take: 2)", "--columns", "prompt"], "is for `--show N`"),
        (["ioi(take: 2)", "--show", "1", "--columns", "promt"], "did you mean `prompt`"),
        (["ioi(take: 2)", "--model", "ioi-mini", "--model", "balance"], "one model"),
        (["docstring(take: 2)", "--model", "ioi-mini"], "PD375"),
        ([" : "], "wanted a call"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], said: str, folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    for name in ("two.circuit", "rows.jsonl"):
        (inner / name).write_text((folder / name).read_text(encoding="utf-8"), encoding="utf-8")
    done = pathdsl("data", *arguments, cwd=inner)
    if not said:
        assert done.returncode == 0
        return
    assert done.returncode == 2 and said in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
