"""Counts of the published files under `hypotheses`, as their papers state them."""

from __future__ import annotations

from pathlib import Path

from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from tests.graph.helpers import expression, shape

HYPOTHESES = Path(__file__).parents[2] / "hypotheses"


def resolved(name: str, layers: int, heads: int) -> Resolver:
    path = HYPOTHESES / f"{name}.circuit"
    program, faults = load_program(str(path), path.read_text())
    assert not faults
    return Resolver(program, shape(layers, heads))


def heads_of(found: Resolver, name: str) -> set[str]:
    units = found.units(expression(found, name))
    return {unit.label.split("@")[0] for unit in units if unit.label.startswith("a")}


def test_greater_than_has_235_edges_which_acdc_counts_as_262() -> None:
    found = resolved("gpt2/greater_than", 12, 12)
    edges = found.edges(expression(found, "circuit_edges"))
    inputs = {(edge.names[1], edge.slot) for edge in edges if edge.names[1].startswith("a")}
    assert len(edges) == 235
    assert len(found.edge_set(found.path_set(expression(found, "circuit_edges")))) == 235
    assert len(edges) + len(inputs) == 262
    assert heads_of(found, "circuit_edges") == set(
        "a0.h1 a0.h3 a0.h5 a5.h5 a6.h1 a6.h9 a7.h10 a8.h11 a9.h1".split()
    )


def test_pronouns_have_four_three_and_four_components() -> None:
    found = resolved("gpt2/gendered_pronoun", 12, 12)
    labels = {unit.label for unit in found.units(expression(found, "nodes"))}
    assert labels == set(
        "a0.h4@NAME m0@NAME m3@NAME m5@NAME a4.h3@IS a6.h0@IS m7@IS "
        "a9.h7@END a10.h9@END m10@END m11@END".split()
    )


def test_colored_objects_shares_seven_heads_with_ioi() -> None:
    found = resolved("gpt2_medium/colored_objects", 24, 16)
    this, that = heads_of(found, "nodes"), heads_of(found, "of_ioi")
    assert (len(this), len(that), len(this & that), len(this | that)) == (10, 11, 7, 14)
    assert this - that == {"a11.h6", "a11.h7", "a12.h15"}
    assert that - this == {"a12.h3", "a13.h4", "a13.h13", "a19.h1"}
