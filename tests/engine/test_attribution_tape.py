"""The tape against autograd through the whole model."""

from __future__ import annotations

import pytest
import torch

from pathdsl.engine.adapters.base import layers
from pathdsl.engine.attribution.rules import FROZEN
from pathdsl.engine.attribution.tape import Tape
from tests.engine.attribution_cases import MODELS, adapter, padded
from tests.engine.family_cases import Exact

LENGTHS = torch.tensor([9, 4, 6])
WITHOUT_NORMS = ("toy_solu_gated", "toy_bent")


@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients_are_those_of_the_model(name: str) -> None:
    model, ids = adapter(name), padded(9, 4, 6)
    with Exact():
        tape = Tape(model, model.embed(ids).detach(), LENGTHS)
        embedded = model.embed(ids).detach().requires_grad_()
        heads, final = [], embedded
        for each in layers(model, embedded, LENGTHS):
            heads.append(each.z)
            final = each.after
        gradient = torch.randn(final.shape, dtype=torch.float64) * tape.valid.unsqueeze(-1)
        wanted = torch.autograd.grad(final, [embedded, *heads], gradient)
        found = list(tape.backward(gradient))[::-1]
    assert torch.allclose(tape.final[tape.valid], final[tape.valid], atol=1e-11, rtol=0)
    assert torch.allclose(found[0].before, wanted[0], atol=1e-11, rtol=0)
    for one, z in zip(found, wanted[1:], strict=True):
        assert torch.allclose(one.z, z, atol=1e-11, rtol=0)
    assert not found[0].before[~tape.valid].any()
    assert all(parameter.grad is None for parameter in model.model.parameters())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", MODELS)
def test_a_stack_of_gradients_goes_down_together(name: str) -> None:
    model, ids = adapter(name), padded(9, 4, 6)
    with Exact():
        tape = Tape(model, model.embed(ids).detach(), LENGTHS)
        stack = torch.randn((3, *tape.final.shape), dtype=torch.float64)
        whole = stack
        for layer in reversed(tape.layers):
            whole = layer.back(whole).before
        for number, gradient in enumerate(stack):
            alone = list(tape.backward(gradient))[-1].before
            assert torch.allclose(whole[number], alone, atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITHOUT_NORMS])
def test_held_scales_change_the_backward_alone(name: str) -> None:
    model, ids = adapter(name), padded(9, 4, 6)
    with Exact():
        plain, held = (
            Tape(model, model.embed(ids).detach(), LENGTHS, *rules) for rules in ((), (FROZEN,))
        )
        gradient = torch.ones_like(plain.final) * torch.arange(plain.final.shape[-1])
        own, other = (list(tape.backward(gradient))[-1].before for tape in (plain, held))
    assert torch.allclose(plain.final, held.final, atol=1e-11, rtol=0)
    assert not torch.allclose(own, other, atol=1e-6)
