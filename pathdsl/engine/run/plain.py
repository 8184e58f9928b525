"""Plain runs of one batch: the values that copies are blended with.

A plain run is the decomposed forward of one prompt column, every component on its own inputs; what
blends and residual steps read of it is kept, at the tokens where they read it. A treated value that
is no activation of any input (a mean, zero) is a table instead of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter, layers
from pathdsl.engine.adapters.norms import Noted
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.steps import PLAIN_KINDS, SCALES

Key = tuple[str, int]
"""A kind of `PLAIN_KINDS` with a layer or, of `resid`, a stage: `("head", 3)`, `("resid", 6)`."""


@dataclass(slots=True)
class PlainValues:
    """Values of one source, each (tokens of `stored`, …), `stored` being a mask."""

    stored: dict[Key, int] = field(default_factory=dict)
    values: dict[Key, Tensor] = field(default_factory=dict)

    def at(self, key: Key, mask: int, sites: Sites) -> Tensor:
        """One value at the tokens of `mask`, a subset of where it was kept."""
        return sites.take(self.values[key], self.stored[key], mask)


def with_bias(hidden: Tensor) -> Tensor:
    """Hidden units (..., d_mlp) and the 1 by which the output bias is multiplied."""
    return torch.cat((hidden, hidden.new_ones((*hidden.shape[:-1], 1))), dim=-1)


def plain_run(
    adapter: Adapter,
    embedded: Tensor | None,
    lengths: Tensor,
    want: Mapping[Key, Tensor],
    tick: Callable[[], None] = lambda: None,
    first: int = 0,
    stream: Tensor | None = None,
) -> dict[Key, Tensor]:
    """Run a block of rows through every component, and keep what is wanted.

    Args:
        embedded: (rows, pos, input_width) the values of `input`, noise included; None where a
            stream is given and `input` gives MLPs nothing beside it.
        lengths: (rows,) true lengths.
        want: flat numbers row * pos + position of the tokens at which each value is kept. None is
            of a place before layer `first`.
        tick: called after each layer.
        stream: (rows, pos, d_model) what enters layer `first`; None for 0.

    Returns:
        Heads as (tokens, n_heads, d_head), hidden values as (tokens, d_mlp + 1), scales as
        (tokens, 1), everything else as (tokens, d_model). Scales of norms that the family does not
        have are left out.
    """
    found: dict[Key, Tensor] = {}

    def keep(key: Key, value: Tensor) -> None:
        if key in want:
            found[key] = value.flatten(0, 1).index_select(0, want[key].to(value.device))

    shape = adapter.shape
    if stream is None:
        assert embedded is not None
        keep(("input", 0), embedded)
        stream = embedded[..., : shape.d_model]
    resid = stream
    keep(("resid", 2 * first), resid)
    wants_scales = any(kind in SCALES for kind, _ in want)
    for each in layers(
        adapter, embedded, lengths, first=first, stream=stream, n_layers=layers_of(want),
        note_scales=wants_scales,
    ):  # fmt: skip
        layer, resid = each.layer, each.after
        keep(("head", layer), each.z)
        keep(("attn", layer), each.written)
        keep(("resid", 2 * layer + 1), each.middle)
        if each.out is not None:
            keep(("mlp", layer), each.out)
            if ("hidden", layer) in want:
                keep(("hidden", layer), with_bias(adapter.mlp_hidden(layer, each.read)))
        keep(("resid", 2 * layer + 2), resid)
        if each.noted is not None:
            for kind, scale in each.noted.found.items():
                keep((kind, layer), scale)
        tick()
    if ("scale_final", shape.n_layers) in want:
        noted = Noted()
        adapter.final_norm(resid, noted)
        for kind, scale in noted.found.items():
            keep((kind, shape.n_layers), scale)
    return found


def layers_of(want: Iterable[Key]) -> int:
    """How many layers a plain run has to go through for these values."""
    return max(map(layer_behind, want), default=0)


def layer_behind(key: Key) -> int:
    """The number of the layer behind a value: a run that starts there does not come by it."""
    return (PLAIN_KINDS[key[0]].stage(key[1]) + 1) // 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConstantTable:
    """Constant treated values: (groups, places, …) per key, and the group of every row of the task.

    `places`: (rows, pos) the place of every token; its index where each index is a place. `tables`
    is empty for `zero`.
    """

    tables: Mapping[Key, Tensor]
    groups: np.ndarray
    places: np.ndarray

    def values(self, want: Mapping[Key, int], adapter: Adapter, sites: Sites) -> PlainValues:
        """The constants as the values of one batch."""
        kept = PlainValues()
        for key, mask in want.items():
            kept.stored[key] = mask
            if key in self.tables:
                row = sites.start + sites.rows_of(mask)
                where = torch.from_numpy(self.places[row, sites.positions_of(mask)])
                group = torch.from_numpy(self.groups[row])
                kept.values[key] = self.tables[key][group, where].to(adapter.device)
            else:
                kept.values[key] = torch.zeros(
                    (sites.count(mask), *PLAIN_KINDS[key[0]].axes(adapter.shape, key[1])),
                    dtype=adapter.dtype,
                    device=adapter.device,
                )
        return kept
