"""Every fault of the graph, with the place it is shown at."""

from __future__ import annotations

import time

import pytest

from pathdsl.graph.check import check_graph
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.rules import pages
from pathdsl.lang.rules.pd2 import PAGES
from tests.graph.helpers import GPT2, IOI_GROUPS, expression, program, resolver, shape


def faults(text: str, of: ModelShape = GPT2, **options: int) -> list[tuple[str, str]]:
    source = f"{IOI_GROUPS}\npath p = {text}\n"
    return [
        (d.code, source[d.span.start : d.span.end] if d.span else "")
        for d in check_graph(program(source), of, **options)
    ]


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("a9.h9 -> a5.h5", "PD201", "a5.h5"),
        ("a5.h1 -> a5.h2", "PD201", "a5.h2"),
        ("m5 -> a5.h1", "PD201", "a5.h1"),
        ("name_mover ~> induction@S2 -> s_inhibition", "PD203", "induction@S2"),
        ("a3.h0 ~> r2 -> a5.h0", "PD201", "r2"),
        ("a0.h0 ~> r5 -> a3.h0", "PD201", "a3.h0"),
        ("a0.h0@S1 -[q]-> a1.h0@S1+1", "PD202", "a1.h0@S1+1"),
        ("a0.h0@S1 -> m1@S1+1", "PD202", "m1@S1+1"),
        ("a0.h0@[1] -> m1@[2]", "PD202", "m1@[2]"),
        ("a0.h0@S1 ~[q]~> a1.h0@S1+2", "PD202", "a1.h0@S1+2"),
        ("a0.h0@S2 -> r1@S2+1 -> a1.h0", "PD202", "r1@S2+1"),
        ("m0@S2 -> r1 -[q]-> a1.h0@S2+1", "PD202", "a1.h0@S2+1"),
        ("a0.h0@END ~> m1@S2", "PD203", "m1@S2"),
        ("s_inhibition@END -[v]-> induction@S2", "PD203", "induction@S2"),
        ("a0.h0@S1+1 -[k]-> a1.h0@S1", "PD203", "a1.h0@S1"),
        ("a0.h0@[3] ~> a2.h0@[1]", "PD203", "a2.h0@[1]"),
        ("edges { input -> a0.h0@END -[v]-> a1.h0@S2 -> logits }", "PD203", "a1.h0@S2"),
        ("a0.h0@S1 -[k: prev]-> a1.h0@S1+2", "PD213", "-[k: prev]->"),
        ("a0.h0 -> input", "PD204", "input"),
        ("a0.h0 -[q]-> mlp", "PD204", "mlp"),
        ("a0.h0 -> logits -> a1.h0", "PD219", "a1.h0"),
        ("through(a12.h0)", "PD205", "a12.h0"),
        ("through(m3.n3072)", "PD205", "m3.n3072"),
        ("within(a3.h0) & through(a4.h0)", "PD209", "through(a4.h0)"),
        ("through(a3.h0@S2) - through(a3.h0)", "PD209", "through(a3.h0)"),
        ("a0.h0 (-> mlp){13} -> logits", "PD209", "(-> mlp){13}"),
        ("random_like(m[0..11], seed: 0)", "PD218", "m[0..11]"),
        ('edges("nowhere.json")', "PD217", 'edges("nowhere.json")'),
        ("edges { input -> a0.h1 -> logits; input -> a1.h0 }", "PD220", "a1.h0"),
    ],
)  # fmt: skip
def test_fault(text: str, code: str, at: str) -> None:
    assert faults(text) == [(code, at)]


@pytest.mark.parametrize(
    "text",
    [
        "induction@S2 -[v]-> s_inhibition@END",
        "a0.h0@S1 ~[q]~> a3.h0@S1+2",
        "a0.h0@END -> m1@S2",  # they may be one token
        "{a9.h9, a3.h0} -> a5.h5",
        "(a9.h1 | a3.h1) -> detect",
        "m11 (-> mlp)* -> logits",
        "a0.h0@S1 -[k: prev]-> a1.h0@S1+1",
        "none",
        "within(a3.h0)",
    ],
)
def test_sound(text: str) -> None:
    assert faults(text) == []


GROUPED = shape(4, 8, n_kv_heads=4)


@pytest.mark.parametrize(
    ("written", "listed", "of"),
    [
        ("a1.kv2", "a1.h[4,5]", GROUPED),
        ("a1.kv*", "a1", GROUPED),
        ("a1.kv[0,3]", "a1.h[0,1,6,7]", GROUPED),
        ("a[1..2].kv[2..3]@END", "a[1..2].h[4..7]@END", GROUPED),
        ("a*.kv1", "a*.h[2..3]", GROUPED),
        ("a1.kv2", "a1.h2", shape(4, 8, n_kv_heads=8)),
        ("a1.kv2", "a1.h2", shape(4, 8)),
    ],
)
def test_a_key_value_group_is_its_query_heads(written: str, listed: str, of: ModelShape) -> None:
    def meant(node: str) -> tuple[list[str], int]:
        found = resolver(f"path p = through({node})", of)
        path = expression(found, "p")
        return [unit.label for unit in found.units(path)], found.count(found.path_set(path))

    assert meant(written) == meant(listed)
    assert meant(written)[0] != []


