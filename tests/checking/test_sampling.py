"""What only rows show about the method: too few of them, shared ones, means over other places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.errors import Severity

HEAD = """circuit c "x" { language = 1 }
model m = bundled("induction-2l")
task t { data = jsonl("a.jsonl"); reference = prompt; treated = other; FIELDS }
OTHER
metric LD on t: logits = logit(right) - logit(wrong)
"""
CLAIM = "claim c: mean(LD(reference)) > -100 at 95% confidence\n"


def row(i: int, **more: object) -> dict[str, object]:
    prompt = [1 + i % 6, 1 + i // 6 % 10, 7, 1 + i % 6]
    return {"prompt": prompt, "other": [*prompt[:2], 8, prompt[3]], "right": 2, "wrong": 3, **more}


def told(
    folder: Path, text: str, rows: list[dict[str, object]], **options: dict[str, int]
) -> dict[str, str]:
    """The warnings of a check about the method, by code."""
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    path = folder / "x.circuit"
    path.write_text(text)
    outcome = check_file(str(path), CheckOptions(**options))  # type: ignore[arg-type]
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    found = {d.code: d for d in outcome.diagnostics if d.code.startswith("PD5")}
    assert all(d.severity is Severity.WARNING for d in found.values())
    return {code: d.message for code, d in found.items()}


def file(fields: str = "", other: str = "", claim: str = CLAIM) -> str:
    return HEAD.replace("FIELDS", fields).replace("OTHER", other) + claim


@pytest.mark.parametrize(("n", "few"), [(29, True), (30, False)])
def test_rows_of_a_file_are_counted(n: int, few: bool, tmp_path: Path) -> None:
    rows = [row(i) for i in range(n)]
    found = told(tmp_path, file(), rows)
    assert found.get("PD504") == ("29 prompts of task `t` for an interval" if few else None)
    plain = CLAIM.replace(" at 95% confidence", "")
    assert "PD504" not in told(tmp_path, file(claim=plain), rows)


@pytest.mark.parametrize(("clusters", "few"), [(4, True), (30, False)])
def test_clusters_are_what_is_counted(clusters: int, few: bool, tmp_path: Path) -> None:
    rows = [row(i, pair=f"p{i % clusters}") for i in range(60)]
    found = told(tmp_path, file("cluster = pair"), rows)
    assert found.get("PD504") == (
        "4 clusters of 60 prompts of task `t` for an interval" if few else None
    )


def test_parts_and_halves_are_counted(tmp_path: Path) -> None:
    rows = [row(i, half="ab"[i % 2]) for i in range(40)]
    part = 'task part = t where half == "a"'
    found = told(tmp_path, file(other=part).replace("on t", "on part"), rows)
    assert found["PD504"] == "20 prompts of task `part` for an interval"
    searched = (
        "claim c: completeness(through(a0.h0, a0.h1), knockouts: greedy(1), metric: LD) <= 100 "
        "at 95% confidence\n"
    )
    assert told(tmp_path, file(claim=searched), rows)["PD504"].startswith("20 prompts")


def test_a_small_take_is_told_once(tmp_path: Path) -> None:
    text = file().replace('jsonl("a.jsonl")', 'jsonl("a.jsonl", take: 12)')
    path = tmp_path / "x.circuit"
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row(i)) + "\n" for i in range(40)))
    path.write_text(text)
    outcome = check_file(str(path), CheckOptions())
    assert [d.code for d in outcome.diagnostics].count("PD504") == 1


SECOND = 'task u { data = jsonl("b.jsonl"); reference = prompt; treated = other }'


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (range(30), "30 of 30 prompts of task `u` are prompts of task `t`, too"),
        (range(30, 60), None),
        ([*range(15), *[0] * 5], "20 of 20 prompts of task `u` are prompts of task `t`, too"),
    ],
)
def test_prompts_of_two_files_are_compared(
    rows: list[int], message: str | None, tmp_path: Path
) -> None:
    """The ids of rows say nothing: what counts is what the model reads."""
    lines = [row(i) for i in rows]
    (tmp_path / "b.jsonl").write_text(
        "".join(json.dumps({"id": f"u{i}", **one}) + "\n" for i, one in enumerate(lines))
    )
    found = told(tmp_path, file(other=SECOND), [row(i) for i in range(30)])
    assert found.get("PD516") == message


@pytest.mark.parametrize(
    ("data", "shared"),
    [
        ("induction(take: 60, seed: 0)", True),  # the beginning is the other task
        ("induction(take: 60, seed: 1)", False),
        ("induction(take: 40)", False),  # the same data, written otherwise: shared on purpose
    ],
)
def test_tasks_of_generators(data: str, shared: bool, tmp_path: Path) -> None:
    text = HEAD.replace('jsonl("a.jsonl")', "induction(take: 40, seed: 0)")
    text = text.replace("treated = other; FIELDS", "treated = prompt_other")
    text = text.replace("logit(right)", "logit(answer)")
    other = f"task u {{ data = {data}; reference = prompt; treated = zero }}"
    found = told(tmp_path, text.replace("OTHER", other) + CLAIM, [])
    assert ("PD516" in found) is shared


def test_parts_of_a_task_are_written_to_share_its_rows(tmp_path: Path) -> None:
    rows = [row(i, half="ab"[i % 2]) for i in range(60)]
    part = 'task part = t where half == "a"'
    assert "PD516" not in told(tmp_path, file(other=part), rows)


@pytest.mark.parametrize("aligned", [True, False])
def test_means_over_other_places(aligned: bool, tmp_path: Path) -> None:
    rows = [row(i, positions={"P": i % 2}, form=f"f{i % 2}") for i in range(60)]
    by = ", by: form" if aligned else ""
    text = file("positions = [P]").replace("treated = other", f"treated = mean(other{by})")
    text += "let kept = mean(LD(keep(a0.h0)))\n"
    message = told(tmp_path, text, rows).get("PD517")
    assert (message is None) is aligned
    assert aligned or "on which `P` stands at other tokens" in str(message)
