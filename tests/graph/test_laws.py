"""Laws of path sets, and counts against the definition on small graphs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathdsl.errors import LanguageError
from pathdsl.graph.paths.pathset import FULL, NONE, Combined, PathSet, intersection, minus, union
from tests.graph.helpers import all_paths, contains, expression, resolver, shape

SMALL = [
    shape(2, 2), shape(2, 2, parallel=True), shape(3, 1, has_mlp=False),
    shape(3, 1, keys_from=(0, 1, 0)),
]  # fmt: skip
NODES = ["input", "attn", "any", "a0.h0", "a1", "a[0..1].h0", "{a0.h0, a1.h0}"]
NAMES = ["attn", "any", "a0.h0", "a1", "{a0.h0, a1.h0}"]
ARROWS = ["->", "~>", "-[q]->", "-[k,v]->", "~[v]~>", "-> r1 ->"]


@st.composite
def sub_paths(draw: st.DrawFn, depth: int = 2) -> str:
    """The text of a sub-path."""
    text = draw(st.sampled_from(NODES))
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            quantifier = draw(st.sampled_from(["*", "+", "?", "{1,2}"]))
            text += f" (-> {draw(st.sampled_from(NAMES))}){quantifier}"
        target = draw(st.sampled_from([*NAMES, "logits"]))
        if depth and draw(st.integers(0, 3)) == 0:
            target = f"({draw(plain(depth - 1))})"
        text += f" {draw(st.sampled_from(ARROWS))} {target}"
    return text


@st.composite
def plain(draw: st.DrawFn, depth: int) -> str:
    """A choice of sub-paths without repeats, since sections do not nest."""
    options = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2))
    if depth:
        options[0] = f"{options[0]} -> {draw(st.sampled_from(NAMES))}"
    return " | ".join(options)


@st.composite
def sets(draw: st.DrawFn, depth: int = 2) -> str:
    """The text of a complete path set."""
    kind = draw(st.integers(0, 6 if depth else 3))
    if kind > 3:
        op = draw(st.sampled_from("|&-"))
        return f"({draw(sets(depth - 1))}) {op} ({draw(sets(depth - 1))})"
    if kind == 3:
        return f"({draw(sub_paths())})"
    names = ", ".join(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)))
    if kind == 2:
        return f"edges {{ input -> {draw(st.sampled_from(NAMES))} -> logits }}"
    return f"{'through' if kind else 'within'}({names})"


@settings(max_examples=120, deadline=None)
@given(sets(), st.sampled_from(SMALL))
def test_counts_agree_with_the_definition(text: str, of: object) -> None:
    found = resolver(f"path p = {text}", of)  # type: ignore[arg-type]
    try:
        paths = found.path_set(expression(found, "p"))
    except LanguageError:
        return  # a step that this model cannot take
    members = [p for p in all_paths(found.layout) if contains(paths, p, found.layout)]
    product = found.sets.product(paths)
    assert product.count() == len(members)
    assert product.own_nodes() == {i for p in members for i, _ in p}
    edges = {(u, v, s) for p in members for (u, _), (v, s) in pairwise(p)}
    assert product.edges() == edges
    assert len(set(product.examples(5))) == min(5, len(members))


@settings(max_examples=60, deadline=None)
@given(sets(1), sets(1), sets(1))
def test_algebra(a: str, b: str, c: str) -> None:
    found = resolver(f"path a = {a}\npath b = {b}\npath c = {c}", SMALL[0])
    try:
        x, y, z = (found.path_set(expression(found, name)) for name in "abc")
    except LanguageError:
        return

    def same(left: PathSet, right: PathSet) -> None:
        both = found.count(Combined(op="&", left=left, right=right))
        assert found.count(left) == both == found.count(right)

    def without(p: PathSet) -> PathSet:
        return minus(FULL, p)

    same(without(union(x, y)), intersection(without(x), without(y)))
    same(without(intersection(x, y)), union(without(x), without(y)))
    same(intersection(x, union(y, z)), union(intersection(x, y), intersection(x, z)))
    same(minus(x, y), intersection(x, without(y)))
    assert found.count(union(x, y)) + found.count(intersection(x, y)) == (
        found.count(x) + found.count(y)
    )
    assert found.count(x) + found.count(without(x)) == found.count(FULL)
    assert minus(x, x) == NONE and without(without(x)) == x


@pytest.mark.parametrize("of", SMALL)
def test_full_is_every_path(of: object) -> None:
    found = resolver("path p = full", of)  # type: ignore[arg-type]
    assert found.count(FULL) == sum(1 for _ in all_paths(found.layout))
