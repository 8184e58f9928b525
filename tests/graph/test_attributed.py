"""What an attribution is of on a model's graph, and the members of a loop over edges."""

from __future__ import annotations

import pytest

from pathdsl.errors import LanguageError
from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.resolve.instances import instances
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.program import load_program
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.limits import MEMBERS
from tests.graph.helpers import GPT2, shape

HEAD = 'circuit a "A" { language = 1 }\nmodel m = bundled("ioi-mini")\n'


def resolver(text: str, of=shape(2, 2)) -> Resolver:
    program, faults = load_program("a.circuit", HEAD + text + "\n")
    assert not faults, faults
    return Resolver(program, of)


def unit(call: str, slot: str = "", exact: bool = False, of=shape(2, 2), by: str = "eap"):
    found = resolver(f"let x = attribution({call}, by: exact)", of)
    score = found.program.lets["x"].expression
    assert isinstance(score, ast.Score)
    record = ATTRIBUTIONS["exact" if exact else by]
    return found.attributed(score.subjects[0], slot, by=record)  # type: ignore[arg-type]


def members(domain: str, of=shape(2, 2), more: str = "") -> list[str]:
    found = resolver(f"{more}\nlet x for e in {domain} = effect(e)", of)
    return [one.label for one in instances(found.program, found, found.program.lets["x"].loop)]


def test_names_are_those_of_the_layout() -> None:
    for name in Layout(shape(2, 2)).named:
        if name != "logits":
            assert unit(name).sender == name
    found = unit("a1.h0 @END", "k")
    assert (found.sender, found.receiver, found.slot) == ("", "a1.h0", "k")
    assert found.at == Pos(name="END")
    edge = unit("a0.h1 @S2 -[v]-> a1.h0")
    assert (edge.sender, edge.receiver, edge.slot, edge.at) == (
        "a0.h1",
        "a1.h0",
        "v",
        Pos(name="S2"),
    )
    assert edge.label == "a0.h1 -[v]-> a1.h0"
    assert unit("m1 @END -> logits").at == Pos(name="END")
    assert unit("a0.h1 -[q]-> a1.h0 @END").at == Pos(name="END")
    assert unit("m0.n5").of == "neurons" and unit("m0").of == "nodes"
    mark = unit("r1 @S2")
    assert (mark.sender, mark.at, mark.of, mark.label) == ("r1", Pos(name="S2"), "marks", "r1")


def test_a_reader_has_a_position_of_its_own_where_the_method_tells_it() -> None:
    edge = unit("a0.h1 @S2 -[k]-> a1.h0 @END", by="peap")
    assert (edge.at, edge.reader) == (Pos(name="S2"), Pos(name="END"))
    edge = unit("a0.h1 -[k]-> a1.h0 @END", by="peap")
    assert (edge.at, edge.reader) == (None, Pos(name="END"))
    for alike in ("a0.h1 @END -[q]-> a1.h0 @END", "a0.h1 -[q]-> a1.h0 @END", "m0 @END -> m1 @END"):
        edge = unit(alike, by="peap")
        assert (edge.at, edge.reader) == (Pos(name="END"), None)


@pytest.mark.parametrize(
    "call",
    ["a0", "a*.h0", "a0.h0 -> {m0, m1}", "{m0, except m0.n1}", "a0.h1 -[k]-> a1.h0 @END",
     "a0.h0 @S1 -[q]-> a1.h0 @END", "attn -> m1", "r[0..1]", "a0.h0 @S1 -> m1 @END"],
)  # fmt: skip
def test_what_is_not_one_unit(call: str) -> None:
    with pytest.raises(LanguageError) as caught:
        unit(call)
    assert [d.code for d in caught.value.diagnostics] == ["PD408"]


def test_key_value_groups_are_several_heads_and_parallel_blocks_have_other_edges() -> None:
    grouped = shape(2, 4, n_groups=2) if "n_groups" in GPT2.__dataclass_fields__ else None
    if grouped is not None and grouped.n_groups == 2:
        with pytest.raises(LanguageError):
            unit("a0.kv1", of=grouped)
    assert unit("a0.h0 -> m0").receiver == "m0"
    with pytest.raises(LanguageError) as caught:
        unit("a0.h0 -> m0", of=shape(2, 2, parallel=True))
    assert caught.value.diagnostics[0].code == "PD204"


def test_the_edges_of_all_paths_are_all_edges_in_order() -> None:
    layout = Layout(shape(2, 2))
    found = members("edges(full)")
    assert len(found) == layout.n_edges() == len({*found})
    names = [str(component) for component in layout.components]
    expected = [
        f"{names[u]} {f'-[{slot}]->' if slot else '->'} {names[v]}"
        for v in range(1, len(names))
        for slot in layout.slots_of(v)
        for u in range(v)
        if layout.senders_of[v] >> u & 1
    ]
    assert found == expected


def test_the_edges_of_a_path_set_are_those_that_it_counts() -> None:
    more = "path P = a0.h1 -[k]-> a1.h0 -> logits"
    found = members("edges(P)", more=more)
    r = resolver(more)
    assert len(found) == len(r.edge_set(r.path_set(r.program.paths["P"].path)))
    assert "a0.h1 -[k]-> a1.h0" in found and "a0.h1 -[q]-> a1.h0" not in found
    placed = members("edges(Q)", more="path Q = a0.h1 @S1 -[k]-> a1.h0 @END -> logits")
    assert placed == found  # edges have no positions here


def test_listed_edges_are_the_list() -> None:
    assert members("edges { a0.h1 -> a1.h0; m0 -> logits }") == [
        "a0.h1 -[q]-> a1.h0", "a0.h1 -[k]-> a1.h0", "a0.h1 -[v]-> a1.h0", "m0 -> logits",
    ]  # fmt: skip


def test_more_edges_than_a_loop_may_have_are_refused_before_any_is_made() -> None:
    with pytest.raises(LanguageError) as caught:
        members("edges(full)", of=GPT2)
    (fault,) = caught.value.diagnostics
    assert fault.code == MEMBERS.code and "32,491" in fault.message


def test_an_edge_of_a_loop_is_a_path() -> None:
    r = resolver("let x for e in edges { a0.h1 -[v]-> a1.h0 } = effect(e)")
    (one,) = instances(r.program, r, r.program.lets["x"].loop)
    score = one.of(r.program.lets["x"].expression)
    assert isinstance(score, ast.Score)
    written = resolver("path P = a0.h1 -[v]-> a1.h0")
    assert r.path_set(score.subjects[0], one.bindings) == written.path_set(  # type: ignore[arg-type]
        written.program.paths["P"].path
    )
