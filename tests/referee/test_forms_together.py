"""Forms that were made apart, used together: what one does to the numbers of another."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import PathdslError, Severity

WORDS = ("Mary", "John", "Paul", "Sarah", "Simon", "Anna")


def answered_rows(count: int = 8) -> list[dict[str, Any]]:
    """Answers of one and two tokens behind prompts of one length, with the place of `S2`."""
    draw, rows = random.Random(0), []
    for i in range(count):
        a, b, c, d, e = draw.sample(WORDS, 5)
        prompt = f"Then, {a} and {b} went to the park. {b} gave a book to"
        rows.append(
            {
                "id": str(i),
                "prompt": prompt,
                "other": f"Then, {c} and {d} went to the park. {e} gave a book to",
                "io": f" {a} {b}" if i % 3 else f" {a}",
                "s": f" {b}",
                "kind": f"k{i % 2}",
                "spans": {"S2": [prompt.rindex(b), prompt.rindex(b) + len(b)]},
            }
        )
    return rows


ANSWERED = """circuit c "Answers" { language = 1 }
model base = bundled("ioi-mini", dtype: float64)
task t {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
  positions = [S2]
  answers   = whole
}
metric L: nats = logprob(io) - logprob(s)
"""


def outcome_of(
    folder: Path, text: str, rows: list[dict[str, Any]] | None = None, **options: Any
) -> FileOutcome:
    folder.mkdir(exist_ok=True)
    found = answered_rows() if rows is None else rows
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    path = folder / "x.circuit"
    path.write_text(text)
    return check_file(str(path), CheckOptions(**options))


def values(outcome: FileOutcome) -> dict[str, float | None]:
    errors = [d.message for d in outcome.diagnostics if d.severity is Severity.ERROR]
    assert not errors and outcome.judgement is not None, errors
    return {one.name: one.estimate for one in outcome.judgement.quantities}


def codes(folder: Path, text: str, rows: list[dict[str, Any]] | None = None) -> set[str]:
    try:
        found = [*outcome_of(folder, text, rows).diagnostics]
    except PathdslError as error:
        found = [*error.diagnostics]
    return {d.code for d in found}


# -------------------------------------------------------------------------------------------------
# Answers of several tokens, beside a column that is read at the end of the prompt alone
# -------------------------------------------------------------------------------------------------


def test_spans_and_sets_that_go_into_answers(tmp_path: Path) -> None:
    """`S2..ANSWER` was a traceback where a measure is read without the answers."""
    written = ("S2..ANSWER", "{S2..END, ANSWER}", "{ANSWER}", "ANSWER", "ANSWER..ANSWER")
    lines = "".join(
        f"let x{i}: nats = mean(L(treat(through(r1@{at}))))\n" for i, at in enumerate(written)
    )
    found = list(values(outcome_of(tmp_path, ANSWERED + lines)).values())
    assert found[0] == found[1] != found[2] == found[3] == found[4]


def test_a_mean_at_a_span_into_answers_is_refused(tmp_path: Path) -> None:
    line = "let x: nats = mean(L(treat(a3, treated: mean(other, at: [S2..ANSWER]))))\n"
    assert "PD366" in codes(tmp_path, ANSWERED + line)


def test_means_at_the_end_of_prompts_with_answers(tmp_path: Path) -> None:
    """The self-check, whose `END` is the last token of all, was a traceback."""
    text = ANSWERED.replace("= other\n", "= mean(other, at: [S2, END])\n")
    lines = (
        "let x: nats = effect(through(a3))\n"
        "let y: nats = effect(through(a3@END))\n"
        "let z: nats = effect(through(a3@ANSWER))\n"
    )
    found = values(outcome_of(tmp_path, text + lines))
    assert found["x"] == pytest.approx(found["y"], rel=1e-12) != 0 and found["z"] == 0


@pytest.mark.parametrize("value", ["mean(other)", "mean(other, at: any)", "zero"])
def test_actions_at_answers(tmp_path: Path, value: str) -> None:
    """A mean set at `ANSWER` was refused for the prompts that no answer stands behind."""
    lines = f"intervene b {{ set a0.h1@ANSWER = {value} }}\nlet x: nats = mean(L(reference with b) - L(reference))\n"  # noqa: E501
    assert values(outcome_of(tmp_path, ANSWERED + lines))["x"] != 0


def test_an_action_where_its_mean_is_not(tmp_path: Path) -> None:
    lines = "intervene b { set a0.h1@ANSWER = mean(other, at: END) }\nlet x: nats = mean(L(reference with b))\n"  # noqa: E501
    assert "PD369" in codes(tmp_path, ANSWERED + lines)


# -------------------------------------------------------------------------------------------------
# Treated values that runs name, where tasks have other rows than one another
# -------------------------------------------------------------------------------------------------

TWO_FILES = """circuit c "Two files" { language = 1 }
model toy = bundled("induction-2l", dtype: float64)
task a { data = jsonl("rows.jsonl"); reference = prompt; treated = other }
task b { data = jsonl("rows2.jsonl"); reference = prompt; treated = other }
metric L: nats = logprob(answer)
intervene by_kind { set a1 = mean(other, by: kind) }
intervene by_more { set a1 = mean(more) }
"""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("mean(L(reference with by_kind, task: a)) - mean(L(reference, task: b))", ""),
        ("mean(L(reference with by_kind, task: b))", "PD328"),
        ("mean(L(reference with by_more, task: b))", ""),
        ("mean(L(reference with by_more, task: a))", "PD328"),
        ("mean(L(treat(a1, treated: mean(other, by: kind)), task: a) - L(reference, task: a))", ""),
        ("effect(through(a1), treated: more, task: b)", ""),
        ("effect(through(a1), treated: more, task: a)", "PD301"),
    ],
)  # fmt: skip
def test_values_are_vetted_on_the_tasks_that_read_them(
    tmp_path: Path, line: str, code: str
) -> None:
    """A label of one file was asked of the other; a column that no row has was a traceback."""
    rows = [
        {"id": str(i), "prompt": [0, 3 + i, 9, 3 + i], "other": [0, 4 + i, 8, 4 + i], "answer": 9}
        for i in range(8)
    ]
    second = [{**row, "id": f"b{row['id']}", "more": row["other"]} for row in rows]
    (tmp_path / "rows2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in second))
    kinds = [{**row, "kind": "even" if i % 2 else "odd"} for i, row in enumerate(rows)]
    text = f"{TWO_FILES}let x: nats = {line}\n"
    if code:
        assert code in codes(tmp_path, text, kinds)
    else:
        assert values(outcome_of(tmp_path, text, kinds))["x"] is not None


# -------------------------------------------------------------------------------------------------
# The members with the largest values, over several tasks
# -------------------------------------------------------------------------------------------------

TURNED = """circuit c "Both ways" { language = 1 }
model mini = bundled("ioi-mini", dtype: float64)
task t { data = mini_ioi(take: 24, seed: 0); reference = prompt; treated = prompt_abc }
task back = t { reference = prompt_abc; treated = prompt }
task part = t where order == "abba"
metric LD: logits = logit(io) - logit(s)
"""
BEST = (
    "let x: logits = top(2, h in a3: effect(through(h), task: t) - effect(through(h), task: {}))\n"
)


def test_no_prompt_chooses_on_one_task_and_judges_on_another(tmp_path: Path) -> None:
    """With another column as reference the halves were others: half of the judges had chosen."""
    outcome = outcome_of(tmp_path, TURNED + BEST.format("back"))
    assert values(outcome)["x"] is not None and outcome.judgement is not None
    (found,) = outcome.judgement.quantities
    assert found.n == 12


def test_tasks_that_have_some_prompts_in_common(tmp_path: Path) -> None:
    assert "PD129" in codes(tmp_path, TURNED + BEST.format("part"))
