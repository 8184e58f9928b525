"""The sha256 of weight files, which is not worked out twice for a file that nobody touched.

A hash is kept under the file's path, size, inode and times to the nanosecond. Whatever writes to a
file changes its times; the time at which an inode changed cannot be set by hand. A file that was
written a moment ago is hashed each time, since a second write might leave its times as they are.
`check --locked` uses no store, and so reads every byte.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from pathdsl.engine.load.files import sha256_of
from pathdsl.engine.store.digest import digest
from pathdsl.engine.store.store import Store
from pathdsl.reading import note

__all__ = ["Hashes"]

SETTLED = 2.0
"""Seconds after which a write would show in a file's times, whatever its file system counts in."""


class Hashes:
    """Hashes of files by way of a store; `keys` are those of the hashes that came from there."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.keys: list[str] = []

    def __call__(self, path: Path) -> str:
        """The sha256 of a file's content, in hexadecimal digits."""
        note(path)
        key, changed = _key(path)
        known = self.store.record(key)
        if known is not None and re.fullmatch("[0-9a-f]{64}", known):
            self.keys.append(key)
            return known
        found = sha256_of(path)
        if _key(path)[0] == key and time.time() - changed > SETTLED:
            self.store.add_record(key, found)
        return found

    def forget(self) -> None:
        """Drop what came from the store: a file has another content."""
        self.store.reject(self.keys)


def _key(path: Path) -> tuple[str, float]:
    """What a hash is kept under, and when the file was last changed."""
    at = path.stat()
    parts = (at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino, at.st_dev)
    return digest("sha256 of", str(path.resolve()), parts), max(at.st_mtime, at.st_ctime)
