"""Runs share what they have in common, and sharing changes nothing of what a run is."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pathdsl.graph.paths.pathset import FULL, Combined, PathSet
from pathdsl.plan.build import mixed_copies
from pathdsl.plan.outputs import Plan
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import (
    AttentionResid,
    Blend,
    HeadCopy,
    HiddenCopy,
    InputResid,
    JoinResid,
    MlpCopy,
    MlpResid,
    PlainResid,
)
from pathdsl.report.text.plan import sharing
from tests.graph.helpers import shape as shape_of
from tests.plan.plan_cases import PAIRED, ZERO, plan, sets

SHAPE = shape_of(3, 2)
EXPRESSIONS = (
    "a0.h0 -> logits",
    "a1.h1 (-> mlp)* -> logits",
    "through(a2.h0)",
    "through(m1)",
    "through(a0.h1, m0)",
    "through(r1@[1])",
    "through(r2@B)",
    "through(r2@[0])",
    "through(r0@END)",
    "a0.h0 -> r1@A ~> m2",
    "within(a0.h0, a1.h1, m0, m1)",
    "within(a0, m0, a2.h1)",
    "within(mlp, a1.h0@A)",
    "input@B -[k]-> a1.h0 ~> logits",
    "input@A -[k,v: prev]-> a0.h1 ~> a2.h0",
    "a0 -[v: window(2)]-> a1@END -> logits",
    "a0.h0 ~[q]~> a2.h1 -> logits",
    "input (-> m0)? -[q]-> a1.h1@B -[v]-> a2.h0@END",
    "{a0.h1@A, a1.h0@END} ~> logits",
    "edges { input -> a0.h0 -> m1 -> logits; a0.h0 -[k]-> a2.h0 -> logits }",
    "edges { input@A -[v: prev]-> a0.h0 -> a1.h1 -> logits; input -> m2 -> logits }",
)


def digest(found: Plan, number: int, known: dict[int, int], seen: dict[object, int]) -> int:
    """A number for what a step is, whatever its own number and those of masks are."""
    if number in known:
        return known[number]

    def at(mask: int) -> bytes:
        return found.masks.array(mask).tobytes()

    def far(distances: int) -> bytes:
        return found.masks.distances(distances).tobytes()

    def of(read: int) -> int:
        return digest(found, read, known, seen)

    def blended(blend: Blend) -> frozenset[object]:
        return frozenset((s if s < 0 else ("copy", of(s)), at(mask)) for s, mask in blend)

    match found.steps[number]:
        case PlainResid(stage=stage, source=source):
            what: object = ("plain", stage, source)
        case InputResid(blend=blend):
            what = ("input", blended(blend))
        case AttentionResid(stage=stage, previous=previous, heads=heads):
            what = ("heads", stage, of(previous), tuple(map(blended, heads)))
        case MlpResid(stage=stage, previous=previous, blend=blend, neurons=neurons):
            apart = tuple((which, blended(b)) for which, b in neurons)
            what = ("mlp", stage, of(previous), blended(blend), apart)
        case HeadCopy(layer=layer, head=head, query=query, keys=keys, values=values):
            sides = tuple(frozenset((far(d), of(s)) for d, s in side) for side in (keys, values))
            what = ("head", layer, head, of(query), sides)
        case MlpCopy(layer=layer, resid=resid):
            what = ("mlp copy", layer, of(resid))
        case HiddenCopy(layer=layer, resid=resid):
            what = ("hidden copy", layer, of(resid))
        case JoinResid(stage=stage, parts=parts):
            what = ("join", stage, frozenset((of(s), at(mask)) for s, mask in parts))
    known[number] = seen.setdefault(what, len(seen))
    return known[number]


def path_sets(expressions: tuple[str, ...]) -> list[PathSet]:
    text = "\n".join(f"path p{i} = {e}" for i, e in enumerate(expressions))
    named = sets(text, SHAPE)
    alone = [named(f"p{i}") for i in range(len(expressions))]
    combined = [FULL]
    for op in ("-", "&", "|"):
        combined += [
            Combined(op=op, left=a, right=b)  # type: ignore[arg-type]
            for a, b in zip(alone, alone[5:] + alone[:5], strict=True)
        ]
    found = [*alone, *combined]
    return found + [Combined(op="-", left=FULL, right=p) for p in found]


def runs_of(paths: list[PathSet]) -> list[RunSpec]:
    return [
        RunSpec(task="t", kind="treat", paths=p, treated=value)
        for p in paths
        for value in (PAIRED, ZERO)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_run_is_the_same_alone_and_beside_others(seed: int) -> None:
    runs = runs_of(path_sets(EXPRESSIONS))
    random.Random(seed).shuffle(runs)
    together = plan(SHAPE, runs)
    seen: dict[object, int] = {}
    known: dict[int, int] = {}
    for run, output in zip(runs, together.outputs, strict=True):
        alone = plan(SHAPE, [run])
        # The only treated value of a plan is number 0; in the joint plan it may be another.
        same_value = output.run.treated == together.treated[0]
        if not same_value:
            continue
        wanted = digest(alone, alone.outputs[0].resid, {}, seen)
        assert digest(together, output.resid, known, seen) == wanted, str(run.paths)


def automata(make: Callable[[int], str], count: int) -> tuple[Plan, list[Plan]]:
    text = "\n".join(f"path p{i} = {make(i)}" for i in range(count))
    named = sets(text, shape_of(count, 2))
    runs = [RunSpec(task="t", kind="treat", paths=named(f"p{i}"), treated=PAIRED)
            for i in range(count)]  # fmt: skip
    return plan(shape_of(count, 2), runs), [plan(shape_of(count, 2), [run]) for run in runs]


def test_what_is_upstream_of_every_knockout_is_planned_once(monkeypatch) -> None:
    """Cells are built for what is new in a run: the layers from its knockout on."""
    from pathdsl.plan import copies

    built: list[int] = []
    real = copies.RunBuilder._new_cell

    def counting(self, v, component, stage, state):
        built.append(component.layer)
        return real(self, v, component, stage, state)

    monkeypatch.setattr(copies.RunBuilder, "_new_cell", counting)
    shape = shape_of(12, 2)
    text = "path c = within(a[0..11].h0, mlp)\n" + "\n".join(
        f"path k{i} = through(a11.h0@[{i}], m11@[{i}])" for i in range(4)
    )
    named = sets(text, shape)
    runs = [
        RunSpec(
            task="t",
            kind="treat",
            paths=Combined(
                op="-", left=FULL, right=Combined(op="-", left=named("c"), right=named(f"k{i}"))
            ),
            treated=PAIRED,
        )
        for i in range(4)
    ]
    plan(shape, runs[:1])
    first = list(built)
    built.clear()
    plan(shape, runs)
    early = [layer for layer in built if layer < 11]
    assert len(early) == sum(layer < 11 for layer in first) > 20
    assert len(built) > len(first)


def test_a_knockout_shares_the_plan_of_its_circuit_below() -> None:
    """`P - through(K)` below K is P, although it is written with one more leaf."""
    shape = shape_of(4, 2)
    named = sets("path c = within(a0.h0, a1.h1, a2.h0, mlp)\npath k = through(m3)", shape)
    keep = Combined(op="-", left=FULL, right=named("c"))
    knocked = Combined(op="-", left=FULL, right=Combined(op="-", left=named("c"), right=named("k")))
    runs = [RunSpec(task="t", kind="treat", paths=p, treated=PAIRED) for p in (keep, knocked)]
    alone = plan(shape, runs[:1])
    found = plan(shape, runs)
    # m3 is all that the knockout changes, and m3 without a kept path is the treated run's.
    assert len(mixed_copies(found)) == len(mixed_copies(alone))
    counted = sharing(found)
    assert counted.by_run[0][1] == 1 and counted.by_run[1][1] == 0
    assert counted.shared + counted.own == len(mixed_copies(found))


def test_runs_that_patch_one_mark_each_plan_nothing_below_it() -> None:
    together, alone = automata(lambda i: f"through(r{i}@[1])", 5)
    for number, one in enumerate(alone):
        layers = [one.steps[n].layer for n in mixed_copies(one)]  # type: ignore[union-attr]
        assert min(layers, default=number) >= number
    assert len(mixed_copies(together)) == sum(len(mixed_copies(one)) for one in alone)
