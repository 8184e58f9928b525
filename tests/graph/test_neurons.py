"""Neurons on the graph: what masks mean, counts, units, controls; and that they change nothing
where they are not named."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathdsl.errors import LanguageError
from pathdsl.graph.controls.random_like import renaming
from pathdsl.graph.model.components import MLP, Layout, bits
from pathdsl.graph.paths.neurons import (
    atom_mask,
    atom_text,
    atoms,
    hull,
    intersect,
    neuron_bit,
    neuron_of,
    node_of,
    subtract,
    unite,
)
from pathdsl.graph.paths.pathset import FULL, minus
from pathdsl.graph.paths.product import Product
from tests.graph.helpers import count, expression, path_set, resolver, shape
from tests.oracle.cases import parse_text
from tests.oracle.graph import Environment, Row, all_paths
from tests.oracle.paths import matches
from tests.oracle.strategies import seeded_case

SMALL = shape(2, 2, d_mlp=5)
LAYOUT = Layout(SMALL)
PLACES = [i for i in range(len(LAYOUT.components))] + [
    neuron_bit(layer, j, LAYOUT) for layer in range(2) for j in range(5)
]

# -------------------------------------------------------------------------------------------------
# Masks
# -------------------------------------------------------------------------------------------------


def members(mask: int) -> set[int]:
    """A mask by the definition: heads, rests of MLPs and neurons that it holds."""
    found = set()
    for i in PLACES:
        neuron = neuron_of(i, LAYOUT)
        if neuron is None:
            inside = mask >> i & 1
        else:
            inside = (mask >> LAYOUT.mlp(neuron[0]) & 1) ^ (mask >> i & 1)
        if inside:
            found.add(i)
    return found


masks = st.integers(0, (1 << (max(PLACES) + 1)) - 1)


@given(masks, masks)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_set_algebra(a: int, b: int) -> None:
    assert members(unite(a, b, LAYOUT)) == members(a) | members(b)
    assert members(intersect(a, b, LAYOUT)) == members(a) & members(b)
    assert members(subtract(a, b, LAYOUT)) == members(a) - members(b)
    parts = [atom_mask(*atom) for atom in atoms(a, LAYOUT)]
    assert sorted(i for part in parts for i in members(part)) == sorted(members(a))


def test_without_neurons_masks_are_bits() -> None:
    a, b = 0b1011, 0b0110
    assert unite(a, b, LAYOUT) == a | b
    assert subtract(a, b, LAYOUT) == a & ~b
    assert list(atoms(a, LAYOUT)) == [(i, 0) for i in bits(a)]
    assert hull(a, LAYOUT) == a


# -------------------------------------------------------------------------------------------------
# Path sets
# -------------------------------------------------------------------------------------------------

EXPRESSIONS = [
    "through(m0.n1)",
    "through({m0, except m0.n1})",
    "through(m0) - through(m0.n1)",
    "full - through(m0.n[1..3])",
    "m0.n1 -> a1.h0",
    "m0.n1 -[q]-> a1.h0 -> m1.n[0,4] -> logits",
    "input -> m1.n2 -> logits",
    "a0.h1 -> m[0..1].n1",
    "within(m0.n1, m1, a1.h0)",
    "within({any, except m1.n[0..4]})",
    "input (-> mlp)+ -> logits | m1.n3",
    "m0.n1 (-> any)* -> m1.n2",
    "through(m1.n*)",
    "through(m1.n0) & through(a0.h0)",
    "edges { input -> a0.h0 -> m0.n1 -> logits; a0.h0 -> m0 -> logits }",
    "edges { input -> {m0, except m0.n2} -> m1.n1 -> logits }",
]


def by_enumeration(text: str) -> int:
    """Paths of the set, one by one: on a prompt of one token a path is a (node, slot) sequence."""
    plain = text.replace("n*", "n[0..4]")
    file = parse_text(f"path P = {plain}\n")
    env = Environment.of(file, n_layers=2, n_heads=2, rows=(Row(length=1),))
    return sum(matches(env.paths["P"], env, path, 0) for path in all_paths(env, 0))


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_count_is_that_of_the_enumeration(text: str) -> None:
    assert count(text, SMALL) == by_enumeration(text)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_nodes_are_the_ends_of_the_edges(text: str) -> None:
    found, paths = path_set(text, SMALL)
    product = found.sets.product(paths)
    alone = product.own_nodes()
    assert alone == {i for u, v, _ in product.own_edges() for i in (u, v)}


def test_an_mlp_that_is_not_split_is_one_node() -> None:
    before = "path other = through(m0.n[0..4]) | through(m1.n2)"
    for text in ("full", "mlp -> logits", "through(m0)", "within(m0, m1)", "m0 -> m1",
                 "through({m0, m0.n1})"):  # fmt: skip
        assert count(text, SMALL, before) == count(text.replace(", m0.n1", ""), SMALL)


def test_neurons_of_one_mlp_do_not_read_each_other() -> None:
    for text in ("m0.n1 -> m0.n2", "m0.n1 -> m0", "m0 -> m0.n1"):
        with pytest.raises(LanguageError) as error:
            path_set(text, SMALL)
        assert [d.code for d in error.value.diagnostics] == ["PD201"]
    parallel = shape(2, 2, d_mlp=5, parallel=True)
    with pytest.raises(LanguageError) as error:
        path_set("a0.h0 -> m0.n1", parallel)
    assert [d.code for d in error.value.diagnostics] == ["PD204"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("through(m0.n5)", "PD205"),
        ("through(m2.n0)", "PD205"),
        ("through(m0.n[3..5])", "PD205"),
        ("{a0.h0, m0.n1} -[q]-> {m1.n1, m1.n2}", "PD204"),
        ("random_like(m0.n[0..2], seed: 0)", "PD218"),
        ("random_edges(like: m0.n1 -> m1, seed: 0)", "PD218"),
    ],
)
def test_faults(text: str, code: str) -> None:
    with pytest.raises(LanguageError) as error:
        path_set(text, SMALL)
    assert [d.code for d in error.value.diagnostics] == [code]


def test_models_whose_mlps_have_no_neurons() -> None:
    for changes, code in (({"normed_mlp": True}, "PD212"), ({"has_mlp": False}, "PD205")):
        with pytest.raises(LanguageError) as error:
            path_set("through(m0.n1)", shape(2, 2, d_mlp=5, **changes))
        assert [d.code for d in error.value.diagnostics] == [code]


# -------------------------------------------------------------------------------------------------
# Units, labels, controls
# -------------------------------------------------------------------------------------------------


def labels(text: str, before: str = "") -> list[str]:
    found, _ = path_set(text, SMALL, before)
    return [unit.label for unit in found.units(expression(found, "p"))]


def test_units() -> None:
    group = "group g @END = { m0.n[0..1], a0.h1 }"
    assert labels("g -> m1", group) == ["m0.n0@END", "m0.n1@END", "a0.h1@END", "m1"]
    assert labels("m0.n1 -> mlp -> logits") == ["m0.n1"]
    assert labels("through(m0, m0.n1)") == ["m0", "m0.n1"]
    assert labels("through({m0, except m0.n[1,3..4]})") == ["{m0, except m0.n[1, 3..4]}"]
    assert labels("through(m0) - through(m0.n2)") == ["m0"]
    assert labels("within(m0.n1, a1.h0) - through(m0.n1)") == ["a1.h0"]


def test_labels_are_the_language() -> None:
    for text in ("m0.n2", "{m0, except m0.n2}", "{m0, except m0.n[0, 2..3]}", "a1.h0", "m1"):
        found, _ = path_set(f"through({text})", SMALL)
        (unit,) = found.units(expression(found, "p"))
        again, _ = path_set(f"through({unit.label})", SMALL)
        assert again.units(expression(again, "p")) == (unit,)
        assert unit.label == text


def test_over_names_neurons_that_the_set_does_not_tell_apart() -> None:
    found, _ = path_set("m0 -> logits", SMALL)
    over = parse_text("path o = through(m0.n3, m1.n0)\n").statements[0].path
    units = found.units(expression(found, "p"), over=over)
    assert [unit.label for unit in units] == ["m0.n3"]


def test_knockouts_of_neurons() -> None:
    found, paths = path_set("m0.n[0..1] -> logits", SMALL)
    one, other = found.units(expression(found, "p"))
    assert found.count(found.through([one])) == found.count(found.through([other]))
    assert 2 * found.count(minus(paths, found.through([one]))) == found.count(paths)


def test_edges_one_by_one() -> None:
    found, _ = path_set("edges { input -> m0.n1 -[v]-> a1.h0 -> logits; m0 -> logits }", SMALL)
    units = found.edges(expression(found, "p"))
    assert [unit.label for unit in units] == [
        "input -> m0.n1", "m0.n1 -[v]-> a1.h0", "a1.h0 -> logits", "m0 -> logits",
    ]  # fmt: skip


def test_overlap_tells_the_same_neurons_apart() -> None:
    found = resolver("path p = through(m0.n1)\npath q = m0 -> logits\n", SMALL)
    first, second = (found.path_set(expression(found, name)) for name in "pq")
    assert found.node_set(second, first) == {"a0.h0", "a0.h1", "rest of m0", "m0.n1"}
    assert found.node_set(second) == {"a0.h0", "a0.h1", "m0"}
    assert "m0.n1->logits" in found.edge_set(first, second) & found.edge_set(second, first)


def test_random_like_draws_from_all_neurons_of_the_mlp() -> None:
    wide = shape(2, 2, d_mlp=3000)
    found, paths = path_set("m0.n[4,7] -[q]-> a1.h0", wide)
    expr, layout = expression(found, "p"), found.layout
    drawn = set()
    for seed in range(20):
        mapping = renaming(found.sets, paths, seed)
        new = [neuron_of(mapping[neuron_bit(0, j, layout)], layout) for j in (4, 7)]
        assert {layer for layer, _ in new} == {0} and len(set(new)) == 2
        drawn |= {j for _, j in new}
        control = found.expressions.random_like(expr, seed)
        assert found.count(control) == found.count(paths)
        assert not {"m0.n4", "m0.n7"} & found.node_set(control)
    assert len(drawn) > 30 and max(drawn) > 1000 and not drawn & {4, 7}


def test_renamed_exceptions_keep_their_neurons() -> None:
    found, paths = path_set("through({m0, except m0.n2})", shape(3, 2, d_mlp=5))
    mapping = renaming(found.sets, paths, 1)
    (new,) = mapping.values()
    layer = found.layout.components[new].layer
    control = found.expressions.random_like(expression(found, "p"), 1)
    expected = found.sets.through(
        path_set(f"through({{m{layer}, except m{layer}.n2}})", found.shape)[0].places.nodes(
            parse_text(f"group g = {{m{layer}, except m{layer}.n2}}\n").statements[0].nodes, {}
        )
    )
    assert control == expected


# -------------------------------------------------------------------------------------------------
# The law: what names no neuron does not change because something else does
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(0, 200, 4))
def test_what_names_no_neuron_does_not_change(seed: int) -> None:
    text = seeded_case(seed).text
    numbers = random.Random(seed)
    more = f"path extra = through(m0.n{numbers.randint(0, 4)}) | m1.n[0..2] -> logits\n"
    layers = 3 if "m2" in text or "a2" in text else 2
    of = shape(layers, 2, d_mlp=5)
    alone, beside = resolver(text, of), resolver(more + text, of)
    try:
        expr = expression(alone, "P")
        paths = alone.path_set(expr)
    except LanguageError:
        return
    again = expression(beside, "P")
    beside.path_set(expression(beside, "extra"))
    assert beside.path_set(again) == paths
    assert beside.count(paths) == alone.count(paths)
    assert beside.sets.product(paths).edges() == alone.sets.product(paths).edges()
    assert [u.label for u in beside.units(again)] == [u.label for u in alone.units(expr)]
    assert beside.node_set(paths) == alone.node_set(paths)
    try:
        drawn = alone.expressions.random_like(expr, seed)
    except LanguageError:
        return
    assert beside.expressions.random_like(again, seed) == drawn


def test_a_product_without_neurons_is_on_the_layout_itself() -> None:
    assert Product(FULL, LAYOUT).layout is LAYOUT
    assert [atom_text(i, 0, LAYOUT) for i in (1, 3)] == ["a0.h0", "m0"]


def test_an_mlp_without_some_neurons_is_drawn_as_an_mlp() -> None:
    found = resolver("path p = {m0, except m0.n[0..1]} ~> logits", SMALL)
    (unit,) = found.units(expression(found, "p"))
    assert unit.name == "{m0, except m0.n[0..1]}"
    assert node_of(unit.component, found.layout).kind is MLP
    assert str(node_of(neuron_bit(0, 3, found.layout), found.layout)) == "m0.n3"
