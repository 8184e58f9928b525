"""The engine on every family against the literal tree in numpy, and against the null pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError
from tests import seeds as counts
from tests.engine.family_cases import FAMILIES, Exact, make
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.oracle.strategies import seeded_case
from tests.oracle.tree import forward_of, plain_values

EXACT = 1e-9
ROTATED_PLAINLY = [name for name in FAMILIES if "_rope_" not in name and "_long" not in name]
TOLD_ENOUGH = ("_biases", "_full", "_caps", "_plain", "_free", "_sparse", "mixtral_window")
ON_PATHS = [name for name in ROTATED_PLAINLY if not name.endswith(TOLD_ENOUGH)]
SEEDS = counts.CASES["gated"].default


def opened(name: str, seeds: Iterable[int] = SEEDS) -> Iterator[Opened]:
    """The cases of some seeds that the language accepts, each on a model of the variant."""
    for seed in seeds:
        case = seeded_case(seed)
        heads = case.config["n_head"]
        layers = case.config["n_layer"]
        kind, options = FAMILIES[name]
        sizes = {
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 1,
            "head_dim": 6,
        }
        if kind in ("phi3", "olmoe"):  # take no `head_dim`, and heads of 8 or 16 are as good
            del sizes["head_dim"]
        if "layer_types" in options:
            sizes["layer_types"] = options["layer_types"][:layers]
        if "layer_rope_theta" in options:
            sizes["layer_rope_theta"] = options["layer_rope_theta"][:layers]
        if options.get("sliding_window"):
            sizes["sliding_window"] = 2
        model = make(name, seed=case.seed, **sizes).double()
        try:
            yield open_case(case, model=model)
        except LanguageError:
            continue


@pytest.mark.parametrize("seeds", counts.chunks("gated"))
@pytest.mark.parametrize("name", ON_PATHS)
def test_engine_is_the_literal_tree(name: str, seeds: tuple[int, ...]) -> None:
    compared = 0
    with Exact(), torch.no_grad():
        for one in opened(name, seeds):
            found = one.logits([one.run(one.treated), REFERENCE])
            text = one.case.text
            np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=EXACT, err_msg=text)
            plain = one.plain("reference")
            np.testing.assert_allclose(found[1], plain, rtol=0, atol=EXACT, err_msg=text)
            compared += 1
    assert compared >= len(seeds) - 1


@pytest.mark.parametrize("name", ROTATED_PLAINLY)
def test_the_oracle_is_the_unmodified_model(name: str) -> None:
    """So the two are independent: numpy parts, and `transformers`."""
    ids = [3, 1, 4, 1, 5, 9]
    with Exact(), torch.no_grad():
        model = make(name).double()
        parts = forward_of(model)
        values = plain_values(parts, ids)
        last = parts.stream(("logits",), {node: value[-1] for node, value in values.items()})
        wanted = model(torch.tensor([ids])).logits[0, -1].numpy()
    np.testing.assert_allclose(parts.logits(last), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_null_pair(name: str) -> None:
    """Treated = reference changes nothing, in float64 as the model rounds."""
    case = seeded_case(203)
    sizes = {"num_hidden_layers": case.config["n_layer"], "num_attention_heads": 2}
    if name == "phi3_long":  # as many short factors as half of what is rotated
        sizes["hidden_size"] = 8
    for key in ("layer_types", "layer_rope_theta"):
        if key in FAMILIES[name][1]:
            sizes[key] = FAMILIES[name][1][key][: sizes["num_hidden_layers"]]
    one = open_case(case, model=make(name, **sizes).double())
    proof = prove_null_pair(
        one.plan([one.run(one.treated), REFERENCE]), one.task, adapter_for(one.adapter.model), 1e-6
    )
    assert proof.holds, proof
