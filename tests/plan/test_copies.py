"""Which copies a plan has: counted by hand, shared between runs, and nothing more."""

from __future__ import annotations

import pytest

from pathdsl.errors import PlanError
from pathdsl.graph.paths.pathset import FULL, Combined, minus
from pathdsl.plan.build import mixed_copies
from pathdsl.plan.readout import Measure
from pathdsl.plan.steps import REFERENCE as REFERENCE_SOURCE
from pathdsl.plan.steps import AttentionResid, HeadCopy, PlainResid
from tests.graph.helpers import GPT2, IOI_GROUPS
from tests.graph.helpers import shape as shape_of
from tests.plan.plan_cases import (
    IOI,
    PAIRED,
    REFERENCE,
    SHORT,
    ZERO,
    computed,
    keep,
    needs,
    plan,
    sets,
    treat,
)  # fmt: skip

SMALL = shape_of(2, 2)
EDGES = "path e = edges { input -> a0.h0; a0.h0 -[v]-> a1.h1; a1.h1 -> m1 -> logits; input -> m1 }"


def copies(text: str, run: str, shape=SMALL, prompts=SHORT) -> dict[str, int]:
    make = keep if run == "keep" else treat
    return computed(plan(shape, [make(sets(text, shape)("p"))], prompts))


def test_an_edge_circuit_needs_one_copy_per_node() -> None:
    found = plan(SMALL, [keep(sets(EDGES, SMALL)("e"))])
    # a0.h0 reads nothing but `input`, all of it kept: that is the reference run's head. a1.h1 reads
    # treated queries and keys, so it is mixed, and so is m1.
    assert computed(found) == {"a1.h1": 1, "m1": 1}
    assert mixed_copies(found) == [n for n in found.alive if n in mixed_copies(found)]


def test_every_node_of_a_full_circuit_of_edges_is_one_copy() -> None:
    text = "path p = edges { input -> a0.h0 -> m0 -> a1 -> m1 -> logits; input -> m0 }"
    # a0.h0: all of `input`, reference. m0 lacks a0.h1; a1 heads and m1 follow.
    assert copies(text, "keep") == {"a1.h0": 1, "a1.h1": 1, "m0": 1, "m1": 1}


@pytest.mark.parametrize(
    ("text", "run", "wanted"),
    [
        # A direct edge: the sender's treated value, nothing computed again.
        ("a0.h0 -> logits", "treat", {}),
        ("m1 -> logits", "treat", {}),
        # One MLP may carry it on.
        ("a1.h0 (-> mlp)* -> logits", "treat", {"m1": 1}),
        ("a0.h0 -> m0 -> logits", "treat", {"m0": 1}),
        # Two copies of m1: none here, since the direct edge into logits is m1's treated value.
        ("a0.h0 -> m0 -> m1 -> logits", "treat", {"m0": 1, "m1": 1}),
        # One input of one head; what follows reads it directly or through m1.
        ("a0.h0 -[q]-> a1.h0 -> logits", "treat", {"a1.h0": 1}),
        ("a0.h0 -[q]-> a1.h0 ~> logits", "treat", {"a1.h0": 1, "m1": 1}),
        # Through a node: it is treated as a whole, what is downstream of it is mixed.
        ("through(a0.h0)", "treat", {"m0": 1, "a1.h0": 1, "a1.h1": 1, "m1": 1}),
        ("through(a1.h1)", "treat", {"m1": 1}),
        # Two ways on from m0: its copy that goes on to m1 alone, and the plain one for the rest.
        ("a0.h0 -> m0 -> {a1.h0, a1.h1} -> logits", "treat", {"a1.h0": 1, "a1.h1": 1, "m0": 1}),
        # Everything upstream of one edge is treated as a whole.
        ("input ~> a1.h0 -> logits", "treat", {}),
    ],
)
def test_counted_by_hand(text: str, run: str, wanted: dict[str, int]) -> None:
    assert copies(f"path p = {text}", run) == wanted


def test_a_direct_patch_on_gpt2_computes_no_copy() -> None:
    text = "path p = a9.h9 -> logits"
    found = plan(GPT2, [treat(sets(text, GPT2)("p"))], IOI)
    assert mixed_copies(found) == []
    assert {type(found.steps[n]) for n in found.alive} >= {AttentionResid}


def test_one_component_in_two_roles_is_two_copies() -> None:
    # m0 passes a0.h0 on to a1.h0 and a0.h1 on to a1.h1.
    text = "path p = (a0.h0 -> m0 -> a1.h0) | (a0.h1 -> m0 -> a1.h1)"
    found = copies(text, "treat")
    assert found == {"a1.h0": 1, "a1.h1": 1, "m0": 2, "m1": 1}


def test_main_of_the_ioi_example() -> None:
    """3e14 paths; the design's prototype has 36 heads, 12 MLPs and the logits."""
    named = sets(IOI_GROUPS, GPT2)
    found = plan(GPT2, [keep(named("main"))], IOI)
    counts = computed(found)
    heads = sum(n for name, n in counts.items() if name.startswith("a"))
    mlps = sum(n for name, n in counts.items() if name.startswith("m"))
    assert 32 <= heads <= 38 and 10 <= mlps <= 12
    assert heads + mlps == len(mixed_copies(found)) < 55


