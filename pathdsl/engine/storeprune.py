"""What is in a result store, and how it is made smaller.

Blobs go by last use, oldest first. Files that no index points to are what killed processes left
behind; they go once they are an hour old, since a younger one may be about to be entered.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathdsl.engine.store import BLOB, INDEX, Store

__all__ = ["Contents", "Kept", "Pruned", "clear", "contents", "prune"]

ORPHAN_AGE = 3600.0
"""Seconds after which a file outside the index is taken for a leftover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One blob: the values of one plan on one task. `created` and `used` are seconds since 1970."""

    name: str
    bytes: int
    created: float
    used: float
    model: str
    task: str
    runs: int
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A store: its blobs, the last used first; texts beside them; bytes of all, index included."""

    folder: Path
    blobs: tuple[Kept, ...]
    records: int
    bytes: int
    index_bytes: int
    leftover_bytes: int

    @property
    def n_values(self) -> int:
        """Number of values, each of one measure of one run."""
        return sum(len(blob.labels) for blob in self.blobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed: blobs with their values, leftover files, and the bytes of both."""

    blobs: int = 0
    values: int = 0
    leftovers: int = 0
    bytes: int = 0


def contents(store: Store) -> Contents:
    """What is in a store that is on; sqlite3.Error where the index cannot be read."""
    labels: dict[str, list[str]] = {}
    for name, label in store.index.execute("SELECT blob, label FROM entries ORDER BY label"):
        labels.setdefault(name, []).append(label)
    rows = store.index.execute(
        "SELECT name, bytes, created, used, model, task, runs FROM blobs ORDER BY used DESC, name"
    )
    fields = ("name", "bytes", "created", "used", "model", "task", "runs")
    blobs = tuple(
        Kept(**dict(zip(fields, row, strict=True)), labels=tuple(labels.get(row[0], ())))
        for row in rows
    )
    known = {blob.name for blob in blobs}
    records = int(store.index.execute("SELECT COUNT(*) FROM records").fetchone()[0])
    return Contents(
        folder=store.folder,
        blobs=blobs,
        records=records,
        bytes=sum(blob.bytes for blob in blobs),
        index_bytes=sum(_size(path) for path in _index_files(store.folder)),
        leftover_bytes=sum(_size(p) for p in _blob_files(store.folder) if _name(p) not in known),
    )


def prune(store: Store, *, max_bytes: int | None = None, older_than: float | None = None) -> Pruned:
    """Remove what was last used more than `older_than` seconds ago, then the least recently used
    until `max_bytes` hold all blobs, and leftovers. Says what went; sqlite3.Error or OSError."""
    now = time.time()
    with store.transaction() as index:
        rows = index.execute("SELECT name, bytes, used FROM blobs ORDER BY used, name").fetchall()
        left = sum(size for _, size, _ in rows)
        gone = []
        for name, size, used in rows:
            old = older_than is not None and now - used > older_than
            if old or (max_bytes is not None and left > max_bytes):
                gone.append(name)
                left -= size
        values = 0
        for name in gone:
            count = index.execute("SELECT COUNT(*) FROM entries WHERE blob = ?", (name,))
            values += int(count.fetchone()[0])
            index.execute("DELETE FROM blobs WHERE name = ?", (name,))
        if older_than is not None:
            index.execute("DELETE FROM records WHERE used < ?", (now - older_than,))
        known = {name for (name,) in index.execute("SELECT name FROM blobs")}
    freed, leftovers = 0, 0
    for path in list(_blob_files(store.folder)):
        name = _name(path)
        if name in known and BLOB.fullmatch(path.name):
            continue
        if name in gone or now - _changed(path) > ORPHAN_AGE:
            leftovers += name not in gone
            freed += _remove(path)
    return Pruned(blobs=len(gone), values=values, leftovers=leftovers, bytes=freed)


def clear(folder: Path) -> Pruned:
    """Remove everything that a store wrote into a folder, and nothing else.

    The index is emptied where it can be read, since other processes may have it open, and removed
    where it cannot. Raises OSError where a file cannot be removed.
    """
    blobs = values = 0
    with Store(folder) as store:
        if store.on:
            try:
                with store.transaction() as index:
                    blobs = int(index.execute("SELECT COUNT(*) FROM blobs").fetchone()[0])
                    values = int(index.execute("SELECT COUNT(*) FROM entries").fetchone()[0])
                    for table in ("entries", "blobs", "records"):
                        index.execute(f"DELETE FROM {table}")
            except sqlite3.DatabaseError:
                store.close()
        readable = store.on
    freed = 0
    if not readable:
        freed += sum(_remove(path) for path in list(_index_files(folder)))
    files = list(_blob_files(folder))
    freed += sum(_remove(path) for path in files)
    leftovers = max(len(files) - blobs, 0)
    return Pruned(blobs=blobs, values=values, leftovers=leftovers, bytes=freed)


# -------------------------------------------------------------------------------------------------


def _blob_files(folder: Path) -> Iterator[Path]:
    """Finished and unfinished blobs, by the names that a store gives them."""
    for path in (folder / "blobs").glob("[0-9a-f][0-9a-f]/*"):
        stem, _, rest = path.name.partition(".")
        if BLOB.fullmatch(f"{stem}.safetensors") and (
            rest == "safetensors" or rest.endswith(".unfinished")
        ):
            yield path


def _index_files(folder: Path) -> Iterator[Path]:
    for end in ("", "-wal", "-shm"):
        path = folder / f"{INDEX}{end}"
        if path.is_file():
            yield path


def _name(path: Path) -> str:
    return path.name.partition(".")[0]


def _size(path: Path) -> int:
    """Bytes of a file; 0 where another process has just removed it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path) -> int:
    size = _size(path)
    path.unlink(missing_ok=True)
    return size
