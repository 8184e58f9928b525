"""RelP and GIM: on numbers worked out by hand, and against unmodified models with patched backward.

The second half changes the model of `transformers` itself, module by module, as the authors' code
does it, and takes autograd's gradient at embeddings, heads' outputs and MLPs' outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.gpt2 import modeling_gpt2
from transformers.models.llama import modeling_llama
from transformers.models.qwen3 import modeling_qwen3

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.engine.attribution.rules import GIM, PLAIN, RELP
from pathdsl.engine.attribution.tape import Tape
from tests.engine.attribution_cases import adapter, asked
from tests.engine.engine_cases import TASK
from tests.engine.family_cases import Exact

# ------------------------------------------------------------------------------------- by hand


def silu(x: float) -> float:
    return x / (1 + np.exp(-x))


def test_relp_through_a_gated_mlp_by_hand() -> None:
    """h = silu(g) u: half of the gradient to each factor, and silu(g) / g of it on to g."""
    model = adapter("llama")
    ids = torch.tensor([[3, 1]])
    with Exact():
        tape = Tape(model, model.embed(ids).detach(), torch.tensor([2]), RELP)
        layer = tape.layers[0]
        upwards = torch.randn(tape.final.shape, dtype=torch.float64)
        found = layer.back(upwards).read
    assert found is not None
    block = model.model.model.layers[0]  # type: ignore[attr-defined]
    weights = [part.weight.detach().numpy() for part in
               (block.mlp.gate_proj, block.mlp.up_proj, block.mlp.down_proj)]  # fmt: skip
    gain = block.post_attention_layernorm.weight.detach().numpy()
    x = layer.read[0, 1].numpy()
    scale = 1 / np.sqrt((x**2).mean() + block.post_attention_layernorm.variance_epsilon)
    normed = x * scale * gain
    g, u = weights[0] @ normed, weights[1] @ normed
    at_hidden = weights[2].T @ upwards[0, 1].numpy()
    stable = g + np.where(g < 0, -1e-6, 1e-6)
    to_gate = 0.5 * at_hidden * u * (silu(g) / stable)
    to_up = 0.5 * at_hidden * silu(g)
    by_hand = (weights[0].T @ to_gate + weights[1].T @ to_up) * gain * scale  # scale is a constant
    np.testing.assert_allclose(found[0, 1].numpy(), by_hand, rtol=0, atol=1e-12)


def test_gim_through_one_head_by_hand() -> None:
    """Two keys: softmax at temperature 2, a quarter into q and k, half into v."""
    model = adapter("gpt2")
    with Exact():
        tape = Tape(model, model.embed(torch.tensor([[3, 1]])).detach(), torch.tensor([2]), GIM)
        layer = tape.layers[1]
        found = layer.back(torch.randn(tape.final.shape, dtype=torch.float64))
    q, k, v = (one[0, 0].numpy() for one in (layer.q, layer.k, layer.v))
    at_z = found.z[0, 1, 0].numpy()  # of the second query, which sees both keys
    scores = q[1] @ k.T / np.sqrt(q.shape[-1])
    s = 1 / (1 + np.exp(-(scores - scores[::-1]) / 2))  # softmax(scores / 2) of two
    g = v @ at_z
    at_scores = s * (g - (s * g).sum())
    by_hand = 0.25 * at_scores @ k / np.sqrt(q.shape[-1])
    np.testing.assert_allclose(found.q[0, 0, 1].numpy(), by_hand, rtol=0, atol=1e-12)
    by_hand = 0.25 * at_scores[1] * q[1] / np.sqrt(q.shape[-1])  # the second key: no other query
    np.testing.assert_allclose(found.k[0, 0, 1].numpy(), by_hand, rtol=0, atol=1e-12)
    true = 1 / (1 + np.exp(-(scores[1] - scores[0])))  # the forward has the model's own weights
    np.testing.assert_allclose(found.v[0, 0, 1].numpy(), 0.5 * true * at_z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rules", [RELP, GIM])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "qwen3", "olmo2", "gpt_neox"])
def test_the_forward_is_untouched(name: str, rules: Any) -> None:
    model = adapter(name)
    with Exact():
        embedded, lengths = model.embed(torch.tensor([[3, 1, 4]])).detach(), torch.tensor([3])
        own, other = (Tape(model, embedded, lengths, one).final for one in (PLAIN, rules))
    assert torch.allclose(own, other, rtol=0, atol=1e-11)


# ------------------------------------------------------------------------------------- by patches


class Scaled(torch.autograd.Function):
    """Its input, whose gradient is multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, by: float) -> Tensor:
        ctx.by = by
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.by, None


class Softmax2(torch.autograd.Function):
    """Softmax whose backward is that at temperature 2, without the factor of the temperature."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.softmax(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        s = (ctx.saved_tensors[0] / 2).softmax(-1)
        return s * (gradient - (gradient * s).sum(-1, keepdim=True))


class Quotient(torch.autograd.Function):
    """An activation whose backward multiplies by act(z) / z."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
        out = act(x)
        ctx.save_for_backward(out / (x + torch.where(x < 0, -1e-6, 1e-6)))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.saved_tensors[0], None


