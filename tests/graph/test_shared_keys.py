"""Layers that are given the keys and values of an earlier one: edges, controls, what is refused."""

from __future__ import annotations

import pytest

from pathdsl.checking.doctor import Graph
from pathdsl.draws import Draws
from pathdsl.errors import LanguageError
from pathdsl.graph.controls.walks import Walker
from pathdsl.graph.files.eap import parse_edge
from pathdsl.graph.model.components import Layout
from tests.graph.helpers import all_paths, path_set, shape

SHARED = shape(4, 2, keys_from=(0, 1, 1, 0))
LAYOUT = Layout(SHARED)


def read(name: str, slot: str) -> set[str]:
    """What an input of a node reads."""
    edges = LAYOUT.edges()
    return {LAYOUT.label(u) for u, v, s in edges if LAYOUT.label(v) == name and s == slot}


def test_a_query_reads_further_than_keys_and_values() -> None:
    first = {"input", "a0.h0", "a0.h1", "m0"}
    assert read("a2.h1", "k") == read("a2.h1", "v") == read("a1.h0", "q") == first
    assert read("a2.h1", "q") == {*first, "a1.h0", "a1.h1", "m1"}
    assert read("a3.h0", "k") == {"input"} and len(read("a3.h0", "q")) == 10
    assert LAYOUT.n_edges() == sum(1 for _ in LAYOUT.edges())
    assert parse_edge("m1->a2.h1<q>", LAYOUT) and parse_edge("m1->a2.h1<k>", LAYOUT) is None


def test_walks_take_only_edges_that_there_are() -> None:
    found = {edge for out, after in enumerate(Walker(LAYOUT, Draws(0, "test")).out)
             for edge in ((out, *one) for one in after)}  # fmt: skip
    assert found == {(u, v, slot or "") for u, v, slot in LAYOUT.edges()}


@pytest.mark.parametrize("seed", range(3))
def test_random_sets_have_only_edges_that_there_are(seed: int) -> None:
    like = "path main = m0 ~> a3.h1 | a1 -[q]-> a2\n"
    found, paths = path_set(f"random_edges(like: main, seed: {seed})", SHARED, like)
    drawn = found.sets.product(paths).edges()
    assert drawn and drawn <= set(LAYOUT.edges())


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("m1 -[k]-> a2.h1", "PD204", "keys and values of layer 2 are those of layer 1"),
        ("a0.h0 -[k,v]-> a3.h1", "PD204", "keys and values of layer 3 are those of layer 0"),
        ("m1 ~[v]~> a2", "PD204", "keys and values of layer 2 are those of layer 1"),
        ("edges { m0 -[v]-> a3.h0 -> logits; input -> m0 }", "PD204", "layer 3 are those"),
        ("input -> r1 -[k]-> a3.h0", "PD201", "reads before the entry of layer 1"),
        ("a2 -[k]-> a1", "PD201", "a node reads only what was written before it"),
    ],
)
def test_a_key_from_behind_its_layer_is_refused(path: str, code: str, said: str) -> None:
    with pytest.raises(LanguageError) as caught:
        path_set(path, SHARED)
    (fault,) = caught.value.diagnostics
    assert fault.code == code and said in fault.message and fault.span is not None and fault.help


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("m1 -> a2.h1", "m1 -[q]-> a2.h1"),
        ("input -> r1 -> a3.h0", "input -[q]-> a3.h0"),
        ("{m0, input} -[k]-> a3.h0", "input -[k]-> a3.h0"),
        ("a1 -[q]-> a2.h0 -> r3 -> {m3, a3.h0}", "a1 -> a2.h0 -> m3 | a1 -> a2.h0 -[q]-> a3.h0"),
    ],
)
def test_what_an_arrow_without_labels_is(path: str, same: str) -> None:
    found, one = path_set(path, SHARED)
    other = path_set(same, SHARED)[1]
    assert found.sets.product(one).edges() == found.sets.product(other).edges()
    assert found.count(one) == found.count(other) > 0


def test_paths_are_counted_by_entry() -> None:
    small = shape(3, 1, keys_from=(0, 1, 0))
    assert Graph.of(small).paths == sum(1 for _ in all_paths(Layout(small)))
