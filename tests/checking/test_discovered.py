"""A circuit is not judged on the rows that found it, however these rows come in."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.diff.compare import compare
from pathdsl.checking.discovered import check_discovered
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.planned import plan_file
from pathdsl.checking.prepare import prepare, vet_file
from pathdsl.discover.rows import _whole, read_record, record_of, record_text
from pathdsl.engine.load.source import parse_override
from pathdsl.errors import PathdslError, Severity
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.program import load_program
from pathdsl.tasks import get

FILE = """circuit found "A head" {{
  language   = 1
  discovered = "found.rows.json"
}}

model mini = bundled("ioi-mini")

task judging {task}

metric LD: logits = logit(io) - logit(s)

claim some: effect(through(a3.h1)) < 100 at 95% confidence
"""
TASK = '{ data = jsonl("rows.jsonl"); reference = prompt; treated = prompt_abc }'


def rows(first: int, last: int) -> list[dict[str, Any]]:
    """Rows of one draw: those from `first` to before `last`."""
    found: list[dict[str, Any]] = get("mini_ioi").rows(None, take=last, seed=0)[first:]
    return found


def write(path: Path, some: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the record of 12 rows, and the text that is judged on `rows.jsonl`."""
    write(tmp_path / "rows.jsonl", rows(0, 12))
    path = tmp_path / "found.circuit"
    path.write_text(FILE.format(task=TASK).replace('  discovered = "found.rows.json"\n', ""))
    ready = prepare(load_program(str(path))[0], CheckOptions())
    found = record_of(
        ready.planner.tasks["judging"], ready.planner.specs["judging"], ready.tokenizers["mini"],
        {"task": "judging"}, rows(0, 12),
    )  # fmt: skip
    (tmp_path / "found.rows.json").write_text(record_text(found), encoding="utf-8")
    path.write_text(FILE.format(task=TASK))
    return tmp_path


def codes(folder: Path, text: str | None = None, **options: Any) -> list[str]:
    """The codes of what is said of the rows before any weight is read."""
    path = folder / "found.circuit"
    if text is not None:
        path.write_text(text)
    try:
        plan_file(str(path), CheckOptions(**options))
    except PathdslError as error:
        return [one.code for one in error.diagnostics]
    return []


def judged(folder: Path, name: str = "found.circuit") -> FileOutcome:
    return check_file(str(folder / name), CheckOptions())


def test_other_rows_judge_it(folder: Path) -> None:
    write(folder / "rows.jsonl", rows(12, 24))
    outcome = judged(folder)
    assert outcome.judgement is not None
    assert outcome.methodology["discovered"] == "found on 12 other rows, by found.rows.json"


def test_the_rows_that_found_it_do_not(folder: Path) -> None:
    outcome = judged(folder)
    assert (outcome.judgement, int(outcome.exit_code)) == (None, 2)
    told = [one for one in outcome.diagnostics if one.code == "PD382"]
    assert "12 of the 12 rows of `judging`" in told[0].message


def test_one_of_them_among_others_is_named(folder: Path) -> None:
    again = {**rows(3, 4)[0], "id": "quite-new"}
    write(folder / "rows.jsonl", [*rows(12, 20), again])
    with pytest.raises(PathdslError, match=r"1 of the 9 rows of `judging` .*`quite-new`"):
        plan_file(str(folder / "found.circuit"), CheckOptions())


def _renamed(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "id": f"new-{i}"} for i, row in enumerate(some)]


def _shuffled(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return random.Random(0).sample(some, len(some))


def _twice(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*some, *_renamed(some)]


def _other_answers(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "io": row["s"], "s": row["io"]} for row in some]


def _turned(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    turned = [{**row, "prompt": row["prompt_abc"], "prompt_abc": row["prompt"]} for row in some]
    return [{key: value for key, value in row.items() if key != "spans"} for row in turned]


def _other_treated(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "prompt_abc": row["prompt_swap"]} for row in some]


@pytest.mark.parametrize(
    "change", [_renamed, _shuffled, _twice, _other_answers, _turned, _other_treated]
)
def test_changed_rows_do_not_slip_past(change: Any, folder: Path) -> None:
    write(folder / "rows.jsonl", change(rows(0, 12)))
    assert codes(folder) == ["PD382"]