def detached_norm(module: Any) -> Callable[[Tensor], Tensor]:
    """The norm with its scale out of the graph."""

    def forward(x: Tensor) -> Tensor:
        if isinstance(module, nn.LayerNorm):
            y = x - x.mean(-1, keepdim=True)
            scale = (y.pow(2).mean(-1, keepdim=True) + module.eps).rsqrt().detach()
            return y * scale * module.weight + module.bias
        eps = getattr(module, "variance_epsilon", None) or module.eps
        scale = (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt().detach()
        gemma = type(module).__name__.startswith("Gemma")
        return x * scale * (1 + module.weight if gemma else module.weight)

    return forward


FILES = {"gpt2": modeling_gpt2, "llama": modeling_llama, "gemma2": modeling_gemma2,
         "qwen3": modeling_qwen3}  # fmt: skip


@contextmanager
def patched(name: str, method: str, model: nn.Module) -> Iterator[None]:
    """The model with the backward of a method."""
    undo: list[Callable[[], None]] = []
    patch = pytest.MonkeyPatch()

    def put(module: Any, forward: Any) -> None:
        module.forward = forward
        undo.append(lambda: module.__dict__.pop("forward"))

    for module in model.modules():
        kind = type(module).__name__
        if "LayerNorm" in kind or "RMSNorm" in kind:
            put(module, detached_norm(module))
        if method == "relp" and kind == "GPT2MLP":
            act = module.act
            put(act, lambda x, own=act.__class__.forward, a=act: Quotient.apply(
                x, lambda y: own(a, y)))  # fmt: skip
        elif method == "relp" and kind.endswith("MLP"):

            def gated(x: Tensor, part: Any = module) -> Tensor:
                act = part.act_fn.forward
                one, two = Quotient.apply(part.gate_proj(x), act), part.up_proj(x)
                return part.down_proj(Scaled.apply(one, 0.5) * Scaled.apply(two, 0.5))

            put(module, gated)
    if method == "gim":
        own = FILES[name].eager_attention_forward

        def eager(module: Any, q: Tensor, k: Tensor, v: Tensor, *more: Any, **named: Any) -> Any:
            scaled = (Scaled.apply(x, by) for x, by in ((q, 0.25), (k, 0.25), (v, 0.5)))
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(functional, "softmax", lambda x, *_, **__: Softmax2.apply(x))
                return own(module, *scaled, *more, **named)

        patch.setattr(FILES[name], "eager_attention_forward", eager)
    try:
        yield
    finally:
        patch.undo()
        for one in undo:
            one()


def gradients(name: str, method: str) -> dict[str, Tensor]:
    """Gradients of the metric at embeddings, heads' outputs and MLPs' outputs of the model."""
    model: Any = adapter(name).model  # type: ignore[attr-defined]
    own = name == "gpt2"
    blocks = model.transformer.h if own else model.model.layers
    caught: dict[str, Tensor] = {}

    def keep(at: str, value: Tensor) -> None:
        value.retain_grad()
        caught[at] = value

    handles = []
    for number, block in enumerate(blocks):
        out = block.attn.c_proj if own else block.self_attn.o_proj
        handles.append(out.register_forward_pre_hook(lambda m, a, n=number: keep(f"a{n}", a[0])))
        if name != "gemma2":  # a norm of its own stands behind it
            handles.append(
                block.mlp.register_forward_hook(lambda m, a, o, n=number: keep(f"m{n}", o))
            )
    ids, lengths = torch.from_numpy(TASK.prompts["prompt"]), torch.from_numpy(TASK.lengths)
    with patched(name, method, model), Exact():
        tokens = model.get_input_embeddings()(ids).detach().requires_grad_()
        logits = model(inputs_embeds=tokens, use_cache=False).logits
        last = logits[torch.arange(len(ids)), lengths - 1]
        (last[:, 1] - last[:, 2]).sum().backward()
    for handle in handles:
        handle.remove()
    model.zero_grad(set_to_none=True)
    assert tokens.grad is not None
    return {"input": tokens.grad} | {at: value.grad for at, value in caught.items()}  # type: ignore[dict-item]


@pytest.mark.parametrize("method", ["relp", "gim"])
@pytest.mark.parametrize("name", FILES)
def test_scores_are_those_of_a_patched_model(name: str, method: str) -> None:
    model, lengths = adapter(name), torch.from_numpy(TASK.lengths)
    with Exact():
        found = attribute(model, TASK, asked(method))
        tapes = [
            Tape(model, model.embed(torch.from_numpy(TASK.prompts[column])).detach(), lengths)
            for column in ("prompt", "other")
        ]
    slopes = gradients(name, method)
    scores = {u.sender: row for u, row in zip(found.units, found.values, strict=True) if u.sender}
    own, other = tapes
    valid = own.valid[..., None]

    def product(change: Tensor, slope: Tensor) -> np.ndarray:
        return ((change * valid) * slope).sum((1, 2)).numpy()

    wanted = {"input": product(other.embedded - own.embedded, slopes["input"])}
    for one, two in zip(own.layers, other.layers, strict=True):
        change = two.z - one.z
        by_head = slopes[f"a{one.layer}"].unflatten(-1, change.shape[2:])
        for head in range(change.shape[2]):
            at = change[:, :, head], by_head[:, :, head]
            wanted[f"a{one.layer}.h{head}"] = product(*at)
        if f"m{one.layer}" in slopes:
            assert one.out is not None and two.out is not None
            wanted[f"m{one.layer}"] = product(two.out - one.out, slopes[f"m{one.layer}"])
    for at, value in wanted.items():
        np.testing.assert_allclose(scores[at], value, rtol=0, atol=1e-9, err_msg=at)
