"""`emerges(A >= B) <= STEP`: how it is read, where it may stand, and that its name is free."""

from __future__ import annotations

import pytest

from pathdsl.errors import Severity
from pathdsl.lang import ast
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.syntax.parse import parse

HEAD = """circuit c "C" {
  language = 1
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 60)
  reference = prompt
  treated   = prompt_abc
}

metric LD: logits = logit(io) - logit(s)

"""
EARLY = "claim c: emerges(mean(LD(reference)) > 0) <= 64_000 at 95% confidence"


def errors(text: str) -> list[tuple[str, str]]:
    found = lint_file("emerges.circuit", HEAD + text + "\n")[1]
    return [(one.code, one.message) for one in found if one.severity is Severity.ERROR]


def claim_of(text: str) -> ast.ClaimDecl:
    statements = parse(HEAD + text + "\n", "emerges.circuit")[0].statements
    assert isinstance(statements[-1], ast.ClaimDecl)
    return statements[-1]


def test_it_is_read_from_both_sides() -> None:
    one = claim_of(EARLY)
    other = claim_of("claim c: 64_000 >= emerges(mean(LD(reference)) > 0) at 95% confidence")
    assert one == other and errors(EARLY) == []
    assert one.emerges is not None and one.emerges.relation == "<="
    assert isinstance(one.left, ast.Call) and (one.relation, one.expect) == (">", "supported")
    assert format_text(HEAD + EARLY + "\n", "e.circuit") == HEAD + EARLY + "\n"
    looped = (
        "claim c for h in attn: emerges(effect(through(h)) < -0.5) > 500 at 95% confidence "
        "by holm() expect refuted"
    )
    assert errors(looped) == []


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("let e = emerges(mean(LD(reference)) > 0)", "PD115", "alone on one side of a claim"),
        ("claim c: emerges(mean(LD(reference)) > 0) + 1 <= 5", "PD115", "alone on one side"),
        ("claim c: emerges(mean(LD(reference))) <= 5", "PD115", "takes one condition"),
        ("claim c: emerges() <= 5", "PD115", "takes one condition"),
        ("claim c: emerges(mean(LD(reference)) > 0) <= 5%", "PD115", "a whole number"),
        ("claim c: emerges(mean(LD(reference)) > 0) <= 5.5", "PD115", "a whole number"),
        ("claim c: emerges(mean(LD(reference)) > 0) <= mean(LD(reference))", "PD115",
         "a whole number"),
        ("claim c: emerges(mean(LD(reference)) > 0) <= emerges(mean(LD(treated)) > 0)", "PD115",
         "alone on one side"),
        ("claim c: emerges(mean(LD(reference)) ~= 0) <= 5", "PD110", "a condition over revisions"),
        ("claim c: emerges(mean(LD(reference)) > 0) ~= 5 within 2", "PD110", "a step"),
        ("claim c: emerges(sign_test(LD(reference)) <= 5%) <= 5", "PD437", "p-value"),
        ("claim c: max(mean(LD(reference)) > 0) > 1", "PD115", "a condition is no number"),
        ("claim c: emerges(emerges(mean(LD(reference)) > 0) > 1) > 1", "PD115", "alone on one"),
        ("claim c: emerges(5 > 0) > 1", "PD407", "fixed numbers"),
    ],
)  # fmt: skip
def test_where_it_may_not_stand(text: str, code: str, told: str) -> None:
    found = errors(text)
    assert any(one == code and told in message for one, message in found), found


@pytest.mark.parametrize(
    ("let", "claim"),
    [
        ("let e = emerges(mean(LD(reference)) > 0)",
         "claim e: emerges(mean(LD(reference)) > 0) <= STEP at 95% confidence"),
        ("let e for h in attn = (emerges(effect(through(h)) < 0.5))",
         "claim e for h in attn: emerges(effect(through(h)) < 0.5) <= STEP at 95% confidence"),
        ("let e = 1 - emerges(mean(LD(reference)) > 0)",
         "claim NAME: emerges(mean(LD(reference)) > 0) <= STEP at 95% confidence"),
        ("let e = emerges(mean(LD(reference)) > 0) <= 64_000",
         "claim e: emerges(mean(LD(reference)) > 0) <= 64_000 at 95% confidence"),
    ],
)  # fmt: skip
def test_a_let_of_it_is_told_the_claim_that_it_would_be(let: str, claim: str) -> None:
    found = lint_file("emerges.circuit", HEAD + let + "\n")[1]
    (told,) = [one.help for one in found if one.severity is Severity.ERROR]
    assert told.startswith(f"`{claim}`")
    assert errors(claim.replace("NAME", "e").replace("STEP", "64_000")) == []


def test_a_declared_name_wins() -> None:
    own = "metric emerges: logits = logit(io)\n"
    assert errors(own + "claim c: mean(emerges(reference)) > 0 at 95% confidence") == []
    assert ("PD115", "`emerges` is this file's own metric, and takes no condition") in errors(
        own + EARLY
    )