def test_prompts_do_not_multiply_copies() -> None:
    named = sets(IOI_GROUPS, GPT2)
    few = computed(plan(GPT2, [keep(named("main"))], IOI))
    longer = type(IOI)([24] * 40, IO=[2] * 40, S1=[4] * 40, S2=[10 + n % 9 for n in range(40)])
    assert computed(plan(GPT2, [keep(named("main"))], longer)) == few


def test_equal_runs_share_everything() -> None:
    p = sets("path p = a0.h0 -[q]-> a1.h0 ~> logits", SMALL)("p")
    one = plan(SMALL, [keep(p)])
    other = Combined(op="-", left=FULL, right=Combined(op="|", left=p, right=p))
    both = plan(SMALL, [keep(p), treat(other)])
    assert both.outputs[0].resid == both.outputs[1].resid
    assert computed(both) == computed(one)
    assert len(both.alive) == len(one.alive)


def test_runs_that_differ_late_share_what_is_before() -> None:
    text = "path c = within(a0.h0, m0, a1.h0, a2, m2)\n"
    text += "path k0 = through(a2.h0)\npath k1 = through(m2)"
    named = sets(text, shape_of(3, 2))
    runs = [keep(minus(named("c"), named(k))) for k in ("k0", "k1")]
    alone = [plan(shape_of(3, 2), [run]) for run in runs]
    together = plan(shape_of(3, 2), runs)
    total = sum(len(mixed_copies(one)) for one in alone)
    # m0 and a1.h0 are shared; a2 and m2 stand behind the knockouts.
    assert computed(together)["a1.h0"] == 1
    assert len(mixed_copies(together)) < total
    assert len(together.alive) < sum(len(one.alive) for one in alone)


def test_plain_runs_are_read_from_the_cache() -> None:
    found = plan(SMALL, [REFERENCE, keep(FULL), treat(FULL)])
    assert mixed_copies(found) == []
    assert {type(found.steps[n]) for n in found.alive} == {PlainResid}
    assert len(found.alive) == 2  # the reference run's last stage and the treated run's
    assert found.plain_need == {}


def test_constants_have_no_residual_stream_of_their_own() -> None:
    found = plan(SMALL, [treat(FULL, ZERO)])
    assert mixed_copies(found) == []
    assert not [n for n in found.alive if isinstance(found.steps[n], PlainResid)]
    assert {source for source, _, _ in found.plain_need} == {-2}


def test_a_position_decides_which_value_is_read() -> None:
    """Reference where nothing is treated, and the copy only where both meet."""
    shape = shape_of(1, 1)
    run = treat(sets("path p = input@A -[k]-> a0.h0 -> logits", shape)("p"))
    found = needs(plan(shape, [run]))
    # Read at END only, where A is visible on both prompts.
    assert found["a0.h0"].tolist() == [[False, False, False, True], [False, False, True, False]]
    run = treat(sets("path p = input@B -[v]-> a0.h0@A -> logits", shape)("p"))
    assert needs(plan(shape, [run])) == {}  # B comes after A, and A is never read at END


def test_relations_split_keys_by_distance() -> None:
    shape = shape_of(1, 1)
    run = treat(sets("path p = input -[k: prev]-> a0.h0 -> logits", shape)("p"))
    found = plan(shape, [run])
    (copy,) = [found.steps[n] for n in mixed_copies(found)]
    assert isinstance(copy, HeadCopy)
    assert len(copy.keys) == 2 and len(copy.values) == 1
    distances = {step: found.masks.distances(d).tolist() for d, step in copy.keys}
    assert sorted(distances.values()) == [[False, True, False, False], [True, False, True, True]]


def test_attention_of_a_plain_run_is_a_copy_that_is_computed() -> None:
    measure = Measure(kind="attention", head=(1, 0), query="END", key="A")
    found = plan(SMALL, [REFERENCE], measures=[measure])
    assert computed(found) == {"a1.h0": 1}
    ((source, _),) = found.outputs[0].attention[0].blend
    copy = found.steps[source]
    assert isinstance(copy, HeadCopy)
    assert found.steps[copy.query] == PlainResid(stage=2, source=REFERENCE_SOURCE)


def test_too_many_copies_and_states_are_refused_by_name() -> None:
    named = sets("path p = input (-> any){3} -> attn", shape_of(4, 4))
    with pytest.raises(PlanError) as caught:
        plan(shape_of(4, 4), [treat(named("p"))], max_copies=50)
    assert [d.code for d in caught.value.diagnostics] == ["PD211"]
    assert "50" in caught.value.diagnostics[0].message
    with pytest.raises(PlanError) as caught:
        plan(shape_of(4, 4), [treat(named("p"))], max_states=3)
    assert [d.code for d in caught.value.diagnostics] == ["PD210"]


def test_treated_values_are_told_apart() -> None:
    p = sets("path p = a0.h0 -> m0 -> logits", SMALL)("p")
    found = plan(SMALL, [treat(p), treat(p, ZERO)])
    assert found.treated == (PAIRED, ZERO)
    assert computed(found) == {"m0": 2}
