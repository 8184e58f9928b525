"""Norms with a scale of their own, with a noted one, or with one that is given.

A norm divides by a *scale* that it takes from its own input: a LayerNorm by the standard deviation
of the entries about their mean, an RMSNorm by their root mean square. What is called scale here is
the reciprocal that the norm multiplies by, one number per token. With a given scale

    LayerNorm   (x - mean(x)) * scale * gain + bias      mean(x): of this x
    RMSNorm     x * scale * gain                         gain = 1 + weight in Gemma

Every norm that reads or writes the residual stream is called through `apply`, so that no family has
a frozen norm of its own. Without scales that is the module itself. A given scale goes through the
same conversions as in the module: an RMSNorm and OLMo's LayerNorm compute in float32, LayerNorm in
the dtype of its input but in float32 in narrower ones, and the gain is multiplied before or after
the result is rounded to the input's dtype, by family.

    >>> x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    >>> module = nn.LayerNorm(2, eps=0.0, dtype=torch.float64)
    >>> noted = Noted()
    >>> apply(module, x, noted, "scale_final").tolist(), noted.found["scale_final"].tolist()
    ([[1.0, -1.0]], [[1.0]])
    >>> half = Given(scales={"scale_final": torch.tensor([[0.5]], dtype=torch.float64)})
    >>> apply(module, x, half, "scale_final").tolist()
    [[0.5, -0.5]]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = [
    "ROUTING", "Applied", "Given", "Held", "Noted", "Scales", "apply", "centred", "linear_part",
    "moved", "offset", "pulled", "routed_by", "scale_of",
    "spread",
]  # fmt: skip

# Classes of `transformers` by name, which adapters have verified: importing each takes its time.
_OLMO_LAYER_NORM = "OlmoLayerNorm"
_OLMO_EPSILON = 1e-5  # written into that class's own call
_GAIN_BEFORE_ROUNDING = ("Olmo2RMSNorm", "GptOssRMSNorm")


@dataclass(slots=True, kw_only=True)
class Noted:
    """Collects the scales of the norms that a call applies, (..., 1) each, by kind."""

    found: dict[str, Tensor] = field(default_factory=dict)


ROUTING = "routing"
"""Beside the scales of norms: the weight of each expert of a mixture, (..., n_experts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Scales that norms use instead of their own, (tokens, 1) each, by kind; and a routing.

    `own_norms`: norms have scales of their own, and only the routing is given.
    """

    scales: Mapping[str, Tensor]
    own_norms: bool = False

    def part(self, start: int, length: int) -> Given:
        """The scales of `length` tokens from `start` on, or as many as there are."""
        kept = {kind: scale[start : start + length] for kind, scale in self.scales.items()}
        return Given(scales=kept, own_norms=self.own_norms)


@dataclass(frozen=True, slots=True)
class Held:
    """Norms keep the scales that they have as constants: no gradient passes through them."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Collects the norms that a call applies, by kind, each with what it is applied to."""

    found: dict[str, tuple[nn.Module, Tensor]] = field(default_factory=dict)


Scales = Noted | Given | Held | Applied


def apply(module: nn.Module, x: Tensor, scales: Scales | None, kind: str) -> Tensor:
    """The norm of x over the last axis; `kind` names the norm's place in the block.

    Raises KeyError where scales are given and none of this kind is among them.
    """
    if isinstance(scales, Given) and not scales.own_norms:
        return _with_scale(module, x, scales.scales[kind])
    if isinstance(scales, Held):
        return _with_scale(module, x, scale_of(module, x.detach()))
    if isinstance(scales, Applied):
        scales.found[kind] = module, x
    elif isinstance(scales, Noted):
        scales.found[kind] = scale_of(module, x)
    return module(x)


def routed_by(
    route: Callable[[], tuple[Tensor, Tensor]],
    n_experts: int,
    axes: Sequence[int],
    scales: Scales | None,
) -> tuple[Tensor, Tensor]:
    """Weights and numbers of each token's experts, two of (tokens, k), as they come or are given.

    `route` gives them; `axes` are those of the tokens.
    """
    if isinstance(scales, Given) and ROUTING in scales.scales:
        whole = scales.scales[ROUTING].reshape(-1, n_experts)
        k = max(int((whole != 0).sum(-1).max()), 1) if len(whole) else 1
        found = whole.topk(k, dim=-1)
        return found.values, found.indices
    weights, chosen = route()
    if isinstance(scales, Noted):
        whole = weights.new_zeros((len(weights), n_experts)).scatter(-1, chosen, weights)
        scales.found[ROUTING] = whole.view(*axes, n_experts)
    return weights, chosen


def scale_of(module: nn.Module, x: Tensor) -> Tensor:
    """The number by which the norm multiplies each vector of x, (..., d) -> (..., 1)."""
    if _is_layer_norm(module):
        x = _widened(module, x)
        variance = (x - x.mean(-1, keepdim=True)).pow(2).mean(-1, keepdim=True)
    else:
        variance = x.float().pow(2).mean(-1, keepdim=True)
    return torch.rsqrt(variance + _epsilon(module))


def _with_scale(module: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    """The norm of x with another scale (..., 1)."""
    if _is_layer_norm(module):
        wide = _widened(module, x)
        out = (wide - wide.mean(-1, keepdim=True)) * scale
        if _is(module, _OLMO_LAYER_NORM):
            return out.to(x.dtype)
        assert isinstance(module, nn.LayerNorm)
        if module.weight is not None:
            out = out * module.weight
        if module.bias is not None:
            out = out + module.bias
        return out.to(x.dtype)
    weight = getattr(module, "weight", None)
    out = x.float() * scale
    if weight is None:
        return out.type_as(x)
    assert isinstance(weight, Tensor)
    if _counts_from_one(module):
        return (out * (1.0 + weight.float())).type_as(x)
    if type(module).__name__ in _GAIN_BEFORE_ROUNDING:
        return (weight * out).to(x.dtype)
    return weight * out.to(x.dtype)


def linear_part(module: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    """The norm with a given scale (..., 1) as a linear map: what x adds to its output, in float64.

    (x - mean(x)) * scale * gain of a LayerNorm, x * scale * gain of an RMSNorm; no bias. Sums over
    the parts of a stream are the norm of the stream but for the bias.
    """
    out = x.double()
    if _is_layer_norm(module):
        out = out - out.mean(-1, keepdim=True)
    out = out * scale.double()
    weight = getattr(module, "weight", None)
    if weight is None:
        return out
    assert isinstance(weight, Tensor)
    return out * (1.0 + weight.double() if _counts_from_one(module) else weight.double())


def moved(module: nn.Module, x: Tensor, change: Tensor, *, held: bool) -> Tensor:
    """The norm's derivative at x in the direction of a change, (..., d) and (..., d) -> (..., d).

    gain * scale * (change - mean - x' (x' . change) scale^2 / d), x' being x without its mean, and
    means taken where the norm centres; `held`: without the last term, the scale being a constant.
    """
    return _at_scale(module, x, change, held=held) * _gain(module, change)


def pulled(module: nn.Module, x: Tensor, gradient: Tensor, *, held: bool) -> Tensor:
    """The gradient at x from that at the norm of x: the transpose of `moved`."""
    return _at_scale(module, x, gradient * _gain(module, gradient), held=held)


def spread(module: nn.Module, weight: Tensor) -> Tensor:
    """A weight (..., d) that reads the norm as one that reads x' times the scale: with the gain,
    and without the mean over its entries where the norm centres."""
    found = weight.detach() * _gain(module, weight)
    return found - found.mean(-1, keepdim=True) if _is_layer_norm(module) else found


def centred(module: nn.Module, x: Tensor) -> Tensor:
    """x without its mean where the norm centres, (..., d)."""
    return x - x.mean(-1, keepdim=True) if _is_layer_norm(module) else x


def offset(module: nn.Module, like: Tensor) -> Tensor:
    """What the norm gives for 0: its bias, (d,); zeros without one."""
    bias = getattr(module, "bias", None)
    return like.new_zeros(like.shape[-1]) if bias is None else bias.detach().to(like)


def _at_scale(module: nn.Module, x: Tensor, y: Tensor, *, held: bool) -> Tensor:
    """What is symmetric in a norm's derivative, applied to y (..., d)."""
    x = x.detach().to(y.device)
    scale = scale_of(module, x).to(y.dtype)
    if _is_layer_norm(module):
        x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    if held:
        return y * scale
    x = (x * scale).to(y.dtype)
    return (y - x * ((x * y).sum(-1, keepdim=True) / x.shape[-1])) * scale


def _gain(module: nn.Module, like: Tensor) -> Tensor:
    """By what the norm multiplies each entry, (d,)."""
    weight = getattr(module, "weight", None)
    if weight is None:
        return like.new_ones(())
    assert isinstance(weight, Tensor)
    gain = weight.detach().to(device=like.device, dtype=like.dtype)
    return gain + 1.0 if _counts_from_one(module) else gain


def _widened(module: nn.Module, x: Tensor) -> Tensor:
    """x in the dtype in which a LayerNorm computes."""
    if _is(module, _OLMO_LAYER_NORM) or x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    return x


def _epsilon(module: nn.Module) -> float:
    if _is(module, _OLMO_LAYER_NORM):
        return _OLMO_EPSILON
    name = "eps" if hasattr(module, "eps") else "variance_epsilon"
    return float(getattr(module, name))


def _is(module: nn.Module, name: str) -> bool:
    return type(module).__name__ == name


def _is_layer_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.LayerNorm) or _is(module, _OLMO_LAYER_NORM)


def _counts_from_one(module: nn.Module) -> bool:
    """Whether the gain is one plus the weight: Gemma's norms."""
    return type(module).__name__.startswith("Gemma")
