"""`attribution(UNIT, by: METHOD)` and loops over edges, as far as the text says what they are."""

from __future__ import annotations

import pytest

from pathdsl.errors import Severity
from pathdsl.graph.check import check_graph
from pathdsl.lang import ast
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.units import unit_of
from tests.graph.helpers import shape

HEAD = """circuit a "A" { language = 1 }
model mini = bundled("ioi-mini")
task ioi { data = mini_ioi(take: 40); reference = prompt; treated = prompt_abc }
metric LD: logits = logit(io) - logit(s)
metric RK         = rank(io)
metric KL: nats   = kl(reference)
metric AT         = attention(a0.h1, END -> S2)
group movers @END = { a3.h1, a3.h2 }
group one         = { a3.h1 }
path P = attn -> movers -> logits
path E = a3.h1 -> logits
path W = within(movers)
"""


def faults(text: str, severity: Severity = Severity.ERROR) -> list[tuple[str, str, str]]:
    """Code, what it points at, and what it says with its label and repair."""
    whole = HEAD + text + "\n"
    program, found = lint_file("a.circuit", whole)
    if not any(d.severity is Severity.ERROR for d in found):
        found = [*found, *check_graph(program, shape(4, 4))]
    return [
        (
            d.code,
            whole[d.span.start : d.span.end] if d.span is not None else "",
            f"{d.message} | {d.label} | {d.help}",
        )
        for d in found
        if d.severity is severity
    ]


