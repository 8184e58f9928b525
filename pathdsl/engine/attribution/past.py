"""A forward that begins behind positions whose keys and values are known, without a way back.

Causal attention looks back alone, so that two runs whose prompts begin alike are the same until
they differ: positions before that are computed once, and of them only keys and values are read.

    before = Past.of(adapter, embedded[:, :since], lengths)
    for layer in forward(adapter, embedded[:, since:], lengths, before):
        layer.z                                      # (rows, pos - since, n_heads, d_head)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS, Adapter

__all__ = ["Heads", "Past", "Values", "forward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Keys and values of one layer at the positions before others, (n_heads, rows, pos, d_head)."""

    k: Tensor
    v: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The positions before others: their number, `heads` by layer, and `final`, the stream at the
    end, (rows, since, d)."""

    since: int
    heads: tuple[Heads, ...]
    final: Tensor

    @classmethod
    def of(cls, adapter: Adapter, embedded: Tensor, lengths: Tensor) -> Past:
        """The past of prompts from their values of `input` there, (rows, since, d)."""
        found = list(forward(adapter, embedded, lengths, None))
        heads = tuple(Heads(k=each.inputs[1], v=each.inputs[2]) for each in found)
        return cls(since=embedded.shape[1], heads=heads, final=found[-1].after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """One layer of such a forward, as `LayerValues` at the positions that it has.

    `inputs`: queries, keys, values, (n_heads, rows, pos, d_head) each.
    """

    inputs: tuple[Tensor, Tensor, Tensor]
    z: Tensor
    out: Tensor | None
    after: Tensor


def forward(
    adapter: Adapter, embedded: Tensor, lengths: Tensor, past: Past | None, late: int = 0
) -> Iterator[Values]:
    """The layers of a forward from values of `input` at the positions behind the past.

    `late`: of how many of them the last layer computes keys and values only.
    """
    shape, resid = adapter.shape, embedded
    rows, pos, _ = embedded.shape
    since = 0 if past is None else past.since
    places = torch.arange(since + pos, device=adapter.device).expand(rows, since + pos)
    valid = places < lengths.to(adapter.device).unsqueeze(-1)
    places = places[:, since:]
    for layer in range(shape.n_layers):
        first = late if layer == shape.n_layers - 1 else 0
        with torch.no_grad():
            normed = adapter.attention_input(layer, resid)
            q, k, v = (
                adapter.project(layer, slot, normed[:, at:], positions=places[:, at:])
                for slot, at in zip(SLOTS, (first, 0, 0), strict=True)
            )
            q, k, v = (one.permute(2, 0, 1, 3) for one in (q, k, v))
            keys, values = k, v
            if past is not None:
                before = past.heads[layer]
                keys, values = torch.cat((before.k, k), dim=-2), torch.cat((before.v, v), dim=-2)
            z = adapter.attend(layer, q, keys, values, places[:, first:], valid)[0]
            z = z.permute(1, 2, 0, 3)
            entered = resid[:, first:]
            middle = entered + adapter.attention_write(layer, z)
            out = (
                adapter.mlp(layer, entered if shape.parallel else middle) if shape.has_mlp else None
            )
            resid = middle if out is None else middle + out
        yield Values(inputs=(q, k, v), z=z, out=out, after=resid)
