"""One forward of some prompts, layer by layer, and its backward: what gradient methods build on.

A `Tape` runs a chunk of prompts through an adapter's own parts and keeps each part's input and
output. The backward goes layer by layer from the final stream down, by local derivatives of parts
whose inputs are leaves: no gradient of a weight is computed, and nothing outlives the tape.

    tape = Tape(adapter, adapter.embed(ids), lengths)        # forward
    for found in tape.backward(gradient):                    # gradient (rows, pos, d) at tape.final
        layer = tape.layers[found.layer]                     # its values: layer.q, layer.pattern, …
        scores = (treated_q - layer.q) * found.q             # its gradients have the values' shapes

**Stacks.** Wherever a gradient goes in, a stack of them may, with one axis more in front: the
vector-Jacobian products of all of them are computed together, and what comes out has that axis,
too. So a method can carry several cotangents down one layer at a time:

    stack = gradient[None]                                   # (n, rows, pos, d)
    for layer in reversed(tape.layers):
        found = layer.back(stack)                            # found.before (n, rows, pos, d)
        skipped = stack[:1]                                  # past the layer: it adds nothing
        stack = torch.cat((found.before, skipped))

**Positions.** A tape may begin behind a `Past`, positions that are the same in all runs, whose keys
and values it reads: it has no others. And its last layer may be computed from a later position on
than it begins, where nothing before is read of what leaves it. So a value may have fewer positions
than another; whatever their number, they are *the last ones* of the prompt. `behind_zeros` gives a
gradient more of them.

Shapes: rows and pos are those of the chunk, padded on the right; at padding gradients are 0 and
values meaningless. Heads are query heads, each with its own k and v (with grouped queries equal
copies, whose gradients add up to those of the stored ones). q and k are as scores read them:
rotated, normed, scaled as the family does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional

from pathdsl.engine.adapters.base import SLOTS, Adapter, Slot
from pathdsl.engine.adapters.norms import Applied, pulled
from pathdsl.engine.attribution.past import Heads, Past
from pathdsl.engine.attribution.rules import PLAIN, Rules

__all__ = [
    "InnerGradients", "LayerGradients", "Part", "Tape", "TapeLayer", "behind_zeros", "norm_of",
]  # fmt: skip


STABILISER = 1e-6
"""What is added to the size of an activation's input where it is divided by."""


def as_if(value: Tensor, other: Tensor) -> Tensor:
    """The value, with the gradient of another."""
    return value.detach() + (other - other.detach())


def behind_zeros(x: Tensor, n: int, axis: int = -2) -> Tensor:
    """The last positions, along an axis counted from the end, as `n` of them: 0 before."""
    missing = n - x.shape[axis]
    return functional.pad(x, (0, 0) * (-1 - axis) + (missing, 0)) if missing else x


class _Input(torch.autograd.Function):
    """The start of a way back: the same values, which the graph does not keep, unlike a leaf's."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, asking: Tensor) -> Tensor:
        """`asking` is what asks for gradients."""
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The way back ends before."""
        return gradients[0], None


_ASKING = torch.zeros((), requires_grad=True)


class Part:
    """One function on the tape: its outputs, and the way back to its inputs."""

    def __init__(
        self, function: Callable[..., Tensor | tuple[Tensor, ...]], *inputs: Tensor
    ) -> None:
        with torch.enable_grad():
            given = [_Input.apply(one.detach(), _ASKING) for one in inputs]
            found = function(*given)
        found = found if isinstance(found, tuple) else (found,)
        # Edges keep no value in memory.
        self._inputs, self._edges = (tuple(map(get_gradient_edge, some)) for some in (given, found))
        self._dim = found[0].dim()
        self.outputs = tuple(one.detach() for one in found)

    @property
    def output(self) -> Tensor:
        """The first of the outputs."""
        return self.outputs[0]

    def back(self, *gradients: Tensor) -> tuple[Tensor, ...]:
        """The gradients at the inputs from those at the outputs, or from stacks of them."""
        return torch.autograd.grad(
            self._edges, self._inputs, gradients, retain_graph=True,
            is_grads_batched=gradients[0].dim() > self._dim,
        )  # fmt: skip

    def forget_outputs(self) -> None:
        """Let go of the outputs, which the way back needs no more."""
        self.outputs = ()


