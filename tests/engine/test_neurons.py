"""Neurons in the engine against hooks on the unmodified model, and what they cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from pathdsl.engine import self_check as selfcheck
from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.run.runner import Settings, execute
from pathdsl.graph.paths.pathset import PathSet
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.liveness import cost
from pathdsl.plan.outputs import Plan
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import HiddenCopy, MlpCopy, MlpResid
from pathdsl.plan.treated import TreatedSpec
from tests.engine.engine_cases import (
    COLUMNS,
    MEAN,
    NAMES,
    NOISE,
    PAIRED,
    PATHS,
    RESAMPLE,
    SPECS,
    TASK,
    ZERO,
    adapter_of,
    logits,
    plain,
    position_mask,
    prompt,
    treat,
    values,
)
from tests.engine.family_cases import make

EXACT = 1e-10
ROWS = range(TASK.n_rows)


def paths_of(text: str, before: str = "") -> PathSet:
    program, faults = load_program("x.circuit", f"{before}\npath p = {text}\n")
    assert not faults, faults
    return Resolver(program, adapter_of().shape).path_set(program.paths["p"].path)


def plan_of(*runs: RunSpec) -> Plan:
    shape, requests = adapter_of().shape, [(run, m) for run in runs for m in COLUMNS]
    (plan,) = build_plans(shape, "t", TASK.valid, position_mask(TASK), requests)
    return plan


def hooked(
    row: int, layer: int, change: Callable[[Tensor], None], column: str = "prompt"
) -> np.ndarray:
    """(vocabulary,) logits at END with the hidden units (1, pos, d_mlp) of an MLP changed."""

    def hook(_module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0].clone()
        change(hidden)
        return (hidden, *inputs[1:])

    model = adapter_of().model
    handle = model.transformer.h[layer].mlp.c_proj.register_forward_pre_hook(hook)
    try:
        with torch.no_grad():
            out = model(torch.tensor([prompt(row, column)])).logits
    finally:
        handle.remove()
    return out[0, -1].numpy()


def hidden_of(row: int, layer: int, column: str) -> Tensor:
    """(1, pos, d_mlp) hidden units of the unmodified model."""
    caught: list[Tensor] = []
    hooked(row, layer, lambda hidden: caught.append(hidden.clone()), column)
    return caught[0]


# -------------------------------------------------------------------------------------------------
# Against hooks
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 1])
def test_zero_ablation(layer: int) -> None:
    found = logits(treat(paths_of(f"through(m{layer}.n3)"), ZERO))[0]

    def change(hidden: Tensor) -> None:
        hidden[..., 3] = 0

    for row in ROWS:
        np.testing.assert_allclose(found[row], hooked(row, layer, change), rtol=0, atol=EXACT)
    assert np.abs(found - plain()).max() > 1e-3


def test_activation_patching_of_some_neurons_at_a_position() -> None:
    found = logits(treat(paths_of("through(m0.n[2..5]@END)")))[0]
    for row in ROWS:
        other = hidden_of(row, 0, "other")

        def change(hidden: Tensor, other: Tensor = other) -> None:
            hidden[:, -1, 2:6] = other[:, -1, 2:6]

        np.testing.assert_allclose(found[row], hooked(row, 0, change), rtol=0, atol=EXACT)


def test_mean_ablation() -> None:
    found = logits(treat(paths_of("through(m0.n[2,7])"), MEAN))[0]
    hidden = [hidden_of(row, 0, "other") for row in ROWS]
    for row in ROWS:
        alike = [
            hidden[other]
            for other in ROWS
            if TASK.labels["template"][other] == TASK.labels["template"][row]
            and TASK.lengths[other] == TASK.lengths[row]
        ]
        mean = torch.stack(alike).mean(0)

        def change(hidden: Tensor, mean: Tensor = mean) -> None:
            hidden[..., [2, 7]] = mean[..., [2, 7]]

        np.testing.assert_allclose(found[row], hooked(row, 0, change), rtol=0, atol=EXACT)


def test_direct_effect() -> None:
    """The difference of activations times the neuron's row of W_out, through the final norm."""
    found = logits(treat(paths_of("m1.n4 -> logits")))[0]
    model = adapter_of().model
    for row in ROWS:
        with torch.no_grad():
            out = model(torch.tensor([prompt(row)]), output_hidden_states=True)
            caught: list[Tensor] = []
            handle = model.transformer.ln_f.register_forward_pre_hook(
                lambda _module, inputs, caught=caught: caught.append(inputs[0])
            )
            model(torch.tensor([prompt(row)]))
            handle.remove()
            difference = hidden_of(row, 1, "other") - hidden_of(row, 1, "prompt")
            write = difference[0, -1, 4] * model.transformer.h[1].mlp.c_proj.weight[4]
            wanted = model.lm_head(model.transformer.ln_f(caught[0][0, -1] + write))
        np.testing.assert_allclose(found[row], wanted.numpy(), rtol=0, atol=EXACT)
        assert (wanted - out.logits[0, -1]).abs().max() > 1e-4


