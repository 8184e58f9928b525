"""Lint of the method, and the registry's defaults; every warning is a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.errors import Severity
from pathdsl.lang import ast
from pathdsl.lang.lint import lint_file
from pathdsl.lang.method.whole import check_method
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.sample import CIRCUIT, HEAD, METRIC, MODEL, TASK
from pathdsl.lang.signatures.calls import SCORES, Filled, resolve_options
from pathdsl.lang.walk import walk

CLAIM = "claim enough: faithfulness(through(mlp)) >= 80% at 95% confidence\n"
CONTROL = (
    "claim control: faithfulness(random_like(through(mlp))) >= 80% at 95% confidence "
    "expect refuted\n"
)


def warned(text: str) -> list[str]:
    program, faults = load_program("example.circuit", text)
    assert faults == [], [fault.message for fault in faults]
    found = check_method(program)
    assert all(fault.severity is Severity.WARNING for fault in found)
    return [fault.code for fault in found]


def test_a_careful_file_gives_no_warning() -> None:
    assert warned(HEAD + CLAIM + CONTROL) == []


@pytest.mark.parametrize(
    "control",
    [
        CONTROL,
        "claim c: chance(faithfulness(through(mlp))) <= 5% at 95% confidence\n",
        "path random = random_edges(like: through(mlp))\n"
        "let floor = faithfulness(random)\nclaim c: floor <= 50% at 95% confidence\n",
    ],
)
def test_what_counts_as_a_control(control: str) -> None:
    assert "PD501" not in warned(HEAD + CLAIM + control)


def test_claims_about_sets_alone_need_no_interval() -> None:
    assert "PD502" not in warned(HEAD + "claim few: paths(mlp) <= 100\n")
    p_value = "claim more: sign_test(LD(keep(mlp)) - LD(treated)) <= 5%\n"
    assert "PD502" not in warned(HEAD + p_value)
    assert "PD502" in warned(HEAD + "claim kept: effect(mlp) < 0\n")


def test_corrected_loops_are_fine() -> None:
    loop = "claim c for h in a9.h*: effect(h -> logits) < 0 at 95% confidence"
    assert "PD503" in warned(HEAD + loop + "\n")
    assert "PD503" in warned(HEAD + loop + " by bootstrap(500)\n")
    assert "PD503" not in warned(HEAD + loop + " by bh()\n")


@pytest.mark.parametrize("expect", ["supported", "refuted"])
def test_luck_is_of_what_a_family_expects(expect: str) -> None:
    text = f"claim c for h in a9.h*: effect(h -> logits) < 0 at 95% confidence expect {expect}\n"
    (found,) = [
        fault for fault in check_method(load_program("x.circuit", HEAD + text)[0])
        if fault.code == "PD503"
    ]  # fmt: skip
    assert found.label == f"many chances to be {expect} by luck"


@pytest.mark.parametrize(
    ("members", "told"),
    [("{a9.h0}", False), ("a9.h0", False), ("one", False), ("a9.h[0,1]", True), ("a9", True),
     ("{a9.h0, m3}", True), ("m5", False), ("m[5..6]", True)],
)  # fmt: skip
def test_a_loop_over_one_node_is_one_claim(members: str, told: bool) -> None:
    group = "group one @END = { a9.h0 }\n"
    claim = f"claim c for h in {members}: effect(through(h)) < 0 at 95% confidence\n"
    assert ("PD503" in warned(HEAD + group + claim)) is told


def test_p_values_of_a_loop_are_corrected_too() -> None:
    for test in ("chance(effect(through(h)))", "sign_test(LD(treat(through(h))) - LD(reference))"):
        claim = f"claim c for h in a9.h*: {test} <= 5%"
        assert "PD503" in warned(f"{HEAD}{claim}\n")
        assert "PD503" not in warned(f"{HEAD}{claim} by holm()\n")


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ([f"effect(through(a9.h{h})) < -0.{h + 1}" for h in range(5)], True),
        ([f"effect(through(a9.h{h})) < -0.{h + 1}" for h in range(4)], False),
        ([f"mean(LD(treat(a9.h{h} -> logits))) < 1" for h in range(5)], True),
        ([f"faithfulness(a9, as: {k}) < 1" for k in ("ratio", "recovered", "explained")], False),
        ([f"effect(a9.h{h}) {r} 0" for h in range(3) for r in ("<", ">")], False),
    ],
)
def test_a_family_written_out_is_still_a_family(claims: list[str], told: bool) -> None:
    text = "".join(f"claim c{i}: {c} at 95% confidence\n" for i, c in enumerate(claims))
    assert ("PD503" in warned(HEAD + text)) is told
    assert "PD503" not in warned(HEAD + text.replace(" at 95% confidence", ""))  # PD502


def test_shares_and_p_values_have_exact_intervals_or_none() -> None:
    few = CIRCUIT + MODEL + TASK.replace("take: 60", "take: 29") + METRIC
    assert "PD504" not in warned(few + "claim c: chance(effect(mlp)) <= 5% at 95% confidence\n")
    share = "claim c: accuracy(keep(mlp), answer: io) >= 90% at 95% confidence\n"
    assert "PD504" not in warned(few + share)


def test_few_prompts_of_a_task_that_no_claim_reads() -> None:
    other = TASK.replace("task ioi", "task small").replace("take: 60", "take: 10")
    text = CIRCUIT + MODEL + TASK + other + METRIC
    claim = "claim enough: faithfulness(mlp, task: {}) >= 80% at 95% confidence\n"
    let = "let x = effect(mlp, task: {})\n"
    assert "PD504" not in warned(text + let.format("small") + claim.format("ioi"))
    assert "PD504" in warned(text + let.format("ioi") + claim.format("small"))


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ("metric L: logits = logit(io)", True),
        ("metric L: logits = 2 * logit(io) @S2", True),
        ("metric L: logits = logit(io) - logit(s)", False),
        ("metric L: nats = logprob(io)", False),
        ("metric L: prob = prob(io)", False),
        ("metric L = rank(io)", False),
        ("metric L: logits = max(logit(io), logit(s))", False),
    ],
)
def test_a_logit_alone(metrics: str, told: bool) -> None:
    text = f"{CIRCUIT}{MODEL}{TASK}\n{metrics}\n"
    claim = "claim c: effect(mlp, metric: L) < 0 at 95% confidence\n"
    assert ("PD514" in warned(text + claim)) is told
    assert "PD514" not in warned(text + "let x = effect(mlp, metric: L)\n")
    beside = "metric D: logits = logit(io) - logit(s)\nclaim d: effect(mlp, metric: D) < 0\n"
    assert "PD514" not in warned(text + claim + beside)


@pytest.mark.parametrize(
    ("quantity", "told"),
    [
        ("mean(LD(treat(mlp)) / LD(reference))", True),
        ("1 - mean((LD(reference) - LD(treat(mlp))) / abs(LD(reference)))", True),
        ("mean(LD(treat(mlp))) / mean(LD(reference))", False),
        ("median(LD(treat(mlp)) / LD(reference))", False),
        ("mean(LD(treat(mlp)) / 2)", False),
    ],
)
def test_ratios_of_single_prompts(quantity: str, told: bool) -> None:
    assert ("PD515" in warned(f"{HEAD}let x = {quantity}\n")) is told


@pytest.mark.parametrize(("word", "told"), [("mean_of_ratios", True), ("ratio_of_means", False)])
def test_the_order_of_averaging(word: str, told: bool) -> None:
    task = TASK.replace("prompt_abc\n", f"prompt_abc\n  average = {word}\n")
    part = 'task part = ioi where template == "abba"\n'
    assert warned(CIRCUIT + MODEL + task + METRIC + part).count("PD515") == told


def test_few_prompts_matter_only_to_intervals() -> None:
    few = CIRCUIT + MODEL + TASK.replace("take: 60", "take: 29") + METRIC
    assert "PD504" in warned(few + CLAIM)
    assert "PD504" not in warned(few + "claim c: effect(mlp) < 0\n")
    assert "PD504" not in warned(few.replace("29", "30") + CLAIM)


@pytest.mark.parametrize(("take", "small"), [(30, True), (149, True), (150, False), (600, False)])
def test_groups_of_a_mean_are_counted(take: int, small: bool) -> None:
    task = TASK.replace("prompt_abc", "mean(prompt_abc, by: template)")
    text = CIRCUIT + MODEL + task.replace("take: 60", f"take: {take}")
    assert ("PD508" in warned(text)) is small


def test_a_run_may_bring_its_own_noise() -> None:
    run = "let x = mean(LD(treat(mlp, treated: noise(at: [S1], scale: 3.0))))\n"
    assert "PD506" in warned(HEAD + run)


@pytest.mark.parametrize(
    ("path", "fine"),
    [
        ("within(mlp)", False),
        ("a0.h1", False),
        ("a0.h1 ~> a9.h9", False),
        ("a0.h1 -> a9.h9", True),
        ("a0.h1 ~[v]~> a9.h9", True),
        ("edges { a0.h1 -> logits }", True),
        ("named", True),
    ],
)
def test_grain_and_treated_value(path: str, fine: bool) -> None:
    for treated, constant in (("mean(prompt_abc)", True), ("zero", True), ("prompt_swap", False)):
        task = TASK.replace("prompt_abc", treated)
        text = CIRCUIT + MODEL + task + METRIC + "path named = a0.h1 -> logits\n"
        found = warned(text + f"let x = mean(LD(keep({path})))\n")
        assert ("PD509" in found) is (fine and constant)


def test_grain_is_a_matter_of_the_task_that_runs() -> None:
    other = TASK.replace("prompt_abc", "mean(prompt_abc)").replace("task ioi", "task means")
    text = CIRCUIT + MODEL + TASK + other + METRIC
    fine = "a0.h1 -> logits"
    for task, constant in (("ioi", False), ("means", True)):
        assert (
            "PD509" in warned(text + f"let x = mean(LD(treat({fine}), task: {task}))\n")
        ) is constant
        score = f"let x = effect({fine}, task: {task})\n"
        assert ("PD509" in warned(text + score)) is constant
    assert "PD509" not in warned(text + f"let x = overlap({fine}, a0.h1)\n")


def test_revisions() -> None:
    def model(arguments: str) -> str:
        return CIRCUIT + f'\nmodel gpt2 = hf("gpt2"{arguments})\n'

    assert "PD510" in warned(model(""))
    assert "PD510" in warned(model(', revision: "main"'))
    for moving in ("v1.0", "607a30d", "607a30d783dfa663caf39e06633721c8d4cfcd7", "refs/pr/1"):
        assert "PD510" in warned(model(f', revision: "{moving}"'))
    assert "PD510" not in warned(model(f', revision: "{"0" * 40}"'))


def test_warnings_of_a_file_are_sorted_with_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "case.circuit"
    path.write_text(HEAD + "let x = mean(LD(keep(nothing)))\n" + CLAIM, encoding="utf-8")
    assert [fault.code for fault in lint_file(str(path))[1]] == ["PD101", "PD501"]


def options(text: str) -> dict[str, object]:
    program, faults = load_program("example.circuit", f"let x = {text}\n")
    assert faults == []
    score = next(n for n in walk(program.lets["x"]) if isinstance(n, ast.Score))
    return resolve_options(score)


def test_options_get_their_defaults() -> None:
    common = {"metric": None, "task": None, "scope": None, "treated": None}
    unread = {"by": "absolute", "among": None, "answer": None}
    assert options("faithfulness(mlp)") == {**common, "as": "recovered", **unread}
    assert options("minimality(mlp)") == {
        **common,
        "per": "node",
        "knockouts": None,
        "given": None,
        "as": "gap",
        "over": None,
        "split": True,
    }
    assert options("overlap(mlp, attn)") == {"over": "node", "as": "united", "task": None}
    assert options("chance(effect(mlp))") == {
        **common, "among": 100, "by": "units", "share": None, "side": "above", "seed": 0,
        "over": None,
    }  # fmt: skip


def test_options_that_are_given_become_values() -> None:
    found = options(
        "completeness(mlp, knockouts: greedy(5, by: circuit), as: share, split: false, over: attn)"
    )
    assert found["as"] == "share"
    assert found["split"] is False
    assert isinstance(found["over"], ast.Word)
    assert found["knockouts"] == Filled(
        name="greedy",
        arguments={"steps": 5, "seed": 0, "runs": 10, "sample": 10, "by": "circuit"},
    )
    groups = options("completeness(mlp, knockouts: groups)")["knockouts"]
    assert groups == Filled(name="groups", arguments={})
    assert options("completeness(mlp, knockouts: random())")["knockouts"] == Filled(
        name="random", arguments={"count": 100, "seed": 0}
    )


def test_a_metric_option_is_its_name_as_written() -> None:
    found = options("faithfulness(mlp, metric: LD, scope: through(attn))")
    assert isinstance(found["metric"], ast.Name)
    assert isinstance(found["scope"], ast.Through)


def test_every_example_of_a_signature_stands_in_the_tables() -> None:
    for name, signature in SCORES.items():
        assert signature.example.startswith(name)


@pytest.mark.parametrize(
    ("windows", "beside", "told"),
    [
        ("windows(m*, 2)", "", True),
        ("windows(m*, 1)", "", False),
        ("windows(m*, 2)", "let b for h in attn = effect(through(h))", True),
        ("windows(m*, 2)", "let b for m in m[0..3] = effect(through(m))", False),
        ("windows(some, 2)", "let b for m in mlp = effect(through(m))", False),
        ("windows(r[0..3], 2)", "claim b for r in r[0..3]: effect(through(r)) < 0", False),
        ("windows(m*, 2)", "let b for w in windows(m*, 3) = effect(through(w))", True),
    ],
)
def test_windows_are_compared_with_single_nodes(windows: str, beside: str, told: bool) -> None:
    group = "group some = { m0, m1, m2 }\n"
    text = f"{HEAD}{group}let a for w in {windows} = effect(through(w))\n{beside}\n"
    assert ("PD512" in warned(text)) is told


EMERGING = "claim c: emerges(faithfulness(through(mlp)) >= 80%) {} at 95% confidence{}\n"


@pytest.mark.parametrize(
    ("claimed", "control", "counts"),
    [
        ("<= 900", "<= 900", True), ("<= 900", "<= 2000", True), ("<= 900", "<= 10", False),
        ("<= 900", "> 900", False), ("> 900", "> 900", True), ("> 900", "> 2000", False),
    ],
)  # fmt: skip
def test_a_control_of_an_emergence_is_of_no_harder_step(
    claimed: str, control: str, counts: bool
) -> None:
    wrong = EMERGING.replace("claim c", "claim k").replace(
        "through(mlp)", "random_like(through(mlp), seed: 0)"
    )
    text = HEAD + EMERGING.format(claimed, "") + wrong.format(control, " expect refuted")
    assert ("PD501" in warned(text)) is not counts


def test_the_example_of_a_control_of_an_emergence_is_one() -> None:
    text = (
        HEAD + "path P = through(mlp)\n" + EMERGING.replace("through(mlp)", "P").format("<= 9", "")
    )
    program, _ = load_program("example.circuit", text)
    (found,) = [fault for fault in check_method(program) if fault.code == "PD501"]
    assert "emerges(faithfulness(random_like(P, seed: 0)) >= 80%) <= 9" in found.help
    assert "PD501" not in warned(text + found.help.strip("`") + "\n")
