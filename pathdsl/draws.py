"""Deterministic draws from a hash: the same numbers on every machine, library and Python.

A published hypothesis must mean the same rows, the same random controls and the same knockouts
for ever, so nothing here depends on a library's generator, on `PYTHONHASHSEED` or on the order in
which other draws were made. The stream is SHA-256 in counter mode: block *i* is
``sha256(key + i)``, where the key is the hash of the seed and of the names that say what the draw
is for. Streams with different names are independent; naming a stream after the row it serves is
what makes row *i* the same whatever the number of rows.

    >>> Draws(0, "ioi", "row", "3").below(100)
    3
    >>> Draws(0, "ioi", "row", "3").sample("abcdef", 3)
    ['b', 'd', 'e']
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeVar

__all__ = ["Draws"]

T = TypeVar("T")

_WORD_BITS = 64
_STANDARD_NORMAL = NormalDist()


class Draws:
    """A stream of numbers fixed by a seed and by the names of what it is drawn for."""

    __slots__ = ("_block", "_key", "_words")

    def __init__(self, seed: int, *names: str) -> None:
        # Lengths are hashed with the names, so that ("ab", "c") and ("a", "bc") differ.
        parts = [f"{len(part)}:{part}" for part in (str(int(seed)), *names)]
        self._key = hashlib.sha256("|".join(parts).encode()).digest()
        self._block = 0
        self._words: list[int] = []

    def _word(self) -> int:
        """The next 64 bits."""
        if not self._words:
            digest = hashlib.sha256(self._key + self._block.to_bytes(8, "big")).digest()
            self._block += 1
            self._words = [int.from_bytes(digest[i : i + 8], "big") for i in (24, 16, 8, 0)]
        return self._words.pop()

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1, all equally likely; ValueError where n < 1."""
        if not 1 <= n <= 1 << _WORD_BITS:
            raise ValueError(f"`below` needs 1 <= n <= 2**{_WORD_BITS}, found {n}")
        # Words at or above the largest multiple of n would favour small results: draw again.
        limit = (1 << _WORD_BITS) // n * n
        while (word := self._word()) >= limit:
            pass
        return word % n

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, all equally likely."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], k: int) -> list[T]:
        """k of the items at different places, in the order drawn; ValueError where too few."""
        if not 0 <= k <= len(items):
            raise ValueError(f"cannot draw {k} of {len(items)} items without repeating one")
        pool = list(items)
        for i in range(k):
            j = i + self.below(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in an order drawn uniformly; the argument is left as it is."""
        return self.sample(items, len(items))

    def normal(self) -> float:
        """A standard normal number, by the inverse distribution function (one word each)."""
        # Odd multiples of 2**-53 are exact and never 0 or 1, where the inverse is infinite.
        return _STANDARD_NORMAL.inv_cdf((2 * (self._word() >> 12) + 1) * 2.0**-53)
