"""Answers of several tokens in a file: what is read, refused, reported and locked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.checking.check import check_file
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.planned import plan_file
from pathdsl.engine.data.treated import mean_groups
from pathdsl.engine.store.store import Store
from pathdsl.errors import PathdslError, Severity
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from pathdsl.lang.vary.value_axes import MetricAxis
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec
from pathdsl.report.data.details import details
from pathdsl.score.session import Session

OPTIONS = CheckOptions()
HEAD = """circuit phrase "A phrase" {
  language = 1
}

model toy = bundled("induction-2l", dtype: float64)

task phrases {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
  positions = [FIRST]
  %s
}

metric L: nats = logprob(answer) - logprob(wrong)
metric right   = top1(answer)

path later = input ~> a1@ANSWER -> logits
"""
EFFECT = "let x: nats = mean(L(reference) - L(treat(later)))\n"
TEXTS = """circuit mini "Texts" { language = 1 }
model mini = bundled("ioi-mini")
task own { data = jsonl("rows.jsonl"); reference = prompt; treated = other; answers = whole }
metric L: nats = logprob(io)
let x: nats = mean(L(treat(a3@ANSWER-1 -> logits)))
"""
PROMPT = "Then, Mary and John went to the park. John gave a book to"
OTHER = "Then, Sarah and Paul went to the park. Simon gave a book to"
TEXT_ROW = {"prompt": PROMPT, "other": OTHER, "io": " Mary John"}


def phrases(count: int = 12) -> list[dict[str, Any]]:
    """A phrase of one to three tokens, and again its first word; the rows differ in length, too."""
    rows = []
    for i in range(count):
        draw = np.random.default_rng(i)
        a, b, c, d, e, f, *rest = (draw.permutation(16) + 1).tolist()
        phrase, wrong = [b, c, d][: 1 + i % 3], [e, f][: 1 + i % 2]
        fill = rest[: 4 + i % 2]
        other = [rest[-1] if token == a else rest[-2] for token in (a, *phrase)]
        rows.append(
            {
                "id": str(i),
                "prompt": [0, a, *phrase, *fill, a],
                "other": [0, *other, *fill, rest[-1]],
                "answer": phrase,
                "wrong": wrong,
                "positions": {"FIRST": 1},
            }
        )
    return rows


def written(
    folder: Path,
    lines: str = EFFECT,
    fields: str = "answers = whole",
    rows: list[dict[str, Any]] | None = None,
    text: str = "",
) -> str:
    found = phrases() if rows is None else rows
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    path = folder / "x.circuit"
    path.write_text(text or HEAD % fields + lines)
    return str(path)


def checked(path: str, **options: Any) -> FileOutcome:
    outcome = check_file(path, CheckOptions(**options))
    assert [d for d in outcome.diagnostics if d.severity is Severity.ERROR] == []
    return outcome


def refused(path: str) -> dict[str, str]:
    """The message of every error by its code."""
    try:
        found = [*check_file(path, OPTIONS).diagnostics]
    except PathdslError as error:
        found = [*error.diagnostics]
    return {d.code: f"{d.message} {d.help or ''}" for d in found if d.severity is Severity.ERROR}


def by_row(session: Session, kind: str, column: str) -> np.ndarray:
    run = RunSpec(task="phrases", kind="reference")
    return session.value(run, Measure(kind=kind, column=column))[0]


def test_values_are_those_of_the_unmodified_model(tmp_path: Path) -> None:
    lines = (
        EFFECT + "let p: prob = mean(P(reference))\nlet r = accuracy(reference, answer: wrong)\n"
    )
    outcome = checked(written(tmp_path, "metric P: prob = prob(answer)\n" + lines))
    session = outcome.session
    assert session is not None
    for column in ("answer", "wrong"):
        wanted, best = [], []
        for row in phrases():
            ids = torch.tensor([[*row["prompt"], *row[column]]])
            with torch.no_grad():
                logits = session.adapter.model(ids).logits[0].log_softmax(-1)  # type: ignore[attr-defined]
            here = logits[len(row["prompt"]) - 1 : -1]
            wanted.append(sum(float(here[j, token]) for j, token in enumerate(row[column])))
            best.append(float(here.argmax(-1).tolist() == row[column]))
        np.testing.assert_allclose(by_row(session, "logprob", column), wanted, atol=1e-9)
        if column == "answer":
            np.testing.assert_allclose(by_row(session, "prob", column), np.exp(wanted), atol=1e-9)
        else:
            np.testing.assert_array_equal(by_row(session, "top1", column), best)


def test_what_is_not_executed_again_is_the_same(tmp_path: Path) -> None:
    path, store = written(tmp_path), Store(tmp_path / "store")
    values = []
    for _ in range(2):
        outcome = checked(path, store=store)
        assert outcome.session is not None and outcome.session.recall is not None
        values.append((by_row(outcome.session, "logprob", "answer"),
                       outcome.session.recall.tally.computed))  # fmt: skip
    np.testing.assert_array_equal(values[0][0], values[1][0])
    assert values[0][1] > 0 == values[1][1]
    changed = phrases()
    changed[2]["answer"] = [*changed[2]["answer"][:-1], changed[2]["answer"][0]]
    outcome = checked(written(tmp_path, rows=changed), store=store)
    assert outcome.session is not None
    other = by_row(outcome.session, "logprob", "answer")
    assert np.flatnonzero(other != values[0][0]).tolist() == [2]


def test_copies_change_no_number(tmp_path: Path) -> None:
    lines = EFFECT + "claim c: mean(L(reference)) > 0 at 95% confidence\n"
    claims = []
    for rows in (phrases(), phrases() + [row | {"id": f"again-{row['id']}"} for row in phrases()]):
        outcome = checked(written(tmp_path, lines, rows=rows))
        assert outcome.judgement is not None
        (claim,) = outcome.judgement.claims
        claims.append((claim.estimate, claim.interval, claim.n))
    assert claims[0] == claims[1]


def test_means_are_by_prompt_and_answer_length(tmp_path: Path) -> None:
    lines = "let x: nats = mean(L(reference) - L(treat(a1 -> logits)))\n"
    path = written(tmp_path, lines, "answers = whole\n  treated = mean(other)")
    path_text = Path(path).read_text().replace("  treated   = other\n", "")
    outcome = checked(written(tmp_path, text=path_text, rows=phrases(24)))
    task = outcome.tasks["phrases"]
    spec = TreatedSpec(kind="mean", column="other")
    groups = mean_groups(task.branches["answer"], spec)
    lengths = {
        group: {
            (len(row["prompt"]), len(row["answer"]))
            for row, g in zip(phrases(24), groups, strict=True)
            if g == group
        }
        for group in groups
    }
    assert all(len(found) == 1 for found in lengths.values()) and len(lengths) == 6
    few = written(tmp_path, text=path_text, rows=phrases(6))
    codes = {d.code for d in check_file(few, OPTIONS).diagnostics}
    assert "PD341" in codes or "PD358" in codes


@pytest.mark.parametrize(
    ("lines", "code", "says"),
    [
        ("metric M: logits = logit(answer)\nlet y = mean(M(reference))\n", "PD365", "logprob("),
        ("metric M = rank(answer)\nlet y = mean(M(reference))\n", "PD365", "top1("),
        ("metric M = dla(a1.h0, answer)\nlet y = mean(M(reference))\n", "PD365", "logprob("),
        ("metric M @FIRST: nats = logprob(answer)\nlet y: nats = mean(M(reference))\n",
         "PD365", "not at `FIRST`"),
        ("metric M @ANSWER: nats = kl(reference)\nlet y = mean(M(treat(later)))\n",
         "PD366", "@END"),
        ("metric M = attention(a1.h0, ANSWER -> FIRST)\nlet y = mean(M(reference))\n",
         "PD366", "cannot be read"),
        ("let y: nats = mean(L(treat(a1@ANSWER+1 -> logits)))\n", "PD366", "@ANSWER-1"),
        ("let y: nats = mean(L(treat(a1, treated: noise(at: [ANSWER], scale: 3.0))))\n",
         "PD366", "`at:`"),
        ("let y: nats = mean(L(treat(a0@ANSWER -[v]-> a1@END -> logits)))\n", "PD223", "no path"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(tmp_path: Path, lines: str, code: str, says: str) -> None:
    found = refused(written(tmp_path, lines))
    assert any(one.startswith(code) and says in text for one, text in found.items()), found


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"answer": []}, "PD329"),
        ({"answer": [1, "a"]}, "PD329"),
        ({"answer": "text"}, "PD342"),
        ({"answer": [99]}, "PD332"),
        ({"answer": [1] * 20}, "PD331"),
        ({"positions": {"FIRST": 1, "ANSWER": 2}}, "PD366"),
    ],
)
def test_rows_are_vetted(tmp_path: Path, change: Mapping[str, object], code: str) -> None:
    rows = [{**row, **change} for row in phrases(1)]
    assert code in refused(written(tmp_path, rows=rows))


def test_texts_continue_the_prompt(tmp_path: Path) -> None:
    rows = [{"id": "0", **TEXT_ROW}, {"id": "1", **TEXT_ROW, "prompt": OTHER, "other": PROMPT}]
    task = checked(written(tmp_path, text=TEXTS, rows=rows)).tasks["own"]
    assert task.answer_tokens["io"][0] == (" Mary", " John")
    assert task.branches["io"].positions["ANSWER"][0] == (16, 17)
    assert task.branches["io"].positions["END"] == task.positions["END"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "has no tokens"),
        ("ville", "other tokens of the end of the prompt"),
        (" Zarathustra", "not in the vocabulary"),
        ([" Mary", " John"], "reads one answer"),
    ],
)
def test_texts_that_are_no_answer(tmp_path: Path, answer: object, says: str) -> None:
    rows = [{"id": "the row", **TEXT_ROW, "io": answer}]
    found = refused(written(tmp_path, text=TEXTS, rows=rows))
    assert "row `the row`" in found["PD367"] and says in found["PD367"]


def test_one_token_says_what_would_read_more(tmp_path: Path) -> None:
    text = TEXTS.replace("; answers = whole", "").replace("ANSWER-1", "END")
    found = check_file(written(tmp_path, text=text, rows=[{"id": "0", **TEXT_ROW}]), OPTIONS)
    (fault,) = [d for d in found.diagnostics if d.code == "PD333"]
    assert any("answers = whole" in note for note in fault.notes)


def test_words_of_the_field(tmp_path: Path) -> None:
    for fields, code in (
        ("answers = several", "PD110"),
        ("answers = whole; tokens = alone", "PD115"),
        ("answers = whole; positions = [ANSWER]", "PD115"),
    ):
        text = (HEAD % fields).replace("  positions = [FIRST]\n", "") + EFFECT
        assert code in {d.code for d in lint_file("x.circuit", text)[1]}, fields
    text = HEAD % "answers = one_token" + EFFECT
    assert "PD109" in {d.code for d in lint_file("x.circuit", text)[1]}
    text = format_text(HEAD % "answers   = whole" + EFFECT, "x.circuit")
    assert "  answers   = whole\n" in text


def test_a_declared_position_keeps_its_name(tmp_path: Path) -> None:
    """Without the field, `ANSWER` is what the rows say it is."""
    text = (HEAD % "").replace("[FIRST]", "[ANSWER]").replace("top1(answer)", "top1(wrong)")
    text = text.replace("logprob(answer) - logprob(wrong)", "logprob(wrong) @ANSWER")
    rows = [{**row, "positions": {"ANSWER": 2}, "wrong": row["wrong"][0]} for row in phrases()]
    outcome = checked(written(tmp_path, text=text + EFFECT, rows=rows))
    assert outcome.judgement is not None
    assert outcome.tasks["phrases"].positions["ANSWER"] == ((2,),) * 12


def test_rows_may_be_chosen_by_whole_answers(tmp_path: Path) -> None:
    lines = (
        "task known = phrases where right(reference) == 1\n"
        "let chosen: nats = mean(L(reference, task: known) - L(treat(later), task: known))\n"
        "let f = faithfulness(later, task: known, as: agreement, among: right, answer: answer)\n"
        "let b = broken(reference, keep(later), task: known, answer: answer)\n"
    )
    outcome = checked(written(tmp_path, lines))
    whole = checked(written(tmp_path)).session
    assert whole is not None
    kept = {row["id"] for row, hit in zip(phrases(), by_row_top1(whole), strict=True) if hit}
    assert set(outcome.tasks["known"].row_ids) == kept
    assert set(outcome.tasks["known"].branches) == {"answer", "wrong"}


def by_row_top1(session: Session) -> np.ndarray:
    session.measures(
        [(RunSpec(task="phrases", kind="reference"), Measure(kind="top1", column="answer"))]
    )
    return by_row(session, "top1", "answer")


def test_it_is_planned_locked_and_reported(tmp_path: Path) -> None:
    path = written(tmp_path, EFFECT + "claim c: mean(L(reference)) < 0 at 95% confidence\n")
    planned = plan_file(path, OPTIONS)
    assert planned is not None
    assert [part.plan.behind for part in planned.parts] == ["answer", "wrong"]
    outcome = checked(path)
    lock = lock_of(outcome, OPTIONS)
    assert lock["inputs"]["tasks"]["phrases"]["answers"] == "whole"
    assert "answers whole, as they continue the prompt, 1 to 3 tokens" in json.dumps(
        outcome.methodology
    )


def test_reports_show_the_answers_of_a_row(tmp_path: Path) -> None:
    path = written(tmp_path, EFFECT + "claim c: mean(L(reference)) < 0 at 95% confidence\n")
    found = details(checked(path))["prompts"]
    row = phrases()[found[0]["index"]]
    assert found[0]["answers"]["answer"] == [str(token) for token in row["answer"]]


def test_a_difference_of_logits_is_no_variant(tmp_path: Path) -> None:
    text = HEAD % "answers = whole" + "claim c: mean(L(reference)) > 0 at 95% confidence\n"
    program, _ = load_program("x.circuit", text)
    assert "logit_difference" not in MetricAxis().values(program)
    assert "prob" in MetricAxis().values(program)


def test_a_measure_of_one_token_is_told_where_it_stands(tmp_path: Path) -> None:
    text = (
        HEAD % "answers = whole" + "metric one: logits = logit(wrong)\nlet x = mean(one(treated))\n"
    )
    path = written(tmp_path, text=text)
    found = [*check_file(path, OPTIONS).diagnostics]
    (fault,) = (one for one in found if one.code == "PD365")
    assert fault.span is not None
    assert text[fault.span.start : fault.span.end] == "logit(wrong)"
