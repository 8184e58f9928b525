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
from struct import Struct
from typing import TypeVar

__all__ = ["Draws", "Order"]

T = TypeVar("T")

_WORD_BITS = 64
_WORDS = 1 << _WORD_BITS
_FOUR_WORDS = Struct(">4Q").unpack
_ROUNDS = 8
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
            self._words = [*_FOUR_WORDS(digest)][::-1]
        return self._words.pop()

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1, all equally likely; ValueError where n < 1."""
        if not 1 <= n <= _WORDS:
            raise ValueError(f"`below` needs 1 <= n <= 2**{_WORD_BITS}, found {n}")
        while True:
            word = self._words.pop() if self._words else self._word()
            rest = word % n
            # Words at or above the largest multiple of n would favour small results: draw again.
            if word - rest <= _WORDS - n:
                return rest

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


class Order:
    """The numbers 0 to size - 1 in a random order, any place of which is found without the others.

    A Feistel network of SHA-256 over the next even number of bits; what falls outside is sent
    through again until it falls inside (cycle walking: Black and Rogaway 2002).

        >>> sorted(Order(5, 0, "five")[i] for i in range(5))
        [0, 1, 2, 3, 4]
    """

    __slots__ = ("_bits", "_key", "size")

    def __init__(self, size: int, seed: int, *names: str) -> None:
        """ValueError where size < 1."""
        if size < 1:
            raise ValueError(f"an order needs at least one number, found {size}")
        self.size = size
        self._bits = max(((size - 1).bit_length() + 1) // 2, 1)
        self._key = Draws(seed, *names, "order", str(size))._key

    def __getitem__(self, place: int) -> int:
        """The number at a place; ValueError where there is no such place."""
        if not 0 <= place < self.size:
            raise ValueError(f"no place {place} in an order of {self.size}")
        while (place := self._mixed(place)) >= self.size:
            pass
        return place

    def _mixed(self, number: int) -> int:
        mask = (1 << self._bits) - 1
        left, right = number >> self._bits, number & mask
        size = (self._bits + 7) // 8
        for turn in range(_ROUNDS):
            block = self._key + bytes([turn]) + right.to_bytes(size, "big")
            drawn = hashlib.sha256(block).digest()
            left, right = right, left ^ (int.from_bytes(drawn, "big") & mask)
        return left << self._bits | right
