"""Slips of people who come from another tool, with the repair that a person would give."""

from __future__ import annotations

import re

import pytest

from pathdsl.lang.lint import lint_file
from pathdsl.lang.rules.sample import HEAD
from pathdsl.lang.syntax.parse import parse

REST = "`full - P`: all paths but those of P"
ZERO = "`scale a3.h1 = 0`; a mean is put there by `set a3.h1 = mean(prompt)`"
SLIPS = {
    "path p = a3.h1@-1 -> logits": "`@[-1]`",
    "path p = through(embed)": "`input`: the embedding, where paths begin",
    "path p = a3.h1.q -> logits": "`-[q]-> a3.h1`: an input stands on the arrow into its head",
    "let x = mean(LD(patch(a3.h1)))": "`treat(through(a9.h9))`",
    "let x = mean(LD(ablate(a3.h1)))": "`treat(through(a9.h9), treated: zero)`",
    "path p = between(a0.h1, a3.h1)": "`a5.h5 ~> a9.h9`",
    "path p = head(3, 1) -> logits": "`a3.h1`: a head is named by",
    "path p = (3, 1) -> logits": "`a3.h1`: a head is named by",
    "group g = { (3, 1), (3, 2) }": "`a3.h1`: a head is named by",
    "path p = not through(a3.h1)": REST,
    "path p = ~through(a3.h1)": REST,
    r"path p = full \ through(a3.h1)": "`P - Q`",
    "path p = through(a3.h1) + through(a3.h2)": "`P | Q`",
    "path p = [a3.h1, a3.h2] -> logits": "`{a3.h1, a3.h2}`",
    "path p = a0.h1 -[qkv]-> a3.h1 -> logits": "`-[q,k,v]->`",
    "path p: a3.h1 -> logits": "`path p = …`",
    "circuit p = a3.h1 -> logits": "`path p = …`",
    "p = a3.h1 -> logits": "`path p = …` for paths",
    "node n = a3.h1": "`group NAME = { a9.h9, a9.h6 }`",
    'import "ioi.circuit"': '`use "FILE.circuit"`',
    "for h in attn: let x = effect(through(h))": "`let x for h in attn = effect(through(h))`",
    "let x = LD(reference).mean()": "`mean(…)`",
    "let x = faithfulness()": "`faithfulness(P)`",
    "let x = mean(LD(reference - treated))": "`LD(reference) - LD(treated)`",
    "claim c: faithfulness(through(a3.h1)) > 0.8 with 95% confidence": "`at 95% confidence`",
    "claim c: faithfulness(through(a3.h1)) > 0.8 at 95%": "`at 95% confidence`",
    "let x for l in 0..3 = effect(through(m3))": "`m[0..3]` MLPs",
    "intervene i { ablate a3.h1 }": ZERO,
    "intervene i { a3.h1 = 0 }": ZERO,
    "intervene i { zero a3.h1 }": ZERO,
    "group g = a3.h1, a3.h2": "`group g = { a3.h1, a3.h2 }`",
    "group g = [a3.h1]": "`group g = { a3.h1 }`",
    'model gpt2 = "gpt2"': '`model gpt2 = hf("gpt2", revision: "…")`',
    "model gpt2 = gpt2": '`model gpt2 = hf("gpt2", revision: "…")`',
    'model m2 = HookedTransformer("gpt2")': '`hf("OWNER/MODEL", revision: "…")`',
    "task t { data = csv(rows.csv); reference = prompt }": '`csv("rows.csv")`',
    "task t { data = ioi(take: 9), reference = prompt }": "have `;` between them",
    "let x = mean(attention(a3.h1, END, S2))": "`attention(a3.h1, END -> S2)`",
    "metric M = logit_diff(io, s)": "`metric LD: logits = logit(io) - logit(s)`",
    "metric M = loss(io)": "`metric L: nats = -logprob(io)`",
    "path p = mlp_out -> logits": "`m9`",
    "let x = mean(LD(prompt))": "`reference`: the run on the prompts of `prompt`",
    "let x = mean(LD(prompt_abc))": "`treated`: the run on the prompts of `prompt_abc`",
    "let x = mean(LD(baseline))": "`reference`",
    "let x = for h in all: effect(through(h))": "`let x for h in attn = …`",
    "let x[h] = effect(through(h))": "`let x for h in attn = …`",
    "let x = [effect(through(h)) for h in attn]": "`let x for h in attn = effect(through(h))`",
    "let x = faithfulness(through(a3.h1)) > 0.8": (
        "`claim x: faithfulness(through(a3.h1)) > 0.8 at 95% confidence`"
    ),
    "let x = mean(LD(treat(through(a3.h1), treated: 0)))": "`zero`",
    "let x = mean(LD(treat(through(a3.h1), treated: mean_ablation)))": "`mean(prompt)`",
    "let x = average(LD(reference))": "`mean(LD(reference))`",
    "let x = eap(LD)": "`attribution(a5.h5 -> a9.h9, by: eap)`",
    "intervene i { freeze ln }": "`layernorm = frozen`",
    "intervene i { freeze a3.h1 }": "`treat(P)` treats the paths of P alone",
    "intervene i { patch a3.h1 }": "`treat(through(a3.h1))`",
    "path p = a0.h1 -q-> a3.h1 -> logits": "`-[q]->`",
    "path p = a0.h1 -[Q]-> a3.h1 -> logits": "`-[q]->`",
    "path p = a0.h1 -> a3.h1.hook_q": "`-[q]-> a3.h1`",
    "path p = a3.h1[END] -> logits": "`a3.h1@END`: a position stands behind its node",
    "path p = a0.h1, a3.h1 -> logits": "`P | Q`",
    "path p = head0.1 -> logits": "`a0.h1`: a head is named by",
    "path p = a0.h1 -> blocks.3.hook_q_input": "`-[q]-> a3`",
    "group g = a3.h1 or a3.h2": "`group g = { a3.h1, a3.h2 }`",
    "metric M: prob = softmax(io)": "`prob(io)`",
    "metric M: logits = logit(io) at END": "`@END` behind what is measured",
    "model m = hf(gpt2)": "in quotes",
    "claim c: faithfulness(through(a3.h1)) > 0.8 expected refuted": "`expect refuted`",
    "// a comment": "`# …`",
    "print(LD)": "the report has every `let`",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_with_what_is_meant(slip: str) -> None:
    _, faults = lint_file("example.circuit", f"{HEAD}{slip}\n")
    helps = [one.help for one in faults]
    assert any(SLIPS[slip] in help for help in helps), helps


def test_repairs_are_read() -> None:
    forms = ("{}", "path p = {}", "intervene i {{ {} }}", "let x = mean({})", "model m = {}")
    forms = (*forms, "task t = ioi {{ {} }}", "claim c: 1 > 0 at 95% confidence {}")
    for repair in {repair for told in SLIPS.values() for repair in re.findall("`([^`]+)`", told)}:
        if not re.search("…|FILE|^;$|^@|^-|^at |^m.0|csv", repair):
            whole = [form.format(repair.replace("P, Q", "P")) for form in forms]
            assert any(not parse(f"{HEAD}{one}\n", "w.circuit")[1] for one in whole), repair


def test_the_control_that_is_offered_is_of_the_claim_itself() -> None:
    text = "path main = a3.h1 -> logits\nclaim c: mean(LD(treat(main))) > 1 at 95% confidence\n"
    _, faults = lint_file("example.circuit", HEAD + text)
    (told,) = (one.help for one in faults if one.code == "PD501")
    assert told == (
        "`claim control: mean(LD(treat(random_like(main, seed: 0)))) > 1 at 95% confidence "
        "expect refuted`"
    )
    _, faults = lint_file("example.circuit", f"{HEAD}{text}{told.strip('`')}\n")
    assert "PD501" not in [one.code for one in faults]