class MlpPart:
    """An MLP on the tape: what its activation reads, and what its hidden units write.

    The derivative of the activation is taken once, and multiplied with any number of gradients;
    where hidden units are mixed, each gradient is carried back through it.
    """

    def __init__(self, adapter: Adapter, layer: int, read: Tensor, rules: Rules) -> None:
        self._whole: Part | None = None
        if adapter.shape.routes(layer):  # activations of experts are in it
            self._whole = Part(lambda x: adapter.mlp(layer, x, rules.scales), read)
            self.output = self._whole.output
            return
        self._activated: Part | None = None

        def before(x: Tensor) -> tuple[Tensor, ...]:
            found, gate = adapter.mlp_before(layer, x, rules.scales)
            return (found,) if gate is None else (found, gate)

        self._before = Part(before, read)
        activated = Part(lambda z: adapter.mlp_activation(layer, z), self._before.output)
        hidden = activated.output
        if rules.quotient:
            z = self._before.output
            slope = hidden / (z + torch.where(z < 0, -STABILISER, STABILISER))
        elif adapter.shape.mixed_hidden:
            slope, self._activated = hidden, activated
        else:
            (slope,) = activated.back(torch.ones_like(hidden))
        self._slopes: tuple[Tensor, ...] = (slope,)
        self._gate: Tensor | None = None
        if len(self._before.outputs) > 1:
            self._gate = gate = self._before.outputs[1]
            self._slopes = slope * gate, hidden
            hidden = hidden * gate
            if rules.quotient:
                self._slopes = tuple(one / 2 for one in self._slopes)
        self._after = Part(lambda h: adapter.mlp_after(layer, h, rules.scales), hidden)
        self.output = self._after.output
        self._before.forget_outputs()

    def back(self, gradient: Tensor) -> Tensor:
        """The gradient at what the MLP reads, from one at what it writes or from a stack."""
        if self._whole is not None:
            return self._whole.back(gradient)[0]
        (at_hidden,) = self._after.back(gradient)
        first, *rest = self._slopes
        others = [at_hidden * slope for slope in rest]
        if self._activated is None:
            return self._before.back(at_hidden.mul_(first), *others)[0]
        at_hidden = at_hidden if self._gate is None else at_hidden * self._gate
        return self._before.back(*self._activated.back(at_hidden), *others)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerGradients:
    """The gradients at the values of one layer, each of its value's shape behind a stack's axis.

    `after`: at the stream that leaves the layer, and so at what the MLP writes. `read`: at what the
    MLP reads, by way of the MLP alone; None without one. `middle`: at what attention writes. `z`:
    at heads' outputs (rows, pos, n_heads, d_head). `pattern`: (n_heads, rows, pos, pos). `q`, `k`,
    `v`: (n_heads, rows, pos, d_head).
    """

    layer: int
    after: Tensor
    read: Tensor | None
    middle: Tensor
    z: Tensor
    pattern: Tensor
    q: Tensor
    k: Tensor
    v: Tensor

    def slot(self, slot: Slot) -> Tensor:
        """That at one input of the heads."""
        return {"q": self.q, "k": self.k, "v": self.v}[slot]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGradients(InnerGradients):
    """All gradients of one layer. `before`: at the stream that enters it."""

    before: Tensor


