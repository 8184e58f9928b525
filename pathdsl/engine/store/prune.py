"""What is in a result store, and how it is made smaller.

Blobs go by last use, oldest first; what does not verify goes in any case. Files that no index
points to are what killed processes left behind; they go once they are an hour old, since a younger
one may be about to be entered.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pathdsl.engine.store.folder import BLOB, tensors
from pathdsl.engine.store.index import BLOB_COLUMNS, INDEX, seal
from pathdsl.engine.store.opened import OpenStore
from pathdsl.record import record
from pathdsl.whole import PREFIX, SUFFIX

__all__ = ["Contents", "Kept", "Pruned", "clear", "contents", "prune"]

ORPHAN_AGE = 3600.0
"""Seconds after which a file outside the index is taken for a leftover."""


@record
class Kept:
    """One blob: the values of one plan on one task. `created` and `used` are seconds since 1970.

    `unfinished`: it holds batches of a plan whose check was cut off.
    """

    name: str
    bytes: int
    created: float
    used: float
    model: str
    task: str
    runs: int
    unfinished: bool
    labels: tuple[str, ...]


@record
class Contents:
    """A store: its blobs, the last used first; texts beside them; bytes of all, index included.

    `damaged`: blobs and texts that do not verify; they are among neither.
    """

    folder: Path
    blobs: tuple[Kept, ...] = ()
    records: int = 0
    damaged: int = 0
    bytes: int = 0
    index_bytes: int = 0
    leftover_bytes: int = 0

    @property
    def plans(self) -> tuple[Kept, ...]:
        """The values of whole plans."""
        return tuple(blob for blob in self.blobs if not blob.unfinished)

    @property
    def n_values(self) -> int:
        """Number of values, each of one measure of one run."""
        return sum(len(blob.labels) for blob in self.plans)

    @property
    def unfinished(self) -> tuple[Kept, ...]:
        """Batches of plans whose checks were cut off."""
        return tuple(blob for blob in self.blobs if blob.unfinished)


@record
class Pruned:
    """What was removed: blobs with their values, damaged entries, leftover files, their bytes."""

    blobs: int = 0
    values: int = 0
    damaged: int = 0
    leftovers: int = 0
    bytes: int = 0


def contents(store: OpenStore) -> Contents:
    """What is in a store that is on, verified; sqlite3.Error where the index cannot be read."""
    _vet(store.index)
    labels: dict[str, list[str]] = {}
    for name, label in store.index.execute("SELECT blob, label FROM entries"):
        labels.setdefault(name, []).append(str(label))
    good, bad = _blobs(store, whole=True)
    blobs = tuple(
        Kept(
            name=name, bytes=size, created=created, used=used, model=model, task=task, runs=runs,
            unfinished=bool(part), labels=tuple(sorted(labels.get(name, ()))),
        )
        for name, size, _, _, model, task, runs, part, created, used in good
    )  # fmt: skip
    known = {row[0] for row in good} | {*bad}  # what is damaged is counted as that
    records, bad_records = _records(store.index)
    return Contents(
        folder=store.folder,
        blobs=tuple(sorted(blobs, key=lambda blob: (-blob.used, blob.name))),
        records=records,
        damaged=len(bad) + len(bad_records) + len(_astray(store.index)),
        bytes=sum(blob.bytes for blob in blobs),
        index_bytes=sum(map(_size, (*_index_files(store.folder), *_shared_indices(store.folder)))),
        leftover_bytes=sum(_size(p) for p in _blob_files(store.folder) if _name(p) not in known),
    )


def prune(
    store: OpenStore,
    *,
    max_bytes: int | None = None,
    older_than: float | None = None,
    verify: bool = False,
) -> Pruned:
    """Remove what was last used more than `older_than` seconds ago, then the least recently used
    until `max_bytes` hold all blobs, and leftovers; `verify`: also what does not have the bytes it
    was written with. Says what went; sqlite3.Error or OSError."""
    now = time.time()
    if verify:
        _vet(store.index)
    with store.transaction() as index:
        good, bad = _blobs(store, whole=verify)
        rows = sorted((row[-1], row[0], row[1]) for row in good)
        left = sum(size for _, _, size in rows)
        gone = []
        for used, name, size in rows:
            old = older_than is not None and now - used > older_than
            if old or (max_bytes is not None and left > max_bytes):
                gone.append(name)
                left -= size
        values = 0
        for name in gone:
            count = index.execute("SELECT COUNT(*) FROM entries WHERE blob = ?", (name,))
            values += int(count.fetchone()[0])
        index.executemany("DELETE FROM blobs WHERE name = ?", [(name,) for name in (*gone, *bad)])
        if older_than is not None:
            index.execute("DELETE FROM records WHERE used < ?", (now - older_than,))
        keys = [*_records(index)[1], *_astray(index)]
        for table in ("entries", "records"):
            index.executemany(f"DELETE FROM {table} WHERE key IS ?", [(key,) for key in keys])
        known = {row[0] for row in good} - {*gone}
    freed, leftovers = 0, 0
    for path in list(_blob_files(store.folder)):
        name = _name(path)
        if name in known and BLOB.fullmatch(path.name):
            continue
        if name in gone or name in bad or now - _changed(path) > ORPHAN_AGE:
            leftovers += name not in gone and name not in bad
            freed += _remove(path)
    return Pruned(
        blobs=len(gone), values=values, damaged=len(bad) + len(keys), leftovers=leftovers,
        bytes=freed,
    )  # fmt: skip


def clear(folder: Path) -> Pruned:
    """Remove everything that a store wrote into a folder, and nothing else.

    The index is emptied where it can be read, since other processes may have it open, and removed
    where it cannot. Raises OSError where a file cannot be removed.
    """
    blobs = values = 0
    readable = False
    with OpenStore(folder) as store:
        if _busy(store.cause):
            assert store.cause is not None
            raise store.cause
        if store.on and not store.writable:
            raise PermissionError(store.trouble.notes[0] if store.trouble else str(folder))
        if store.on:
            try:
                _vet(store.index)
                with store.transaction() as index:
                    blobs = int(index.execute("SELECT COUNT(*) FROM blobs").fetchone()[0])
                    values = int(index.execute("SELECT COUNT(*) FROM entries").fetchone()[0])
                    for table in ("entries", "blobs", "records"):
                        index.execute(f"DELETE FROM {table}")
                readable = True
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # it is removed as a file
                if _busy(error):
                    raise
    freed = 0
    if not readable:
        freed += sum(_remove(path) for path in list(_index_files(folder)))
    files = list(_blob_files(folder))
    freed += sum(_remove(path) for path in files)
    leftovers = max(len(files) - blobs, 0)
    return Pruned(blobs=blobs, values=values, leftovers=leftovers, bytes=freed)


def _busy(error: Exception | None) -> bool:
    """Whether another process has the index for itself, which is then whole."""
    busy = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in busy


# ------------------------------------------------------------------------------- verifying


def _vet(index: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError where the index as a file is not what SQLite wrote."""
    said = index.execute("PRAGMA integrity_check(1)").fetchone()
    if said is None or said[0] != "ok":
        raise sqlite3.DatabaseError(f"the index is damaged: {said[0] if said else 'unreadable'}")


