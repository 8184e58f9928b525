"""Claims end to end on the fake world: verdicts, their special cases, and the evidence."""

from __future__ import annotations

import numpy as np
import pytest

from pathdsl.errors import LanguageError
from pathdsl.score.judge import judge
from pathdsl.score.results import Verdict
from tests.score.fakes import HEADER, PATHS, Algebra, task_data, world

S, R, I, U = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.UNDEFINED  # noqa: E741


def claims(text: str, only: str | None = None, **options):
    program, resolver, session = world(text, **options)
    found = judge(program, resolver, session, only, algebra=Algebra())
    return {c.name: c for c in found.claims}, session, found


def test_the_four_verdicts_and_expectations():
    found, _, judgement = claims(
        """
claim good: mean(LD(reference)) >= 10 at 95% confidence
claim bad: mean(LD(reference)) <= 10 at 95% confidence
claim control: mean(LD(reference)) <= 10 at 95% confidence expect refuted
claim open: mean(LD(reference)) >= 16 at 95% confidence
claim unknown: mean(LD(reference)) / mean(LD(treated)) >= 1 at 95% confidence expect refuted
claim plain: mean(LD(reference)) >= 15 "as printed"
"""
    )
    assert [found[n].verdict for n in ("good", "bad", "control", "open")] == [S, R, R, I]
    assert [found[n].as_expected for n in ("good", "bad", "control", "open")] == [1, 0, 1, 0]
    assert found["open"].settle_n > 40 and found["good"].settle_n is None
    unknown = found["unknown"]
    assert unknown.verdict is U and not unknown.as_expected
    assert unknown.estimate is None and unknown.interval is None
    assert found["plain"].interval is None and found["plain"].text == "as printed"
    assert not judgement.as_expected
    assert [d.code for d in judgement.diagnostics] == ["PD431"]


def test_undefined_members_of_one_loop_are_one_warning():
    _, _, judgement = claims(
        """
let shares for h in attn = mean(LD(treat(through(h))) - LD(reference))
  / mean(LD(reference) - LD(reference))
let alone = mean(LD(reference)) / mean(LD(treated))
claim c: mean(LD(reference)) > 0 at 95% confidence
"""
    )
    told = [d for d in judgement.diagnostics if d.code == "PD431"]
    assert [d.message.partition(":")[0] for d in told] == [
        "`shares[a0.h0]` is undefined", "`alone` is undefined",
    ]  # fmt: skip
    assert told[0].notes[0].startswith("undefined as well: `shares[a0.h1]`, ")
    assert told[1].notes == ()


def test_equivalence_sides_and_percentages():
    found, session, _ = claims(
        """
claim close: mean(LD(reference)) ~= 16 within 5 at 95% confidence
claim far: mean(LD(reference)) ~= 0 within 1 at 95% confidence
claim turned: 10 <= mean(LD(reference)) at 95% confidence
claim both: mean(LD(reference)) > mean(LD(treated)) at 95% confidence
"""
    )
    assert found["close"].verdict is S and found["far"].verdict is R
    assert found["close"].within == 5 and found["close"].threshold == 16
    assert found["turned"].relation == ">=" and found["turned"].verdict is S
    assert found["both"].threshold == 0 and found["both"].verdict is S
    m, e = (session.metric("t", t)[0] for t in (frozenset(), PATHS))
    assert found["both"].estimate == pytest.approx(m.mean() - e.mean())
    assert "left minus right" in found["both"].notes[0]


def test_without_an_interval_the_estimate_decides():
    found, _, _ = claims("claim a: mean(LD(reference)) >= 16\nclaim b: mean(LD(reference)) < 99\n")
    assert found["a"].verdict in (S, R) and found["b"].verdict is S
    assert found["a"].confidence is None and found["a"].level is None


def test_rounding_is_carried_to_the_threshold():
    text = "claim a: mean(LD(reference) - LD(keep(full))) >= 0 at 95% confidence\n"
    text += "claim b: mean(LD(reference) - LD(keep(full))) > 0 at 95% confidence\n"
    found, _, _ = claims(text)
    assert found["a"].verdict is S and found["b"].verdict is R
    few, _, judgement = claims(text, n=20)
    assert few["a"].verdict is I and few["a"].settle_n is None
    assert any("below 30 prompts" in note for note in few["a"].notes)
    assert {d.code for d in judgement.diagnostics} == {"PD432", "PD526"}


