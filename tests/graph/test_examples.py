"""The paths that `explain` shows: those that can be where named positions are different tokens."""

from __future__ import annotations

import pytest

from pathdsl.checking.prepare import resolver_at_hand
from pathdsl.graph.paths.examples import examples
from pathdsl.lang import ast
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.sample import HEAD


def shown(path: str, limit: int = 5) -> tuple[str, ...]:
    program, faults = load_program("x.circuit", f"{HEAD}\npath p = {path}\n")
    assert not faults
    resolver = resolver_at_hand(program)
    decl = program.find("p")
    assert resolver is not None and isinstance(decl, ast.PathDecl)
    return resolver.describe(decl.path, limit=limit).examples


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        # A query and a value of one token: only k and v read another one.
        ("input@S2 -> a3.h1@END -> logits", ("k", "v")),
        ("input@END -> a3.h1@END -> logits", ("q", "k", "v")),
        ("input@S2 -> a3.h1@{S1, END} -> logits", ("q", "k", "v")),  # counted: a set
        ("input@S1 -> a3.h1 -> logits", ("q", "k", "v")),
        ("input@S2 -[q]-> a3.h1@END -> logits", ()),
    ],
)
def test_a_place_is_left_through_keys_and_values(path: str, wanted: tuple[str, ...]) -> None:
    assert shown(path) == tuple(f"input -[{slot}]-> a3.h1 -> logits" for slot in wanted)


def test_what_is_at_one_place_goes_on_there() -> None:
    assert shown("a0.h1@S2 -> m1@END -> logits") == ()
    assert shown("a0.h1@S2 -> m1@S2 -> a3.h1@END -> logits", 2) == (
        "input -[q]-> a0.h1 -> m1 -[k]-> a3.h1 -> logits",
        "input -[k]-> a0.h1 -> m1 -[k]-> a3.h1 -> logits",
    )


@pytest.mark.parametrize(
    "path",
    ["through(a3.h1)", "a0.h1 ~> a3.h1 -> logits", "full - through(m1)", "input@S1..S2 ~> a3.h1"],
)
def test_without_single_positions_it_is_what_is_counted(path: str) -> None:
    program, _ = load_program("x.circuit", f"{HEAD}\npath p = {path}\n")
    resolver, decl = resolver_at_hand(program), program.find("p")
    assert resolver is not None and isinstance(decl, ast.PathDecl)
    paths = resolver.path_set(decl.path)
    product = resolver.sets.product(paths)
    assert list(examples(product, paths, 4)) == product.examples(4)
