"""Members of a sweep are counted once where they are alike, and counted rightly."""

from __future__ import annotations

import pytest

from pathdsl.errors import LanguageError
from pathdsl.graph.check import check_graph
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.decoders import gpt2_shape
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import Combined, PathSet
from pathdsl.graph.paths.product import Product
from pathdsl.graph.paths.symmetry import counted_as
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from tests.oracle.strategies import seeded_case


def shape_of(layers: int, heads: int) -> ModelShape:
    return gpt2_shape({"n_layer": layers, "n_head": heads, "n_embd": 8 * heads, "vocab_size": 9})


def sets_of(text: str, shape: ModelShape) -> list[PathSet]:
    program, faults = load_program("a.circuit", text)
    assert not faults
    resolver = Resolver(program, shape)
    return [resolver.path_set(path.path) for path in program.paths.values()]


@pytest.mark.parametrize("seed", range(60))
def test_a_set_of_the_same_form_is_as_large(seed: int) -> None:
    case = seeded_case(seed)
    shape = shape_of(case.config["n_layer"], case.config["n_head"])
    layout = Layout(shape)
    try:
        drawn = sets_of(case.text, shape)
    except LanguageError:
        return
    for paths in [*drawn, *(Combined(op="-", left=drawn[0], right=one) for one in drawn)]:
        alike = counted_as(paths, layout)
        assert Product(alike, layout).count() == Product(paths, layout).count()
        assert counted_as(alike, layout) == alike


ALIKE = [
    ("through(a1.h0@S1)", "through(a1.h2@END)"),
    ("a0.h1 -[q]-> a1.h2@S2 -> logits", "a0.h2 -[q]-> a1.h0@[3] -> logits"),
    ("within(a0.h[0,1], m0, a1.h2)", "within(a0.h[1,2], m0, a1.h0)"),
    ("through(r1@S1..S2)", "through(r1@{S1, END})"),
    ("full - through(a1.h0, a1.h1) ", "full - through(a1.h1, a1.h2)"),
]
APART = [
    ("through(a0.h0)", "through(a1.h0)"),
    ("a1.h0@S1 -> logits | m0@S1 -> logits", "a1.h0@S1 -> logits | m0@S2 -> logits"),
    ("a0.h0 -> a1.h0 -> logits | a0.h0 -> a1.h1 -> logits",
     "a0.h0 -> a1.h0 -> logits | a0.h1 -> a1.h1 -> logits"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [*ALIKE, *APART])
def test_which_sets_are_alike(one: str, other: str) -> None:
    layout = Layout(shape_of(2, 3))
    first, second = sets_of(f"path a = {one}\npath b = {other}\n", layout.shape)
    alike = counted_as(first, layout) == counted_as(second, layout)
    assert alike == ((one, other) in ALIKE)


def test_members_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        'model mini = bundled("ioi-mini")\n'
        "task ioi { data = mini_ioi(take: 9); reference = prompt; treated = prompt_abc }\n"
        "metric LD = logit(io) - logit(s)\n"
        "let x for h in attn, p in [IO, S1, S1..S2, [0..3], END] = "
        "effect(through(h@p), metric: LD)\n"
    )
    counted: list[PathSet] = []
    count = Product.count
    monkeypatch.setattr(Product, "count", lambda self: counted.append(self) or count(self))  # type: ignore[func-returns-value]
    program, _ = load_program("a.circuit", text)
    assert check_graph(program, shape_of(4, 4)) == []
    assert len(counted) == 4  # of 80 members; a head is told by its layer


def test_what_is_wrong_with_one_member_is_told_of_it() -> None:
    """No path goes through two heads of one layer."""
    text = (
        'model mini = bundled("ioi-mini")\n'
        "task ioi { data = mini_ioi(take: 9); reference = prompt; treated = prompt_abc }\n"
        "metric LD = logit(io) - logit(s)\n"
        "let x for h in {a1.h0, a0.h2, a0.h1} = effect(through(h) & through(a0.h2), metric: LD)\n"
    )
    program, _ = load_program("a.circuit", text)
    (fault,) = check_graph(program, shape_of(4, 3))
    assert fault.notes[-1] == "with h = a0.h1"