def test_evidence():
    found, session, _ = claims("claim a: faithfulness(C) >= 80% at 95% confidence\n")
    claim = found["a"]
    terms = {t.text: t.value for t in claim.terms}
    assert set(terms) == {"F(keep(C))", "F(keep(none))", "F(reference)"}
    assert terms["F(reference)"] == pytest.approx(session.metric("t", frozenset()).mean())
    found, session, _ = claims("claim a: mean(LD(reference)) >= 10 at 95% confidence\n")
    values = session.metric("t", frozenset())[0]
    order = np.argsort(values)[:5]
    assert [w.index for w in found["a"].worst] == order.tolist()
    assert [w.value for w in found["a"].worst] == pytest.approx(values[order])
    assert found["a"].worst[0].row_id == f"t-{order[0]}"
    assert found["a"].terms[0].text == "mean(LD(reference))"


def test_worst_of_k_claims():
    text = """
claim all: completeness(C, knockouts: groups) <= {0} at 95% confidence
claim some: completeness(C, knockouts: groups) <= {1} at 95% confidence
claim minimal: minimality(C, as: share) >= 1% at 95% confidence
"""
    program, resolver, session = world("let x = completeness(C, knockouts: groups)\n")
    quantity = judge(program, resolver, session, algebra=Algebra()).quantities[0]
    low, high = sorted(m.estimate for m in quantity.members)
    assert quantity.estimate == high
    found, _, _ = claims(text.format(high + 2, low / 2))
    assert found["all"].verdict is S and len(found["all"].members) == 2
    assert found["some"].verdict is R
    assert found["minimal"].verdict is S
    assert {m.name for m in found["minimal"].members} >= {"a0.h0", "a1.h0@END"}


def test_a_searched_knockout_is_judged_on_the_other_half():
    found, session, _ = claims(
        "claim c: completeness(C, knockouts: greedy(2, seed: 0)) <= 100 at 95% confidence\n", n=60
    )
    assert found["c"].n == 30 and found["c"].verdict is S
    assert "searched on 30 prompts, judged on 30" in found["c"].notes[0]
    assert len(session.rounds) <= 4


def test_families():
    text = "claim each for h in late: effect(h) < 0 at 95% confidence by {}()\n"
    for method in ("holm", "bh"):
        found, _, _ = claims(text.format(method))
        assert all(c.p_value is not None for c in found.values())
    assert sorted(c.level for c in claims(text.format("holm"))[0].values()) == pytest.approx(
        [0.95, 0.975]
    )


def test_a_member_asked_for_alone_keeps_the_correction():
    text = "claim each for h in late: effect(h) < 0 at 95% confidence by holm()\n"
    whole, _, _ = claims(text)
    for name, result in whole.items():
        assert claims(text, only=name)[0] == {name: result}


def test_a_worst_of_k_without_an_interval_says_for_which():
    text = "claim few: completeness(C, knockouts: groups) <= 99 at 95% confidence\n"
    program, resolver, session = world(text, n=24)
    session.compute = lambda run, measure: np.full((1, 24), float(len(run.label)))
    found = judge(program, resolver, session, algebra=Algebra())
    (claim,) = found.claims
    assert claim.verdict is I and claim.interval is None
    (note,) = [n for n in claim.notes if "below 30 prompts" in n]
    assert note.endswith(": early, late")
    assert {d.code for d in found.diagnostics} == {"PD432", "PD527"}


def test_equal_shares_are_equal_to_the_last_digit():
    """0.8 - 0.7 is 0.10000000000000009, and a mean of 0 and 1 rounds by where it starts."""
    found, _, _ = claims(
        "claim a: 0.8 - 0.7 > 10%\nclaim b: 0.8 - 0.7 <= 10%\n"
        "claim c: overlap(C, C) - 0.7 - 0.3 > 0\nclaim d: 0.1 + 0.2 ~= 0 within 0.3\n"
    )
    assert [found[n].verdict for n in "abcd"] == [R, S, R, S]


def test_terms_that_read_alike_say_what_they_are_of():
    text = "metric P: logits = logit(io)\n"
    text += "claim a: faithfulness(C, metric: LD) > faithfulness(C, metric: P)"
    found, _, _ = claims(text + " at 95% confidence\n")
    texts = [t.text for t in found["a"].terms]
    assert len(set(texts)) == len(texts) == 6
    assert "F(reference) of LD" in texts and "F(reference) of P" in texts


def test_members_name_the_knockouts_that_decide_them():
    found, _, _ = claims("claim a: minimality(C, given: { a0.h0: late }) >= 0 at 95% confidence\n")
    for member in found["a"].members:
        assert not member.decided_by or member.decided_by.startswith(member.name)
    found, _, _ = claims("claim a: minimality(C, knockouts: groups) >= 0 at 95% confidence\n")
    assert all(m.decided_by.startswith(m.name) for m in found["a"].members)
    assert any(" given {" in m.decided_by for m in found["a"].members)