def _blobs(store: OpenStore, *, whole: bool) -> tuple[list[Any], list[Any]]:
    """Rows of good blobs (`BLOB_COLUMNS`, created, used) and names of the others.

    `whole`: files are read, too; one that is missing is none of the good.
    """
    good, bad = [], []
    rows = store.index.execute(f"SELECT seal, {BLOB_COLUMNS}, created, used FROM blobs").fetchall()
    for stamp, *row in rows:
        name = row[0]
        sealed = seal(*row[:8]) == stamp and BLOB.fullmatch(f"{name}.safetensors")
        if sealed and (not whole or _is_whole(store.path_of(name), name)):
            good.append([*row[:8], *map(_time, row[8:])])
        else:
            bad.append(name)
    return good, bad


def _is_whole(path: Path, name: str) -> bool:
    try:
        return tensors(path.read_bytes(), name) is not None
    except OSError:
        return False


def _records(index: sqlite3.Connection) -> tuple[int, list[Any]]:
    """How many texts are good, and the keys of the others."""
    rows = index.execute("SELECT key, text, seal FROM records").fetchall()
    bad = [key for key, text, stamp in rows if seal(key, text) != stamp]
    return len(rows) - len(bad), bad


def _astray(index: sqlite3.Connection) -> list[Any]:
    """Keys whose blob is not in the index."""
    rows = index.execute(
        "SELECT key FROM entries WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE name = blob)"
    )
    return [key for (key,) in rows]


def _time(value: object) -> float:
    """Seconds since 1970; 0 where a damaged row says none. Nothing but the order rests on it."""
    return value if isinstance(value, float) and 0 <= value < 1e11 else 0.0


# ------------------------------------------------------------------------------- files


def _blob_files(folder: Path) -> Iterator[Path]:
    """Finished and unfinished blobs, by the names that a store gives them."""
    for path in (folder / "blobs").glob("[0-9a-f][0-9a-f]/*"):
        stem, _, rest = path.name.partition(".")
        if path.name.startswith(PREFIX) and path.name.endswith(SUFFIX):
            yield path
        elif BLOB.fullmatch(f"{stem}.safetensors") and (
            rest == "safetensors" or rest.endswith(".unfinished")  # what they were called once
        ):
            yield path


def _index_files(folder: Path) -> Iterator[Path]:
    for end in ("", "-wal", "-shm"):
        path = folder / f"{INDEX}{end}"
        if path.is_file():
            yield path


def _shared_indices(folder: Path) -> Iterator[Path]:
    """Those of a folder that several processes fill, one of each."""
    return (folder / "index").glob("*.jsonl")


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
