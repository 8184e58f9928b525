"""Scores with a treated value of their own, `faithfulness(P, treated: zero)`."""

from __future__ import annotations

from pathlib import Path

import pytest

import pathdsl
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.planned import plan_file
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from pathdsl.lang.vary.task_axes import Treated
from tests.referee.test_controls import refuted, told

TOP = 'circuit own "Own" { language = 1 }\n'
HEAD = """model mini = bundled("ioi-mini")
task ioi { data = mini_ioi(take: 20, seed: 0); reference = prompt%s }
path main = within({attn, mlp, except a3.h1})
metric LD: logits = logit(io) - logit(s)
"""
PAIRED = "; treated = prompt_abc"


def file_of(folder: Path, *lines: str, treated: str = PAIRED) -> str:
    path = folder / "case.circuit"
    path.write_text(HEAD % treated + "\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def values(path: str) -> dict[str, float]:
    outcome = pathdsl.check(path).outcome
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return {one.name: one.estimate for one in outcome.judgement.quantities}


@pytest.mark.parametrize("treated", [PAIRED, ""])
def test_a_score_is_what_its_runs_are_with_that_value(tmp_path: Path, treated: str) -> None:
    mean = "mean(prompt_abc)"
    found = values(
        file_of(
            tmp_path,
            "let moved: logits = effect(through(a3.h1), treated: zero)",
            "let by_hand: logits = mean(LD(treat(through(a3.h1), treated: zero)) - LD(reference))",
            f"let faithful = faithfulness(main, treated: {mean})",
            f"let kept: logits = mean(LD(keep(main, treated: {mean})))",
            f"let empty: logits = mean(LD(treat(full, treated: {mean})))",
            "let formula = (kept - empty) / (mean(LD(reference)) - empty)",
            "let knocked: logits = completeness(through(a3@END), treated: zero, "
            "knockouts: random(3, seed: 0))",
            "let least: logits = minimality(through(a3@END), treated: zero)",
            "let outside = chance(effect(through(a3.h1)), among: 3, treated: zero)",
            "let inside = chance(effect(through(a3.h1), treated: zero), among: 3)",
            treated=treated,
        )
    )
    assert found["moved"] == found["by_hand"]
    assert found["faithful"] == pytest.approx(found["formula"], abs=1e-12)
    assert found["outside"] == found["inside"]
    assert {"knocked", "least"} <= found.keys()


def test_a_score_takes_a_run_under_a_block_as_its_treated_value(tmp_path: Path) -> None:
    half = "treated: reference with half"
    found = values(
        file_of(
            tmp_path,
            "intervene half { scale a3.h1 = 0.5 }",
            f"let moved: logits = effect(through(a3.h1), {half})",
            f"let by_hand: logits = mean(LD(treat(through(a3.h1), {half})) - LD(reference))",
            f"let faithful = faithfulness(main, {half})",
        )
    )
    assert found["moved"] == found["by_hand"] != 0
    assert "faithful" in found


def test_one_run_where_a_score_and_a_run_say_the_same(tmp_path: Path) -> None:
    alone = "let a: logits = mean(LD(treat(main, treated: zero)) - LD(reference))"
    both = alone + "\nlet b: logits = effect(main, treated: zero)"
    outputs = []
    for text in (alone, both):
        planned = plan_file(file_of(tmp_path, text), CheckOptions())
        assert planned is not None
        outputs.append(sum(len(part.plan.outputs) for part in planned.parts))
    assert outputs[0] == outputs[1]


def faults(*lines: str, treated: str = PAIRED) -> list[str]:
    text = TOP + HEAD % treated + "\n".join(lines)
    return [one.code for one in lint_file("case.circuit", text)[1]]


def test_a_task_without_a_treated_value_serves_scores_that_name_one() -> None:
    assert faults("let x = faithfulness(main, treated: zero)", treated="") == []
    assert faults("let x = chance(faithfulness(main), treated: zero)", treated="") == []
    assert faults("let x = faithfulness(main)", treated="") == ["PD302"]
    assert faults("let x = faithfulness(main, treated: nowhere)") == ["PD301"]
    twice = "let x = chance(faithfulness(main, treated: zero), treated: zero)"
    assert faults(twice) == ["PD114"]


def test_what_treats_nothing_takes_none() -> None:
    assert "PD117" in faults("let x = paths(main, treated: zero)")
    assert "PD117" in faults("let x = accuracy(reference, answer: io, treated: zero)")


FINE = "edges { input -> a3.h1 -> logits }"


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        (f"let x = faithfulness({FINE})", False),
        (f"let x = faithfulness({FINE}, treated: zero)", True),
        (f"let x = chance(faithfulness({FINE}), treated: zero)", True),
        ("let x = faithfulness(main, treated: zero)", False),
        # What is fine has the task's value, and what is at zero is no finer than nodes.
        (f"let x = faithfulness({FINE})\nlet y = faithfulness(main, treated: zero)", False),
        (f"let x = mean(LD(keep({FINE})) - LD(treat(main, treated: zero)))", False),
        (f"let x = mean(LD(keep({FINE}, treated: zero)))", True),
    ],
)
def test_grain_is_told_of_the_value_that_the_score_has(line: str, warned: bool) -> None:
    assert ("PD509" in faults(line)) is warned


def test_a_score_that_names_its_value_is_fine_at_a_constant_task() -> None:
    constant = "; treated = zero"
    assert "PD509" in faults(f"let x = faithfulness({FINE})", treated=constant)
    other = f"let x = faithfulness({FINE}, treated: prompt_abc)"
    assert "PD509" not in faults(other, treated=constant)


def test_a_control_has_the_same_treated_value() -> None:
    claim = "claim enough: faithfulness(main, metric: LD, treated: zero) >= 85% at 95% confidence"
    like = "faithfulness(random_like(main), metric: LD{}) >= 85%"
    assert told(claim, refuted(like.format(", treated: zero"))) is None
    assert told(claim, refuted(like.format(""))) is not None


def test_robustness_leaves_out_claims_that_name_their_value() -> None:
    lines = (
        "claim a: faithfulness(main, treated: zero) >= 50% at 95% confidence",
        "claim b: faithfulness(main) >= 50% at 95% confidence",
        "claim c: chance(faithfulness(main), treated: zero) <= 50%",
    )
    program, _ = load_program("case.circuit", HEAD % PAIRED + "\n".join(lines) + "\n")
    assert set(Treated().left_out(program, "zero")) == {"a", "c"}
