"""Actions on single neurons, on three block structures, against the literal tree.

A neuron is a node of the tree there, whether a path set or an action names it; an action on a whole
MLP is one on each of its parts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError, PlanError
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.runs import Action, Block, Target
from pathdsl.plan.steps import HeadCopy, HiddenCopy, MlpCopy, MlpResid
from tests.engine.family_cases import Exact
from tests.engine.test_neurons_tree import NEURONS, decoder, gated
from tests.engine.test_under_fuzz import refused
from tests.engine.test_under_tree import VERBS, compare, compare_parts
from tests.engine.tree_cases import REFERENCE, open_case
from tests.engine.under_cases import Drawer, draw_blocks, under
from tests.oracle.blocks import Blocks
from tests.oracle.cases import parse_text
from tests.oracle.graph import neurons_of
from tests.oracle.strategies import seeded_case
from tests.oracle.writer import Chooser

ALL = (*VERBS, "same")
ON_NEURONS = ("scale", "set", "add", "same")
ENOUGH = 3
STRUCTURES = ("gpt2", "llama", "gpt_neox_parallel", "opt")


def drawers(
    name: str, seeds: range, named: bool | None = None
) -> Iterator[tuple[Drawer, random.Random]]:
    """A drawer for each case; norms are frozen in every third.

    `named`: whether path sets tell neurons apart, too; None: in some cases.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if name != "gpt2":
            stack.enter_context(Exact())
        for number, seed in enumerate(seeds):
            rng, case = random.Random(f"{name} {seed}"), seeded_case(seed, NEURONS)
            own = neurons_of(parse_text(case.text))
            if len(own) > 2 or case.config["n_head"] > 1 or named not in (None, bool(own)):
                continue  # the tree has a node for each of them
            try:
                one = open_case(case, model=model_of(name)(case))
            except LanguageError:
                continue
            own |= {(rng.randrange(case.config["n_layer"]), rng.choice((1, 3)))}
            parts = Blocks.of(one.adapter.model) if name in DECODERS else None
            one = replace(one, frozen=number % 3 == 2)
            yield Drawer(one, Chooser(rng.randint), parts, neurons=own), rng


DECODERS = ("gpt_neox_parallel", "opt")


def model_of(name: str) -> Any:
    if name == "gpt2":
        return lambda case: None
    return decoder(name) if name in DECODERS else gated(name)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
def test_each_action(name: str, named: bool) -> None:
    done = {verb: 0 for verb in ON_NEURONS}
    for drawer, _ in drawers(name, range(400, 440), named):
        for verb in ON_NEURONS:
            if done[verb] < 2:
                done[verb] += compare(drawer.one, drawer, [[verb]])
    assert min(done.values()) >= 2, done


@pytest.mark.parametrize("name", STRUCTURES)
def test_several_actions(name: str) -> None:
    done = 0
    for drawer, rng in drawers(name, range(440, 480)):
        verbs = [[rng.choice(ON_NEURONS)], [rng.choice(ON_NEURONS), rng.choice(ALL)]]
        done += done < ENOUGH and compare(drawer.one, drawer, verbs)
    assert done == ENOUGH


@pytest.mark.parametrize("name", STRUCTURES)
def test_values_of_runs_under_blocks_of_their_own(name: str) -> None:
    done = 0
    for drawer, rng in drawers(name, range(480, 520)):
        other = draw_blocks(drawer, [[rng.choice(ON_NEURONS)]])
        if done == ENOUGH or refused(drawer.one, [under(REFERENCE, other.blocks)]) is None:
            continue
        drawer.other = other
        verbs = [["set"], [rng.choice(("set", "move", "same"))]]
        done += done < ENOUGH and compare(drawer.one, drawer, verbs)
    assert done == ENOUGH


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_part_that_goes_by_a_path_set(name: str) -> None:
    for drawer, rng in drawers(name, range(520, 550)):
        compare_parts(drawer.one, rng, drawer=drawer, verbs=ON_NEURONS)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox_parallel"])
def test_the_null_pair(name: str) -> None:
    for drawer, rng in drawers(name, range(550, 562)):
        one, blocks = drawer.one, draw_blocks(drawer, [[rng.choice(ON_NEURONS)]]).blocks
        runs = [under(one.run(one.treated), blocks), under(REFERENCE, blocks)]
        if refused(one, runs) is not None:
            proof = prove_null_pair(one.plan(runs), one.task, one.adapter, 1e-12)
            assert proof.holds, (blocks, proof)


def test_a_vector_on_an_mlp_whose_neurons_are_told_apart() -> None:
    """Is the rest's; a mean of such runs is no sum of hidden units, and is refused."""
    done = refusals = 0
    for drawer, _ in drawers("gpt2", range(570, 610), named=True):
        layer = min(at for at, _ in drawer.neurons)
        vector = tuple(float(one) for one in range(drawer.width))
        target = Target(kind="mlp", layer=layer, at=Pos(name="END"))
        one, blocks = drawer.one, (block(target, verb="add", vector=vector),)
        run = under(one.run(one.treated), blocks)
        try:
            found = one.logits([run])[0]
        except PlanError as error:
            assert [d.code for d in error.diagnostics] == ["PD225"] and one.case.treated != "paired"
            refusals += 1
            continue
        doing = partial(drawer.added, ("m", layer), "END", np.array(vector))
        for row in range(len(one.case.rows)):
            tree = drawer.tree(row, [doing])
            np.testing.assert_allclose(found[row], tree, rtol=0, atol=1e-9)
        done += 1
    assert done >= 2 and refusals >= 1


def block(target: Target, **how: Any) -> Block:
    return Block(name="b", actions=(Action(targets=(target,), **how),))


def test_what_an_action_on_a_neuron_does_not_reach_is_shared() -> None:
    """Layers below it, and above it nothing of the reference run but what reads the neuron."""
    for drawer, _ in drawers("gpt2", range(400, 440), named=False):
        one, last = drawer.one, drawer.layers - 1
        run = one.run(one.treated)
        target = Target(kind="neurons", layer=last, neurons=(3,))
        acted = under(run, (block(target, verb="scale", number=0.0),))
        alone, both = one.plan([run]), one.plan([run, acted])
        assert both.steps[: len(alone.steps)] == alone.steps
        added = [both.steps[n] for n in both.alive if n >= len(alone.steps)]
        assert not any(isinstance(step, HeadCopy | MlpCopy) for step in added)
        assert {step.layer for step in added if isinstance(step, HiddenCopy)} <= {last}
        plain = one.plan([REFERENCE, under(REFERENCE, acted.blocks)])
        steps = [plain.steps[n] for n in plain.alive]
        assert not any(isinstance(step, HeadCopy | MlpCopy | HiddenCopy) for step in steps)
        assert sum(isinstance(step, MlpResid) for step in steps) == 1


def test_the_null_effect_of_a_neuron_that_is_set_to_itself() -> None:
    """Equal runs, whether the neuron is set to its value in the same run or scaled by 1."""
    for drawer, _ in drawers("llama", range(400, 410)):
        one, target = drawer.one, Target(kind="neurons", layer=1, neurons=(3, 5))
        same = Target(kind="neurons", layer=1, neurons=(3, 5))
        runs = [
            REFERENCE,
            under(REFERENCE, (block(target, verb="set", source=REFERENCE),)),
            under(REFERENCE, (block(target, verb="set", source=same),)),
            under(REFERENCE, (block(target, verb="scale", number=1.0),)),
        ]
        found = one.logits(runs)
        for other in found[1:]:
            np.testing.assert_allclose(found[0], other, rtol=0, atol=1e-12)
