"""Edges as lines that list exactly these edges, groups, and the file around them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pathdsl.discover.write import Draft, Edge, NodeGroup, circuit_json, circuit_text, edge_lines
from pathdsl.discover.write import grouped as groups_of_nodes
from pathdsl.graph.files.eap import parse_edge, read_edges_file
from pathdsl.graph.model.components import bits
from pathdsl.graph.paths.pathset import Listed
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.program import load_program
from tests.discover.cases import edges_of, layout_of

LAYOUT = layout_of()


def every_edge() -> list[Edge]:
    return [(one.sender, one.receiver, one.slot) for one in edges_of(LAYOUT)]


def listed_by(text: str, groups: tuple[NodeGroup, ...] = ()) -> set[Edge]:
    """The edges that a path set of the language lists."""
    statements = "".join(f"{one.text()}\n" for one in groups)
    program, faults = load_program("x.circuit", f"{statements}path found = {text}\n")
    assert not faults, faults
    paths = Resolver(program, LAYOUT.shape, 10_000).path_set(program.paths["found"].path)
    assert isinstance(paths, Listed)
    return {
        (LAYOUT.label(sender), LAYOUT.label(one.receiver), one.slot or "")
        for one in paths.edges
        for sender in bits(one.senders)
    }


@pytest.mark.parametrize("seed", range(20))
def test_lines_list_these_edges_and_no_others(seed: int) -> None:
    draw = random.Random(seed)
    edges = draw.sample(every_edge(), draw.randint(1, 40))
    # What lies on no path is an error where it is written: bridge every end.
    senders = {one for edge in edges for one in edge[:2]}
    whole = set(edges)
    for node in senders - {"input", "logits"}:
        whole.add((node, "logits", ""))
        slot = LAYOUT.slots_of(LAYOUT.named[node])[0] or ""
        whole.add(("input", node, slot))
    nodes = sorted({one for edge in whole for one in edge[:2]} - {"input", "logits"})
    groups = groups_of_nodes(
        nodes, {one: ("induction", "S1") for one in nodes[:3] if one[0] == "a"}, {}, LAYOUT, ()
    )
    lines = edge_lines(whole, groups, {}, LAYOUT)
    assert listed_by("edges {\n" + "\n".join(lines) + "\n}", groups) == whole


def test_what_has_the_same_senders_is_one_line() -> None:
    edges = [("input", "a0.h0", "q"), ("input", "a0.h0", "k"), ("input", "a0.h0", "v")]
    edges += [("input", "a0.h1", slot) for slot in "qkv"] + [("input", "m0", "")]
    edges += [("a0.h0", "logits", ""), ("a0.h1", "logits", ""), ("m0", "logits", "")]
    lines = edge_lines(edges, (), {}, LAYOUT)
    assert lines == ("input -> {a0, m0}", "{a0, m0} -> logits")


def test_nodes_at_their_places() -> None:
    group = NodeGroup(name="movers", members=("a1.h0", "a1.h1"), place="END", why="")
    at = {"a1.h0": "END", "a1.h1": "END", "a0.h0": "S2"}
    edges = [("input", "a0.h0", "v"), ("a0.h0", "a1.h0", "v"), ("a0.h0", "a1.h1", "v")]
    edges += [("a1.h0", "logits", ""), ("a1.h1", "logits", "")]
    assert edge_lines(edges, (group,), at, LAYOUT) == (
        "input -[v]-> a0.h0@S2",
        "a0.h0@S2 -[v]-> movers",
        "movers -> logits",
    )


def test_a_circuit_file_holds_the_edges(tmp_path: Path) -> None:
    edges = {("input", "a0.h0", "v"): 1.5, ("a0.h0", "logits", ""): -0.5}
    path = tmp_path / "x.edges.json"
    path.write_text(circuit_json(edges, LAYOUT))
    read = read_edges_file(path, LAYOUT)
    assert isinstance(read, Listed)
    assert parse_edge("input->a0.h0<v>", LAYOUT) is not None
    assert len(read.edges) == 2


def test_a_draft_is_in_canonical_form() -> None:
    draft = Draft(
        name="x_found", title='A "title"', hypothesis="found", record="x.rows.json",
        about=("A very long line " * 12,), uses=(), model='model m = bundled("ioi-mini")',
        tasks=("task t { data = mini_ioi(take: 3)\n reference = prompt }",),
        groups=(NodeGroup(name="movers", members=("a3.h1",), place="END", why="look at S1"),),
        path="edges {\n  input -> movers -> logits\n}", metrics=("metric L: nats = logprob(io)",),
        lets=("let k = faithfulness(found)",), note="Drafts.",
        claims=("claim c: faithfulness(found) >= 1% at 95% confidence",),
    )  # fmt: skip
    text = circuit_text(draft)
    assert format_text(text, "x.circuit") == text
    assert max(map(len, text.splitlines())) <= 120
