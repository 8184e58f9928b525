"""When steps run, when their values are freed, and what a plan is said to cost."""

from __future__ import annotations

from itertools import pairwise

from pathdsl.graph.paths.pathset import FULL
from pathdsl.plan.liveness import cost, reads_of, schedule
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.steps import HeadCopy, parts_of
from pathdsl.plan.treated import TreatedSpec
from tests.graph.helpers import GPT2, IOI_GROUPS
from tests.graph.helpers import shape as shape_of
from tests.plan.plan_cases import IOI, PAIRED, REFERENCE, ZERO, keep, plan, sets, treat

SMALL = shape_of(2, 2)
TEXT = """
path p = a0.h0 -> m0 -[k: prev]-> a1.h0 ~> logits
path c = within(a0.h0, m0, a1.h1)
path direct = a0.h1 -> logits
"""


def runs() -> list:
    named = sets(TEXT, SMALL)
    return [keep(named("c")), treat(named("p")), treat(named("direct"))]


def big() -> Plan:
    return plan(GPT2, [keep(sets(IOI_GROUPS, GPT2)("main"))], IOI)


def test_every_step_runs_after_what_it_reads() -> None:
    for found in (plan(SMALL, runs()), big()):
        order = schedule(found)
        slots = [slot for slot, _ in order.slots]
        assert slots == sorted(slots)
        at = {n: slot for slot, numbers in order.slots for n in numbers}
        assert sorted(at) == found.alive
        place = {n: i for i, n in enumerate(n for _, numbers in order.slots for n in numbers)}
        for number in found.alive:
            assert at[number] == found.steps[number].slot
            for read in reads_of(found, number):
                # A residual step and the copy that reads it are never in one slot; residual steps
                # of one stage read the stage before.
                assert at[read] < at[number] and place[read] < place[number]


def test_values_are_freed_right_after_their_last_use() -> None:
    for found in (plan(SMALL, runs()), big()):
        order = schedule(found)
        end = 2.0 * found.shape.n_layers + 1
        read_at: dict[int, list[float]] = {n: [] for n in found.alive}
        for number in found.alive:
            for read in reads_of(found, number):
                read_at[read].append(found.steps[number].slot)
        finals = {n for o in found.outputs for n, _ in parts_of(found.steps, o.resid)}
        for number in found.alive:
            wanted = max([found.steps[number].slot, *read_at[number]])
            if number in finals:
                wanted = end
            assert order.last_use[number] == wanted


def test_a_head_that_only_a_metric_looks_at_is_freed_in_its_slot() -> None:
    measure = Measure(kind="attention", head=(1, 0), query="END", key="A")
    found = plan(SMALL, [REFERENCE], measures=[measure])
    (copy,) = [n for n in found.alive if isinstance(found.steps[n], HeadCopy)]
    assert schedule(found).last_use[copy] == found.steps[copy].slot


def test_cost_grows_with_the_plan() -> None:
    wanted = runs()
    costs = [cost(plan(SMALL, wanted[:n]), 4, None) for n in (1, 2, 3)]
    for less, more in pairwise(costs):
        assert less.macs < more.macs and less.row_bytes <= more.row_bytes
        assert all(a <= b for a, b in zip(less.copies_by_layer, more.copies_by_layer, strict=True))
    assert len({one.plain_macs for one in costs}) == 1
    p = plan(SMALL, wanted)
    assert cost(p, 8, None).row_bytes >= 2 * cost(p, 4, None).row_bytes - 2
    assert cost(p, 4, 2).macs < cost(p, 4, None).macs


def test_cost_of_plain_runs() -> None:
    found = plan(SMALL, [REFERENCE])
    one = cost(found, 4, None)
    assert one.plain_runs == 1 and sum(one.copies_by_layer) == 0
    assert one.forwards <= 1.0  # logits at END only
    assert cost(plan(SMALL, [REFERENCE, treat(FULL)]), 4, None).plain_runs == 2
    assert cost(plan(SMALL, [treat(FULL, ZERO)]), 4, None).plain_runs == 0
    mean = TreatedSpec(kind="mean", column="other")
    assert cost(plan(SMALL, [treat(FULL, mean)]), 4, None).plain_runs == 1


def test_draws_are_paid_for() -> None:
    p = sets(TEXT, SMALL)("p")

    def macs(draws: int) -> int:
        spec = TreatedSpec(kind="resample", column="other", draws=draws)
        return cost(plan(SMALL, [treat(p, spec)]), 4, None).macs

    assert macs(1) < macs(2) < macs(4)
    assert macs(4) - macs(2) == 2 * (macs(2) - macs(1))


def test_the_ioi_plan_costs_a_few_forwards() -> None:
    found = cost(big(), 4, 2)
    assert 1.0 < found.forwards < 6.0
    assert len(found.copies_by_layer) == 12
    assert found.plain_runs == 2


def test_copies_read_at_end_cost_less() -> None:
    text = "path e = a0.h0@END -> m0 -> logits\n"
    text += "path k = a0.h0 -> m0 -[k]-> a1 -> logits"
    named = sets(text, SMALL)
    at_end = cost(plan(SMALL, [treat(named("e"), PAIRED)]), 4, 1)
    at_keys = cost(plan(SMALL, [treat(named("k"), PAIRED)]), 4, 1)
    assert at_end.macs < at_keys.macs and at_end.row_bytes < at_keys.row_bytes
