"""Token positions of one batch of rows as flat indices, and maps between sets of them.

Values of a step are stored only where they are needed: one row of a (tokens, d) matrix for each
token of the step's mask, in row-major order. Reading a step at a subset is one `index_select`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from pathdsl.plan.masks import MaskTable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Padded:
    """How flat tokens of one mask lie in a (rows, most) rectangle.

    `index`: (rows, most) long, place of each token in the flat order (0 where there is none);
    `real`: (rows, most) bool; `positions`: (rows, most) long, token index in its prompt.
    `back`: (tokens,) long, flat places in the rectangle.
    """

    index: Tensor
    real: Tensor
    positions: Tensor
    back: Tensor
    whole: bool


class Decided:
    """Decisions on a plan's steps that hang on a batch by which masks are empty in it alone.

    They are the same for nearly all batches, and made once for those.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[int, int, Any]] = {}
        self._numbers: dict[tuple[bool, ...], int] = {}

    def of(self, sites: Sites, key: Hashable, decide: Callable[[], T]) -> T:
        """What was decided of `key`, or is now."""
        known = self._known.get(key)
        if known is not None and self._number(sites, known[0]) == known[1]:
            return cast(T, known[2])
        found = decide()
        n_masks = sites.masks.n_masks  # with those that were interned on the way
        self._known[key] = n_masks, self._number(sites, n_masks), found
        return found

    def _number(self, sites: Sites, n_masks: int) -> int:
        """One for all batches in which the same of the first masks are empty."""
        found = sites.numbers.get((self, n_masks))
        if found is None:
            empty = sites.empty(n_masks)
            found = self._numbers.setdefault(empty, len(self._numbers))
            sites.numbers[self, n_masks] = found
        return found


class Sites:
    """Index maps of one batch: rows `start` to `stop` of a task."""

    def __init__(self, masks: MaskTable, start: int, stop: int, device: torch.device) -> None:
        self.masks = masks
        self.start, self.stop = start, stop
        self.device = device
        self._flat: dict[int, np.ndarray] = {}
        self._maps: dict[tuple[int, int], Tensor | None] = {}
        self._inside: dict[tuple[int, int], Tensor | None] = {}
        self._places: dict[tuple[int, int], Tensor | None] = {}
        self._padded: dict[int, Padded] = {}
        self.numbers: dict[tuple[Decided, int], int] = {}

    def flat(self, mask: int) -> np.ndarray:
        """(tokens,) flat numbers row * pos + position of the tokens of a mask, ascending."""
        found = self._flat.get(mask)
        if found is None:
            rows = self.masks.array(mask)[self.start : self.stop]
            found = self._flat[mask] = np.flatnonzero(rows)
        return found

    def count(self, mask: int) -> int:
        """How many tokens of the batch are in a mask."""
        return len(self.flat(mask))

    def empty(self, n_masks: int) -> tuple[bool, ...]:
        """Which of the first masks have no token in the batch."""
        return tuple(not self.count(mask) for mask in range(n_masks))

    def rows_of(self, mask: int) -> np.ndarray:
        """(tokens,) row of each token, counted within the batch."""
        return self.flat(mask) // self.masks.n_pos

    def positions_of(self, mask: int) -> np.ndarray:
        """(tokens,) position of each token in its prompt."""
        return self.flat(mask) % self.masks.n_pos

    def _there(self, array: np.ndarray) -> Tensor:
        """An index on the device, without waiting for what the device still does."""
        return torch.from_numpy(array).to(self.device, non_blocking=True)

    def take(self, value: Tensor, stored: int, wanted: int) -> Tensor:
        """`value` (tokens of `stored`, …) at the tokens of `wanted`, a subset."""
        if stored == wanted:
            return value
        key = (stored, wanted)
        if key not in self._maps:
            have, want = self.flat(stored), self.flat(wanted)
            if len(have) == len(want):
                self._maps[key] = None
            else:
                found = np.searchsorted(have, want)
                self._maps[key] = self._there(found)
        places = self._maps[key]
        return value if places is None else value.index_select(0, places)

    def inside(self, mask: int, among: int) -> Tensor | None:
        """(tokens of `among`,) bool: which of them are in `mask`; None when all are."""
        key = (mask, among)
        if key not in self._inside:
            member = np.isin(self.flat(among), self.flat(mask), assume_unique=True)
            self._inside[key] = None if member.all() else self._there(member)
        return self._inside[key]

    def places(self, mask: int, among: int) -> Tensor | None:
        """The same as numbers: a device has to be waited for until truth values are counted."""
        key = (mask, among)
        if key not in self._places:
            member = np.isin(self.flat(among), self.flat(mask), assume_unique=True)
            self._places[key] = None if member.all() else self._there(np.flatnonzero(member))
        return self._places[key]

    def padded(self, mask: int) -> Padded:
        """The rectangle of a mask's tokens, for attention."""
        found = self._padded.get(mask)
        if found is None:
            rows, positions = self.rows_of(mask), self.positions_of(mask)
            n_rows = self.stop - self.start
            counts = np.bincount(rows, minlength=n_rows)
            most = int(counts.max()) if len(counts) else 0
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            column = np.arange(len(rows)) - starts[rows]
            index = np.zeros((n_rows, most), np.int64)
            real = np.zeros((n_rows, most), bool)
            where = np.zeros((n_rows, most), np.int64)
            index[rows, column] = np.arange(len(rows))
            real[rows, column] = True
            where[rows, column] = positions
            found = self._padded[mask] = Padded(
                index=self._there(index),
                real=self._there(real),
                positions=self._there(where),
                back=self._there(rows * most + column),
                whole=bool(real.all()),
            )
        return found


def neighbours(places: Sequence[int], numbers: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Ascending places and their numbers as slices: an index would be copied to the device."""
    start = 0
    for end in range(1, len(places) + 1):
        first, other = places[start], numbers[places[start]]
        if end < len(places) and (
            places[end] - first == numbers[places[end]] - other == end - start
        ):
            continue
        yield slice(first, first + end - start), slice(other, other + end - start)
        start = end
