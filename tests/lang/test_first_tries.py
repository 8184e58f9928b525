"""What a reader of papers writes first, and whether it is taken or told with the form that is."""

from __future__ import annotations

import pytest

from pathdsl.errors import Diagnostic
from pathdsl.lang.lint import lint_file
from pathdsl.lang.rules.sample import HEAD


def told(text: str) -> list[Diagnostic]:
    _, faults = lint_file("example.circuit", HEAD + text + "\n")
    return [one for one in faults if one.code not in ("PD104", "PD501", "PD502", "PD503", "PD512")]


@pytest.mark.parametrize(
    "claim",
    [
        "claim top: top(2, h in attn: -effect(through(h))) > 0.1 at 95% confidence",
        "claim share: share(h in attn: effect(through(h)) < -1) <= 50% at 95% confidence",
        "claim sum: sum(h in a9: effect(through(h))) < 0 at 95% confidence",
        "claim correlation: correlation(LD(reference), LD(treated), by: pearson) > 0.1 "
        "at 95% confidence",
    ],
)
def test_a_claim_may_be_called_like_what_it_claims(claim: str) -> None:
    assert told(claim) == []


def test_another_declaration_of_that_name_is_meant() -> None:
    found = told("path top = a9.h9 -> logits\nlet x = top(2, h in attn: effect(through(h)))")
    assert [one.code for one in found] == ["PD111"]


@pytest.mark.parametrize(
    ("text", "code", "help"),
    [
        (
            "metric M: logits = logit(io) - mean(logit(io), logit(s))",
            "PD406",
            "`(logit(io) + logit(s)) / 2`",
        ),
        ("metric M: logits = logit(io) - mean(logit(io))", "PD406", "in a `let` or a claim"),
        ("metric M: logits = logits[io]", "PD406", "`logit(io)`"),
        (
            "let w for w in windows(mlp, 2) = effect(through(w))\nlet x: logits = w[m1..m2]",
            "PD107",
            "rename",
        ),
        (
            "let near for w in windows(mlp, 2) = effect(through(w))\nlet x: logits = near[m1..m2]",
            "PD115",
            "`{m1, m2}`",
        ),
        (
            "intervene one { scale a9.h9 = 0 }\nlet x for b in [one] = mean(LD(reference with b))",
            "PD111",
            "one let for each",
        ),
        ("metric look for h in attn = attention(h, END -> S2)", "PD001", "one metric for each"),
        ("path p = input -[{q, k}]-> attn -> logits", "PD001", "`-[q,k]->`"),
        ("path p = input ~[q|k]~> attn -> logits", "PD001", "`~[q,k]~>`"),
        ("path p = input -[qv]-> attn -> logits", "PD001", "`-[q,v]->`"),
        ("path p = input -> m0:n3 -> logits", "PD001", "`m0.n3`"),
        ("path p = input -> {m0/3, m1} -> logits", "PD001", "`m0.n3`"),
        (
            "intervene one for l in r[1..2] { set l = r3 }",
            "PD001",
            "one block for each",
        ),
    ],
)
def test_what_is_no_form_is_told_with_the_form(text: str, code: str, help: str) -> None:
    found = told(text)
    assert code in [one.code for one in found], found
    assert any(help in one.help for one in found if one.code == code), found
    assert "PD405" not in [one.code for one in found]