def test_the_output_bias_belongs_to_the_rest() -> None:
    bias = adapter_of().model.transformer.h[1].mlp.c_proj.bias
    assert bias.abs().max() > 0.1

    def all_zero(hidden: Tensor) -> None:
        hidden[:] = 0

    every = logits(treat(paths_of("through(m1.n[0..15])"), ZERO))[0]
    for row in ROWS:
        np.testing.assert_allclose(every[row], hooked(row, 1, all_zero), rtol=0, atol=EXACT)
    whole = logits(treat(paths_of("through(m1)"), ZERO))[0]
    with torch.no_grad():
        kept = bias.clone()
        bias.zero_()
        without = np.stack([hooked(row, 1, all_zero) for row in ROWS])
        bias.copy_(kept)
    np.testing.assert_allclose(whole, without, rtol=0, atol=EXACT)
    rest = logits(treat(paths_of("through({m1, except m1.n[0..15]})"), ZERO))[0]
    with torch.no_grad():
        bias.zero_()
        no_bias = plain()
        bias.copy_(kept)
    np.testing.assert_allclose(rest, no_bias, rtol=0, atol=EXACT)


# -------------------------------------------------------------------------------------------------
# Adapters
# -------------------------------------------------------------------------------------------------

WITH_NEURONS = ("llama", "llama_biases", "qwen2", "qwen3", "olmo", "smollm3", "phi3", "gemma")
X = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", WITH_NEURONS)
def test_hidden_units_and_bias_are_the_mlp(name: str) -> None:
    adapter = adapter_for(make(name).double())
    x = X[..., : adapter.shape.d_model].double()
    with torch.no_grad():
        hidden = adapter.mlp_hidden(1, x)
        assert hidden.shape == (*x.shape[:-1], adapter.shape.d_mlp)
        one = torch.ones_like(hidden[..., :1])
        whole = adapter.mlp_write(1, hidden, one)
        torch.testing.assert_close(whole, adapter.mlp(1, x), rtol=0, atol=1e-12)
        bias = whole - adapter.mlp_write(1, hidden, 0 * one)
        rest = adapter.mlp_write(1, 0 * hidden, one)
    torch.testing.assert_close(bias, rest, rtol=0, atol=1e-12)
    assert bool(rest.abs().max() > 0) == (name == "llama_biases")


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "olmo2"])
def test_behind_a_norm_there_are_no_neurons(name: str) -> None:
    adapter = adapter_for(make(name))
    assert adapter.shape.normed_mlp
    with pytest.raises(ValueError, match="behind a norm"):
        adapter.mlp_hidden(0, X[..., : adapter.shape.d_model])


def test_wrong_hidden_units_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, rows = adapter_of(), np.arange(3)
    right = adapter.mlp_write
    with torch.no_grad():
        good = max(selfcheck._written(adapter, *selfcheck._ids(TASK, "prompt", rows))[1])
        monkeypatch.setattr(adapter, "mlp_write", lambda at, h, bias: right(at, 1.01 * h, bias))
        bad = max(selfcheck._written(adapter, *selfcheck._ids(TASK, "prompt", rows))[1])
    assert good < 1e-12 < 1e-3 < bad


