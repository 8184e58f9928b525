"""Query and key fix of AtP*: an estimate that goes through the softmax instead of along its slope.

Where attention is saturated its slope is nearly 0, and a gradient says that nothing would move.
Kramár et al. 2024 (arXiv:2403.00745, section 3.1.1, equations 7 to 10) recompute the pattern with
the treated query, or with one treated key, and take only what follows the pattern to first order.
Values, heads' outputs, MLPs and `input` stay as they are in AtP.

A query's change moves its own row of the pattern, so its estimate is (z~ - z) . dz, with z~ the
head's output for the treated query on the reference keys and values, and dz the metric's gradient
at the head's output: no gradient at the pattern is needed.

A key at t has every row q that sees it recomputed, with no other key changed. With the pattern a,
g(q,t) = dz(q) . v(t) and d(q,t) the change of the score that the softmax reads,

    a'(q,t) = sigmoid(logit a(q,t) + d(q,t))
    term(q,t) = (a'(q,t) - a(q,t)) * (g(q,t) - mean of g(q,.) over the other keys by their weights)

and the estimate is the sum of its terms over q: O(T^2) a head, not O(T^3). The mean over the others
is (sum_s a(q,s) g(q,s) - a g) / (1 - a), which loses all its digits where a is near 1. Of a row
only the largest key can be so heavy; for that one the mean is taken from the pattern without it,
and for all others 1 - a is at least a half. A row with one visible key moves nothing.

What does not depend on the gradient is computed once, and serves any number of gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from pathdsl.engine.adapters.base import SLOTS
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.nodes import dot
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.sweep import Found, OfFound, Sweep, once, swept
from pathdsl.engine.attribution.tape import TapeLayer
from pathdsl.engine.attribution.units import of_layer

__all__ = ["Fixed", "KeyFix", "by_fixed_gradient", "fixed", "fixed_nodes", "key_fix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFix:
    """What the key fix needs besides a gradient, of all heads of a layer.

    `light`, `heavy`, (..., queries, keys): by how much a treated key moves its row: of the row's
    largest key a' - a, in `heavy`, of any other (a' - a) / (1 - a), in `light`; elsewhere 0.
    `z`: heads' outputs (..., queries, d_head), `others` those without the row's largest key; `v`:
    (..., keys, d_head).
    """

    light: Tensor
    heavy: Tensor
    z: Tensor
    others: Tensor
    v: Tensor

    def of(self, gradient: Tensor) -> Tensor:
        """What a treated key at each position would do, (..., keys).

        Args:
            gradient: (..., queries, d_head) of the metric at the heads' outputs, with any more axes
                in front.
        """
        light, heavy = self.light.transpose(-1, -2), self.heavy.transpose(-1, -2)
        met = torch.matmul(light + heavy, gradient)  # (..., keys, d_head)
        less = torch.matmul(light, (gradient * self.z).sum(-1, keepdim=True))
        less += torch.matmul(heavy, (gradient * self.others).sum(-1, keepdim=True))
        return (met * self.v).sum(-1) - less.squeeze(-1)


def key_fix(scores: Tensor, treated: Tensor, mask: Tensor, v: Tensor, z: Tensor) -> KeyFix:
    """The key fix of heads.

    Args:
        scores: (..., queries, keys) as softmax reads them, scaled and capped, not masked.
        treated: the same with treated keys.
        mask: (..., queries, keys) bool, True where a query sees a key.
        v: (..., keys, d_head); z: (..., queries, d_head) heads' outputs.
    """
    dtype = torch.promote_types(scores.dtype, torch.float32)
    hidden = torch.finfo(dtype).min
    moved = (treated.to(dtype) - scores.to(dtype)).masked_fill(~mask, 0.0)
    scores = scores.to(dtype).masked_fill(~mask, hidden)
    best, top = scores.max(-1, keepdim=True)  # (..., queries, 1)
    without = scores.scatter(-1, top, hidden)
    rest = without.logsumexp(-1, keepdim=True)
    logs = scores - torch.logaddexp(best, rest)
    a = logs.exp().scatter(-1, top, 0.0)  # of all but the largest: 1/2 at most
    light = torch.sigmoid(logs - torch.log1p(-a) + moved) - a
    light = (light / (1 - a)).masked_fill(moved == 0, 0.0).scatter(-1, top, 0.0)
    change = torch.sigmoid(best - rest + moved.gather(-1, top)) - torch.sigmoid(best - rest)
    heavy = torch.zeros_like(light).scatter(-1, top, change)
    others = torch.matmul(torch.softmax(without, dim=-1).to(v.dtype), v)
    return KeyFix(light=light.to(v.dtype), heavy=heavy.to(v.dtype), z=z, others=others, v=v)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """Query and key fix of all heads of one layer, for one treated run and any number of gradients.

    `z`, `treated`: heads' outputs (n_heads, rows, pos, d_head), those of treated queries.
    """

    z: Tensor
    treated: Tensor
    keys: KeyFix

    def q(self, gradient: Tensor) -> Tensor:
        """What treated queries would do, (..., n_heads, rows, pos), of gradients at `z`."""
        return dot(self.treated - self.z, gradient)

    def k(self, gradient: Tensor) -> Tensor:
        """What treated keys would do, (..., n_heads, rows, pos), of gradients at `z`."""
        return self.keys.of(gradient)


def fixed(layer: TapeLayer, q: Tensor, k: Tensor) -> Fixed:
    """Both fixes of a layer for treated queries and keys, (n_heads, rows, pos, d_head) each."""
    adapter = layer.adapter
    z = layer.z.permute(2, 0, 1, 3)
    sinks = adapter.sinks(layer.layer)
    beside = None if sinks is None else sinks.view(-1, 1, 1, 1)
    pattern = adapter.softmax(layer.scores(q, layer.keys), layer.mask, beside)
    since = layer.since
    if since:
        k = torch.cat((layer.keys[:, :, :since], k), dim=-2)
    scores, other = (layer.scores(layer.q, keys) for keys in (layer.keys, k))
    mask, values = layer.mask, layer.values
    if beside is not None:  # a key like others, with a value of 0, that is never treated
        last = beside.expand(*scores.shape[:-1], 1).to(scores.dtype)
        scores, other = torch.cat((scores, last), -1), torch.cat((other, last), -1)
        mask, values = (
            functional.pad(mask, (0, 1), value=True),
            functional.pad(values, (0, 0, 0, 1)),
        )
    keys = key_fix(scores, other, mask, values, z)
    if beside is not None:
        light, heavy = keys.light[..., :-1], keys.heavy[..., :-1]
        keys = replace(keys, light=light, heavy=heavy, v=layer.values)
    if since:  # no key there is treated
        light, heavy = keys.light[..., since:], keys.heavy[..., since:]
        keys = replace(keys, light=light, heavy=heavy, v=layer.v)
    return Fixed(z=z, treated=adapter.mix(pattern, layer.values), keys=keys)


def fixed_nodes(chunk: Chunk, side: Side, number: int) -> OfFound:
    """The estimates of one layer's nodes."""
    layer = chunk.tape.layers[number]
    q, k, v = (side.slot(number, slot) for slot in SLOTS)
    fix, v = fixed(layer, q, k), v - layer.v
    z = (side.z[number] - layer.z).permute(2, 0, 1, 3)
    out = side.out[number]
    written = None if out is None or layer.out is None else out - layer.out

    def of(found: Found) -> Tensor:
        at = found.gradients
        at_z = at.z.movedim(-2, -4)  # (..., n_heads, rows, pos, d_head)
        heads = fix.q(at_z), fix.k(at_z), dot(v, at.v), dot(z, at_z)
        return of_layer(heads, None if written is None else dot(written, at.after))

    return of


def by_fixed_gradient(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every node, or pooled (units, rows, 1)."""
    sweep = Sweep(backward=once, estimates=fixed_nodes, of_input=_input, combined=_as_it_is)
    return swept([chunk], sweep)


def _input(chunk: Chunk, side: Side, number: int) -> OfFound:
    change = side.input - chunk.tape.embedded
    return lambda found: dot(change, found.gradients.before).unsqueeze(-3)


def _as_it_is(estimates: Tensor, first: int, layer: int, n_layers: int) -> Tensor:
    return estimates
