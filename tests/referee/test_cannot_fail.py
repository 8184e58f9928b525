"""Claims that cannot fail are not supported in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pathdsl.checking.check import check_file
from pathdsl.checking.lock.contents import plan_hash
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.planned import plan_file
from pathdsl.errors import ExitCode, Severity
from pathdsl.lang.lint import lint_file
from pathdsl.lang.signatures.ranges import Range, apply, point
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.report.content.claims import ClaimContent
from pathdsl.report.data.result import check_object, file_object, schema
from pathdsl.score.instead import instead, subjects_of
from pathdsl.score.lowering import Lowering
from pathdsl.score.rounds import drive
from pathdsl.score.statistics import arithmetic
from tests.score.fakes import Algebra, world

MINI = """
circuit c { language = 1 }
model mini = bundled("ioi-mini")
task ioi {
  data = mini_ioi(take: 32, seed: 0)
  reference = prompt
  treated = prompt_abc
  positions = [IO, S1, S2]
}
metric LD: logits = logit(io) - logit(s)
"""


def checked(folder: Path, *lines: str, head: str = MINI) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return check_file(str(path), CheckOptions())


# -------------------------------------------------------------------------------------------------
# Nothing is there
# -------------------------------------------------------------------------------------------------

IN_LAST_LAYER = "at 95% confidence by holm()"
NOWHERE = {
    "treated": "effect(through(h)) ~= 0 within 0.1",
    "taken away": "mean(LD(keep(full - through(h))) - LD(reference)) ~= 0 within 0.1",
    "taken away, in brackets": "faithfulness((full - (through(h)))) >= 90%",
    "taken away from the scope": "effect(full, scope: full - through(h)) <= 100",
    "from all but it": "mean(LD(treat(full - through(h))) - LD(treated)) ~= 0 within 0.1",
}


@pytest.mark.parametrize("claim", NOWHERE.values(), ids=NOWHERE)
@pytest.mark.parametrize("members", ["{a3@IO}", "{m3.n[0..1]@IO}", "windows({a3@IO}, 2)"])
def test_members_that_no_path_reaches(tmp_path: Path, claim: str, members: str) -> None:
    outcome = checked(tmp_path, f"claim e for h in {members}: {claim} {IN_LAST_LAYER}")
    assert outcome.exit_code is ExitCode.WRONG_INPUT
    (fault,) = [d for d in outcome.diagnostics if d.code == "PD223"]
    assert "with h = " in fault.notes[-1] and fault.help.startswith("take")


@pytest.mark.parametrize(
    "lines",
    [
        ["claim e: faithfulness(full - through(a3.h0@IO)) >= 90%"],
        ["path rest = full - through(a3.h0@IO)", "claim e: faithfulness(rest) >= 90%"],
        ["path gone = through(a3.h0@IO)", "path rest = full - gone",
         "claim e: faithfulness(rest) >= 90%"],
        ["let f for h in {a3@IO} = faithfulness(full - through(h))", "claim e: f[a3.h0] >= 90%"],
    ],
)  # fmt: skip
def test_what_is_taken_away_is_there(tmp_path: Path, lines: list[str]) -> None:
    outcome = checked(tmp_path, *lines)
    told = [d.message for d in outcome.diagnostics if d.code == "PD223"]
    assert told == ["what is taken away holds no path on any prompt of task `ioi`"]


def test_what_is_there_is_taken_away(tmp_path: Path) -> None:
    lines = ["path rest = full - through(a3.h0@END)", "claim e: faithfulness(rest) >= 90%"]
    assert not [d for d in checked(tmp_path, *lines).diagnostics if d.code in ("PD223", "PD224")]


# -------------------------------------------------------------------------------------------------
# No path and all paths in the place of the set (PD525)
# -------------------------------------------------------------------------------------------------


def told(outcome: FileOutcome, *codes: str) -> list[str]:
    return [d.message for d in outcome.diagnostics if d.code in codes]


def test_a_treated_value_that_keeps_the_behaviour(tmp_path: Path) -> None:
    """The file that misled: a head that does nothing, faithful by the ratio."""
    head = MINI.replace("treated = prompt_abc", "treated = mean(prompt, by: template)")
    lines = [
        "metric P: prob = prob(io)",
        "claim faithful: faithfulness(through(a0.h1@S1), metric: LD, as: ratio) >= -40%",
    ]
    outcome = checked(tmp_path, *lines, head=head)
    assert outcome.judgement is not None
    (claim,) = outcome.judgement.claims
    none, full = claim.instead
    assert (none.paths, full.paths, none.of) == ("none", "full", "through(a0.h1@S1)")
    assert none.satisfied and full.satisfied and full.estimate == 1.0
    (message,) = told(outcome, "PD525")
    assert message.startswith("`faithful` cannot fail: with no path")


def test_what_a_set_does_not_do(tmp_path: Path) -> None:
    idle = "claim idle: effect(through(a3.h0@END)) ~= 0 within 1 at 95% confidence"
    outcome = checked(tmp_path, idle)
    (message,) = told(outcome, "PD525")
    assert "is satisfied by no path at all" in message
    # Another claim shows that the same set does something, and this one says how much.
    small = "claim small: abs(effect(through(a3.h1@END))) <= 5 at 95% confidence"
    some = "claim some: effect(through(a3.h1@END)) <= -1 at 95% confidence"
    assert len(told(checked(tmp_path, small), "PD525")) == 1
    assert not told(checked(tmp_path, small, some), "PD525")


def test_honest_claims_and_controls_are_let_be(tmp_path: Path) -> None:
    outcome = checked(
        tmp_path,
        "path main = through(a3.h1@END, a3.h2@END)",
        "claim needed: mean(LD(treat(main))) / mean(LD(reference)) <= 50% at 95% confidence",
        "claim alone: accuracy(keep(none), answer: io) <= 60% at 95% confidence",
        "claim rises: effect(main) >= 0 at 95% confidence expect refuted",
        "claim quiet: abs(effect(random_like(main, seed: 1))) <= 3 at 95% confidence",
        "claim more: mean(LD(keep(main)) - LD(keep(random_like(main, seed: 1)))) > 0",
    )
    assert outcome.judgement is not None and not told(outcome, "PD525", "PD526", "PD527")
    assert not outcome.judgement.claims[1].instead  # `keep(none)` is a baseline


def test_members_are_told_together(tmp_path: Path) -> None:
    claim = "effect(through(h)) ~= 0 within 9 at 95% confidence by holm()"
    outcome = checked(tmp_path, f"claim e for h in {{a0.h0, a0.h1}}: {claim}")
    (fault,) = [d for d in outcome.diagnostics if d.code == "PD525"]
    assert fault.notes == ("with h = `a0.h0`, `a0.h1`",)


IN_PLACE = [
    "faithfulness(P, as: ratio)",
    "faithfulness(P, as: explained, by: squared)",
    "faithfulness(P, as: kl)",
    "faithfulness(P, as: agreement)",
    "effect(P, as: rms)",
    "effect(P, scope: through(a3@END))",
    "faithfulness(P, as: gap, scope: through(a3@END))",
    "accuracy(keep(P), answer: io)",
    "mean(LD(treat(P))) / mean(LD(reference))",
    "median(LD(keep(P))) - std(LD(treat(P)))",
    "completeness(P, over: {a3.h1@END}, knockouts: random(4, seed: 0))",
    "minimality(P, over: {a3.h1@END})",
    "sign_test(LD(keep(P)) - LD(reference), side: below)",
    "overlap(P, through(a3@END), over: edge)",
    "overlap(through(a3@END), P, over: edge, as: of_first)",
]


@pytest.mark.parametrize("expr", IN_PLACE)
def test_values_are_those_of_the_word_in_its_place(tmp_path: Path, expr: str) -> None:
    path = "path main = through(a3.h1@END)"
    expr = expr.replace("(P", "({0}").replace(" P,", " {0},")
    lines = ["claim c: " + expr.replace("{0}", "main") + " >= 0.001"]
    words = ("full",) if "over: {" in expr else ("none", "full")  # no path has no units
    lines += [f"let with_{word} = " + expr.replace("{0}", word) for word in words]
    outcome = checked(tmp_path, path, *lines)
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    (claim,), lets = outcome.judgement.claims, outcome.judgement.quantities
    found = {one.paths: one for one in claim.instead if one.of == "main"}
    for let in lets:
        word = let.declared.removeprefix("with_")
        one = found[word]
        assert one.satisfied is not None
        if let.estimate is None or one.estimate is None:
            # A denominator near 0 is no value; the let's interval sees more of them.
            assert one.estimate is None or abs(one.estimate) < 1e-6 or word == "none"
        else:
            assert one.estimate == pytest.approx(let.estimate, abs=1e-6)


def test_a_search_is_put_aside_too(tmp_path: Path) -> None:
    search = "knockouts: greedy(2, seed: 0, runs: 1, sample: 2)"
    outcome = checked(
        tmp_path,
        "path main = through(a3.h1@END, a3.h2@END)",
        f"claim complete: completeness(main, {search}) <= 20",
        f"claim minimal: minimality(main, {search}) >= 0.01",
    )
    assert outcome.judgement is not None
    complete, minimal = outcome.judgement.claims
    assert [one.satisfied for one in complete.instead] == [True, True]
    assert complete.instead[1].estimate == 0.0
    # Nothing is left of no path; of all paths each knockout would be a run of its own.
    assert [one.estimate for one in minimal.instead] == [0.0, None]
    assert minimal.instead[1].satisfied is None


def test_a_set_in_its_own_place_is_the_claim_itself() -> None:
    program, resolver, session = world(
        "let a = faithfulness(C) + completeness(C, knockouts: groups)\n"
        "let b = minimality(C) - mean(abs(LD(treat(C))))\n"
        "let c = sign_test(LD(keep(C)) - LD(reference)) + paths(C)\n"
    )
    lowering = Lowering(program, resolver, session, Algebra())
    steps = {n: lowering.scalar(d.expression, {}) for n, d in program.lets.items()}
    for node in drive(steps, session).values():
        (subject,) = subjects_of(node)
        assert instead(node, subject.paths, subject.paths, subject.text) == node


def test_the_plan_has_what_the_check_asks_for(tmp_path: Path) -> None:
    text = "claim c: faithfulness(through(a3.h1@END), as: ratio) >= 1%"
    outcome = checked(tmp_path, text)
    assert outcome.session is not None
    asked = {run.kind for run in outcome.session.asked}
    assert asked == {"reference", "treat", "treated"} and len(outcome.plans) == 1
    planned = plan_file(str(tmp_path / "x.circuit"), CheckOptions())
    assert planned is not None
    assert [plan_hash(p.plan) for p in planned.parts] == [plan_hash(p) for p in outcome.plans]


# -------------------------------------------------------------------------------------------------
# Ranges and identity (PD526), constant metrics (PD527)
# -------------------------------------------------------------------------------------------------

NAMES = (
    'metric P: prob = prob(io)\npath main = through(a3.h1@END, a3.h2@END)\npath same = main\n'
    "path twin = through({a3.h2@END, a3.h1@END})\n"
    "path every = through(a0.h0) | (full - through(a0.h0))\n"
    "let e = mean(LD(keep(main)))\nlet again = (e)\n"
)  # fmt: skip
BY_FORM = [
    "accuracy(keep(main), answer: io) >= 0%",
    "accuracy(keep(main), answer: io) > 100%",
    "accuracy(keep(main), answer: io) ~= 50% within 60%",
    "minimality(main, metric: LD) >= 0",
    "faithfulness(main, as: kl) >= 0",
    "faithfulness(main, as: explained, metric: LD) <= 100%",
    "faithfulness(main, as: gap, metric: LD) >= 0",
    "faithfulness(main, as: agreement) >= 0",
    "faithfulness(main, as: ratio, metric: P) >= 0",
    "mean(P(keep(main))) <= 1",
    "mean(P(reference) - P(keep(main))) >= -100%",
    "sign_test(LD(keep(main))) <= 100%",
    "chance(faithfulness(main, metric: LD), among: 10) <= 5%",
    "chance(faithfulness(main, metric: LD), among: 20, share: 90%) <= 5%",
    "max(faithfulness(main, metric: LD), 0.01) >= 0.01",
    "e ~= again within 0.1",
    "e - again >= 0",
    "e / again >= 1",
    "faithfulness(full, metric: LD) >= 90%",
    "faithfulness(main, scope: same, metric: LD) >= 90%",
    "effect(none, metric: LD) <= 0.1",
    "overlap(main, same) >= 50%",
    "mean(LD(keep(full))) >= mean(LD(reference))",
]
HONEST = [
    "accuracy(keep(main), answer: io) >= 100%",
    "accuracy(keep(main), answer: io) ~= 50% within 49%",
    "effect(main, as: rms, metric: LD) > 0",
    "faithfulness(main, metric: LD) <= 100%",
    "chance(faithfulness(main, metric: LD), among: 30, share: 90%) <= 5%",
    "mean(P(keep(main))) / mean(P(reference)) <= 1",
    "e >= 0",
    "mean(LD(keep(main))) >= mean(LD(keep(twin)))",
    "effect(main, scope: same, metric: LD) >= 1",
]


@pytest.mark.parametrize("claim", [*BY_FORM, *HONEST])
def test_claims_that_their_form_decides(claim: str) -> None:
    _, faults = lint_file("x.circuit", f"{MINI}{NAMES}claim c: {claim}\n")
    assert not [d.message for d in faults if d.severity is Severity.ERROR]
    assert (["PD526"] if claim in BY_FORM else []) == [
        d.code for d in faults if d.code == "PD526"
    ]  # fmt: skip


def test_a_control_that_cannot_hold() -> None:
    text = f"{MINI}claim c: accuracy(reference, answer: io) > 100% expect refuted\n"
    (fault,) = [d for d in lint_file("x.circuit", text)[1] if d.code == "PD526"]
    assert "cannot hold, so that it is no control" in fault.message


def test_sets_that_are_one(tmp_path: Path) -> None:
    outcome = checked(
        tmp_path,
        NAMES,
        "claim a: mean(LD(keep(main))) - mean(LD(keep(twin))) ~= 0 within 0.1",
        "claim b: faithfulness(every, metric: LD) >= 90%",
        "claim c: faithfulness(every, as: kl) <= 0.1",
        "claim d: faithfulness(every, as: agreement) >= 90%",
        "claim e0: overlap(main, twin) >= 50%",
        "claim f: accuracy(keep(every), answer: io) >= accuracy(reference, answer: io)",
        "claim g for h in {a3.h1, a3.h2}: mean(LD(keep(through(h)))) / mean(LD(keep(through(h))))"
        " >= 1",
        "claim fine: accuracy(keep(every), answer: io) >= 90%",
        "claim fine2: mean(LD(keep(main))) - mean(LD(keep(through(a3.h1)))) ~= 0 within 9",
    )
    found = [d.message.split("`")[1] for d in outcome.diagnostics if d.code == "PD526"]
    assert sorted(found) == ["a", "b", "c", "d", "e0", "f", "g"]


def test_constant_metrics(tmp_path: Path) -> None:
    outcome = checked(
        tmp_path,
        "metric Z: logits = logit(io) - logit(io)",
        "metric H = top1(io)",
        "claim nothing: abs(mean(Z(treat(through(a3.h1))) - Z(treated))) <= 0.1",
        "claim right: mean(H(reference)) >= 50%",
    )
    assert told(outcome, "PD527") == ["`Z` is 0 on every prompt and in every run"]


# -------------------------------------------------------------------------------------------------
# Laws
# -------------------------------------------------------------------------------------------------

ENDS = st.one_of(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), st.floats(-1e3, 1e3))


@given(st.lists(ENDS, min_size=4, max_size=4), st.sampled_from("+-*/^"), st.data())
def test_a_range_holds_what_its_arithmetic_gives(
    ends: list[float], op: str, data: st.DataObject
) -> None:
    left, right = Range(*sorted(ends[:2])), Range(*sorted(ends[2:]))
    if op == "^":
        right = point(data.draw(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])))
    a = data.draw(st.floats(left.low, left.high))
    b = data.draw(st.floats(right.low, right.high))
    value = float(arithmetic.apply(op, [np.full(1, a), np.full(1, b)])[0])
    found = apply(op, left, right)
    if np.isfinite(value):
        slack = 1e-12 * max(1.0, abs(value))
        assert found.low - slack <= value <= found.high + slack


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_statistics_lie_in_their_ranges(x: list[float]) -> None:
    span = Range(0.0, 1.0)
    values = {"mean": np.mean(x), "median": np.median(x), "quantile": np.quantile(x, 0.3),
              "std": np.std(x, ddof=1)}  # fmt: skip
    for name, value in values.items():
        assert STATISTICS[name].range([span]).holds(float(value))
    assert STATISTICS["abs"].range([Range(-2.0, 1.0)]) == Range(0.0, 2.0)


def test_what_is_fixed_is_what_a_check_gives(tmp_path: Path) -> None:
    lines, wanted = [], []
    for name in ("faithfulness", "completeness", "effect"):
        for form in SCORES[name].forms:
            for word in ("none", "full"):
                if (value := getattr(form.fixed, word)) is None:
                    continue
                more = ", over: {a3.h1}, knockouts: random(2, seed: 0)" if name[0] == "c" else ""
                lines.append(f"let x{len(lines)} = {name}({word}, as: {form.name}{more})")
                wanted.append(value)
    outcome = checked(tmp_path, *lines)
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    assert [q.estimate for q in outcome.judgement.quantities] == pytest.approx(wanted, abs=1e-6)


def test_every_report_says_it(tmp_path: Path) -> None:
    lines = "path main = through(a3.h1@END)", "claim c: abs(effect(main)) >= 1 at 95% confidence"
    outcome = checked(tmp_path, *lines)
    made = check_object([file_object(outcome)], outcome.exit_code)
    Draft202012Validator(schema()).validate(made)
    (claim,) = made["files"][0]["claims"]
    assert [(one["paths"], one["of"], one["satisfied"]) for one in claim["instead"]] == [
        ("none", "main", False),
        ("full", "main", True),
    ]
    said = ClaimContent(claim, made["files"][0], 1e-4).remarks[0]
    assert (
        said.startswith("in place of main: none gives 0, full gives ") and "(satisfies it)" in said
    )
