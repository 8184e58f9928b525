"""The treated values of one chunk of prompts, in the shapes of a tape's own values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import SLOTS, Adapter, Slot
from pathdsl.engine.adapters.norms import Given, Noted
from pathdsl.engine.attribution.past import forward
from pathdsl.engine.attribution.tape import Tape
from pathdsl.engine.run.plain import Key, PlainValues
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.masks import TRUE

__all__ = ["Side", "mean_side", "wanted_keys"]


def wanted_keys(adapter: Adapter, *, neurons: bool, constant: bool) -> dict[Key, int]:
    """The values of plain runs that a `Side` is made of, at every token.

    `neurons`: whether hidden units are. What is no constant is a forward from its `input`.
    """
    shape = adapter.shape
    keys: list[Key] = [("input", 0)]
    if not neurons and not constant:
        return dict.fromkeys(keys, TRUE)
    for layer in range(shape.n_layers):
        keys.append(("head", layer))
        if shape.has_mlp:
            keys.append(("mlp", layer))
            if neurons:
                keys.append(("hidden", layer))
    return dict.fromkeys(keys, TRUE)


class Side:
    """What every component's treated value is, on one chunk and for one draw.

    `input`, `out[layer]` (None without an MLP): (rows, pos, d). `z[layer]`: (rows, pos, n_heads,
    d_head). `hidden[layer]`: (rows, pos, d_mlp), where neurons are asked for. Where a treated value
    is not everywhere (a mean at named places) they are the tape's own elsewhere. All have the
    positions that the tape's own values have.
    """

    def __init__(
        self,
        tape: Tape,
        values: PlainValues,
        sites: Sites,
        at: Tensor | None,
        *,
        frozen: bool,
        slots: bool,
    ) -> None:
        """`at`: (rows, pos) bool, where a constant is the treated value; None for everywhere.
        `slots`: whether queries, keys and values are asked for."""
        self.tape, self.adapter, self.frozen = tape, tape.adapter, frozen
        row = torch.from_numpy(sites.rows_of(TRUE))
        place = torch.from_numpy(sites.positions_of(TRUE))

        def padded(key: Key, own: Tensor) -> Tensor:
            flat, n = values.values[key].to(own.device), own.shape[1]
            shape = (*tape.valid.shape, *own.shape[2:])
            if flat.shape[0] == shape[0] * shape[1]:
                found = flat.view(shape)
            else:
                found = own.new_zeros(shape)
                found[row, place] = flat
            found = found[:, shape[1] - n :].contiguous()
            if at is None:
                return found
            return torch.where(at[:, -n:].view(len(at), n, *[1] * (own.dim() - 2)), found, own)

        self.input = padded(("input", 0), tape.embedded)
        self.hidden: list[Tensor] = []
        self._inputs: list[tuple[Tensor, Tensor, Tensor]] = []
        self._streams: list[Tensor] | None = None
        if ("head", 0) not in values.values:
            self._run(tape, slots)
            return
        self.z = [padded(("head", each.layer), each.z) for each in tape.layers]
        self.out: list[Tensor | None] = [
            None if each.out is None else padded(("mlp", each.layer), each.out)
            for each in tape.layers
        ]
        if ("hidden", 0) in values.values:
            for each in tape.layers:
                kept = values.values["hidden", each.layer]
                values.values["hidden", each.layer] = kept[:, :-1]  # the last is the bias
                self.hidden.append(padded(("hidden", each.layer), each.hidden()))

    def _run(self, tape: Tape, slots: bool) -> None:
        """Every value of a forward from the values of `input`."""
        streams = [self.input]
        self.z, self.out = [], []
        for each in forward(self.adapter, self.input, tape.lengths, tape.past, tape.late):
            self.z.append(each.z)
            self.out.append(each.out)
            if self.frozen:
                streams.append(each.after)
            elif slots:
                self._inputs.append(each.inputs)
        # A norm behind heads is the reader's, whose scale is the reference's: `streams` adds up.
        if self.frozen and not self.adapter.shape.norm_after_attention:
            self._streams = streams

    @property
    def streams(self) -> list[Tensor]:
        """The stream that enters each layer, and the final one, when every component has its
        treated value.

        Constants are values of components: there the stream is their sum.
        """
        if self._streams is None:
            found = [self.input]
            for layer in range(self.adapter.shape.n_layers):
                scales = None
                if self.frozen:
                    noted = Noted()
                    self.adapter.attention_write(layer, self.tape.layers[layer].z, noted)
                    scales = Given(scales=noted.found)
                z = self.z[layer]
                after = found[-1][:, -z.shape[1] :] + self.adapter.attention_write(layer, z, scales)
                out = self.out[layer]
                found.append(after if out is None else after + out)
            self._streams = found
        return self._streams

    def slot(self, layer: int, slot: Slot) -> Tensor:
        """One input of a layer's heads that reads treated values alone, (n_heads, rows, pos,
        d_head). With frozen norms its norm has the reference run's scale: the head reads both."""
        if self._inputs:
            return self._inputs[layer][SLOTS.index(slot)]
        of = self.tape.layers[layer]
        scales = None
        if self.frozen:
            noted = Noted()
            self.adapter.attention_input(layer, of.resid, noted)
            scales = Given(scales=noted.found)
        with torch.no_grad():
            normed = self.adapter.attention_input(layer, self.streams[layer], scales)
            found = self.adapter.project(layer, slot, normed, positions=of.places)
        return found.permute(2, 0, 1, 3)[:, :, -of.slot(slot).shape[2] :]


def mean_side(sides: Iterator[Side], count: int) -> Side:
    """The mean over draws of what components write, for scores that are linear in it."""
    first = next(sides)
    if count == 1:
        return first
    total = first
    for other in sides:
        total.input = total.input + other.input
        total.z = _sums(total.z, other.z)
        total.hidden = _sums(total.hidden, other.hidden)
        total.out = [
            None if one is None or two is None else one + two
            for one, two in zip(total.out, other.out, strict=True)
        ]
    total.input = total.input / count
    total.z = [one / count for one in total.z]
    total.hidden = [one / count for one in total.hidden]
    total.out = [None if one is None else one / count for one in total.out]
    return total


def _sums(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> list[Tensor]:
    return [one + two for one, two in zip(ours, theirs, strict=True)]