@pytest.mark.parametrize(
    "task",
    [
        "{ data = mini_ioi(take: 12, seed: 0); reference = prompt; treated = prompt_abc }",
        '{ data = jsonl("rows.jsonl"); reference = prompt; treated = zero }',
        '{ data = jsonl("rows.jsonl"); reference = prompt; treated = mean(prompt_abc) }',
        '{ data = jsonl("rows.jsonl"); reference = prompt; treated = prompt_abc; bos = false }',
        '{ data = jsonl("other.jsonl"); reference = clean; treated = dirty }',
        '{ data = csv("other.csv"); reference = prompt; treated = prompt_abc }',
    ],
)
def test_other_ways_to_the_same_rows_do_not(task: str, folder: Path) -> None:
    some = rows(0, 12)
    write(
        folder / "other.jsonl",
        [
            {"clean": r["prompt"], "dirty": r["prompt_swap"], "io": r["io"], "s": r["s"]}
            for r in some
        ],
    )
    lines = ["prompt,prompt_abc,io,s"]
    lines += [",".join(f'"{r[k]}"' for k in ("prompt", "prompt_abc", "io", "s")) for r in some]
    (folder / "other.csv").write_text("\n".join(lines) + "\n")
    assert "PD382" in codes(folder, FILE.format(task=task))


@pytest.mark.parametrize(
    ("task", "held"),
    [
        ("reference = prompt_abc; treated = prompt_swap", True),
        ("reference = prompt_swap; treated = prompt_abc", True),
        ("reference = prompt_swap; treated = zero", True),
        ("reference = prompt_swap; treated = prompt_other", False),
    ],
)
def test_the_same_line_by_other_columns(task: str, held: bool, folder: Path) -> None:
    """A prompt of another line beside one of them is another row."""
    some = [
        {**row, "prompt_other": row["prompt_swap"].replace(" and ", " to ", 1)}
        for row in rows(0, 12)
    ]
    write(folder / "rows.jsonl", [{k: v for k, v in row.items() if k != "spans"} for row in some])
    text = FILE.format(task='{ data = jsonl("rows.jsonl"); ' + task + " }")
    assert codes(folder, text) == (["PD382"] if held else [])
    record = folder / "found.rows.json"
    old = json.loads(record.read_text())
    del old["lines"], old["sha256"]
    record.write_text(json.dumps(old | {"sha256": _whole(old)}))  # of a version without them
    assert codes(folder, text) == []
    assert read_record(record).lines == ()


def test_a_part_and_a_derived_task_do_not(folder: Path) -> None:
    text = FILE.format(task=TASK.replace("{ data", "{ data")) + (
        'task part = judging where order == "abba"\ntask zeroed = part { treated = zero }\n'
    )
    assert codes(folder, text.replace("through(a3.h1))", "through(a3.h1), task: zeroed)")) == [
        "PD382"
    ]


def test_a_task_that_nothing_reads_may_hold_them(folder: Path) -> None:
    """As the whole of which one part found the circuit and another part judges it."""
    write(folder / "rows.jsonl", [{**r, "half": i < 12} for i, r in enumerate(rows(0, 24))])
    text = FILE.format(task=TASK) + "task rest = judging where half == false\n"
    assert codes(folder, text.replace("through(a3.h1))", "through(a3.h1), task: rest)")) == []
    assert codes(folder, text.replace("through(a3.h1))", "through(a3.h1), task: judging)")) == [
        "PD382"
    ]


def test_rows_that_a_run_chooses_are_looked_at_when_they_are_known(folder: Path) -> None:
    text = FILE.format(task=TASK) + (
        "metric ok = top1(io)\ntask known = judging where ok(reference) == 1\n"
    )
    text = text.replace("through(a3.h1))", "through(a3.h1), metric: LD, task: known)")
    assert codes(folder, text) == []
    assert "PD382" in {one.code for one in judged(folder).diagnostics}


def test_a_file_that_uses_a_discovered_one_is_held_to_its_record(folder: Path) -> None:
    text = FILE.format(task=TASK)
    path = "path head = through(a3.h1)\n\nclaim"
    (folder / "found.circuit").write_text(text.replace("claim", path))
    (folder / "mine.circuit").write_text(
        'circuit mine "Mine" { language = 1 }\nuse "found.circuit"\n'
        'model mini = bundled("ioi-mini")\nclaim big: effect(head) < 100 at 95% confidence\n'
    )
    assert "PD382" in {one.code for one in judged(folder, "mine.circuit").diagnostics}
    write(folder / "rows.jsonl", rows(12, 24))
    assert judged(folder, "mine.circuit").judgement is not None


