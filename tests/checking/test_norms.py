"""Both norm modes in one check: what is judged twice, what is said, what decides."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode
from pathdsl.report.data.result import check_object, dump, file_object, schema
from pathdsl.report.data.values import values_of
from pathdsl.report.text.check import report
from pathdsl.report.text.style import View
from pathdsl.score.results import ClaimResult, Verdict

HEAD = """
circuit c { language = 1 }
model mini = bundled("ioi-mini")
task copy {
  data      = mini_ioi(take: 40, seed: 0)
  reference = prompt
  treated   = prompt_abc
  positions = [IO, S1, S2]
}
path main = a3 -> logits
metric LD: logits = logit(io) - logit(s)
"""
FROZEN = HEAD.replace("  positions", "  layernorm = frozen\n  positions")
EFFECT = "mean(LD(reference) - LD(treat(main)))"


def check(folder: Path, text: str, **options: object) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(text)
    outcome = check_file(str(path), CheckOptions(**options))  # type: ignore[arg-type]
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return outcome


def claims(outcome: FileOutcome) -> dict[str, ClaimResult]:
    assert outcome.judgement is not None
    return {claim.name: claim for claim in outcome.judgement.claims}


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, float]:
    """The effect of `main` with recomputed and with frozen norms."""
    folder = tmp_path_factory.mktemp("sizes")
    found = []
    for head in (HEAD, FROZEN):
        outcome = check(folder, head + f"let size: logits = {EFFECT}\n")
        assert outcome.judgement is not None and not outcome.judgement.other_norms
        estimate = outcome.judgement.quantities[0].estimate
        assert estimate is not None
        found.append(estimate)
    return found[0], found[1]


def between(sizes: tuple[float, float]) -> str:
    """A claim that frozen norms decide one way and recomputed ones the other."""
    recomputed, frozen = sizes
    return f"claim split: {EFFECT} {'>' if frozen > recomputed else '<'} {sum(sizes) / 2:.6f}\n"


def text_of(outcome: FileOutcome, **options: object) -> str:
    view = replace(View(width=100), **options)  # type: ignore[arg-type]
    return report(outcome, view)


def test_the_modes_differ(sizes: tuple[float, float]) -> None:
    assert abs(sizes[0] - sizes[1]) > 1e-3


def test_a_frozen_task_is_judged_twice_and_by_its_own_mode(
    tmp_path: Path, sizes: tuple[float, float]
) -> None:
    text = FROZEN + between(sizes) + f"claim sure: {EFFECT} > 0 at 95% confidence\n"
    outcome = check(tmp_path, text)
    split, sure = claims(outcome)["split"], claims(outcome)["sure"]
    assert split.verdict is Verdict.SUPPORTED and split.estimate == pytest.approx(sizes[1])
    assert split.other_norm is not None and split.changes_with_norm
    assert split.other_norm.layernorm == "recompute"
    assert split.other_norm.verdict is Verdict.REFUTED
    assert split.other_norm.estimate == pytest.approx(sizes[0])
    assert sure.other_norm is not None and not sure.changes_with_norm
    assert sure.other_norm.interval is not None and sure.other_norm.interval != sure.interval
    assert outcome.exit_code is ExitCode.AS_EXPECTED
    said = text_of(outcome)
    assert "norms: another verdict with recomputed norms: split" in said
    assert "layernorm recompute: refuted" in said
    assert said.count("layernorm recompute") == 1
    assert "norm copy: frozen: a component" in " ".join(said.split())
    assert "layernorm recompute: refuted" in text_of(outcome, quiet=True)
    again = [p.code for _, p in outcome.proofs]
    assert again.count("PD634") == again.count("PD632") == again.count("PD633") == 2
    assert again.count("PD630") == 1
    wrong = between(sizes).rstrip() + " expect refuted\n"
    turned = check(tmp_path, text.replace(between(sizes), wrong))
    assert turned.exit_code is ExitCode.NOT_AS_EXPECTED  # the other mode would have refuted it


def test_equal_verdicts_are_one_line(tmp_path: Path) -> None:
    outcome = check(tmp_path, FROZEN + f"claim sure: {EFFECT} > 0 at 95% confidence\n")
    said = text_of(outcome)
    assert "both modes give the same verdicts (judged again with recomputed norms)" in said
    assert "layernorm" not in said


def test_a_recomputing_task_is_judged_twice_only_when_asked(
    tmp_path: Path, sizes: tuple[float, float]
) -> None:
    once = check(tmp_path, HEAD + between(sizes))
    assert claims(once)["split"].other_norm is None and not once.other_plans
    assert "norms:" not in text_of(once) and "norm copy: recomputed" in text_of(once)
    twice = check(tmp_path, HEAD + between(sizes), both_norms=True)
    split = claims(twice)["split"]
    assert split.verdict is Verdict.REFUTED and split.estimate == claims(once)["split"].estimate
    assert split.other_norm is not None
    assert split.other_norm.layernorm == "frozen"
    assert split.other_norm.verdict is Verdict.SUPPORTED
    assert split.other_norm.estimate == pytest.approx(sizes[1])
    assert twice.exit_code is once.exit_code is ExitCode.NOT_AS_EXPECTED
    assert values_of(twice) == values_of(once)  # `--values` are those of the declared mode


def test_tasks_of_different_modes(tmp_path: Path) -> None:
    """Without the option all tasks end up recomputing; with it each task changes its mode."""
    second = HEAD[HEAD.index("task copy") : HEAD.index("path main")].replace("copy", "plain")
    head = FROZEN.replace("path main", second + "path main")
    diff = "mean(LD(reference, task: {0}) - LD(treat(main), task: {0}))"
    body = (
        f"claim own: {diff.format('copy')} > 0\n"
        f"claim other: {diff.format('plain')} > 0\n"
        f"claim both: {diff.format('copy')} - {diff.format('plain')} > 0 \n"
    )
    outcome = check(tmp_path, head + body)
    assert outcome.judgement is not None
    assert outcome.judgement.other_norms == {"copy": "recompute"}
    found = claims(outcome)
    assert found["own"].other_norm is not None and found["both"].other_norm is not None
    assert found["other"].other_norm is None
    # two tasks of equal rows and equal modes have equal values
    assert found["both"].other_norm.estimate == 0.0 and found["both"].estimate != 0.0
    asked = check(tmp_path, head + body, both_norms=True)
    assert asked.judgement is not None
    assert asked.judgement.other_norms == {"copy": "recompute", "plain": "frozen"}
    both = claims(asked)["both"]
    assert both.other_norm is not None and both.estimate is not None
    assert both.other_norm.layernorm == "copy: recompute, plain: frozen"
    np.testing.assert_allclose(both.other_norm.estimate, -both.estimate, atol=1e-6)
    assert "with norms recomputed in task copy, frozen in task plain" in text_of(asked)


def test_json_says_both(tmp_path: Path, sizes: tuple[float, float]) -> None:
    outcome = check(tmp_path, FROZEN + between(sizes))
    file = json.loads(dump(file_object(outcome)))
    Draft202012Validator(schema()).validate(check_object([file], ExitCode.AS_EXPECTED))
    assert file["other_norms"] == {"copy": "recompute"}
    (claim,) = file["claims"]
    assert claim["verdict"] == "supported"
    other = claim["other_norm"]
    assert (other["layernorm"], other["verdict"]) == ("recompute", "refuted")
    assert other["estimate"] == pytest.approx(sizes[0]) and other["interval"] is None
    assert file["cost"]["runs"] == sum(
        len(plan.outputs) for plan in (*outcome.plans, *outcome.other_plans)
    )
    assert outcome.other_plans and not any(plan.frozen for plan in outcome.other_plans)
    assert any(plan.frozen for plan in outcome.plans)
