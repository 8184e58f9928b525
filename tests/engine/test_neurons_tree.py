"""Neurons in the engine against the literal tree, in which each is a node of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from pathdsl.errors import LanguageError
from pathdsl.plan.steps import MlpResid
from tests.engine.family_cases import FAMILIES, Exact, make
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.oracle.strategies import seeded_case

EXACT = 1e-9
NEURONS = (1, 6)
CHUNKS = [tuple(range(start, start + 8)) for start in range(300, 380, 8)]


def names_a_neuron(seed: int) -> bool:
    return ".n" in seeded_case(seed, NEURONS).text


def opened(seeds: tuple[int, ...], family: str = "") -> Iterator[Opened]:
    """The cases of some seeds that name neurons and that the language accepts."""
    for seed in filter(names_a_neuron, seeds):
        case = seeded_case(seed, NEURONS)
        model = None
        if family:
            sizes = {
                "num_hidden_layers": case.config["n_layer"],
                "num_attention_heads": case.config["n_head"],
                "num_key_value_heads": 1,
                "head_dim": 6,
            }
            kind, _ = FAMILIES[family]
            if kind not in ("llama", "qwen3", "gemma"):
                del sizes["head_dim"], sizes["num_key_value_heads"]
            model = make(family, seed=case.seed, **sizes).double()
        try:
            yield open_case(case, model=model)
        except LanguageError:
            continue


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_engine_is_the_literal_tree(seeds: tuple[int, ...]) -> None:
    split = compared = 0
    for one in opened(seeds):
        runs = list(dict.fromkeys([one.run(one.treated), one.run(one.paths), REFERENCE]))
        plan = one.plan(runs)
        found = one.logits(runs)
        text = one.case.text
        np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=EXACT, err_msg=text)
        plain = one.plain("reference")
        np.testing.assert_allclose(found[-1], plain, rtol=0, atol=EXACT, err_msg=text)
        split += any(isinstance(s, MlpResid) and s.neurons for s in plan.steps)
        compared += 1
    assert compared >= 3
    assert split >= 1