def test_a_seed_of_the_command_line_does_not_bring_them_back(folder: Path) -> None:
    task = "{ data = mini_ioi(take: 12, seed: 5); reference = prompt; treated = prompt_abc }"
    assert codes(folder, FILE.format(task=task)) == []
    assert codes(folder, overrides={"seed": 0}) == ["PD382"]


def test_a_record_that_is_missing(folder: Path) -> None:
    (folder / "found.rows.json").unlink()
    told = vet_file(str(folder / "found.circuit"))[1]
    assert [one.code for one in told if one.severity is Severity.ERROR] == ["PD380"]


def test_a_record_outside_of_the_folder(folder: Path) -> None:
    text = FILE.format(task=TASK).replace("found.rows.json", "../../../etc/passwd")
    assert codes(folder, text) == ["PD664"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"pairs"', '"paris"'),
        lambda text: text.replace('"lines"', '"lanes"'),
        lambda text: text.replace(text.split('"')[3], "0" * 32),  # another hash of a row
        lambda text: text.replace('"record_version": 1', '"record_version": 2'),
        lambda text: "[]",
        lambda text: "",
    ],
)  # fmt: skip
def test_a_record_that_is_damaged(damage: Any, folder: Path) -> None:
    write(folder / "rows.jsonl", rows(12, 24))
    place = folder / "found.rows.json"
    place.write_text(damage(place.read_text()))
    assert codes(folder) == ["PD380"]


def test_a_record_reads_as_it_was_written(folder: Path) -> None:
    place = folder / "found.rows.json"
    found = read_record(place)
    assert (
        len(found.references) == len(found.pairs) == 12 != len({*found.references} & {*found.pairs})
    )
    assert record_text(found) == place.read_text()


def test_a_record_of_another_tokenizer(folder: Path) -> None:
    write(folder / "rows.jsonl", rows(12, 24))
    options = dict([parse_override("mini=bundled:reuse-mini")])
    assert codes(folder, models=options) == ["PD381"]


def test_a_lock_knows_the_record(folder: Path) -> None:
    write(folder / "rows.jsonl", rows(12, 24))
    held = lock_of(judged(folder), CheckOptions())["inputs"]["file"]["discovered"]
    assert list(held) == ["found.rows.json"]
    place = folder / "found.rows.json"
    place.write_text(place.read_text().replace('"judging"', '"other"'))
    assert codes(folder) == ["PD380"]


def test_it_is_formatted_and_linted(folder: Path) -> None:
    text = (folder / "found.circuit").read_text()
    formatted = format_text(text, "x.circuit")
    assert format_text(formatted, "x.circuit") == formatted and "found.rows.json" in formatted
    for wrong in ("= 3", "= found", "= [a]"):
        broken = text.replace('= "found.rows.json"', wrong)
        assert "PD115" in {one.code for one in vet_file(str(folder / "found.circuit"), broken)[1]}


def test_nothing_is_asked_of_other_files(folder: Path) -> None:
    text = FILE.format(task=TASK).replace('  discovered = "found.rows.json"\n', "")
    (folder / "found.circuit").write_text(text)
    ready = prepare(load_program(str(folder / "found.circuit"))[0], CheckOptions())
    assert list(check_discovered(ready, None)) == []


@pytest.mark.parametrize("discovered", [("mine", "found"), ("found", "mine")])
def test_nor_do_they_beside_a_file_that_was_not_discovered(
    discovered: tuple[str, str], folder: Path
) -> None:
    path = "path head = through(a3.h1)\n\nclaim"
    text = FILE.format(task=TASK).replace("claim", path)
    (folder / "found.circuit").write_text(text)
    mine = text.replace('  discovered = "found.rows.json"\n', "").replace("a3.h1)\n", "a3.h2)\n")
    (folder / "mine.circuit").write_text(mine)
    a, b = (load_program(str(folder / f"{name}.circuit"))[0] for name in discovered)
    found = compare(a, "head", b, "head", CheckOptions())
    assert found.scores is not None and not found.scores.rows
    assert [one.code for one in found.scores.faults] == ["PD382"]
