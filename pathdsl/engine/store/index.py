"""The index of a result store: an SQLite file in write-ahead mode, opened, made and vetted.

Every row that decides anything carries the sha256 of what it says (`seal`), so that a flipped bit
is a row that is missing and never another number.

    blobs     a file of values: its plan, the proof of that plan, and what people are told of it
    entries   which blob holds which key; the blob itself tells whether that is so
    records   texts by key: what a model proved about itself, what loading it gave
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

__all__ = [
    "BLOB_COLUMNS",
    "FAULTS",
    "INDEX",
    "SCHEMA",
    "BlobRow",
    "connect",
    "in_memory",
    "read_only",
    "seal",
]

SCHEMA = 2
INDEX = "results.sqlite"
PATIENCE = 30.0  # seconds that a process waits for another one's transaction

_TABLES = """
CREATE TABLE blobs (
    name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
    plan TEXT NOT NULL, proof TEXT NOT NULL, model TEXT NOT NULL, task TEXT NOT NULL,
    runs INTEGER NOT NULL, unfinished INTEGER NOT NULL, seal TEXT NOT NULL
);
CREATE TABLE entries (
    key TEXT PRIMARY KEY, blob TEXT NOT NULL REFERENCES blobs ON DELETE CASCADE, label TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX entries_of ON entries (blob);
CREATE INDEX blobs_of ON blobs (plan);
CREATE TABLE records (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
    seal TEXT NOT NULL
) WITHOUT ROWID;
"""

FAULTS = (OSError, sqlite3.Error, UnicodeDecodeError)
"""What reading and writing an index may raise; SQLite's own messages may hold bytes of a damaged
index, which Python then cannot read."""

BLOB_COLUMNS = "name, bytes, plan, proof, model, task, runs, unfinished"
BlobRow = tuple[str, int, str, str, str, str, int, int]
"""A blob by `BLOB_COLUMNS`: what its seal is of."""


def seal(*parts: object) -> str:
    """The sha256 of what a row says."""
    return hashlib.sha256(json.dumps(parts, default=repr).encode()).hexdigest()


def connect(folder: Path) -> sqlite3.Connection:
    """The index of a folder, made if need be; OSError or sqlite3.Error where that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    index = sqlite3.connect(folder / INDEX, timeout=PATIENCE, isolation_level=None)
    try:
        _set_up(index)
        _write_ahead(index)
        index.execute("PRAGMA synchronous = NORMAL")
        if _version(index) < SCHEMA:
            _make(index)
        _vet(index)
        _vet_writable(folder / INDEX)
    except BaseException:
        index.close()
        raise
    return index


def in_memory() -> sqlite3.Connection:
    """An empty index that goes with the process."""
    index = sqlite3.connect(":memory:", isolation_level=None)
    _set_up(index)
    _make(index)
    return index


def read_only(folder: Path) -> sqlite3.Connection:
    """The index of a folder that cannot be written; OSError or sqlite3.Error where there is none.

    Write-ahead mode wants to write beside the index even to read it; where that cannot be done the
    file is read as it is, without what another process has not yet moved there.
    """
    path = quote(str((folder / INDEX).resolve()))
    last: sqlite3.Error | None = None
    for how in ("mode=ro", "mode=ro&immutable=1"):
        index = sqlite3.connect(f"file:{path}?{how}", uri=True, timeout=PATIENCE,
                                isolation_level=None)  # fmt: skip
        try:
            _set_up(index)
            _vet(index)
        except sqlite3.OperationalError as error:
            index.close()
            last = error
        except BaseException:
            index.close()
            raise
        else:
            return index
    assert last is not None
    raise last


def _vet_writable(path: Path) -> None:
    """SQLite opens what may only be read without a word, and fails when something is written.

    (Opening the file to find out would drop the locks that this process has on it.)
    """
    effective = os.access in os.supports_effective_ids
    for place in (path, path.parent):
        if not os.access(place, os.W_OK, effective_ids=effective):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def _set_up(index: sqlite3.Connection) -> None:
    # Text that is no UTF-8 fails its seal instead of the query.
    index.text_factory = lambda data: data.decode("utf-8", "replace")
    index.execute("PRAGMA foreign_keys = ON")
    index.execute("PRAGMA cell_size_check = ON")
    index.execute("PRAGMA trusted_schema = OFF")


def _version(index: sqlite3.Connection) -> int:
    return int(index.execute("PRAGMA user_version").fetchone()[0])


def _vet(index: sqlite3.Connection) -> None:
    version = _version(index)
    if version != SCHEMA:
        raise sqlite3.DatabaseError(f"the index has version {version}, wanted {SCHEMA}")


def _make(index: sqlite3.Connection) -> None:
    """The tables; what an older pathdsl left is dropped, since no key of today is among its keys.

    (The text of the program is a part of every key.) Its blobs are leftovers from then on.
    """
    index.execute("BEGIN IMMEDIATE")
    try:
        if 0 <= _version(index) < SCHEMA:  # no other process has made them meanwhile
            for table in ("entries", "blobs", "records"):
                index.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _TABLES.split(";"):
                index.execute(statement)
            index.execute(f"PRAGMA user_version = {SCHEMA}")
    except BaseException:
        index.execute("ROLLBACK")
        raise
    index.execute("COMMIT")


def _write_ahead(index: sqlite3.Connection) -> None:
    """Put the index into write-ahead mode; SQLite itself does not wait for others there."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            index.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