# -------------------------------------------------------------------------------------------------
# Laws
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_an_mlp_in_parts_is_the_mlp(spec: TreatedSpec) -> None:
    """Treating all neurons and the rest is treating the MLP, however it is said."""
    whole = paths_of("a0.h0 -> m1 -> logits")
    parts = paths_of("a0.h0 -> m1.n[0..7] -> logits | a0.h0 -> {m1, except m1.n[0..7]} -> logits")
    a, b = logits(treat(whole, spec)), logits(treat(parts, spec))
    np.testing.assert_allclose(a, b, rtol=0, atol=EXACT)
    assert np.abs(a - logits(treat(paths_of("a0.h0 -> m1.n[0..7] -> logits"), spec))).max() > 1e-6


@pytest.mark.parametrize("spec", [PAIRED, ZERO, MEAN, NOISE, RESAMPLE], ids=lambda spec: spec.kind)
def test_runs_without_neurons_do_not_change(spec: TreatedSpec) -> None:
    """A run that names none has the numbers it has alone, in a plan that splits its MLPs too."""
    runs = [treat(name, spec) for name in NAMES]
    split = treat(paths_of("a0.h0 -> m[0..1].n[1,3] ~> logits"), spec)
    alone, beside = values(runs), values([*runs, split])
    for key, value in alone.items():
        np.testing.assert_allclose(beside[key], value, rtol=0, atol=1e-12)


def test_path_sets_of_a_file_with_neurons() -> None:
    """Equal runs have equal plans, step by step, in a file that names neurons and in one that
    does not."""
    more = "path extra = through(m0.n1)\n"
    for name in NAMES:
        first = treat(paths_of(name, PATHS))
        second = treat(paths_of(name, more + PATHS))
        assert first == second
        assert plan_of(first).steps == plan_of(second).steps


# -------------------------------------------------------------------------------------------------
# Cost
# -------------------------------------------------------------------------------------------------


def test_one_evaluation_serves_all_neurons_of_a_stream() -> None:
    """Sixteen sweeps over single neurons that read one stream share its hidden units."""
    runs = [treat(paths_of(f"a0.h0 -> m0.n{j} -> logits")) for j in range(16)]
    plan = plan_of(*runs)
    copies = [plan.steps[n] for n in plan.alive]
    assert sum(isinstance(step, HiddenCopy) for step in copies) == 1
    assert not any(isinstance(step, MlpCopy) and step.layer == 0 for step in copies)
    together = plan_of(treat(paths_of("a0.h0 -> m0.n[0..15] -> logits")))
    whole = plan_of(treat(paths_of("a0.h0 -> m0 -> logits")))
    kinds = [plan.steps[n] for plan in (together, whole) for n in plan.alive]
    assert sum(isinstance(step, HiddenCopy) for step in kinds) == 1
    # The bias stays in the reference run, so both differ in where hidden units are written only.
    assert cost(together, 8, None).macs <= 1.5 * cost(whole, 8, None).macs


def test_neurons_that_are_not_told_apart_are_one_part() -> None:
    plan = plan_of(treat(paths_of("a0.h0 -> m0.n[0..15] -> logits")))
    (step,) = [s for s in plan.steps if isinstance(s, MlpResid) and s.neurons]
    assert [group for group, _ in step.neurons] == [tuple(range(16))]


def test_small_batches_change_nothing() -> None:
    run = treat(paths_of("a0.h0 -> m0.n[1,5]@A -> a1.h1 ~> logits"), RESAMPLE)
    plan = plan_of(run)
    whole = execute(plan, TASK, adapter_of(), Settings())
    pieces = execute(plan, TASK, adapter_of(), Settings(memory=1))
    for key, value in whole.items():
        np.testing.assert_allclose(pieces[key], value, rtol=0, atol=1e-12)
