"""Norms with a scale of their own, with a noted one, or with one that is given.

A norm divides by a *scale* that it takes from its own input: a LayerNorm by the standard deviation
of the entries about their mean, an RMSNorm by their root mean square. What is called scale here is
the reciprocal that the norm multiplies by, one number per token. With a given scale

    LayerNorm   (x - mean(x)) * scale * gain + bias      mean(x): of this x
    RMSNorm     x * scale * gain                         gain = 1 + weight in Gemma

Every norm that reads or writes the residual stream is called through `apply`, so that no family has
a frozen norm of its own. Without scales that is the module itself. A given scale goes through the
same conversions as in the module, which the `Form` of its class says: an RMSNorm computes in
float32, LayerNorm in the dtype of its input but in float32 in narrower ones, and the gain is
multiplied before or after the result is rounded to the input's dtype.

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
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

__all__ = [
    "ROUTING", "Applied", "Given", "Held", "Noted", "PerHead", "Scales", "apply", "centred",
    "linear_part", "moved", "offset", "pulled", "routed_by", "scale_of", "spread",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one class of norms computes.

    `centres`: it takes the mean off. `in_float32`: whatever the dtype of its input; otherwise in
    that dtype, and in float32 only for narrower ones. `counts_from`: by what the gain is more than
    the weight. `gain_in_float32`: the weight is taken as float32. `gain_first`: the gain is
    multiplied before the result is rounded to the input's dtype. `epsilon`: written into its own
    call; None where the module has it.
    """

    centres: bool
    in_float32: bool
    counts_from: float
    gain_in_float32: bool
    gain_first: bool
    epsilon: float | None


_LAYER_NORM = Form(
    centres=True, in_float32=False, counts_from=0.0, gain_in_float32=False, gain_first=True,
    epsilon=None,
)  # fmt: skip
_RMS_NORM = Form(
    centres=False, in_float32=True, counts_from=0.0, gain_in_float32=False, gain_first=False,
    epsilon=None,
)  # fmt: skip
_GEMMA = replace(_RMS_NORM, counts_from=1.0, gain_in_float32=True, gain_first=True)
_GEMMA4 = replace(_GEMMA, counts_from=0.0)
_COHERE = replace(_LAYER_NORM, in_float32=True, gain_in_float32=True)
_OLMO2 = replace(_RMS_NORM, gain_first=True)

# Classes of `transformers` by name, which adapters have verified: importing each takes its time.
# Every other one is a LayerNorm of torch or an RMSNorm as Llama's.
FORMS: Mapping[str, Form] = {
    "OlmoLayerNorm": replace(_LAYER_NORM, in_float32=True, epsilon=1e-5),
    "Olmo2RMSNorm": _OLMO2,
    "Olmo3RMSNorm": _OLMO2,
    "GptOssRMSNorm": _OLMO2,
    "GemmaRMSNorm": _GEMMA,
    "Gemma2RMSNorm": _GEMMA,
    "Gemma3RMSNorm": _GEMMA,
    "Gemma4RMSNorm": _GEMMA4,
    "ScaledNorm": _GEMMA4,
    "NemotronLayerNorm1P": replace(_LAYER_NORM, counts_from=1.0),
    "CohereLayerNorm": _COHERE,
    "Cohere2LayerNorm": _COHERE,
    "Qwen3_5RMSNorm": _GEMMA,
    "Qwen3_5MoeRMSNorm": _GEMMA,
    "Qwen3NextRMSNorm": _GEMMA,
    "PerHead": _LAYER_NORM,
    "ToyRMSNorm": replace(_RMS_NORM, in_float32=False),
}


