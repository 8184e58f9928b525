"""The matcher against itself: path sets written in two ways, counts, refused expressions."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests import seeds as counts

from .cases import Case, count_paths, environment, parse_text
from .paths import MeaninglessError, all_paths, matches
from .strategies import draw_case
from .test_oracle import case_of

SAME = [
    ("input ~> logits", "full"),
    ("input", "full"),
    ("a0.h0 -> m1", "input ~> a0.h0 -> m1 ~> logits"),
    ("a0.h0 ~> m1", "a0.h0 (-> any)* -> m1"),
    ("a0.h0 ~[k]~> a1.h0", "a0.h0 (-> any)* -[k]-> a1.h0"),
    ("a0.h0 ~[k]~> a1.h0", "a0.h0 -[k]-> a1.h0 | a0.h0 -> m0 -[k]-> a1.h0"),
    ("within(any)", "full"),
    ("within(any, input)", "full"),
    ("within({any, except a0.h1})", "full - through(a0.h1)"),
    ("within(a0.h0, logits)", "input -> logits | input -> a0.h0 -> logits"),
    ("within(mlp, input@SB)", "input@SB (-> mlp)* -> logits"),
    ("through(m0, a1.h0)", "m0 | a1.h0"),
    ("through(r1)", "full"),
    ("input -> r1 -> logits", "input -> logits"),
    ("input -> r0 -> a1 -> r2 -> logits", "input -> a1 -> logits"),
    ("input -> {r0, r2} -> m0", "input -> m0"),
    ("m0 -> r1@SA -[k]-> a1.h0", "m0@SA -[k]-> a1.h0"),
    ("m0 -[k: prev, v]-> a1.h0", "m0 -[k: prev]-> a1.h0 | m0 -[v]-> a1.h0"),
    ("m0 -[k,v: window(1)]-> a1.h0", "m0 -[k,v: same]-> a1.h0"),
    ("m0 -[v: offset(-1)]-> a1.h0", "m0 -[v: prev]-> a1.h0"),
    ("input (-> any){2} -> logits", "(input -> any -> any -> logits)"),
    ("input (-> any)? -> logits", "input (-> any){0,1} -> logits"),
    ("input (-> attn -> mlp)+ -> logits", "input -> attn -> mlp (-> attn -> mlp)? -> logits"),
    ("input (-> attn -> mlp){2} -> logits", "edges { input -> a0 -> m0 -> a1 -> m1 -> logits }"),
    ("full - through(any)", "edges { input -> logits }"),
    ("edges { input -> m0 -> logits; input -> m1 }", "within(m0) - (input -> logits)"),
    ("edges { input -> {m0, m1} -> logits; m0 -> m1 }", "within(mlp) - (input -> logits)"),
    ("through(a0@SA)", "path d = a0.h0@SA | a0.h1@SA\npath P = (d -> any) | d -> logits"),
    ("a0@SA", "group g @SA = { a0.h0, a0.h1 }\npath P = g"),
    ("a0@SA", "group g = { a0.h*, except m0 }\npath P = g@SA"),
    (
        "a0@SA -[k]-> a1.h0@END",
        "group g @SA = { a0 }\npath s = g -[k]-> a1.h0\npath P = input ~> s & a1.h0@END ~> logits",
    ),
    ("m0@SB", "m0@[0] | m0@[2]"),
    ("m0@SB+1", "m0@[1] | m0@[3]"),
    ("m0@END", "m0@[3]"),
    ("a0.h0 - m0 -> logits & through(m1)", "(a0.h0 - m0 -> logits) & through(m1)"),
    ("none | m0 & through(a0)", "a0 ~> m0"),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SAME)
def test_equal_path_sets(left: str, right: str) -> None:
    first, second = (environment(case_of(text)) for text in (left, right))
    for path in all_paths(first, 3):
        in_first = matches(first.paths["P"], first, path, 0)
        assert in_first == matches(second.paths["P"], second, path, 0), path


def test_counts_of_paths() -> None:
    """All paths by hand: layer 1 reads 14, 22, 30, 38 at the four positions; 2 x (38 + 2 x 246)."""
    assert count_paths(case_of("full"), 0)[0] == count_paths(case_of("full"), 0)[1] == 1060
    assert count_paths(case_of("input -> logits"), 0)[0] == 1
    assert count_paths(case_of("input -[k]-> a0.h0 -> logits"), 0)[0] == 4
    assert (
        count_paths(case_of("input -[k]-> a0.h0@SA -[v: window(2)]-> a1.h1 -> logits"), 0)[0] == 0
    )
    assert (
        count_paths(case_of("input -[k]-> a0.h0@SA+1 -[v: window(2)]-> a1.h1 -> logits"), 0)[0] == 3
    )


@pytest.mark.parametrize(
    "text", ["a0 -> (m0 & m1)", "a0 -> through(m1)", "m0 -[k]-> r1 -> a1.h0", "{m0@SA}@SB"]
)
def test_meaningless_expressions_are_refused(text: str) -> None:
    with pytest.raises(MeaninglessError):
        count_paths(case_of(text), 0)


@pytest.mark.parametrize("count", counts.samples("meaning"))
def test_drawn_cases_have_a_meaning(count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(draw_case())
    def counted(case: Case) -> None:
        parse_text(case.text)
        for row in range(len(case.rows)):
            inside, paths = count_paths(case, row)
            assert 0 <= inside <= paths

    counted()
