"""Counts that the literature states, and the worked example of the language."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import FULL
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from tests.graph.helpers import GPT2, IOI_GROUPS, count, expression, path_set, resolver, shape
from tests.graph.network import count_edges, count_paths, graph_of

HEADS = "{duplicate_token, previous_token, induction, s_inhibition, name_mover, backup, negative}"
NO_POSITIONS = "\n".join(
    line.replace(line[line.index("@") : line.index("=")], " ") if line.startswith("group") else ""
    for line in IOI_GROUPS.splitlines()
)
CONNECTIONS = """
  input -> {previous_token, duplicate_token}
  input -[q]-> s_inhibition
  input -[k,v]-> {name_mover, backup, negative}
  previous_token -[k,v]-> induction
  {induction, duplicate_token} -[k,v]-> s_inhibition -[q]-> {name_mover, backup, negative}
  {name_mover, backup, negative} -> logits
"""


@pytest.mark.parametrize(
    ("layers", "heads", "senders", "edges"),
    [(12, 12, 157, 32_491), (24, 16, 409, 231_877), (16, 32, 529, 386_713),
     (32, 32, 1057, 1_592_881)],
)  # fmt: skip
def test_sizes_of_published_graphs(layers: int, heads: int, senders: int, edges: int) -> None:
    of = shape(layers, heads)
    assert of.n_senders == senders
    assert Layout(of).n_edges() == edges
    if layers < 20:
        graph = graph_of(of)
        assert graph.number_of_nodes() == senders + 1
        assert count_edges(graph) == edges


def test_number_of_paths() -> None:
    assert count_paths(graph_of(GPT2)) == 74**12
    assert resolver("path p = full").count(FULL) == 74**12


def test_parallel_block_has_no_edge_inside_the_layer() -> None:
    graph = graph_of(shape(2, 2, parallel=True))
    assert not graph.has_edge("a0.h0", "m0") and graph.has_edge("a0.h0", "m1")


def test_the_example_of_the_language() -> None:
    found = resolver(IOI_GROUPS)
    product = found.sets.product(found.path_set(expression(found, "main")))
    assert product.count() == 338_485_243_303_296
    assert product.n_states() < 20
    assert len(found.units(expression(found, "main"))) == 16


def test_ioi_has_26_heads() -> None:
    found, _ = path_set(f"within({HEADS}, mlp)", before=IOI_GROUPS)
    units = found.units(expression(found, "p"))
    assert len(units) == 26
    assert {u.label for u in units} >= {"a9.h9@END", "a2.h2@S1+1", "a0.h10@S2"}


def test_class_connections_expand_as_published() -> None:
    found, _ = path_set(f"edges {{ {CONNECTIONS} }}", before=NO_POSITIONS)
    units = found.edges(expression(found, "p"))
    kinds = {"head_head": 0, "input_head": 0, "head_logits": 0}
    for unit in units:
        sender, receiver = unit.names
        key = f"{'input' if sender == 'input' else 'head'}_"
        kinds[key + ("logits" if receiver == "logits" else "head")] += 1
    assert kinds == {"head_head": 124, "input_head": 45, "head_logits": 13}


def test_edges_of_the_acdc_reading() -> None:
    text = f"""edges {{
      {CONNECTIONS}
      input -> logits; input -> mlp -> logits; mlp -> mlp; mlp -> {HEADS} -> mlp
    }}"""
    found, paths = path_set(text, before=NO_POSITIONS)
    assert len(found.edges(expression(found, "p"))) == 963
    assert len(found.edge_set(paths)) == 963


@pytest.mark.parametrize(
    "text",
    [
        "through(a9.h9)", "through(r5@S2)", "a9.h9 -> logits", "a9.h9 (-> mlp)* -> logits",
        "a7.h3 (-> mlp)* -[q]-> name_mover",
        "(a7.h3 (-> mlp)* -[q]-> name_mover) - (name_mover ~[q]~> name_mover)",
        "edges { input -> a0.h1; a0.h1 -[v]-> a1.h0 -> logits }",
        "within(name_mover) - through(a9.h9)",
        "input -[v]-> a9.h9 | input ~[q]~> a9.h9 | input ~[k]~> a9.h9",
        "main & nodes", "random_like(nodes, seed: 0)",
        "random_edges(like: edges { input -> a0.h1 -> logits }, seed: 0)",
        "a1.h1 -> r2@S2 -> a3.h0", "a0.h1 ~> r5 ~> a9.h9", "input@S2 -> a1.h0",
    ],
)  # fmt: skip
def test_recipes_resolve(text: str) -> None:
    assert count(text, before=IOI_GROUPS) > 0


def test_states_of_a_counted_section() -> None:
    found, paths = path_set("input (-> any){10} -> attn")
    assert 2_000 <= found.sets.product(paths).n_states() <= 2_100


# -------------------------------------------------------------------------------------------------
# Circuits as edges, and the same counted as ACDC counts
# -------------------------------------------------------------------------------------------------

HYPOTHESES = Path(__file__).parents[2] / "hypotheses"
DOCSTRING = """edges {
  input -[v]-> {a0.h5, a1.h4, a3.h0, a3.h6}
  input -[q,k]-> {a1.h2, a2.h0}
  a0.h5 -[v]-> {a1.h4, a3.h0, a3.h6}
  a0.h5 -[q,k]-> {a1.h2, a2.h0}
  a1.h4 -[v]-> a2.h0
  a1.h4 -[q]-> {a3.h0, a3.h6}
  {a2.h0, a1.h2} -[k]-> {a3.h0, a3.h6} -> logits
}"""
REVERSE = """edges {
  input -[v]-> a0.h0 -> m0 -> m1 -> m2 -[q]-> a3.h0 -> logits
  input -> {m0, m1}
  input -[k,v]-> a3.h0
}"""
PROPORTION = "edges { input -> m0 -[v]-> a1.h0 -> logits; input -[q,k]-> a1.h0 }"


def counted(found: Resolver, name: str, split: int = 0) -> tuple[int, int]:
    """How many edges a path has between what writes and what reads, and how many as ACDC counts
    them: one more for each query, key and value that one of them leads into.

    `split` of the edges come from the token and from the position embedding, two nodes there.
    """
    edges = {(one.sender, one.receiver, one.slot) for one in found.edges(expression(found, name))}
    inputs = {(receiver, slot) for _, receiver, slot in edges if slot is not None}
    return len(edges) + split, len(edges) + split + len(inputs)


def shipped(name: str) -> Resolver:
    """A resolver for a file that ships."""
    return Resolver(load_program(str(HYPOTHESES / f"{name}.circuit"))[0], GPT2)


@pytest.mark.parametrize(
    ("text", "layers", "heads", "split", "counts"),
    [(DOCSTRING, 4, 8, 0, (24, 37)), (REVERSE, 4, 1, 1, (11, 15)), (PROPORTION, 2, 1, 2, (7, 10))],
    ids=["docstring", "reverse", "proportion"],
)  # fmt: skip
def test_small_circuits_of_acdc(
    text: str, layers: int, heads: int, split: int, counts: tuple[int, int]
) -> None:
    found, _ = path_set(text, shape(layers, heads))
    assert counted(found, "p", split) == counts


def test_the_edges_of_indirect_objects() -> None:
    assert counted(shipped("gpt2/ioi_edges"), "acdc") == (963, 1041)
    assert counted(shipped("gpt2/ioi"), "connections")[0] == 124 + 45 + 13


def test_the_heads_of_indirect_objects() -> None:
    units = {
        name: {unit.label for unit in found.units(expression(found, path))}
        for name, path in (("ioi", "nodes"), ("ioi_naive", "naive"))
        if (found := shipped(f"gpt2/{name}"))
    }
    assert len(units["ioi"]) == 26 and len(units["ioi_naive"]) == 13
    assert units["ioi_naive"] < units["ioi"]
    found = shipped("gpt2/ioi_naive")
    whole = {unit.label for unit in found.units(expression(found, "whole"))}
    assert whole == units["ioi"]
