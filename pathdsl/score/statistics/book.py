"""Numbers that were worked out before, by what they were worked out of.

An interval by resampling takes milliseconds, and a check of stored values works out the same ones
each time. A `Book` keeps their ends: under the sha256 of all that decides them (values by unit,
strata, number and seed of the resamples), so that one that is found is the one that would be
computed, to the last bit. Who opens a book sees to it that the program is the same.

    >>> book = Book()
    >>> book.numbers("key", "ends", lambda: (0.5, 1.5)), book.numbers("key", "ends", lambda: (0.0,))
    ((0.5, 1.5), (0.5, 1.5))
    >>> Book.read(book.text()).numbers("key", "ends", lambda: (0.0,))
    (0.5, 1.5)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["Book", "key_of"]

MOST = 20_000
"""Keys that are written down: those that this check used, then others."""


class Book:
    """Numbers by key and name; `grown` says whether there are any that were not read."""

    def __init__(self, known: dict[str, dict[str, list[float]]] | None = None) -> None:
        self._known = known or {}
        self._used: dict[str, None] = {}
        self.grown = False
        self.objects: dict[Any, Any] = {}
        """What lives as long as the book and is not written down, by any key."""

    def numbers(
        self, key: str, name: str, make: Callable[[], Sequence[float]], count: int | None = None
    ) -> tuple[float, ...]:
        """The numbers under a key and a name, made where there are none, or not `count` of them."""
        self._used[key] = None
        known = self._known.setdefault(key, {})
        if name not in known or count not in (None, len(known[name])):
            known[name] = [float(number) for number in make()]
            self.grown = True
        return tuple(known[name])

    def text(self) -> str:
        """What is kept, as JSON."""
        order = [*self._used, *(key for key in self._known if key not in self._used)]
        self.grown = False
        return json.dumps({key: self._known[key] for key in order[:MOST]})

    @classmethod
    def read(cls, text: str) -> Book:
        """A book that was written down; an empty one for any other text."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return cls()
        return cls(found) if _is_book(found) else cls()


def key_of(*parts: object) -> str:
    """The sha256 of texts, numbers and arrays, and of what holds them."""
    found = hashlib.sha256()
    for part in _flat(parts):
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str} {part.shape}".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(f"{type(part).__name__} {part!r};".encode())
    return found.hexdigest()


def _flat(parts: Iterable[object]) -> Iterable[object]:
    for part in parts:
        if isinstance(part, list | tuple):
            yield f"{len(part)} parts"
            yield from _flat(part)
        else:
            yield part


def _is_book(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(names, dict)
        and all(
            isinstance(numbers, list) and all(isinstance(one, float) for one in numbers)
            for numbers in names.values()
        )
        for names in found.values()
    )
