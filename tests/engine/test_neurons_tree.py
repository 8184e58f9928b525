"""Neurons in the engine against the literal tree, in which each is a node of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pathdsl.errors import LanguageError
from pathdsl.plan.steps import MlpResid
from tests import seeds as counts
from tests.engine import test_families_tree_b
from tests.engine.decoder_cases import make as make_decoder
from tests.engine.family_cases import FAMILIES, Exact, make
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.oracle.cases import Case
from tests.oracle.strategies import seeded_case

EXACT = 1e-9
NEURONS = (1, 6)
GATED = ("llama", "llama_biases", "qwen3", "phi3", "gemma")
PARALLEL = (400, 402, 410, 411, 441)  # cases that split an MLP of a parallel block
DECODERS = (
    "gpt_neox_parallel", "gpt_neox_sequential", "gptj", "gpt_neo_local", "opt", "opt_bare",
    "falcon", "bloom", "mpt",
)  # fmt: skip


def opened(
    seeds: Iterable[int], model_of: Callable[[Case], torch.nn.Module | None] = lambda _: None
) -> Iterator[Opened]:
    """The cases of some seeds that name neurons and that the language accepts."""
    for seed in seeds:
        case = seeded_case(seed, NEURONS)
        if ".n" not in case.text:
            continue
        try:
            yield open_case(case, model=model_of(case))
        except LanguageError:
            continue


def gated(name: str) -> Callable[[Case], torch.nn.Module]:
    """A random model of a gated variant as large as a case."""
    kind = FAMILIES[name][0]

    def model_of(case: Case) -> torch.nn.Module:
        heads = {"num_attention_heads": case.config["n_head"], "num_key_value_heads": 1}
        if kind != "phi3":  # takes no `head_dim`, and heads of 8 or 16 are as good
            heads["head_dim"] = 6
        layers = case.config["n_layer"]
        return make(name, seed=case.seed, num_hidden_layers=layers, **heads).double()

    return model_of


def decoder(name: str) -> Callable[[Case], torch.nn.Module]:
    """A random model of a decoder variant as large as a case."""
    family, options = test_families_tree_b.VARIANTS[name]

    def model_of(case: Case) -> torch.nn.Module:
        layers, heads = case.config["n_layer"], case.config["n_head"]
        sizes = test_families_tree_b.sized(family, layers, heads)
        return make_decoder(family, seed=case.seed, **{**options, **sizes}).double()

    return model_of


def compare(cases: Iterable[Opened], tree: Callable[[Opened], np.ndarray] = from_tree) -> int:
    """Compare every case with the tree; how many plans hold an MLP in parts."""
    split = 0
    for one in cases:
        runs = list(dict.fromkeys([one.run(one.treated), one.run(one.paths), REFERENCE]))
        plan, found, text = one.plan(runs), one.logits(runs), one.case.text
        np.testing.assert_allclose(found[0], tree(one), rtol=0, atol=EXACT, err_msg=text)
        plain = one.plain("reference")
        np.testing.assert_allclose(found[-1], plain, rtol=0, atol=EXACT, err_msg=text)
        split += any(isinstance(s, MlpResid) and bool(s.neurons) for s in plan.steps)
    return split


@pytest.mark.parametrize("seeds", counts.chunks("neurons"))
def test_engine_is_the_literal_tree(seeds: tuple[int, ...]) -> None:
    assert compare(opened(seeds)) >= 1


@pytest.mark.parametrize("seeds", counts.chunks("neurons"))
def test_frozen_norms(seeds: tuple[int, ...]) -> None:
    assert compare(replace(one, frozen=True) for one in opened(seeds)) >= 1


def test_frozen_norms_of_a_gated_family() -> None:
    with Exact(), torch.no_grad():
        cases = (replace(one, frozen=True) for one in opened(range(400, 408), gated("llama")))
        assert compare(cases) >= 2


@pytest.mark.parametrize("name", GATED)
def test_gated_families(name: str) -> None:
    with Exact(), torch.no_grad():
        assert compare(opened(range(400, 414), gated(name))) >= 4


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_families(name: str) -> None:
    with Exact(), torch.no_grad():
        cases = opened(PARALLEL, decoder(name))
        assert compare(cases, test_families_tree_b.from_tree) >= 4
