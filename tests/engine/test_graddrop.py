"""`atp_qk` and `atp_star` against the paper word for word, on models of `transformers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.attribution.attribute import attribute
from pathdsl.engine.data.answers import with_branches
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.tokens import Encoder
from pathdsl.errors import PlanError
from pathdsl.score.attribution import ScoredUnit
from tests.engine import decoder_cases, family_cases
from tests.engine.attribution_cases import asked, measured, minus
from tests.engine.engine_cases import CONFIG, RESAMPLE, TASK
from tests.engine.family_cases import Exact
from tests.oracle.attributed import Literal, Node
from tests.oracle.cases import build_model

torch.set_num_threads(1)


def gpt2(**changes: object) -> Any:
    model = build_model({**CONFIG, **changes}, 5)
    model.set_attn_implementation("eager")
    return model


# Three layers at least, so that two of them may be dropped.
DEEP: Mapping[str, Callable[[], Any]] = {
    "gpt2": lambda: gpt2(n_layer=4),
    "llama": lambda: family_cases.make("llama"),  # grouped queries, rotated
    "gpt_neox": lambda: decoder_cases.make("gpt_neox", num_hidden_layers=3),  # parallel
    "gemma2": lambda: family_cases.make("gemma2"),  # capped, windows, norms behind attention
    "qwen3": lambda: family_cases.make("qwen3"),  # queries and keys normed
    "olmo2": lambda: family_cases.make("olmo2"),
}


@cache
def deep(name: str) -> Adapter:
    """The parts of one model in float64; to be run in `Exact()`."""
    return adapter_for(DEEP[name]().double())


def literal(name: str) -> Literal:
    return Literal(deep(name).model)  # type: ignore[attr-defined]


def prompts(row: int, column: str = "other") -> tuple[list[int], list[int], int, int]:
    """The reference and treated prompt of a row, and the answers of `DIFFERENCE`."""
    length = int(TASK.lengths[row])
    reference, treated = (TASK.prompts[c][row, :length].tolist() for c in ("prompt", column))
    return reference, treated, 1, 2


def of_units(units: tuple[ScoredUnit, ...], by_node: Mapping[Node, Tensor]) -> np.ndarray:
    """What the literal computation says of each unit."""
    found = []
    for unit in units:
        name = unit.receiver or unit.sender
        if name == "input":
            found.append(by_node["input", -1])
            continue
        part, _, inside = name.partition(".")
        layer = int(part[1:])
        if part[0] == "a":
            found.append(by_node[unit.slot or "head", layer][int(inside[1:])])
        elif inside:
            found.append(by_node["hidden", layer][..., int(inside[1:])])
        else:
            found.append(by_node["mlp", layer])
    return torch.stack(found).detach().numpy()


def compare(found: np.ndarray, wanted: np.ndarray) -> None:
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", DEEP)
def test_fixed_estimates_are_the_papers(name: str) -> None:
    """Queries, keys, values, outputs and MLPs at each position, and their sums over positions."""
    with Exact():
        apart = attribute(deep(name), TASK, asked("atp_qk", by_position=True))
        whole = attribute(deep(name), TASK, asked("atp_qk"))
        for row in range(4):
            wanted = of_units(apart.units, literal(name).estimates(*prompts(row)))
            compare(apart.values[:, : wanted.shape[1], row], wanted)
            assert not apart.values[:, wanted.shape[1] :, row].any()
            compare(whole.values[:, row], wanted.sum(axis=1))


@pytest.mark.parametrize("name", DEEP)
def test_star_is_the_papers(name: str) -> None:
    """Layer after layer dropped literally, the absolute values averaged, by position and pooled."""
    with Exact():
        apart = attribute(deep(name), TASK, asked("atp_star", by_position=True))
        whole = attribute(deep(name), TASK, asked("atp_star"))
        for row in range(4):
            by_position, pooled = literal(name).star(*prompts(row))
            wanted = of_units(apart.units, by_position)
            compare(apart.values[:, : wanted.shape[1], row], wanted)
            assert not apart.values[:, wanted.shape[1] :, row].any()
            compare(whole.values[:, row], of_units(whole.units, pooled))


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox"])
@pytest.mark.parametrize("method", ["atp_qk", "atp_star"])
def test_neurons(name: str, method: str) -> None:
    """Query and key fix leave them alone; GradDrop does not."""
    with Exact():
        apart = attribute(deep(name), TASK, asked(method, "neurons", by_position=True))
        whole = attribute(deep(name), TASK, asked(method, "neurons"))
        for row in range(3):
            if method == "atp_qk":
                by_position = literal(name).estimates(*prompts(row))
                pooled = {node: x.sum(0) for node, x in by_position.items() if x.dim() > 1}
            else:
                by_position, pooled = literal(name).star(*prompts(row))
            wanted = of_units(apart.units, by_position)
            compare(apart.values[:, : wanted.shape[1], row], wanted)
            compare(whole.values[:, row], of_units(whole.units, pooled))


def test_one_layer_has_no_other_to_leave_out() -> None:
    with pytest.raises(PlanError) as caught:
        attribute(adapter_for(gpt2(n_layer=1)), TASK, asked("atp_star"))
    assert caught.value.diagnostics[0].code == "PD435"
    assert "atp_qk" in caught.value.diagnostics[0].help


def test_absolute_values_are_of_one_draw() -> None:
    """Of three draws the mean of three scores, not the score of the mean."""
    from pathdsl.engine.data.treated import resample_rows

    partners = resample_rows(TASK, RESAMPLE)  # (draws, rows)
    with Exact():
        found = attribute(deep("gpt2"), TASK, asked("atp_star", treated=RESAMPLE))
        for row in range(2):
            reference, _, *answers = prompts(row)
            each = [
                literal("gpt2").star(reference, prompts(int(p[row]))[1], *answers)[1]
                for p in partners
            ]
            mean = {node: sum(one[node] for one in each) / len(each) for node in each[0]}
            compare(found.values[:, row], of_units(found.units, mean))


def test_parts_of_a_stack_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Exact():
        whole = attribute(deep("gpt2"), TASK, asked("atp_star"))
        monkeypatch.setattr("pathdsl.engine.attribution.graddrop.TOGETHER", 1)
        parts = attribute(deep("gpt2"), TASK, asked("atp_star"))
    np.testing.assert_allclose(whole.values, parts.values, rtol=0, atol=1e-14)


def test_more_draws_than_share_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    with Exact():
        together = attribute(deep("gpt2"), TASK, asked("atp_star", treated=RESAMPLE))
        monkeypatch.setattr("pathdsl.engine.attribution.sweep.DRAWS_TOGETHER", 2)
        apart = attribute(deep("gpt2"), TASK, asked("atp_star", treated=RESAMPLE))
    np.testing.assert_allclose(together.values, apart.values, rtol=0, atol=1e-14)


def test_branches_add_up_before_the_absolute_value() -> None:
    """Of one answer read whole in two columns the difference is 0, and so is every score of it."""
    several = tuple((1, 2 + row % 3) for row in range(TASK.n_rows))
    answers = {"one": several, "same": several, "other": tuple((4, 3, 1) for _ in several)}
    encoder = Encoder(None, deep("gpt2").shape, None, DataFaults())
    task = with_branches(replace(TASK, answers=answers), encoder)
    one, same, other = (measured("logprob", column) for column in answers)
    with Exact():
        zero, some, less, more = (
            attribute(deep("gpt2"), task, asked("atp_star", by_position=True, metric=metric)).values
            for metric in (minus(one, same), minus(one, other), one, other)
        )
    assert np.abs(zero).max() < 1e-14
    assert np.abs(some).max() > 1e-3
    whole = np.zeros_like(some)
    for part in (less, more):
        whole[:, : part.shape[1]] += part
    assert (some <= whole + 1e-14).all() and (some < whole - 1e-6).any()


# ------------------------------------------------------------------- where an estimate is exact


def almost_linear(**changes: object) -> Any:
    """A GPT-2 whose norms all divide by one number, to 1e-12, and whose MLPs are linear."""
    model = gpt2(layer_norm_epsilon=1e12, activation_function="linear", **changes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".ln_" in name and name.endswith("weight"):
                parameter.mul_(1e6)
    return model


def effects(model: Any, row: int, units: tuple[ScoredUnit, ...]) -> np.ndarray:
    """What patching each unit at each position does, one run each."""
    run, (reference, treated, good, bad) = Literal(model), prompts(row)
    found = np.zeros((len(units), len(reference)))
    for number, unit in enumerate(units):
        name = unit.receiver or unit.sender
        part, _, inside = name.partition(".")
        layer = -1 if name == "input" else int(part[1:])
        kind = "input" if layer < 0 else (unit.slot or "head") if part[0] == "a" else "mlp"
        head = int(inside[1:]) if inside else None
        for place in range(len(reference)):
            found[number, place] = run.effect(
                reference, treated, good, bad, (kind, layer), head, place
            )
    return found


def test_of_a_linear_model_estimates_are_exact() -> None:
    """Attention that looks at nothing: its queries and keys are 0, so every pattern is uniform."""
    model = almost_linear(n_layer=2)
    width = CONFIG["n_embd"]
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight[:, : 2 * width] = 0
            block.attn.c_attn.bias[: 2 * width] = 0
    for method in ("atp", "atp_qk"):
        found = attribute(adapter_for(model), TASK, asked(method, by_position=True))
        wanted = effects(model, 0, found.units)
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(found.values[:, : wanted.shape[1], 0], wanted, atol=1e-8)


def test_of_one_head_the_fixes_go_exactly_through_the_softmax() -> None:
    """One layer of attention, read linearly: query and key fix are the truth, AtP is not."""
    model = almost_linear(n_layer=1, n_head=1)
    with torch.no_grad():  # so that the slope of the softmax says little of where it ends
        model.transformer.h[0].attn.c_attn.weight[:, : 2 * CONFIG["n_embd"]] *= 4
    adapter = adapter_for(model)
    found, plain = (
        attribute(adapter, TASK, asked(method, by_position=True)) for method in ("atp_qk", "atp")
    )
    wanted = effects(model, 0, found.units)
    slots = [n for n, unit in enumerate(found.units) if unit.slot]
    assert len(slots) == 3
    n_pos = wanted.shape[1]
    np.testing.assert_allclose(found.values[slots, :n_pos, 0], wanted[slots], atol=1e-8)
    assert np.abs(plain.values[slots, :n_pos, 0] - wanted[slots]).max() > 1e-2
