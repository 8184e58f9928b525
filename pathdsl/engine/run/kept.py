"""Plain runs and constants of one check that several of its plans read: made once and kept.

A *block* is a few rows of a prompt column that go through the model together. Which rows they are
follows from the rows of the task, the model's shape and `--memory` alone, never from a plan, and
what is kept of a block is found by what went into it. So a value that is kept has the bits that
running its block again would give, and what is kept or dropped changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.heap import LARGE_BYTES, give_back_much
from pathdsl.engine.run.plain import Key, layer_behind, plain_run
from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.liveness import share_of
from pathdsl.plan.steps import PLAIN_KINDS

__all__ = ["Block", "BlockRun", "Kept", "Tokens", "block_bytes", "block_rows"]

BLOCK_TOKENS = 1024
"""Tokens of a block at most, padding included."""

ALL_SHARE = 0.25
"""Of the room, what all values of the rows of a column may take to be kept, whoever wants them."""

Tokens = Mapping[Key, np.ndarray]
"""Which tokens of a block are meant of each value, (rows, pos) bool."""


def block_rows(shape: ModelShape, n_pos: int, memory: int) -> int:
    """How many rows of prompts of so many tokens go together: a power of two.

    What is between two layers of them, and what all heads and MLPs write, has room in what is left
    to a batch.
    """
    most = max(min(BLOCK_TOKENS // n_pos, share_of(memory) // block_bytes(shape, n_pos)), 1)
    return 1 << (most.bit_length() - 1)


def block_bytes(shape: ModelShape, n_pos: int) -> int:
    """Bytes that one row of a block takes."""
    units = max(map(shape.used_units, range(shape.n_layers)), default=0)
    working = 6 * shape.d_model + units + shape.n_heads * n_pos
    working += shape.n_layers * shape.per_layer_input
    if shape.recurrence is not None:
        working += shape.recurrence.working
    heads = [shape.heads_in(k) * shape.head_width(k) for k in range(shape.n_layers)]
    written = sum(heads) + shape.n_layers * shape.d_model
    return 4 * n_pos * (2 * working + written)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRun:
    """What makes a plain run: `name` says all that enters the model, and which model.

    `embedded` gives the values of `input`, (rows, pos, input_width); `lengths`: (rows,) the true
    ones. `tick`: called after each layer. `share`: of the rows that belong together, which this
    block is.
    """

    name: bytes
    adapter: Adapter
    embedded: Callable[[], Tensor]
    lengths: np.ndarray
    tick: Callable[[], None] = lambda: None
    share: float = 1.0

    @property
    def real(self) -> np.ndarray:
        """(rows, pos) bool: where tokens stand, as far as the longest of these prompts goes."""
        return np.arange(int(self.lengths.max())) < self.lengths[:, None]

    def run(self, wanted: Tokens, start: Block | None) -> Block:
        """The wanted values, from a layer on whose stream `start` has at every token."""
        real = self.real
        first, stream = self.start(wanted, start)
        places = {id(where): torch.from_numpy(np.flatnonzero(where)) for where in wanted.values()}
        flat = {key: places[id(where)] for key, where in wanted.items()}
        again = stream is None or self.adapter.shape.per_layer_input
        embedded = self.embedded() if again else None
        made = plain_run(
            self.adapter, embedded, torch.from_numpy(self.lengths), flat, self.tick, first,
            None if stream is None else _padded(stream, real),
        )  # fmt: skip
        return Block(tokens=dict(wanted), values=made)

    def weight(self, wanted: Tokens) -> int:
        """Bytes of these values."""
        shape, size = self.adapter.shape, self.adapter.dtype.itemsize
        return sum(
            int(where.sum()) * size * prod(PLAIN_KINDS[kind].axes(shape, layer))
            for (kind, layer), where in wanted.items()
        )

    def every(self, wanted: Tokens) -> Tokens:
        """All that a run comes by on its way to these values, at every token, but hidden units."""
        last, real = max(map(layer_behind, wanted), default=0), self.real
        keys = [(kind, layer) for kind in ("head", "attn", "mlp") for layer in range(last)]
        keys += [("resid", stage) for stage in range(2 * last + 1)]
        return {**dict.fromkeys([*wanted, *keys], real)}

    def layers_left(self, wanted: Tokens, start: Block | None) -> int:
        """How many layers `run` would go through."""
        first, _ = self.start(wanted, start)
        return max(map(layer_behind, wanted), default=first) - first

    def start(self, wanted: Tokens, start: Block | None) -> tuple[int, Tensor | None]:
        """The layer to begin with, and the stream of real tokens that enters it if not `input`."""
        real, shape = self.real, self.adapter.shape
        # Experts see all tokens of a block, those of padding with them, in products by expert.
        if start is None or (shape.n_experts and not real.all()):
            return 0, None
        for first in range(min(map(layer_behind, wanted), default=0) - 1, 0, -1):
            stream = start.values.get(("resid", 2 * first))
            if shape.start(first) < first:  # heads behind it read keys of a layer before it
                continue
            if stream is not None and len(stream) == real.sum():
                return first, stream
        return 0, None


def _padded(stream: Tensor, real: np.ndarray) -> Tensor:
    """(rows, pos, d): a stream of real tokens with zeros at padding."""
    whole = stream.new_zeros((real.size, stream.shape[-1]))
    whole[torch.from_numpy(np.flatnonzero(real)).to(stream.device)] = stream
    return whole.reshape(*real.shape, -1)


@dataclass(slots=True, kw_only=True, eq=False)
class Block:
    """Plain values of one block, each at its `tokens`. Scales that the family has not have none.

    `used`: when it was last read.
    """

    tokens: dict[Key, np.ndarray] = field(default_factory=dict)
    values: dict[Key, Tensor] = field(default_factory=dict)
    used: int = 0

    def at(self, key: Key, where: np.ndarray) -> Tensor:
        """A value at some of its tokens, (rows, pos) bool."""
        value, have = self.values[key], self.tokens[key]
        if have is where:
            return value
        wanted = np.flatnonzero(where)
        if len(wanted) == len(value):
            return value
        places = np.searchsorted(np.flatnonzero(have), wanted)
        return value.index_select(0, torch.from_numpy(places).to(value.device))

    def lacks(self, wanted: Tokens) -> dict[Key, np.ndarray]:
        """What is wanted and not all there, with the tokens of either."""
        found = {}
        for key, where in wanted.items():
            have = self.tokens.get(key)
            if have is None:
                found[key] = where
            elif (where & ~have).any():
                found[key] = where | have
        return found

    def only(self, wanted: Tokens) -> Block:
        """Some of its values, at some of their tokens."""
        values = {key: self.at(key, where) for key, where in wanted.items() if key in self.values}
        return Block(tokens=dict(wanted), values=values)

    def beside(self, other: Block) -> Block:
        """Its values and those of another, whose own come first."""
        return Block(
            tokens=self.tokens | other.tokens, values=self.values | other.values, used=self.used
        )

    @property
    def weight(self) -> int:
        """Bytes of its values."""
        return sum(value.numel() * value.element_size() for value in self.values.values())


Tables = dict[Key, Tensor]


class Kept:
    """What is kept of plain runs and means, `room` bytes at most.

    What a plan wants, and what is expected of others, is kept as long as there is room; what was
    read longest ago, before the plan at hand, goes first. `owner` says which model what is asked
    for is of. `begun` counts runs from `input` on, in rows; `through` the layers that rows went
    through.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.owner = ""
        self.held = 0
        self.begun = 0
        self.through = 0
        self._turn = 0
        self._blocks: dict[bytes, Block] = {}
        self._tables: dict[bytes, tuple[int, Tables]] = {}
        self._expected: dict[bytes, dict[Key, np.ndarray]] = {}

    def next_plan(self) -> None:
        """What was read so far may go where there is no room for what comes."""
        self._turn += 1

    def expect(self, run: BlockRun, wanted: Tokens) -> None:
        """Of this block these values will be wanted: they are kept when it is run."""
        known = self._expected.setdefault(run.name, {})
        for key, where in wanted.items():
            known[key] = where | known[key] if key in known else where

    def forget_expected(self) -> None:
        """What was expected so far is not any more."""
        self._expected.clear()

    def lacks(self, run: BlockRun, wanted: Tokens) -> int:
        """How many layers a block has to go through for these values; 0: they are here."""
        have = self._blocks.get(run.name)
        missing = have.lacks(wanted) if have is not None else wanted
        return run.layers_left(missing, have) if missing else 0

    def block(self, run: BlockRun, wanted: Tokens, *, keep: bool = True) -> Block:
        """The values of a block that are wanted, at these tokens or more.

        `keep`: whether they will be wanted again, so that they stay here if there is room.
        """
        have = self._blocks.get(run.name)
        if have is not None:
            have.used = self._turn
        missing = have.lacks(wanted) if have is not None else dict(wanted)
        if not missing:
            return have or Block()
        stays = self._stays(run, have, missing if keep else {})
        both = {**missing, **stays}
        for key, where in missing.items():
            if (where & ~both[key]).any():
                both[key] = where | both[key]
        made = run.run(both, have)
        if run.weight(both) > LARGE_BYTES:
            give_back_much()
        first, _ = run.start(both, have)
        self.begun += 0 if first else len(run.lengths)
        self.through += len(run.lengths) * run.layers_left(both, have)
        if stays:
            self._keep(run.name, made.only(stays))
        return have.beside(made) if have is not None else made

    def _stays(self, run: BlockRun, have: Block | None, wanted: Tokens) -> dict[Key, np.ndarray]:
        """What of a block is kept when it is run: what is wanted and expected, if there is room.

        The next plan may want other values and other tokens: what is wanted at most tokens is kept
        at all of them, and all values where they are small.
        """
        expected = self._expected.pop(run.name, {})
        stays = dict(wanted)
        for key, where in (have.lacks(expected) if have is not None else expected).items():
            stays[key] = where | stays[key] if key in stays else where
        every, real = run.every(stays) if stays else {}, run.real
        small = run.weight(every) <= ALL_SHARE * self.room * run.share
        for one in [*([every] if small else []), stays, wanted]:
            wide = {key: real if 2 * w.sum() > real.sum() else w for key, w in one.items()}
            if self._make_room(run.weight(wide), run.name):
                return wide
        return {}

    def _keep(self, name: bytes, new: Block) -> None:
        have = self._blocks.get(name)
        self.held -= have.weight if have is not None else 0
        found = self._blocks[name] = have.beside(new) if have is not None else new
        found.used = self._turn
        self.held += found.weight

    def tables(self, name: bytes) -> Tables:
        """Constants that are kept under a name."""
        _, found = self._tables.get(name, (0, {}))
        if found:
            self._tables[name] = self._turn, found
        return found

    def keep_tables(self, name: bytes, tables: Tables) -> None:
        """Keep constants, if there is room."""
        known = self.tables(name)
        new = {key: table for key, table in tables.items() if key not in known}
        size = _size(new)
        if self._make_room(size, name):
            self._tables[name] = self._turn, {**known, **new}
            self.held += size

    def _make_room(self, size: int, name: bytes) -> bool:
        """Whether so many bytes have room, without what was not read since the last plan."""
        if self.held + size <= self.room:
            return True
        old = [(one.used, one.weight, key) for key, one in self._blocks.items()]
        old += [(used, _size(tables), key) for key, (used, tables) in self._tables.items()]
        old = [one for one in sorted(old) if one[0] < self._turn and one[2] != name]
        if self.held + size - sum(weight for _, weight, _ in old) > self.room:
            return False
        for _, weight, key in old:
            if self.held + size <= self.room:
                break
            self._blocks.pop(key, None)
            self._tables.pop(key, None)
            self.held -= weight
        return True


def _size(tables: Tables) -> int:
    return sum(table.numel() * table.element_size() for table in tables.values())
