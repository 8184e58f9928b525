"""Random circuits by random walks: sizes, completeness, and how often each edge is met."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest

from pathdsl.draws import Draws
from pathdsl.errors import LanguageError
from pathdsl.graph.controls.walks import Walker, added_walk, draw_walks
from pathdsl.graph.files.eap import listed, unused_edges
from pathdsl.graph.model.components import Layout
from tests.graph.helpers import GPT2, IOI_GROUPS, expression, path_set, resolver, shape


@pytest.mark.parametrize("count", [1, 2, 7, 60, 400])
def test_every_size_is_exact_and_every_edge_on_a_complete_path(count: int) -> None:
    layout = Layout(GPT2)
    drawn = draw_walks(layout, count, 0)
    assert len(set(drawn)) == count and drawn == draw_walks(layout, count, 0)
    assert unused_edges(listed(drawn, layout), layout) == ()
    assert drawn != draw_walks(layout, count, 1) or count == 1


def test_the_whole_graph_and_sizes_beyond_it() -> None:
    layout = Layout(shape(2, 2))
    assert len(draw_walks(layout, layout.n_edges(), 0)) == layout.n_edges()
    assert len(draw_walks(layout, layout.n_edges() - 1, 0)) == layout.n_edges() - 1
    for count in (0, layout.n_edges() + 1):
        with pytest.raises(ValueError, match="edges are wanted"):
            draw_walks(layout, count, 0)


def test_each_step_of_a_walk_is_uniform() -> None:
    """The chance that a walk meets an edge, by a sum over all walks."""
    layout = Layout(shape(2, 2))
    walker = Walker(layout, Draws(0, "test"))
    arrives = [Fraction(0)] * len(layout.components)
    arrives[0] = Fraction(1)
    exact = {}
    for u, after in enumerate(walker.out):
        for v, slot in after:
            exact[u, v, slot] = arrives[u] / len(after)
            arrives[v] += exact[u, v, slot]
    assert arrives[layout.logits] == 1
    count = 20_000
    met = Counter(edge for _ in range(count) for edge in walker.walk())
    for edge, p in exact.items():
        error = float(p * (1 - p) / count) ** 0.5
        assert abs(met[edge] / count - float(p)) <= 4 * error


def test_an_added_walk_adds_and_its_edge_is_one_of_them() -> None:
    layout = Layout(shape(2, 2))
    present = {(u, v, s or None) for u, v, s in draw_walks(layout, 12, 0)}
    for seed in range(20):
        new, edge = added_walk(layout, present, seed)
        assert edge in new and not {(u, v, s or None) for u, v, s in new} & present
    whole = {(u, v, s or None) for u, v, s in draw_walks(layout, layout.n_edges(), 0)}
    with pytest.raises(ValueError, match="leaves the set"):
        added_walk(layout, whole, 0)


def test_walks_in_a_file_have_as_many_edges_as_the_set_to_imitate() -> None:
    found, paths = path_set("random_edges(like: main, by: walks, seed: 3)", before=IOI_GROUPS)
    like = found.sets.product(found.path_set(expression(found, "main"))).edges()
    assert len(found.sets.product(paths).edges()) == len(like)
    _, fewer = path_set("random_edges(count: 9, like: main, by: walks)", before=IOI_GROUPS)
    assert len(found.sets.product(fewer).edges()) == 9
    with pytest.raises(LanguageError, match="PD218"):
        path_set("random_edges(count: 90000, like: main, by: walks)", before=IOI_GROUPS)


def test_an_extension_holds_the_set_a_walk_and_an_edge_of_the_walk() -> None:
    found = resolver(
        "path p = edges { input -> a0.h1 -[v]-> a9.h9 -> logits }\npath q = through(a9.h9)"
    )
    own = found.sets.product(found.path_set(expression(found, "p"))).edges()
    for seed in range(5):
        paths, edge = found.extended(expression(found, "p"), seed)
        edges = found.sets.product(paths).edges()
        assert own < edges
        assert (edge.sender, edge.receiver, edge.slot) in edges - own
        assert unused_edges(paths, found.layout) == ()
    with pytest.raises(LanguageError, match="PD222"):
        found.extended(expression(found, "q"), 0)