def test_key_value_groups_out_of_range() -> None:
    (found,) = check_graph(program("path p = through(a1.kv[1..4])"), GROUPED)
    assert (found.code, found.label) == ("PD205", "kv4 does not exist")
    assert found.message == (
        "there is no key/value group 4: layer 1 has 4 key/value groups: kv0 to kv3"
    )
    (found,) = check_graph(program("path p = through(a1.kv1)"), shape(4, 8, n_kv_heads=1))
    assert "layer 1 has 1 key/value group: kv0" in found.message
    (found,) = check_graph(program("path p = through(a4.kv0)"), GROUPED)
    assert (found.code, found.label) == ("PD205", "layer 4 does not exist")


def test_parallel_block() -> None:
    assert faults("a2.h1 -> m2", shape(12, 12, parallel=True)) == [("PD204", "m2")]


def test_sliding_window() -> None:
    of = shape(12, 12, windows=(4,) * 12)
    assert faults("a0.h0@S1 -[k]-> a1.h0@S1+4", of) == [("PD204", "a1.h0@S1+4")]
    assert faults("a0.h0@S1 -[k]-> a1.h0@S1+3", of) == []


def test_help_shows_the_other_direction() -> None:
    source = f"{IOI_GROUPS}\npath p = s_inhibition@END -[v]-> induction@S2\n"
    (found,) = check_graph(program(source), GPT2)
    assert found.label == "stands at S2 and would read END"
    assert [text for _, text in found.labels] == ["sender stands at END"]
    assert found.help == ("the other direction exists: `induction@S2 -[v]-> s_inhibition@END`")


def test_several_faults_of_one_chain() -> None:
    assert faults("a3.h0 -> a1.h0 -> a0.h0") == [("PD201", "a1.h0"), ("PD201", "a0.h0")]


def test_a_loop_names_its_member_once() -> None:
    text = f"{IOI_GROUPS}\nmetric LD = logit(io)\nlet d for h in attn = mean(LD(treat(h -> a9.h9)))"
    (found,) = check_graph(program(text), GPT2)
    assert found.code == "PD201" and found.notes == ("with h = a9.h0",)


def test_too_many_states_names_the_step() -> None:
    found = faults("input (-> any){10} -> attn", max_states=1_000)
    assert found == [("PD210", "-> attn")]


def test_looking_for_the_part_is_bounded() -> None:
    """A product of alternatives, each part of which takes as long as the whole."""
    pairs = (f"(through(a{i % 12}.h{i // 2}@S1) | through(m{i % 12}@IO))" for i in range(24))
    begun = time.process_time()
    ((code, blamed),) = faults(" & ".join(pairs), max_states=100)
    assert code == "PD210" and blamed.startswith("(through(a0.h0@S1)")
    assert time.process_time() - begun < 5


def test_endless_names_are_refused() -> None:
    lines = ["path p0 = a0.h0 -> a1.h0"]
    lines += [f"path p{i} = (p{i - 1}) | (p{i - 1})" for i in range(1, 60)]
    lines += ["path q0 = through(a0.h0)"]
    lines += [f"path q{i} = (q{i - 1} & through(m0)) | (q{i - 1} - full)" for i in range(1, 60)]
    lines += ["group g0 = {a0.h0}"]
    lines += [f"group g{i} = {{g{i - 1}, g{i - 1}}}" for i in range(1, 60)]
    found = check_graph(program("\n".join(lines)), GPT2)
    assert {d.code for d in found} == {"PD211"}


def test_names_defined_by_themselves() -> None:
    text = "path a = b -> a1.h0\npath b = a -> a2.h0\ngroup g = {h}\ngroup h = {g}"
    assert {d.code for d in check_graph(program(text), GPT2)} == {"PD108"}


@pytest.mark.parametrize(
    ("edges", "wanted"),
    [("a1.h0 -> a2.h1", []), ("a2.h1 -> a1.h0", [("PD201", "a1.h0")]), ("a0.h99 -> m1", ["PD205"])],
)
def test_edges_to_range_over_need_no_path_of_their_own(edges: str, wanted: list) -> None:
    text = f"metric L = logit(io)\nlet x = minimality(full, per: edge, over: edges {{ {edges} }})"
    found = check_graph(program(text), GPT2)
    assert [d.code for d in found] == [w if isinstance(w, str) else w[0] for w in wanted]


def test_every_code_has_a_page() -> None:
    assert {page.code for page in PAGES} <= set(pages())


@pytest.mark.parametrize("shared", ["mean(LD(treat({0}, scope: {1})))", "effect({0}, scope: {1})"])
def test_a_set_shares_paths_with_its_scope(shared: str) -> None:
    before = "metric LD = logit(io)\npath nil = none\n"

    def codes(first: str, second: str) -> list[str]:
        text = before + f"let e = {shared.format(first, second)}\n"
        return [d.code for d in check_graph(program(text), GPT2)]

    assert codes("through(a3.h1)", "through(a3.h2)") == ["PD209"]
    assert codes("through(a3.h1)", "through(a2.h2)") == []
    assert codes("through(a3.h1)", "none") == codes("nil", "through(a3.h1)") == []
    assert codes("through(a3.h1)", "nil") == []
