"""Query and key fix of AtP*, as functions of tensors, against softmaxes that are recomputed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import visible
from pathdsl.engine.attribution.saturation import fixed, key_fix
from pathdsl.engine.attribution.tape import Tape
from tests.engine.attribution_cases import adapter
from tests.engine.family_cases import Exact

torch.set_num_threads(1)
HEADS, ROWS, POS, D_HEAD = 2, 3, 6, 4


def drawn(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def seen(lengths: tuple[int, ...] = (6, 4, 1), window: int | None = None) -> Tensor:
    """(rows, queries, keys) of right-padded rows."""
    places = torch.arange(POS).expand(ROWS, POS)
    return visible(places, POS, places < torch.tensor(lengths)[:, None], window)


def softmax(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), -1)


def one_by_one(
    scores: Tensor, treated: Tensor, mask: Tensor, v: Tensor, gradient: Tensor
) -> Tensor:
    """(heads, rows, keys): every key swapped alone, the softmax recomputed, times the gradient."""
    g = gradient @ v.transpose(-1, -2)
    clean, found = softmax(scores, mask), []
    for key in range(POS):
        other = scores.clone()
        other[..., key] = treated[..., key]
        found.append(((softmax(other, mask) - clean) * g).sum((-1, -2)))
    return torch.stack(found, -1)


@pytest.mark.parametrize("scale", [1.0, 5.0, 40.0, 400.0])
@pytest.mark.parametrize("window", [None, 1, 2])
def test_key_fix_is_a_softmax_recomputed(scale: float, window: int | None) -> None:
    shape = HEADS, ROWS, POS, POS
    scores, treated = drawn(*shape, seed=1, scale=scale), drawn(*shape, seed=2, scale=scale)
    v, gradient = (drawn(HEADS, ROWS, POS, D_HEAD, seed=s) for s in (3, 4))
    mask = seen(window=window)
    z = softmax(scores, mask) @ v
    found = key_fix(scores, treated, mask, v, z).of(gradient)
    assert torch.allclose(found, one_by_one(scores, treated, mask, v, gradient), atol=1e-12, rtol=0)


def test_key_fix_of_several_gradients_at_once() -> None:
    shape = HEADS, ROWS, POS, POS
    scores, treated = drawn(*shape, seed=1), drawn(*shape, seed=2)
    v, z = drawn(HEADS, ROWS, POS, D_HEAD, seed=3), drawn(HEADS, ROWS, POS, D_HEAD, seed=5)
    gradients = drawn(4, HEADS, ROWS, POS, D_HEAD, seed=4)
    fix = key_fix(scores, treated, seen(), v, z)
    assert torch.allclose(fix.of(gradients), torch.stack([fix.of(g) for g in gradients]))


def test_a_saturated_key_keeps_its_digits_in_float32() -> None:
    """1 - a of 1e-7 and less: the slope of the softmax has no digits left there, the fix all."""
    shape = HEADS, ROWS, POS, POS
    scores, treated = drawn(*shape, seed=1), drawn(*shape, seed=2)
    scores[..., 0] += 16.0  # of every row nearly all the weight
    v, gradient = (drawn(HEADS, ROWS, POS, D_HEAD, seed=s) for s in (3, 4))
    mask = seen()
    wanted = one_by_one(scores, treated, mask, v, gradient)
    assert wanted.abs().max() > 1
    small = [x.float() for x in (scores, treated, v, gradient)]
    z = softmax(small[0], mask) @ small[2]
    found = key_fix(small[0], small[1], mask, small[2], z).of(small[3])
    assert torch.allclose(found.double(), wanted, atol=2e-5, rtol=0)


def test_a_row_with_one_visible_key_moves_nothing() -> None:
    scores, treated = torch.tensor([[3.0]]), torch.tensor([[-1e30]])
    v = torch.tensor([[2.0]])
    fix = key_fix(scores, treated, torch.ones(1, 1, dtype=torch.bool), v, v)
    assert fix.of(torch.tensor([[5.0]])).tolist() == [0.0]


def test_an_equal_key_moves_exactly_nothing() -> None:
    scores = drawn(HEADS, ROWS, POS, POS, seed=1).float()
    v, gradient = (drawn(HEADS, ROWS, POS, D_HEAD, seed=s).float() for s in (3, 4))
    fix = key_fix(scores, scores.clone(), seen(), v, v)
    assert not fix.of(gradient).any()


def test_key_fix_by_hand() -> None:
    """Two equal keys with values 1 and 0; the second's score rises by log 3: 1/2 becomes 1/4."""
    scores, mask = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    v, z = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.5]])
    fix = key_fix(scores, torch.tensor([[0.0, math.log(3.0)]]), mask, v, z)
    assert torch.allclose(fix.of(torch.tensor([[8.0]])), torch.tensor([0.0, -2.0]))


def test_the_fix_of_a_small_change_is_the_plain_estimate() -> None:
    """Of a change of 1e-6 they differ by what is of second order."""
    shape = HEADS, ROWS, POS, POS
    scores = drawn(*shape, seed=1).requires_grad_()
    change, mask = drawn(*shape, seed=2, scale=1e-6), seen()
    v, gradient = (drawn(HEADS, ROWS, POS, D_HEAD, seed=s) for s in (3, 4))
    (at_scores,) = torch.autograd.grad(((softmax(scores, mask) @ v) * gradient).sum(), scores)
    clean = scores.detach()
    z = softmax(clean, mask) @ v
    found = key_fix(clean, clean + change, mask, v, z).of(gradient)
    assert torch.allclose(found, (at_scores * change).sum(-2), atol=1e-10, rtol=0)


def test_a_key_beside_a_sink_is_a_softmax_recomputed() -> None:
    """The sink is a key like others that is never treated."""
    with Exact(), torch.no_grad():
        model = adapter("gpt_oss")
        tape = Tape(model, model.embed(torch.tensor([[3, 1, 4, 1, 5]])), torch.tensor([5]))
        layer = tape.layers[1]
        k = drawn(*layer.k.shape, seed=7)
        gradient = drawn(*layer.q.shape, seed=8)
        found = fixed(layer, layer.q, k)
        z = layer.z.permute(2, 0, 1, 3)
        for key in range(5):
            keys = layer.keys.clone()
            keys[:, :, key] = k[:, :, key]
            other, _ = model.attend_masked(1, layer.q, keys, layer.values, layer.mask)
            wanted = ((other - z) * gradient).sum((-1, -2))
            assert torch.allclose(found.k(gradient)[..., key], wanted, atol=1e-12, rtol=0)
        assert torch.allclose(found.treated, z, atol=1e-12, rtol=0)