class TapeLayer:
    """One layer: its values, and its gradients from one at the stream behind it.

    `resid`: (rows, pos, d), the stream that enters. `q`, `k`, `v`: (n_heads, rows, pos, d_head).
    `keys`, `values`: k and v behind those of the past, which has `since` positions. `mask`: (rows,
    pos, since + pos) bool, the keys that each query may read. `pattern`: (n_heads, rows, pos, since
    + pos). `z`: (rows, pos, n_heads, d_head). `read`: what the MLP reads, `out` what it adds, None
    without one. `after`: the stream behind. Of the last layer, all but `resid`, keys and values may
    begin at a later position.
    """

    def __init__(
        self, adapter: Adapter, layer: int, resid: Tensor, valid: Tensor, rules: Rules,
        past: Heads | None, late: int,
    ) -> None:  # fmt: skip
        """`late`: of how many positions only keys and values are computed."""
        self.adapter, self.layer, self.rules = adapter, layer, rules
        self.resid = resid
        self.since = 0 if past is None else past.k.shape[-2]
        rows, pos, _ = resid.shape
        n_pos = self.since + pos
        self.places = torch.arange(self.since, n_pos, device=resid.device).expand(rows, pos)
        self.mask = adapter.mask(layer, self.places[:, late:], n_pos, valid)
        keys = torch.arange(n_pos, device=resid.device).expand(rows, n_pos)
        self._bias = adapter.position_bias(
            layer, range(adapter.shape.n_heads), self.places[:, late:], keys
        )
        applied = Applied()
        self._norm = Part(
            lambda x: adapter.attention_input(layer, x, rules.scales or applied), resid
        )  # fmt: skip
        if rules.scales is not None:
            adapter.attention_input(layer, resid, applied)
        module = next(reversed(applied.found.values()), None)
        self.norm = None if module is None else (module[0], module[1].detach())
        normed = self._norm.output
        self._norm.forget_outputs()
        self._slots = {
            slot: Part(self._projected(slot, first), normed[:, first:])
            for slot, first in zip(SLOTS, (late, 0, 0), strict=True)
        }
        self.q, self.k, self.v = (self._slots[slot].output for slot in SLOTS)
        self.keys, self.values = self.k, self.v
        if past is not None:
            self.keys = torch.cat((past.k, self.k), dim=-2)
            self.values = torch.cat((past.v, self.v), dim=-2)
            self.k, self.v = self.keys[:, :, self.since :], self.values[:, :, self.since :]
        for part in self._slots.values():
            part.forget_outputs()
        self._pattern = Part(self._attended, self.q, self.keys)
        self.pattern = self._pattern.output
        self._mix = Part(
            lambda p, v: adapter.mix(p, v).permute(1, 2, 0, 3).contiguous(), self.pattern,
            self.values,
        )  # fmt: skip
        self.z = self._mix.output
        self._write = Part(lambda z: adapter.attention_write(layer, z, rules.scales), self.z)
        entered = resid[:, late:]
        middle = entered + self._write.output
        self._write.forget_outputs()
        self.read = entered if adapter.shape.parallel else middle
        self._mlp: MlpPart | None = None
        self.out: Tensor | None = None
        self.after = middle
        if adapter.shape.has_mlp:
            self._mlp = MlpPart(adapter, layer, self.read, rules)
            self.out = self._mlp.output
            self.after = middle + self.out

    def _projected(
        self, slot: Slot, first: int = 0, heads: Sequence[int] | None = None
    ) -> Callable[[Tensor], Tensor]:
        def project(normed: Tensor) -> Tensor:
            places, inside = self.places[:, first:], self.rules.inside
            found = self.adapter.project(self.layer, slot, normed, heads, places, inside)
            return found.permute(2, 0, 1, 3).contiguous()

        return project

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """What the softmax reads, not masked, of queries where `q` stands and of all keys."""
        scores = self.adapter.scores(self.layer, q, k)
        return scores if self._bias is None else scores + self._bias

    def _attended(self, q: Tensor, k: Tensor) -> Tensor:
        scores, sinks = self.scores(q, k), self.adapter.sinks(self.layer)
        each = None if sinks is None else sinks.view(-1, 1, 1, 1)
        pattern, t = self.adapter.softmax(scores, self.mask, each), self.rules.temperature
        if t == 1.0:
            return pattern
        each = None if each is None else each / t
        return as_if(pattern, t * self.adapter.softmax(scores / t, self.mask, each))

    def hidden(self) -> Tensor:
        """The MLP's hidden units, (rows, pos, d_mlp)."""
        with torch.no_grad():
            return self.adapter.mlp_hidden(self.layer, self.read)

    # ---------------------------------------------------------------- backward

    def back(self, after: Tensor) -> LayerGradients:
        """All gradients from that at the stream behind the layer, (rows, pos, d) or a stack."""
        found = self.inner(after)
        return LayerGradients(
            layer=found.layer, after=after, read=found.read, middle=found.middle, z=found.z,
            pattern=found.pattern, q=found.q, k=found.k, v=found.v,
            before=self.before(found),
        )  # fmt: skip

    def before(self, found: InnerGradients) -> Tensor:
        """The gradient at the stream that enters, from the others."""
        past = self.past(found)
        return self.at_stream(found.q, found.k, found.v).add_(past)

    def past(self, found: InnerGradients) -> Tensor:
        """What of the others passes the heads by on its way down to the stream that enters."""
        past = found.middle
        if found.read is not None and self.adapter.shape.parallel:
            past = past + found.read
        return behind_zeros(past, self.resid.shape[1])

    def inner(self, after: Tensor, between: Tensor | None = None) -> InnerGradients:
        """The gradients without `before`: what heads read is not carried down to the stream.

        `between`: what arrives at the stream behind attention past the MLP, (rows, pos, d).
        """
        read = None if self._mlp is None else self._mlp.back(after)
        parallel = self.adapter.shape.parallel
        middle = after if read is None or parallel else after + read
        middle = middle if between is None else middle + between
        z = self.at_heads(middle)
        pattern, v = self._mix.back(z)
        q, k = self._pattern.back(pattern)
        if self.since:
            k, v = k[..., self.since :, :], v[..., self.since :, :]
        v = v * self.rules.v if self.rules.v != 1.0 else v
        q = q * self.rules.q if self.rules.q != 1.0 else q
        k = k * self.rules.k if self.rules.k != 1.0 else k
        return InnerGradients(
            layer=self.layer, after=after, read=read, middle=middle, z=z, pattern=pattern, q=q,
            k=k, v=v,
        )  # fmt: skip

    def at_heads(self, middle: Tensor) -> Tensor:
        """The gradient at heads' outputs from that at what attention writes."""
        return self._write.back(middle)[0]

    def at_stream(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What heads pass down to the stream that enters, summed over heads and slots."""
        first, *others = (
            behind_zeros(part.back(gradient)[0], self.resid.shape[1])
            for part, gradient in zip(self._slots.values(), (q, k, v), strict=True)
        )
        for other in others:
            first += other
        return self._norm.back(first)[0]

    def at_neurons(self, after: Tensor) -> Tensor:
        """The gradient at hidden units (rows, pos, d_mlp) from that at what the MLP writes.

        The output projection is linear, so that it takes no activation to know it.
        """
        one = after.new_ones((1, 1))
        hidden = after.new_zeros((*self.read.shape[:2], self.adapter.shape.d_mlp))
        return Part(lambda h: self.adapter.mlp_write(self.layer, h, one), hidden).back(after)[0]

    def at_reader(self, slot: Slot, gradient: Tensor) -> Tensor:
        """What each head's own input passes down to the stream that enters, not summed over heads.

        From its gradient (n_heads, rows, pos, d_head), no stack -> (n_heads, rows, pos, d).
        """
        found = []
        with torch.no_grad():
            normed = self.adapter.attention_input(self.layer, self.resid)
        for head, own in enumerate(gradient):
            part = Part(self._projected(slot, heads=[head]), normed)
            found.append(part.back(own.unsqueeze(0))[0])
        together = torch.stack(found)
        if self.norm is None:
            return together
        return pulled(*self.norm, together, held=self.rules.held)

    def forget(self) -> None:
        """Let go of what only the way back needs; the values stay."""
        for name in ("_norm", "_slots", "_pattern", "_mix", "_write", "_mlp"):
            delattr(self, name)

    def forget_written(self) -> None:
        """Let go of what heads and MLP write; the way back does not read it."""
        del self.z, self.out

    def forget_rest(self) -> None:
        """Let go of the way back and of all other values."""
        self.forget()
        for name in ("resid", "norm", "q", "k", "v", "keys", "values", "pattern", "read", "after"):
            delattr(self, name)

    def slot(self, slot: Slot) -> Tensor:
        """Queries, keys or values, (n_heads, rows, pos, d_head)."""
        return {"q": self.q, "k": self.k, "v": self.v}[slot]

    def unplaced(self, slot: Slot, gradient: Tensor) -> Tensor:
        """The gradient (n_heads, rows, n, d_head) at the last n positions, before what depends on
        the position."""
        places = self.places[:, self.places.shape[1] - gradient.shape[2] :]

        def placed(x: Tensor) -> Tensor:
            return self.adapter.placed(self.layer, slot, x, places)

        flat = gradient.permute(1, 2, 0, 3)
        if placed(flat) is flat:
            return gradient
        return Part(placed, flat).back(flat)[0].permute(2, 0, 1, 3)


def norm_of(call: Callable[[Applied], Tensor]) -> tuple[nn.Module, Tensor] | None:
    """The last norm that a call applies, with what it is applied to; None without one."""
    applied = Applied()
    with torch.no_grad():
        call(applied)
    return next(reversed(applied.found.values()), None)


class Tape:
    """One forward of a chunk of prompts; `layers` from the first, `final` the stream at the end."""

    def __init__(
        self, adapter: Adapter, embedded: Tensor, lengths: Tensor, rules: Rules = PLAIN,
        past: Past | None = None, late: int = 0,
    ) -> None:  # fmt: skip
        """`embedded`: (rows, pos, d) values of `input`. `lengths`: (rows,) of right-padded rows,
        the past included. `late`: the first position at which `final` is wanted.
        """
        self.adapter, self.rules, self.past = adapter, rules, past
        self.since = 0 if past is None else past.since
        self.late = max(late - self.since, 0)
        self.forgotten = False
        self.embedded = embedded
        self.lengths = lengths.to(embedded.device)
        places = torch.arange(self.since + embedded.shape[1], device=embedded.device)
        self.valid = places < self.lengths.unsqueeze(-1)
        self.layers = self.layers_from(0, embedded.detach())
        self.final = self.layers[-1].after

    def layers_from(self, first: int, resid: Tensor) -> list[TapeLayer]:
        """Layers of a forward of these prompts in which this stream (rows, pos, d) enters one."""
        found: list[TapeLayer] = []
        n_layers = self.adapter.shape.n_layers
        for layer in range(first, n_layers):
            past = None if self.past is None else self.past.heads[layer]
            late = self.late if layer == n_layers - 1 else 0
            found.append(
                TapeLayer(self.adapter, layer, resid, self.valid, self.rules, past, late)
            )  # fmt: skip
            resid = found[-1].after
        return found

    def forget(self, layer: int | None = None) -> None:
        """Let go of what only the way back needs, of one layer or of all; the values stay."""
        self.forgotten = True
        for one in self.layers if layer is None else [self.layers[layer]]:
            one.forget()

    def forget_rest(self, layer: int | None = None) -> None:
        """Let go of all but what heads and MLPs write, of one layer or of all."""
        self.forgotten = True
        for one in self.layers if layer is None else [self.layers[layer]]:
            one.forget_rest()

    def backward(self, final: Tensor) -> Iterator[LayerGradients]:
        """The gradients of every layer from that at `final`, the last layer first."""
        gradient = final
        for layer in reversed(self.layers):
            found = layer.back(gradient)
            yield found
            gradient = found.before
