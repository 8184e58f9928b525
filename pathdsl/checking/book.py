"""The book of a file: what its last check worked out of stored values, kept in the result store."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from pathdsl.engine.store.digest import digest, processor, program_text, versions
from pathdsl.engine.store.store import Store
from pathdsl.score.statistics.book import Book

__all__ = ["keep_book", "open_book"]

_PARTS = ("score", "lang", "checking")
"""What decides a number in a book, beside what decides a stored value."""


def open_book(path: str, store: Store | None) -> Book:
    """The book of the file at `path`; an empty one where nothing is stored."""
    text = store.record(_key(path)) if store is not None and store.on else None
    return Book.read(text) if text is not None else Book()


def keep_book(book: Book, path: str, store: Store | None) -> None:
    """Write down what a check has worked out."""
    if store is not None and store.on and book.grown:
        store.replace_record(_key(path), book.text())


def _key(path: str) -> str:
    return digest("book", os.path.abspath(path), program_text(), _text(), versions(), processor())


@cache
def _text() -> str:
    """The sha256 of the modules that read values."""
    root = Path(__file__).parents[1]
    found = hashlib.sha256()
    for part in _PARTS:
        for module in sorted((root / part).rglob("*.py")):
            text = module.read_bytes()
            found.update(f"{module.relative_to(root).as_posix()} {len(text)}\n".encode() + text)
    return found.hexdigest()
