"""Units and levels of expressions: a table of what is inferred, one of what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathdsl.lang.program import load_program
from pathdsl.lang.rules.sample import CIRCUIT, MODEL, TASK
from pathdsl.lang.units import check_units, unit_of

HEAD = (
    CIRCUIT
    + MODEL
    + TASK
    + """
metric LD: logits = logit(io) - logit(s)
metric P = prob(io)
metric NLL = -logprob(io)
metric KL = kl(reference)
metric R = rank(io)
let effects for h in a9.h*: logits = mean(LD(treat(h -> logits)))
"""
)


def infer(line: str) -> tuple[dict[str, str], list[str]]:
    program, faults = load_program("example.circuit", HEAD + line + "\n")
    assert faults == [], [f.message for f in faults]
    return dict(unit_of(program)), [fault.code for fault in check_units(program)]


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        ("mean(LD(reference))", "logits"),
        ("mean(P(reference))", "prob"),
        ("mean(NLL(reference))", "nats"),
        ("mean(KL(treated))", "nats"),
        ("mean(R(treated))", "none"),
        ("mean(LD(treated)) / mean(LD(reference))", "none"),
        ("mean(LD(treated)) / 2 + 1", "logits"),
        ("2 * mean(LD(treated)) - 3 * mean(LD(reference))", "logits"),
        ("20% * mean(LD(reference))", "logits"),
        ("mean(P(reference)) - 20%", "prob"),
        ("1 - mean(LD(treated)) / mean(LD(reference))", "none"),
        ("(mean(LD(treated)) / mean(LD(reference))) ^ 2", "none"),
        ("median(abs(LD(reference) - LD(treated)))", "logits"),
        ("std(max(LD(reference), 0))", "logits"),
        ("quantile(P(reference), 90%)", "prob"),
        ("abs(mean(LD(reference)) - 3)", "logits"),
        ("min(mean(LD(reference)), mean(LD(treated)))", "logits"),
        ("effects[a9.h9]", "logits"),
        ("mean(LD(reference) / LD(treated))", "none"),
        ("faithfulness(mlp, metric: LD)", "none"),
        ("faithfulness(mlp, metric: LD, as: gap)", "logits"),
        ("faithfulness(mlp, metric: P, as: gap)", "prob"),
        ("faithfulness(mlp, as: kl)", "nats"),
        ("faithfulness(mlp, as: agreement)", "none"),
        ("faithfulness(mlp, metric: LD, as: explained)", "none"),
        ("completeness(mlp, metric: LD, knockouts: groups)", "logits"),
        ("completeness(mlp, metric: P, knockouts: groups, as: share)", "none"),
        ("minimality(mlp, metric: NLL)", "nats"),
        ("effect(mlp, metric: P)", "prob"),
        ("accuracy(reference, answer: io)", "none"),
        ("overlap(mlp, attn)", "none"),
        ("paths(mlp)", "none"),
        ("chance(faithfulness(mlp, metric: LD, as: gap))", "none"),
        ("sign_test(LD(reference) - LD(treated))", "none"),
        ("independence_test(LD(reference), P(treated))", "none"),
    ],
)
def test_inferred(expression: str, unit: str) -> None:
    units, faults = infer(f"let x = {expression}\nlet y: {unit} = x")
    assert faults == []
    assert units["x"] == units["y"] == unit


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("let x = mean(LD(reference)) + mean(P(reference))", "PD401"),
        ("let x = mean(LD(reference) - P(reference))", "PD401"),
        ("let x = mean(NLL(reference)) / mean(P(reference))", "PD401"),
        ("let x = mean(LD(reference)) * mean(LD(treated))", "PD401"),
        ("let x = mean(LD(reference)) ^ 2", "PD401"),
        ("let x = 1 / mean(LD(reference))", "PD401"),
        ("let x = mean(max(LD(reference), P(reference)))", "PD401"),
        ("metric M = logit(io) + prob(io)", "PD401"),
        ("claim x: mean(LD(reference)) > mean(P(reference))", "PD401"),
        ("claim x: mean(LD(reference)) > faithfulness(mlp, metric: LD)", "PD401"),
        ("claim x: mean(P(reference)) ~= 1 within mean(LD(reference))", "PD401"),
        ("let x: prob = mean(LD(reference))", "PD402"),
        ("let x: logits = mean(LD(treated)) / mean(LD(reference))", "PD402"),
        ("metric M: nats = logit(io)", "PD402"),
        ("claim x: mean(LD(reference)) > 80%", "PD403"),
        ("claim x: 80% < mean(NLL(reference))", "PD403"),
        ("claim x: mean(LD(reference)) ~= 3 within 5%", "PD403"),
        ("let x = mean(LD(reference)) + 10%", "PD403"),
        ("let x = LD(reference) - LD(treated)", "PD405"),
        ("claim x: LD(reference) > 0", "PD405"),
        ("let x = mean(mean(LD(reference)))", "PD405"),
        ("let x = mean(3)", "PD405"),
        ("let x = mean(LD(reference) - mean(LD(reference)))", "PD405"),
        ("let x = 3", "PD407"),
        ("metric M = 2 * 3", "PD407"),
        ("claim x: 1 > 0", "PD407"),
    ],
)
def test_refused(line: str, code: str) -> None:
    assert infer(line)[1] == [code]


@pytest.mark.parametrize(
    "line",
    [
        "claim x: mean(P(reference)) >= 80%",
        "claim x: faithfulness(mlp, metric: LD) >= 80%",
        "claim x: paths(mlp) <= 100",
        "claim x: 3 <= mean(LD(reference))",
        "claim x: mean(LD(reference)) ~= 3 within 0.5",
        "claim x for h in a9.h*: effects[h] < mean(LD(reference)) / 10",
    ],
)
def test_claims_that_compare_like_with_like(line: str) -> None:
    assert infer(line)[1] == []


def test_both_spans_are_shown() -> None:
    program, _ = load_program(
        "example.circuit", HEAD + "let x = mean(LD(reference)) + mean(P(reference))\n"
    )
    (fault,) = check_units(program)
    text = program.sources["example.circuit"].text
    spans = [fault.span, fault.labels[0][0]]
    assert [text[s.start : s.end] for s in spans if s] == [
        "mean(P(reference))",
        "mean(LD(reference))",
    ]


def test_a_circle_of_lets_ends() -> None:
    units, faults = infer("let one = two\nlet two = one")
    assert faults == []
    assert "one" not in units


TERMS = st.recursive(
    st.sampled_from(["mean(LD(reference))", "mean(P(reference))", "paths(mlp)", "2", "30%"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(TERMS)
def test_brackets_and_signs_change_no_unit(term: str) -> None:
    plain, with_brackets = infer(f"let x = {term}"), infer(f"let x = -(({term}))")
    assert plain == with_brackets


@settings(max_examples=60, deadline=None)
@given(TERMS)
def test_a_difference_of_equals_keeps_the_unit(term: str) -> None:
    units, faults = infer(f"let x = {term}")
    if not faults:
        assert infer(f"let x = {term} - {term}") == (units, [])
        assert infer(f"let x = {term}\nlet y = x / x")[0]["y"] == "none"