class PerHead(nn.Module):
    """LayerNorms of vectors (..., n_heads, d_head), each head's its own module, as one norm."""

    def __init__(self, norms: nn.ModuleList) -> None:
        super().__init__()
        self.norms = norms
        self.eps = cast(nn.LayerNorm, norms[0]).eps

    @property
    def weight(self) -> Tensor:
        """The gains, (n_heads, d_head)."""
        return torch.stack([cast(nn.LayerNorm, norm).weight for norm in self.norms])

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_heads, d_head) -> the same."""
        parts = zip(self.norms, x.split(1, dim=-2), strict=True)
        return torch.cat([norm(part) for norm, part in parts], dim=-2)


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
    form = _form(module)
    x = _widened(form, x)
    if form.centres:
        x = x - x.mean(-1, keepdim=True)
    return torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + _epsilon(module, form))


def _with_scale(module: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    """The norm of x with another scale (..., 1)."""
    form = _form(module)
    out = _widened(form, x)
    if form.centres:
        out = out - out.mean(-1, keepdim=True)
    out = out * scale
    if not form.gain_first:
        out = out.to(x.dtype)
    weight, bias = _parameter(module, "weight"), _parameter(module, "bias")
    if weight is not None:
        weight = weight.float() if form.gain_in_float32 else weight
        out = out * (form.counts_from + weight if form.counts_from else weight)
    if bias is not None:
        out = out + bias
    return out.to(x.dtype) if form.gain_first else out


def linear_part(module: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    """The norm with a given scale (..., 1) as a linear map: what x adds to its output, in float64.

    (x - mean(x)) * scale * gain of a LayerNorm, x * scale * gain of an RMSNorm; no bias. Sums over
    the parts of a stream are the norm of the stream but for the bias.
    """
    form, out = _form(module), x.double()
    if form.centres:
        out = out - out.mean(-1, keepdim=True)
    out = out * scale.double()
    weight = _parameter(module, "weight")
    if weight is None:
        return out
    gain = weight.double()
    return out * (form.counts_from + gain if form.counts_from else gain)


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
    return centred(module, found)


def centred(module: nn.Module, x: Tensor) -> Tensor:
    """x without its mean where the norm centres, (..., d)."""
    return x - x.mean(-1, keepdim=True) if _form(module).centres else x


def offset(module: nn.Module, like: Tensor) -> Tensor:
    """What the norm gives for 0: its bias, (d,); zeros without one."""
    bias = _parameter(module, "bias")
    return like.new_zeros(like.shape[-1]) if bias is None else bias.detach().to(like)


def _at_scale(module: nn.Module, x: Tensor, y: Tensor, *, held: bool) -> Tensor:
    """What is symmetric in a norm's derivative, applied to y (..., d)."""
    x = x.detach().to(y.device)
    scale = scale_of(module, x).to(y.dtype)
    x, y = centred(module, x), centred(module, y)
    if held:
        return y * scale
    x = (x * scale).to(y.dtype)
    return (y - x * ((x * y).sum(-1, keepdim=True) / x.shape[-1])) * scale


def _gain(module: nn.Module, like: Tensor) -> Tensor:
    """By what the norm multiplies each entry, (d,)."""
    weight = _parameter(module, "weight")
    if weight is None:
        return like.new_ones(())
    gain = weight.detach().to(device=like.device, dtype=like.dtype)
    return gain + _form(module).counts_from if _form(module).counts_from else gain


def _parameter(module: nn.Module, name: str) -> Tensor | None:
    """The weight or the bias of a norm, None without one."""
    found: Tensor | None = getattr(module, name, None)
    return found


def _form(module: nn.Module) -> Form:
    form = FORMS.get(type(module).__name__)
    if form is not None:
        return form
    return _LAYER_NORM if isinstance(module, nn.LayerNorm) else _RMS_NORM


def _widened(form: Form, x: Tensor) -> Tensor:
    """x in the dtype in which a norm computes."""
    return x.float() if form.in_float32 or x.dtype in (torch.float16, torch.bfloat16) else x


def _epsilon(module: nn.Module, form: Form) -> float:
    if form.epsilon is not None:
        return form.epsilon
    name = "eps" if hasattr(module, "eps") else "variance_epsilon"
    return float(getattr(module, name))
