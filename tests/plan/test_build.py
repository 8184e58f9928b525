"""Plans from requests: how runs are grouped, where steps are needed, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pathdsl.errors import PlanError
from pathdsl.graph.paths.pathset import FULL, Pos
from pathdsl.plan.build import build_plans
from pathdsl.plan.masks import FALSE, TRUE
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import REFERENCE as REFERENCE_SOURCE
from pathdsl.plan.steps import HeadCopy, JoinResid, MlpCopy, PlainResid, parts_of
from pathdsl.plan.treated import TreatedSpec
from tests.graph.helpers import shape as shape_of
from tests.plan.plan_cases import (
    LOGIT,
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
DIRECT = "path p = a0.h0 -> logits"
LATER = "path p = a0.h0 -> m0 -> logits"


@pytest.mark.parametrize("pos", [Pos(name="END"), Pos(name="S1", offset=1), Pos(index=3),
                                 Pos(name="S1", offset=-2), Pos(index=0)], ids=str)  # fmt: skip
def test_positions_are_read_back(pos: Pos) -> None:
    assert Pos.parse(str(pos)) == pos


def test_copies_are_computed_at_end_only_where_nothing_else_is_read() -> None:
    found = needs(plan(SMALL, [treat(sets(LATER, SMALL)("p"))]))
    assert found["m0"].sum(axis=1).tolist() == [1, 1]
    assert found["m0"][0, 3] and found["m0"][1, 2]


def test_keys_are_needed_where_they_are_looked_at() -> None:
    text = "path p = a0.h0 -> m0 -[k]-> a1.h0 -> logits"
    found = needs(plan(SMALL, [treat(sets(text, SMALL)("p"))]))
    assert found["a1.h0"].sum() == 2
    assert (found["m0"] == SHORT.valid).all()  # END sees every position
    text = "path p = a0.h0@A -> m0 -[k]-> a1.h0 -> logits"
    found = needs(plan(SMALL, [treat(sets(text, SMALL)("p"))]))
    assert found["m0"].tolist() == [[False, True, False, False], [True, False, False, False]]


def test_metrics_at_positions_widen_what_is_needed() -> None:
    p = treat(sets(LATER, SMALL)("p"))
    at_a = Measure(kind="logit", column="io", position="A")
    found = plan(SMALL, [p], measures=[LOGIT, at_a])
    assert needs(found)["m0"].sum(axis=1).tolist() == [2, 2]
    assert found.outputs[0].measures == (LOGIT, at_a)
    assert set(found.position_masks) == {"END", "A"}
    read = found.masks.array(found.outputs[0].positions)
    np.testing.assert_array_equal(read, SHORT.mask(Pos(name="END")) | SHORT.mask(Pos(name="A")))


def test_dead_steps_are_not_computed() -> None:
    unread = sets("path p = input@B -[v]-> a0.h0@A ~> logits", SMALL)("p")  # A is never at END
    found = plan(SMALL, [treat(sets(LATER, SMALL)("p")), treat(unread)])
    assert len(found.need) == len(found.steps)
    for number, mask in enumerate(found.need):
        computed = mask != FALSE and not isinstance(found.steps[number], JoinResid)
        assert (number in found.alive) == computed
    assert len(found.alive) < len(found.steps)
    for number in found.alive:
        step = found.steps[number]
        for read in ([step.query, *(s for _, s in (*step.keys, *step.values))]
                     if isinstance(step, HeadCopy) else
                     [step.resid] if isinstance(step, MlpCopy) else []):  # fmt: skip
            assert read < number and found.need[read] != FALSE


def test_reads_lie_inside_what_is_stored() -> None:
    text = "path p = input@A -[k: prev, v]-> a0 -> m0 -[v]-> a1.h0 ~> logits"
    found = plan(SMALL, [treat(sets(text, SMALL)("p")), keep(sets(text, SMALL)("p"))])
    masks = found.masks
    for number in found.alive:
        step, here = found.steps[number], found.need[number]
        if isinstance(step, HeadCopy):
            for distances, read in (*step.keys, *step.values):
                looked = masks.looked_at_by(here, distances)
                assert masks.without(looked, found.need[read]) == FALSE
            assert masks.without(here, found.need[step.query]) == FALSE


def test_blends_partition_the_prompts() -> None:
    text = "path p = input@A -> m0 -> m1 -> logits"
    found = plan(SMALL, [treat(sets(text, SMALL)("p"))])
    masks = found.masks
    blends = [b for n, need in enumerate(found.need) if need for b in _blends(found.steps[n])]
    assert any(len(blend) > 1 for blend in blends)
    for blend in blends:
        total = FALSE
        for _, mask in blend:
            assert mask != FALSE and masks.both(total, mask) == FALSE
            total = masks.either(total, mask)
        assert total == TRUE
        assert list(blend) == sorted(blend)


def _blends(step: object) -> list:
    if hasattr(step, "heads"):
        return list(step.heads)
    if isinstance(step, JoinResid):
        return [step.parts]
    return [step.blend] if hasattr(step, "blend") else []


def test_streams_are_read_from_plain_runs_where_nothing_is_mixed() -> None:
    text = "path p = input -> a0.h0@A -[v]-> a1.h0@END -> logits"
    found = plan(SMALL, [treat(sets(text, SMALL)("p"))])
    (copy,) = (s for n in found.alive if isinstance(s := found.steps[n], HeadCopy))
    ((_, values),) = copy.values
    parts = parts_of(found.steps, values)
    at_a = found.position_masks.get("A", found.masks.intern(SHORT.mask(Pos(name="A"))))
    where = {isinstance(found.steps[step], PlainResid): mask for step, mask in parts}
    assert where == {False: at_a, True: found.masks.without(TRUE, at_a)}
    (own,) = (step for step, _ in parts if not isinstance(found.steps[step], PlainResid))
    assert found.need[own] == found.masks.both(at_a, found.need[values])


def test_heads_that_are_all_a_plain_run_s_are_one_value() -> None:
    text = "path p = input -> m0@END -> m1@END -> logits"
    found = plan(SMALL, [treat(sets(text, SMALL)("p"))])
    read = [key for key in found.plain_need if key[0] == REFERENCE_SOURCE]
    wanted = {(kind, layer) for _, kind, layer in read}
    assert ("attn", 1) in wanted and ("head", 1) not in wanted


def test_draws_make_plans_of_their_own() -> None:
    drawn = TreatedSpec(kind="resample", column="other", draws=3)
    more = TreatedSpec(kind="resample", column="other", draws=5)
    p = sets(DIRECT, SMALL)("p")
    runs = [REFERENCE, treat(p), treat(p, drawn), keep(p, drawn), treat(p, more), treat(p, ZERO)]
    requests = [(run, LOGIT) for run in runs]
    found = build_plans(SMALL, "t", SHORT.valid, SHORT.mask, requests)
    assert [one.draws for one in found] == [1, 3, 5]
    assert [len(one.outputs) for one in found] == [3, 2, 1]
    assert [one.treated for one in found] == [(PAIRED, ZERO), (drawn,), (more,)]


def test_a_reference_run_needs_no_draws() -> None:
    drawn = TreatedSpec(kind="resample", column="other", draws=3)
    run = RunSpec(task="t", kind="reference", treated=drawn)
    assert plan(SMALL, [run]).draws == 1


def test_equal_requests_are_one() -> None:
    p = sets(DIRECT, SMALL)("p")
    again = RunSpec(task="t", kind="treat", paths=p, treated=PAIRED, label="by another name")
    found = plan(SMALL, [treat(p), again, treat(p)])
    assert len(found.outputs) == 1 and found.outputs[0].measures == (LOGIT,)


def test_a_run_without_a_treated_value_is_pd221() -> None:
    p = sets(DIRECT, SMALL)("p")
    run = RunSpec(task="t", kind="treat", paths=p, label="treat(p)")
    with pytest.raises(PlanError) as caught:
        plan(SMALL, [run])
    (found,) = caught.value.diagnostics
    assert found.code == "PD221" and "treat(p)" in found.message and "treated" in found.help
    with pytest.raises(PlanError):
        plan(SMALL, [RunSpec(task="t", kind="treated")])
    assert plan(SMALL, [REFERENCE]).treated == ()


def test_kl_brings_the_reference_run() -> None:
    kl = Measure(kind="kl")
    found = plan(SMALL, [treat(sets(LATER, SMALL)("p"))], measures=[kl])
    final = PlainResid(stage=4, source=REFERENCE_SOURCE)
    (number,) = [n for n in found.alive if found.steps[n] == final]
    assert found.need[number] == found.outputs[0].positions


def test_kept_and_cut_say_where_paths_end() -> None:
    text = "path p = input@A -[v]-> a0.h0@B -> logits\npath q = input@A -[v]-> a0.h0@A -> logits"
    named = sets(text, SMALL)
    found = plan(SMALL, [treat(named("p")), treat(named("q")), treat(FULL)])
    masks = found.masks
    # B is END on the second prompt only; A never is.
    p, q, everything = found.outputs
    assert masks.array(p.cut).any(axis=1).tolist() == [False, True]
    assert q.cut == FALSE and q.kept == q.positions
    assert everything.kept == FALSE and everything.cut == everything.positions


def test_plans_are_the_same_every_time() -> None:
    text = "path p = a0.h0 -> m0 -[k: prev]-> a1.h0 ~> logits"
    runs = [make(sets(text, SMALL)("p")) for make in (keep, treat)]
    one, two = plan(SMALL, runs), plan(SMALL, runs)
    assert one.steps == two.steps and one.need == two.need and one.outputs == two.outputs
    assert computed(one) == computed(two)


def test_an_attention_measure_names_a_head() -> None:
    with pytest.raises(ValueError, match="names a head"):
        plan(SMALL, [REFERENCE], measures=[Measure(kind="attention", query="END", key="A")])
