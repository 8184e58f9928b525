"""Controls that control: what silences PD501, and what only looks as if it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.errors import Diagnostic
from pathdsl.lang.method.whole import check_method
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.sample import CIRCUIT, HEAD, METRIC, MODEL, TASK

PATHS = """
path main  = a0.h1 -> a2.h0 -> logits
path copy  = a0.h1 -> a2.h0 -> logits
path other = a0.h3 -> logits
path drawn = random_like(main, seed: 3)
group some = { a0.h1 }
metric P: prob = prob(io)
metric Q: prob = prob(s)
"""
ENOUGH = "claim enough: faithfulness(main, metric: LD) >= 85% at 95% confidence\n"
LD = "metric: LD"


def told(*lines: str, head: str = HEAD + PATHS) -> Diagnostic | None:
    program, faults = load_program("example.circuit", head + "\n".join(lines) + "\n")
    assert faults == [], [fault.message for fault in faults]
    found = [one for one in check_method(program) if one.code == "PD501"]
    assert len(found) <= 1
    return found[0] if found else None


def refuted(quantity: str) -> str:
    return f"claim control: {quantity} at 95% confidence expect refuted"


LIKE = "faithfulness(random_like(main), metric: LD)"

CONTROLS = [
    refuted(f"{LIKE} >= 85%"),
    refuted(f"{LIKE} > 20%"),
    refuted(f"(({LIKE})) >= (0.85)"),
    refuted(f"0.5 <= {LIKE}"),
    refuted(f"{LIKE} - 50% >= 0"),
    refuted(f"1 - {LIKE} <= 15%"),
    refuted(f"-{LIKE} < -0.2"),
    refuted(f"2 * {LIKE} >= 100%"),
    refuted("faithfulness(random_like(main, seed: 7), metric: LD, as: recovered, task: ioi) > 0.3"),
    refuted("faithfulness(random_like((a0.h1 -> a2.h0 -> logits)), metric: LD) >= 85%"),
    refuted("faithfulness(random_like(copy), metric: LD) >= 85%"),
    refuted("faithfulness(drawn, metric: LD) >= 85%"),
    refuted("faithfulness(random_like(main, over: some), metric: LD) >= 85%"),
    refuted("faithfulness(random_edges(like: main), metric: LD) >= 85%"),
    refuted("faithfulness(random_edges(like: main, by: walks), metric: LD) >= 85%"),
    f"let floor = {LIKE}\n" + refuted("floor >= 85%"),
    f"let floor = {LIKE}\nclaim low: floor <= 50% at 95% confidence",
    f"claim low: {LIKE} <= 85% at 95% confidence",
    f"claim more: faithfulness(main, metric: LD) > {LIKE} at 95% confidence",
    f"claim more: faithfulness(main, metric: LD) - {LIKE} >= 40% at 95% confidence",
    f"claim more: {LIKE} < faithfulness(main, metric: LD) at 95% confidence",
    f"claim more: faithfulness(main, metric: LD) / {LIKE} > 2 at 95% confidence",
    f"claim more: {LIKE} / faithfulness(main, metric: LD) < 50% at 95% confidence",
    "claim more: mean(LD(keep(main)) - LD(keep(drawn))) > 0 at 95% confidence",
    "claim more: mean(LD(treat(main)) - LD(treat(drawn))) < 0 at 95% confidence",
    "claim rank: chance(faithfulness(main, metric: LD)) <= 5% at 95% confidence",
    "claim rank: chance(faithfulness(main, metric: LD), by: walks, share: 90%) <= 5%",
    "claim test: sign_test(LD(keep(main)) - LD(keep(drawn)), side: above) <= 5%",
]  # fmt: skip


@pytest.mark.parametrize("control", CONTROLS)
def test_what_counts(control: str) -> None:
    assert told(ENOUGH, control) is None


NO_CONTROLS = [
    ("", ""),
    (refuted("faithfulness(none, metric: LD) >= 50%"), "`control` is about no random set"),
    (refuted("mean(LD(reference)) < 0"), "`control` is about no random set"),
    (refuted("faithfulness(full - main, metric: LD) >= 50%"), "no random set"),
    (refuted("faithfulness(other, metric: LD) >= 85%"), "no random set"),
    (refuted("faithfulness(main, metric: LD) <= 10%"), "no random set"),
    (refuted(f"{LIKE} >= 1000"), "`control` has threshold 1000 where `enough` has 85%"),
    (refuted(f"{LIKE} >= 86%"), "`control` has threshold 86% where `enough` has 85%"),
    (refuted(f"0.9 <= {LIKE}"), "`control` has threshold 0.9 where `enough` has 85%"),
    (refuted(f"{LIKE} - 1000 >= 0"), "where `enough` has 85%"),
    (refuted(f"{LIKE} <= 85%"), "`control` asks for the other side than `enough`"),
    (f"claim low: {LIKE} <= 90% at 95% confidence", "`low` has threshold 90%"),
    (f"claim high: {LIKE} >= 10% at 95% confidence", "other side"),
    (
        refuted("faithfulness(random_like(other), metric: LD) >= 85%"),
        "`control` measures of a set like `other` what no claim measures of `other`",
    ),
    (refuted("faithfulness(random_like(main), metric: P) >= 85%"), "no claim measures of `main`"),
    (refuted("faithfulness(random_like(main), metric: LD, as: ratio) >= 85%"), "of `main`"),
    (refuted("completeness(random_like(main), knockouts: groups, metric: LD) > 1"), "of `main`"),
    (refuted("mean(LD(keep(random_like(main)))) > 1"), "of `main`"),
    (refuted("faithfulness(random_edges(like: main, count: 1), metric: LD) >= 85%"), "fewer"),
    (refuted(f"{LIKE} + {LIKE} >= 300%"), "threshold 300%"),
    (f"claim more: faithfulness(main, metric: LD) > {LIKE} - 1000 at 95% confidence", ""),
    (f"claim less: faithfulness(main, metric: LD) < {LIKE} at 95% confidence", ""),
    ("claim rank: chance(faithfulness(main, metric: LD)) <= 99% at 95% confidence", ""),
    ("claim rank: chance(faithfulness(main, metric: LD), side: below) <= 5%", ""),
]  # fmt: skip


@pytest.mark.parametrize(("control", "reason"), NO_CONTROLS)
def test_what_does_not(control: str, reason: str) -> None:
    found = told(ENOUGH, control)
    assert found is not None
    assert reason in found.message


def test_all_that_do_not_count_are_named() -> None:
    lines = [
        refuted(f"{LIKE} >= 1000"),
        refuted("faithfulness(none, metric: LD) >= 50%").replace("control", "nothing"),
    ]
    found = told(ENOUGH, *lines)
    assert found is not None
    assert found.message.endswith("where `enough` has 85%, and 1 more are no controls")
    assert found.notes == ("no control: `nothing` is about no random set",)
    assert found.help == (
        "`claim control: faithfulness(random_like(main, seed: 0), metric: LD) >= 85% at 95% "
        "confidence expect refuted`"
    )


@pytest.mark.parametrize(
    ("claim", "control", "counts"),
    [
        ("mean(LD(treat(main))) / mean(LD(reference)) <= 10%",
         "mean(LD(treat(drawn))) / mean(LD(reference)) <= 10%", True),
        ("mean(LD(treat(main))) / mean(LD(reference)) <= 10%",
         "mean(LD(treat(drawn))) / mean(LD(reference)) <= 40%", True),
        ("mean(LD(treat(main))) / mean(LD(reference)) <= 10%",
         "mean(LD(treat(drawn))) / mean(LD(reference)) <= -5", False),
        ("mean(LD(keep(main))) >= 0.8 * mean(LD(reference))",
         "mean(LD(keep(drawn))) >= 0.5 * mean(LD(reference))", True),
        ("mean(LD(keep(main))) >= 0.8 * mean(LD(reference))",
         "mean(LD(keep(drawn))) >= 90 * mean(LD(reference))", False),
        ("mean(LD(keep(main))) ~= mean(LD(reference)) within 0.5",
         "mean(LD(keep(drawn))) ~= mean(LD(reference)) within 1", True),
        ("mean(LD(keep(main))) ~= mean(LD(reference)) within 0.5",
         "mean(LD(keep(drawn))) ~= mean(LD(reference)) within 0.001", False),
        ("accuracy(keep(main), answer: io) >= 90%",
         "accuracy(keep(drawn), answer: io) >= 90%", True),
        ("accuracy(keep(main), answer: io) >= 90%",
         "accuracy(keep(drawn), answer: s) >= 90%", False),
        ("faithfulness(main, metric: LD, as: gap) <= 1",
         "faithfulness(drawn, metric: LD, as: gap) <= 2", True),
        ("faithfulness(main, metric: LD, as: gap) <= 1",
         "faithfulness(drawn, metric: LD, as: gap) <= 0.5", False),
        ("completeness(main, knockouts: random(20, seed: 0), metric: LD) <= 2",
         "completeness(drawn, knockouts: random(20, seed: 9), metric: LD) <= 2", True),
        ("completeness(main, knockouts: random(20, seed: 0), metric: LD) <= 2",
         "completeness(drawn, knockouts: random(900, seed: 0), metric: LD) <= 2", False),
        ("faithfulness(main, metric: LD) > faithfulness(other, metric: LD)",
         "faithfulness(drawn, metric: LD) > faithfulness(other, metric: LD)", True),
    ],
)  # fmt: skip
def test_controls_of_other_quantities(claim: str, control: str, counts: bool) -> None:
    lines = (f"claim enough: {claim} at 95% confidence", refuted(control))
    assert (told(*lines) is None) is counts


def test_a_claim_for_each_has_a_control_for_each() -> None:
    each = "claim each for h in a0: effect(through(h), metric: LD) < 0 at 95% confidence by holm()"
    beside = each.replace("each", "control").replace("through(h)", "random_like(through(h))")
    assert told(each) is not None
    assert told(each, beside + " expect refuted") is None
    assert told(each, beside.replace("in a0", "in a1") + " expect refuted") is not None


def test_the_score_is_followed_into_a_sweep() -> None:
    sweep = "let e for h in a0: logits = effect(through(h), metric: LD)"
    claim = "claim one: e[a0.h1] < 0 at 95% confidence"
    assert told(sweep, claim) is not None
    like = refuted("effect(random_like(through(a0.h1)), metric: LD) < 0")
    assert told(sweep, claim, like) is None


@pytest.mark.parametrize(
    "claim",
    [
        "claim wrong: faithfulness(main, metric: LD) >= 85% at 95% confidence expect refuted",
        "claim able: mean(LD(reference)) > 1 at 95% confidence",
        "claim able: accuracy(reference, answer: io) > 90% at 95% confidence",
        "claim few: paths(main) <= 9",
        "",
    ],
)
def test_files_that_claim_no_path_set_need_none(claim: str) -> None:
    assert told(claim) is None


def test_a_metric_by_another_name_is_the_same_metric() -> None:
    again = "metric LD2: logits = (logit(io) - logit(s))"
    control = refuted(LIKE.replace("metric: LD", "metric: LD2") + " >= 85%")
    assert told(ENOUGH, again, control) is None


def test_tasks_are_told_apart() -> None:
    two = CIRCUIT + MODEL + TASK + TASK.replace("task ioi", "task more") + METRIC + PATHS
    claim = "claim enough: faithfulness(main, metric: LD, task: ioi) >= 85% at 95% confidence"
    control = refuted("faithfulness(drawn, metric: LD, task: {}) >= 85%")
    assert told(claim, control.format("ioi"), head=two) is None
    assert told(claim, control.format("more"), head=two) is not None


def test_the_example_of_a_control_quotes_claims_over_several_lines() -> None:
    found = told("claim enough: faithfulness(  main,\n    metric:   LD) >= 85% at 95% confidence")
    assert found is not None
    assert "faithfulness(random_like(main, seed: 0), metric: LD) >= 85%" in found.help


def test_all_interventions_of_a_run_are_told_apart() -> None:
    blocks = "intervene a { scale a0.h2 = 0.5 }\nintervene b { scale a0.h3 = 0.5 }"
    held = "claim enough: mean(LD(keep(main) with [a, b])) >= 1 at 95% confidence"
    for under, counts in (("[a, b]", True), ("a", False), ("[a]", False), ("[b, a]", False)):
        control = refuted(f"mean(LD(keep(drawn) with {under})) >= 1")
        assert (told(blocks, held, control) is None) is counts, under


def test_a_claim_over_a_list_is_about_each_item() -> None:
    each = "faithfulness(p, metric: LD) >= 85% at 95% confidence by holm()"
    family = f"claim each for p in [main, other]: {each}"
    for name, counts in (("main", True), ("other", True), ("none", False)):
        control = refuted(f"faithfulness(random_like({name}), metric: LD) >= 85%")
        counted = counts and told(family, control) is None
        assert counted is counts, name
    looped = "claim control for p in [main, other]: faithfulness(random_like(p), metric: LD) >= 85%"
    expected = "at 95% confidence by holm() expect refuted"
    assert told(ENOUGH, f"{looped} {expected}") is None
    assert told(ENOUGH, f"{looped.replace('LD', 'P')} {expected}") is not None
    tasks = TASK + TASK.replace("ioi {", "again {")
    family = family.replace("p in [main, other]", "t in [ioi, again]").replace(
        "(p,", "(main, task: t,"
    )
    control = refuted("faithfulness(random_like(main), metric: LD, task: again) >= 85%")
    assert told(family, control, head=CIRCUIT + MODEL + tasks + METRIC + PATHS) is None


def test_names_that_lead_to_themselves_are_survived() -> None:
    lines = ("let a = b", "let b = a", "claim c: a > 0 at 95% confidence")
    assert told(*lines) is None
    assert told("path p = q", "path q = p", "claim c: effect(p, metric: LD) < 0") is not None


def test_the_files_that_ship() -> None:
    folder = Path(__file__).parents[2] / "hypotheses"
    for name in ("quickstart/induction", "quickstart/wrong", "gpt2/ioi"):
        path = str(folder / f"{name}.circuit")
        program, _ = load_program(path)
        assert "PD501" not in [one.code for one in check_method(program)]
