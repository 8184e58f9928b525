"""The engine on toy models against the literal tree in numpy, one variant for each switch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError
from pathdsl.graph.paths.pathset import FULL, NONE
from pathdsl.plan.steps import MlpResid
from tests import seeds as counts
from tests.engine.toy_cases import VARIANTS, make
from tests.engine.tree_cases import REFERENCE, Opened, open_case
from tests.oracle.cases import oracle_logits
from tests.oracle.strategies import seeded_case
from tests.oracle.toys import Toy
from tests.oracle.tree import plain_values

EXACT = 1e-9
NEURONS = (1, 6)
# Attention-only models refuse what names an MLP: these seeds hold cases that name none.
HEADS_ONLY = (510, 511, 513, 516)


def opened(name: str, seeds: Iterable[int], neurons: tuple[int, ...] = ()) -> Iterator[Opened]:
    """The cases of some seeds that the graph of the variant accepts, each on a model of it.

    Where heads see later positions every other case looks ahead.
    """
    for seed in seeds:
        case = seeded_case(seed, neurons)
        if seed % 2 and VARIANTS[name].get("attention_dir"):
            text = case.text.replace("offset(-1)", "offset(+1)").replace("prev", "offset(1)")
            case = replace(case, text=text)
        if neurons and ".n" not in case.text:
            continue
        sizes = {"n_layers": case.config["n_layer"], "n_heads": case.config["n_head"]}
        try:
            yield open_case(case, model=make(name, seed=case.seed, **sizes).double())
        except LanguageError:
            continue


def from_tree(one: Opened) -> np.ndarray:
    """(rows, 11) logits by the literal definition; further ones are not read."""
    parts = Toy.of(one.adapter.model)  # type: ignore[attr-defined]
    rows = range(len(one.case.rows))
    found = [oracle_logits(one.case, row, parts, frozen=one.frozen) for row in rows]
    return np.stack(found)[:, :11]


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted[:, :11], rtol=0, atol=EXACT, err_msg=text)


@pytest.mark.parametrize("seeds", counts.chunks("toys"))
@pytest.mark.parametrize("name", VARIANTS)
def test_engine_is_the_literal_tree(name: str, seeds: tuple[int, ...]) -> None:
    compared, moved = 0, 0
    seeds = (*seeds, *HEADS_ONLY) if VARIANTS[name].get("attn_only") else seeds
    with torch.no_grad():
        for frozen in (False, True):
            for one in opened(name, seeds):
                one = replace(one, frozen=frozen)
                found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
                same(found[0], from_tree(one), one.case.text)
                same(found[-1], one.plain("reference"), one.case.text)
                compared += 1
                moved += bool(np.abs(found[0] - found[-1]).max() > 1e-3)
    assert compared >= 6 and moved >= 2


@pytest.mark.parametrize("name", ["no_norm", "ln", "llama_like", "solu", "solu_gated", "parallel"])
def test_neurons_are_those_of_the_tree(name: str) -> None:
    """A neuron of SoLU is a function of all that its own copy of the MLP reads."""
    split = 0
    with torch.no_grad():
        for one in opened(name, counts.CASES["neurons"].default[:14], NEURONS):
            plan = one.plan([one.run(one.treated), REFERENCE])
            same(one.logits([one.run(one.treated)])[0], from_tree(one), one.case.text)
            split += any(isinstance(s, MlpResid) and bool(s.neurons) for s in plan.steps)
    assert split >= 1


@pytest.mark.parametrize("name", VARIANTS)
def test_treating_nothing_and_everything(name: str) -> None:
    with torch.no_grad():
        for one in opened(name, range(300, 304)):
            one = replace(one, case=replace(one.case, treated="paired"))
            found = one.logits([one.run(NONE), one.run(FULL)])
            same(found[0], one.plain("reference"), one.case.text)
            same(found[1], one.plain("treated"), one.case.text)


@pytest.mark.parametrize("name", VARIANTS)
def test_null_pair(name: str) -> None:
    """Treated = reference changes nothing."""
    one = next(opened(name, (*counts.CASES["toys"].default, *HEADS_ONLY)))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        proof = prove_null_pair(plan, one.task, one.adapter, 1e-10)
    assert proof.holds, proof


@pytest.mark.parametrize("name", VARIANTS)
def test_the_oracle_is_the_unmodified_model(name: str) -> None:
    """So the two are independent: numpy by the fields, and the reference module."""
    ids = [3, 1, 4, 1, 5, 9]
    with torch.no_grad():
        model = make(name).double()
        parts = Toy.of(model)
        values = plain_values(parts, ids)
        wanted = model(torch.tensor([ids])).logits[0].numpy()
    for at in range(len(ids)):
        last = parts.stream(("logits",), {node: value[at] for node, value in values.items()})
        np.testing.assert_allclose(parts.logits(last), wanted[at], rtol=0, atol=1e-11)
