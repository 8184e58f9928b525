"""Sets of token positions over all rows of a task, interned: equal contents are one number.

A mask is a (rows, pos) array of truth values inside the prompts (padding is in no mask). Masks are
named by small integers and their algebra is memoised on those, so planning thousands of copies
compares numbers, not arrays. A *distance set* is the same for the relation of a head's position and
the position it reads: bit d is "the key stands d positions before the head". Where attention is not
causal distances are negative, too: bit 0 is then the first of them, `first_distance`.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from pathdsl.graph.paths.pathset import SetOperator

FALSE = 0
TRUE = 1


class MaskTable:
    """Interned masks of one task; `FALSE` is empty, `TRUE` is every position of every prompt.

    `causal`: whether no distance is below 0.
    """

    def __init__(self, valid: np.ndarray, *, causal: bool = True) -> None:
        self.valid = valid
        self.n_rows, self.n_pos = valid.shape
        self.causal = causal
        self.first_distance = 0 if causal else 1 - self.n_pos
        self._arrays: list[np.ndarray] = []
        self._ids: dict[bytes, int] = {}
        self._memo: dict[tuple[str, int, int], int] = {}
        self._distances: list[np.ndarray] = []
        self._distance_ids: dict[bytes, int] = {}
        self.intern(np.zeros_like(valid))
        if self.intern(valid) != TRUE:
            raise ValueError("a task needs at least one token")

    def intern(self, array: np.ndarray) -> int:
        """The number of a (rows, pos) mask; padding is cut off."""
        array = np.logical_and(array, self.valid)
        key = np.packbits(array).tobytes()
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self._arrays)
            array.setflags(write=False)
            self._arrays.append(array)
        return found

    @property
    def n_masks(self) -> int:
        """How many masks there are; they are numbered from 0."""
        return len(self._arrays)

    def array(self, mask: int) -> np.ndarray:
        """The (rows, pos) contents of a mask, not to be written to."""
        return self._arrays[mask]

    def both(self, a: int, b: int) -> int:
        """Positions in both."""
        if a == b or b == TRUE:
            return a
        if a == TRUE:
            return b
        if a == FALSE or b == FALSE:
            return FALSE
        return self._binary("&", min(a, b), max(a, b))

    def either(self, a: int, b: int) -> int:
        """Positions in either."""
        if a == b or b == FALSE:
            return a
        if a == FALSE:
            return b
        if a == TRUE or b == TRUE:
            return TRUE
        return self._binary("|", min(a, b), max(a, b))

    def without(self, a: int, b: int) -> int:
        """Positions in the first and not in the second."""
        if a == b or a == FALSE or b == TRUE:
            return FALSE
        if b == FALSE:
            return a
        return self._binary("-", a, b)

    def _binary(self, op: SetOperator, a: int, b: int) -> int:
        key = (op, a, b)
        found = self._memo.get(key)
        if found is None:
            x, y = self._arrays[a], self._arrays[b]
            match op:
                case "&":
                    result = x & y
                case "|":
                    result = x | y
                case "-":
                    result = x & ~y
                case unknown:
                    assert_never(unknown)
            found = self._memo[key] = self.intern(result)
        return found

    # ---------------------------------------------------------------------------------------------
    # Distances
    # ---------------------------------------------------------------------------------------------

    @property
    def every_distance(self) -> np.ndarray:
        """All distances that two positions may have, in the order of the bits of a set."""
        return np.arange(self.first_distance, self.n_pos)

    def distance_set(self, array: np.ndarray) -> int:
        """The number of a set of distances, True at those of `every_distance` that are in it."""
        key = np.packbits(array).tobytes()
        found = self._distance_ids.get(key)
        if found is None:
            found = self._distance_ids[key] = len(self._distances)
            self._distances.append(array.copy())
        return found

    def distances(self, which: int) -> np.ndarray:
        """The contents of a distance set."""
        return self._distances[which]

    def seen_from(self, mask: int, distances: int) -> int:
        """Positions that see some position of `mask` at one of the distances."""
        return self._shift(">", mask, distances)

    def looked_at_by(self, mask: int, distances: int) -> int:
        """Positions that some position of `mask` looks at from one of the distances."""
        return self._shift("<", mask, distances)

    def _shift(self, direction: str, mask: int, distances: int) -> int:
        if mask == FALSE:
            return FALSE
        key = (direction, mask, distances)
        found = self._memo.get(key)
        if found is None:
            source = self._arrays[mask]
            if direction == "<":
                source = source[:, ::-1]
            counts = np.concatenate(
                [np.zeros((self.n_rows, 1), np.int64), np.cumsum(source, axis=1)], axis=1
            )
            result = np.zeros_like(source)
            for first, last in _runs(self._distances[distances]):
                low, high = first + self.first_distance, last + self.first_distance
                # position p sees p-high … p-low
                ends = np.clip(np.arange(self.n_pos) - low + 1, 0, self.n_pos)
                starts = np.clip(np.arange(self.n_pos) - high, 0, None)
                starts = np.minimum(starts, ends)
                result |= counts[:, ends] > counts[:, starts]
            if direction == "<":
                result = result[:, ::-1]
            found = self._memo[key] = self.intern(result)
        return found


def _runs(array: np.ndarray) -> list[tuple[int, int]]:
    """Maximal runs of True as (first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], array.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