RIGHT = [
    "let x for h in attn: logits = attribution(h, by: atp_star, metric: LD)",
    "let x for h in attn: logits = attribution(h @END, slot: k, by: atp_qk, metric: LD)",
    "let x for h in movers: logits = attribution(h, by: exact, metric: LD)",
    "let x for e in edges(P): logits = attribution(e, by: eap, metric: LD)",
    "let x for e in edges { a0.h1 -[k]-> a3.h1; m0 -> logits }: logits = effect(e, metric: LD)",
    "let x for h in attn, p in [S2, END] = attribution(h @p, by: atp, metric: LD)",
    "let x = attribution(one, by: atp, metric: LD) + attribution(E, by: eap, metric: LD)",
    "let x = attribution(edges { a3.h1 -> logits }, by: eap_ig, steps: 3, rule: left, metric: LD)",
    "let x = attribution(a0.h1 @{S2, END} -[v]-> a3.h1, by: eap, as: rms, metric: LD)",
    "let x = attribution(a0.h1 -[k]-> a3.h1 @END, by: exact, metric: LD)",
    "let x = attribution(E, by: eap_ig, steps: 1, rule: left, metric: KL)",
    "let x = attribution(E, by: eap_ig, steps: 2, metric: KL)",
    "let x = attribution(m1.n3, by: atp, metric: LD) + attribution(input, by: atp, metric: LD)",
    "let x = attribution(a3.h1 -> logits, by: eap_ig, metric: KL)",
    "let x = attribution(a3.h1, by: exact, metric: RK, treated: mean(prompt_abc))",
    "let x = share(e in edges(P): attribution(e, by: eap, metric: LD) > 0.1)",
    "let y for e in edges(P) = attribution(e, by: eap, metric: LD)\n"
    "let x for e in edges(E) = y[e] / y[a3.h1 -> logits]",
    "let x for e in edges(P): logits = effect(e, metric: LD)",
    "let x for r in r[0..4], p in [S2, END]: logits = attribution(r @p, by: atp, metric: LD)",
    "let x = attribution(r2 @S2, by: exact, metric: LD) + attribution(r0, by: relp, metric: LD)",
    "let x for e in edges(P) = attribution(e, by: ifr)",
    "let x = attribution(E, by: ifr, as: rms)",
    "let x = attribution(a0.h1 @S2 -[k]-> a3.h1 @END, by: peap, metric: LD)",
    "let x = attribution(E, by: eap_gp, steps: 3, rule: right, metric: LD)",
    "let x = attribution(E, by: eap_gp, metric: KL)",
    "let x for e in edges(P): logits = mean(LD(treat(e)) - LD(keep(e & P)))",
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right(text: str) -> None:
    assert faults(text) == []
    whole = HEAD + text + "\n"
    once = format_text(whole, "a.circuit")
    assert format_text(once, "a.circuit") == once


WRONG = [
    ("attribution(a3.h1, metric: LD)", "PD113", "attribution(a3.h1, metric: LD)", "`by`"),
    ("attribution(by: atp, metric: LD)", "PD113", "attribution(by: atp, metric: LD)", "UNIT"),
    ("attribution(a3.h1, by: atpstar, metric: LD)", "PD110", "atpstar", "`atp_star`"),
    ("attribution(a3.h1, by: atp)", "PD404", "attribution", "`metric: LD`"),
    ("attribution(a3.h1, by: eap, metric: LD)", "PD408", "a3.h1", "`by: atp_star`"),
    ("attribution(a3.h1 -> logits, by: atp, metric: LD)", "PD408", "a3.h1 -> logits", "`by: eap`"),
    ("attribution(attn, by: atp, metric: LD)", "PD408", "attn", "sum(h in attn:"),
    ("attribution(movers, by: atp, metric: LD)", "PD408", "movers", "2 nodes"),
    ("attribution({a3.h1, a3.h2}, by: atp, metric: LD)", "PD408", "{a3.h1, a3.h2}", "2 nodes"),
    ("attribution(P, by: eap, metric: LD)", "PD408", "P", "sum(e in edges(P):"),
    ("attribution(W, by: eap, metric: LD)", "PD408", "W", "`effect(W)`"),
    ("attribution(r2, by: atp_qk, metric: LD)", "PD408", "r2", "`by: atp`"),
    ("attribution(r2, by: eap, metric: LD)", "PD408", "r2", "scores edges, and this is a mark"),
    ("attribution(r[0..2], by: atp, metric: LD)", "PD408", "r[0..2]", "3 marks"),
    ("attribution(r2, slot: q, by: atp, metric: LD)", "PD129", "slot: q", "the stream itself"),
    ("attribution(r9, by: atp, metric: LD)", "PD205", "r9", "0 to 4"),
    ("attribution(E, by: ifr, metric: LD)", "PD129", "metric: LD", "by: eap"),
    ("attribution(E, by: ifr, treated: zero)", "PD129", "treated: zero", "leave it out"),
    ("attribution(a3.h1, by: ifr)", "PD408", "a3.h1", "scores edges"),
    ("attribution(E, by: ifr, steps: 3)", "PD129", "steps: 3", "`by: eap_gp`"),
    ("attribution(E, by: eap_gp, metric: LD, treated: mean(prompt))", "PD408",
     "attribution(E, by: eap_gp, metric: LD, treated: mean(prompt))", "no such prompt"),
    ("attribution(E, by: eap_gp, steps: 1, rule: right, metric: KL)", "PD408", "metric: KL",
     "`rule: left`"),
    ("attribution(E, by: peap, metric: KL)", "PD408", "metric: KL", "is 0 at the reference run"),
    ("attribution(a2.h1 @S2 -[q]-> a3.h1 @END, by: eap, metric: LD)", "PD408",
     "a2.h1 @S2 -[q]-> a3.h1 @END", "`a2.h1 @END -[q]-> a3.h1`"),
    ("attribution(a2.h1 @S2 -[q]-> a3.h1 @END, by: peap, metric: LD)", "PD408",
     "a2.h1 @S2 -[q]-> a3.h1 @END", "`a2.h1 @S2 -[v]-> a3.h1`"),
    ("attribution(a2.h1 @S2 -> m3 @END, by: peap, metric: LD)", "PD408",
     "a2.h1 @S2 -> m3 @END", "`a2.h1 @END -> m3`"),
    ("attribution(a2.h1 @S2 -[k]-> a3.h1 @END, by: eap, metric: LD)", "PD408",
     "a2.h1 @S2 -[k]-> a3.h1 @END", "by: peap"),
    ("attribution(logits, by: atp, metric: LD)", "PD408", "logits", "nothing that is patched"),
    ("attribution(m1, slot: q, by: atp, metric: LD)", "PD408", "m1", "leave `slot: q` out"),
    ("attribution(a3.h1, slot: o, by: atp, metric: LD)", "PD110", "o", "`q`, `k` or `v`"),
    ("attribution(a3.h1 -> logits, slot: q, by: eap, metric: LD)", "PD129", "slot: q", "arrow"),
    ("attribution(a0.h1 -> a3.h1, by: eap, metric: LD)", "PD408", "a0.h1 -> a3.h1", "-[v]->"),
    ("attribution(a0.h1 -[q,k]-> a3.h1, by: eap, metric: LD)", "PD408", "-[q,k]->", "`-[q]->`"),
    ("attribution(a0.h1 -[k: prev]-> a3.h1, by: eap, metric: LD)", "PD408", "k: prev", "`-[k]->`"),
    ("attribution(a0.h1 ~> a3.h1, by: eap, metric: LD)", "PD408", "~>", "write `->`"),
    ("attribution(a3.h1 -[q]-> a0.h1, by: eap, metric: LD)", "PD201", "a0.h1", ""),
    ("attribution(a0.h1 -[k]-> a3.h1 @END, by: eap, metric: LD)", "PD408",
     "a0.h1 -[k]-> a3.h1 @END", "a0.h1 @P"),
    ("attribution(m0.n3 -> logits, by: eap, metric: LD)", "PD408", "m0.n3 -> logits", "the MLP"),
    ("attribution(a3.h1, by: atp, steps: 4, metric: LD)", "PD129", "steps: 4", "`by: eap_ig`"),
    ("attribution(E, by: eap_ig, steps: 0, metric: LD)", "PD116", "0", "at least 1"),
    ("attribution(E, by: eap_ig, steps: 1001, metric: LD)", "PD116", "1001", "at most 1,000"),
    ("attribution(E, by: eap_ig, rule: middle, metric: LD)", "PD110", "middle", "`right`"),
    ("attribution(a3.h1, by: atp, metric: RK)", "PD408", "metric: RK", "by: exact"),
    ("attribution(a3.h1, by: atp, metric: KL)", "PD408", "metric: KL", "by: eap_ig"),
    ("attribution(a3.h1, by: atp, metric: AT)", "PD408", "metric: AT", "not at the logits"),
    ("attribution(E, by: eap_ig, steps: 1, metric: KL)", "PD408", "metric: KL", "`rule: left`"),
    ("attribution(E, by: eap_ig_activations, steps: 1, rule: right, metric: KL)", "PD408",
     "metric: KL", "more `steps:`"),
    ("attribution(E, by: eap_ig, metric: LD, treated: zero)", "PD408",
     "attribution(E, by: eap_ig, metric: LD, treated: zero)", "no such prompt"),
    ("attribution(a3.h1, by: atp, scope: P, metric: LD)", "PD117", "scope: P", "`treated`"),
    ("attribution(treat(P), by: atp, metric: LD)", "PD021", "treat(P)", "a run stands here"),
    ("attribution(3, by: atp, metric: LD)", "PD021", "3", "path set"),
    ("attribution(a3.h1, a3.h2, by: atp, metric: LD)", "PD117", "a3.h2", "1 argument"),
    ("mean(attribution(a3.h1, by: atp, metric: LD))", "PD405",
     "attribution(a3.h1, by: atp, metric: LD)", "a quantity already"),
    ("mean(LD(movers @END))", "PD021", "movers @END", "is a node"),
    ("LD(a3.h1 -> logits)", "PD021", "->", "a path stands here"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "code", "place", "said"), WRONG)
def test_what_is_wrong_and_how_to_mend_it(call: str, code: str, place: str, said: str) -> None:
    ((found, at, text),) = faults(f"let x = {call}")
    assert (found, at) == (code, place)
    assert said in text


LOOPS = [
    ("for e in edges(P) = attribution(e, by: atp, metric: LD)", "PD408", "e", "`by: eap`"),
    ("for e in edges(P) = effect(through(e), metric: LD)", "PD115", "e", "a set of nodes"),
    ("for e in edges(nope) = effect(e, metric: LD)", "PD101", "nope", "`P`"),
    ("for e in edges(none) = effect(e, metric: LD)", "PD209", "edges(none)", "no edges"),
    ("for e in edges(movers -> a0.h0) = effect(e, metric: LD)", "PD201", "", ""),
    ("for e in edges(m0.n3 -> logits) = effect(e, metric: LD)", "PD408", "edges(m0.n3 -> logits)",
     "their MLPs"),
    ("for w in windows(attn, 2) = attribution(w, by: atp, metric: LD)", "PD408", "w", "2 nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("loop", "code", "place", "said"), LOOPS)
def test_loops_that_are_wrong(loop: str, code: str, place: str, said: str) -> None:
    found = faults(f"let x {loop}")
    assert {one[0] for one in found} == {code}
    assert not place or found[0][1] == place
    assert said in found[0][2]


def test_a_subscript_names_an_edge_of_such_a_loop() -> None:
    let = "let y for e in edges(P) = attribution(e, by: eap, metric: LD)\n"
    ((code, at, _),) = faults(f"{let}let x = y[a3.h1]")
    assert (code, at) == ("PD115", "a3.h1")


def test_its_unit_is_that_of_the_metric() -> None:
    program, _ = lint_file("a.circuit", f"{HEAD}let x = attribution(a3.h1, by: atp, metric: LD)\n")
    assert unit_of(program)["x"] == "logits"
    ((code, _, _),) = faults("let x: prob = attribution(a3.h1, by: atp, metric: LD)")
    assert code == "PD402"


def test_shares_have_no_unit_and_need_no_metric_and_no_treated_value() -> None:
    text = HEAD + "let x = attribution(E, by: ifr)\nclaim c: attribution(E, by: ifr) >= 1%\n"
    program, _ = lint_file("a.circuit", text)
    assert unit_of(program)["x"] == "none"
    ((code, _, _),) = faults("let x: logits = attribution(E, by: ifr)")
    assert code == "PD402"
    told = faults("claim c: attribution(E, by: ifr) > 1.5", Severity.WARNING)
    assert "between 0 and 1" in " ".join(text for code, _, text in told if code == "PD526")
    bare = """circuit a "A" { language = 1 }
model mini = bundled("ioi-mini")
task ioi { data = mini_ioi(take: 40); reference = prompt }
let x = attribution(a3.h1 -> logits, by: ifr)
"""
    _, found = lint_file("a.circuit", bare)
    assert [d.code for d in found if d.severity is Severity.ERROR] == []


def test_the_trees() -> None:
    text = "let x for e in edges(P) = attribution(e, by: eap) + y[a0.h1 -[k]-> a3.h1]\n"
    (let,) = parse(text, "a.circuit")[0].statements
    assert isinstance(let, ast.LetDecl) and let.loop is not None
    domain = let.loop.members
    assert isinstance(domain, ast.EdgesOf) and isinstance(domain.paths, ast.Name)
    assert isinstance(let.expression, ast.Binary)
    score, subscript = let.expression.left, let.expression.right
    assert isinstance(score, ast.Score) and score.name == "attribution"
    assert isinstance(subscript, ast.Subscript) and isinstance(subscript.member, ast.Chain)


@pytest.mark.parametrize("method", ATTRIBUTIONS)
def test_a_method_that_scores_neither_is_refused_by_name(method: str) -> None:
    record = ATTRIBUTIONS[method]
    metric = ", metric: LD" if record.effect else ""
    for unit, scored in (
        ("a3.h1", record.nodes), ("r3", record.marks), ("a3.h1 -> logits", record.edges),
    ):  # fmt: skip
        found = faults(f"let x = attribution({unit}, by: {method}{metric})")
        assert found == [] if scored else found[0][0] == "PD408"
        assert scored or f"`by: {method}`" in found[0][2]


# -------------------------------------------------------------------------------------------------
# PD538
# -------------------------------------------------------------------------------------------------

GUESS = "let guess for h in attn: logits = attribution(h, by: atp, metric: LD)\n"
OTHER = "let other for h in attn: logits = attribution(h, by: atp_star, metric: LD)\n"
REAL = "let real for h in attn: logits = effect(through(h), metric: LD)\n"
LARGE = "claim large: min(h in attn: attribution(h, by: atp, metric: LD)) <= -1 at 95% confidence\n"
AGREE = "claim agree: correlation(guess, {}, by: spearman) >= 0.9 at 95% confidence\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GUESS + LARGE, True),
        (GUESS + REAL + LARGE, True),  # measured, and not compared
        (GUESS + OTHER + LARGE + "claim c: correlation(other, real) > 0\n" + REAL, True),
        (GUESS + REAL + LARGE + AGREE.format("real"), False),
        (GUESS + REAL + AGREE.format("real"), False),
        (GUESS + OTHER + AGREE.format("other"), False),
        (GUESS + LARGE.replace("by: atp", "by: exact"), False),
        (GUESS, False),
        ("claim c: attribution(E, by: ifr) >= 1% at 95% confidence\n", False),
        ("claim c: attribution(E, by: eap, metric: LD) < effect(E, metric: LD) + 1\n", False),
    ],
)
def test_estimates_that_nothing_is_held_against(text: str, told: bool) -> None:
    codes = [code for code, _, _ in faults(text, Severity.WARNING)]
    assert ("PD538" in codes) == told


# -------------------------------------------------------------------------------------------------
# PD539
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("attribution(h, by: atp_star, metric: LD)", "effect(through(h), metric: LD)", True),
        ("attribution(h, by: exact, metric: LD)", "attribution(h, by: atp_star, metric: LD)", True),
        (
            "attribution(h, by: atp, metric: LD, as: rms)",
            "attribution(h, by: exact, metric: LD)",
            True,
        ),
        ("attribution(h, by: atp_star, metric: LD)", "abs(effect(through(h), metric: LD))", False),
        (
            "attribution(h, by: atp_star, metric: LD)",
            "effect(through(h), metric: LD, as: rms)",
            False,
        ),
        ("attribution(h, by: atp, metric: LD)", "attribution(h, by: exact, metric: LD)", False),
        ("attribution(h, by: atp_star, metric: LD)", "mean(LD(treat(h)) - LD(reference))", False),
        ("effect(through(h), metric: LD)", "effect(h -> logits, metric: LD)", False),
    ],
)
def test_sizes_beside_signed_scores(left: str, right: str, told: bool) -> None:
    text = f"let x for h in attn = {left}\nlet y for h in attn = {right}\n"
    found = faults(text + "claim c: correlation(x, y, by: spearman) > 0.1\n", Severity.WARNING)
    assert ("PD539" in [code for code, _, _ in found]) == told