def test_the_bootstrap_of_a_claim():
    text = "claim a: mean(LD(reference)) >= 16 at 95% confidence by bootstrap({}, seed: {})\n"
    one, two = claims(text.format(500, 0))[0]["a"], claims(text.format(500, 1))[0]["a"]
    assert one.interval != two.interval and one.estimate == two.estimate
    assert claims(text.format(500, 0))[0]["a"].interval == one.interval


def test_tasks_that_share_rows_are_drawn_jointly():
    header = HEADER + 'task u { data = jsonl("rows.jsonl"); reference = other; treated = zero }\n'
    text = "let d = mean(LD(reference, task: t)) - mean(LD(reference, task: u))\n"
    tasks = {"t": task_data(40, "t", "same"), "u": task_data(40, "u", "same")}
    program, resolver, session = world(text, header=header, tasks=tasks)
    session.weights["u"] = {p: w - 1.0 for p, w in session.weights["t"].items()}
    joint = judge(program, resolver, session, algebra=Algebra()).quantities[0]
    assert joint.estimate == pytest.approx(len(PATHS))
    assert joint.interval == pytest.approx((len(PATHS), len(PATHS)))
    tasks = {"t": task_data(40, "t", "one"), "u": task_data(40, "u", "two")}
    program, resolver, session = world(text, header=header, tasks=tasks)
    session.weights["u"] = {p: w - 1.0 for p, w in session.weights["t"].items()}
    apart = judge(program, resolver, session, algebra=Algebra()).quantities[0]
    assert apart.interval[1] - apart.interval[0] > 0.5


@pytest.mark.parametrize(
    ("code", "text", "options"),
    [
        ("PD420", "metric P: prob = prob(io)\nlet x = effect(C)\n", {}),
        (
            "PD421",
            'task u { data = jsonl("r.jsonl"); reference = p }\nlet x = mean(LD(reference))\n',
            {},
        ),
        ("PD423", "let x = LD(reference)\n", {}),
        ("PD423", "let x = mean(mean(LD(reference)))\n", {}),
        ("PD423", "let x = mean(1)\n", {}),
        ("PD424", "let x = completeness(full, knockouts: random(3))\n", {}),
        ("PD424", "let x = minimality(through(a0.h0), knockouts: groups)\n", {}),
        ("PD425", "let x = y + 1\nlet y = 2 * x\n", {}),
        ("PD426", "let x for h in late = effect(h)\nlet y = x[a0.h0]\n", {}),
        ("PD426", "let x for h in late = effect(h)\nlet y = x\n", {}),
        ("PD428", "let x = completeness(C, knockouts: greedy(2))\n", {"n": 3}),
        ("PD429", "let x = minimality(C, given: { a0.h2: early })\n", {}),
        ("PD430", "metric A = attention(a0, END -> END)\nlet x = effect(C, metric: A)\n", {}),
        (
            "PD433",
            "claim c: mean(LD(reference)) ~= 1 within mean(LD(treated)) at 95% confidence\n",
            {},
        ),
    ],
)
def test_faults(code, text, options):
    with pytest.raises(LanguageError, match=code):
        claims(text, **options)


def test_rows_that_do_not_pair_and_draws_that_do_not_fit():
    header = HEADER + 'task u { data = jsonl("r.jsonl"); reference = p; treated = zero }\n'
    text = "let x = mean(LD(reference, task: t) - LD(reference, task: u))\n"
    tasks = {"t": task_data(40, "t"), "u": task_data(30, "u")}
    program, resolver, session = world(text, header=header, tasks=tasks)
    with pytest.raises(LanguageError, match="PD427"):
        judge(program, resolver, session, algebra=Algebra())
    program, resolver, session = world("let x = mean(LD(treated) - LD(keep(C)))\n")
    plain = session.compute
    session.compute = lambda run, m: np.repeat(plain(run, m), 2 + (run.kind == "treated"), axis=0)
    with pytest.raises(LanguageError, match="PD422"):
        judge(program, resolver, session, algebra=Algebra())


def test_treated_values_by_name():
    program, resolver, session = world(
        """
let a = mean(LD(treat(C, treated: zero)))
let b = mean(LD(treat(C, treated: mean(prompt, by: label))))
let c = mean(LD(treat(C, treated: noise(at: [S1, S2], scale: 2.0))))
let d = mean(LD(keep(C, treated: resample(prompt, draws: 4, seed: 3)) ))
let e = mean(LD(treat(C, treated: other)))
"""
    )
    judge(program, resolver, session, algebra=Algebra())
    found = {str(run.treated) for run, _ in session.asked}
    assert found == {
        "zero",
        "mean(prompt, by: label)",
        "noise(at: [S1, S2], scale: 2, seed: 0)",
        "resample(prompt, draws: 4, seed: 3)",
        "other",
    }
