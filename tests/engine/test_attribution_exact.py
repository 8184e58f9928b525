"""First-order scores against derivatives of exact patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.plan.treated import TreatedSpec
from tests.engine.attribution_cases import DIFFERENCE, MAIN, MODELS, adapter, asked
from tests.engine.attribution_oracle import by_engine, derivative, logits_with, path_of
from tests.engine.engine_cases import MEAN, PAIRED, SPECS, TASK
from tests.engine.family_cases import Exact


def compare(name: str, method: str, of: str, spec: TreatedSpec, frozen: bool = False) -> None:
    """Every unit that a path set can treat, on every prompt."""
    model = adapter(name)
    with Exact():
        scored = attribute(model, TASK, asked(method, of, treated=spec), frozen=frozen)
    # What an MLP beside layer 0's heads reads is `input` alone: treated, it is a treated value, and
    # a share of the way to its output is no share of the way to its input.
    alone = "m0" if model.shape.parallel else ""
    at = [
        n
        for n, unit in enumerate(scored.units)
        if unit.sender and ((unit.receiver not in ("", alone)) or unit.sender != "input")
    ]
    paths = [path_of(scored.units[n]) for n in at]
    wanted = by_engine(model, paths, DIFFERENCE, spec, frozen=frozen)
    worst = np.abs(scored.values[at] - wanted).max()
    assert worst < 1e-9 * max(1.0, float(np.abs(wanted).max())), worst


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", MAIN)
def test_an_edge_is_the_derivative_of_its_patch(name: str, frozen: bool) -> None:
    compare(name, "eap", "edges", PAIRED, frozen)


@pytest.mark.parametrize(
    "name",
    [
        "olmo2",
        "qwen3",
        "granite",
        "cohere",
        "toy_solu",
        "toy_solu_gated",
        "toy_bent",
        "toy_shortformer",
    ],
)
def test_an_edge_of_other_structures(name: str) -> None:
    compare(name, "eap", "edges", PAIRED)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_an_edge_under_every_treated_value(spec: TreatedSpec) -> None:
    compare("gpt2", "eap", "edges", spec)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", MAIN)
def test_a_node_is_the_derivative_of_its_patch(name: str, frozen: bool) -> None:
    compare(name, "atp", "nodes", PAIRED, frozen)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_node_under_every_treated_value(spec: TreatedSpec) -> None:
    compare("gpt2", "atp", "nodes", spec)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "toy_solu", "toy_solu_gated"])
def test_a_neuron_is_the_derivative_of_its_patch(name: str) -> None:
    compare(name, "atp", "neurons", MEAN)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("slot", ["q", "k", "v"])
def test_an_input_of_a_head_is_the_derivative_of_its_vector(name: str, slot: str) -> None:
    model, layer, head = adapter(name), 1, 1
    with Exact():
        scored = attribute(model, TASK, asked("atp"))
    at = next(n for n, u in enumerate(scored.units) if (u.receiver, u.slot) == ("a1.h1", slot))
    ids, other = (torch.from_numpy(TASK.prompts[column]) for column in ("prompt", "other"))
    lengths = torch.from_numpy(TASK.lengths)

    def metric(share: float) -> np.ndarray:
        found = logits_with(model, ids, lengths, layer, slot, head, other, share)
        last = found[torch.arange(len(ids)), lengths - 1]
        return (last[:, 1] - last[:, 2]).numpy()

    wanted = derivative(metric)
    assert np.abs(wanted).max() > 1e-4
    np.testing.assert_allclose(scored.values[at], wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("spec", [PAIRED, MEAN], ids=str)
@pytest.mark.parametrize("name", [*MAIN, "olmo2"])
def test_an_input_of_a_head_under_frozen_norms_is_the_derivative_of_its_patch(
    name: str, spec: TreatedSpec
) -> None:
    # With constant scales a query, key or value is linear in what it reads, norms behind heads too.
    model = adapter(name)
    slots = "qkv" if name != "olmo2" else "v"  # its queries and keys have norms of their own
    with Exact():
        scored = attribute(model, TASK, asked("atp", treated=spec), frozen=True)
    at = [n for n, unit in enumerate(scored.units) if unit.slot and unit.slot in slots]
    units = [scored.units[n] for n in at]
    paths = [f"{{input, any}} -[{unit.slot}]-> {unit.receiver}" for unit in units]
    wanted = by_engine(model, paths, DIFFERENCE, spec, frozen=True)
    worst = np.abs(scored.values[at] - wanted).max()
    assert worst < 1e-9 * max(1.0, float(np.abs(wanted).max())), worst
