"""The result store: values of runs on disk, found again by what they mean.

A *key* is the sha256 of everything that decides a value (`pathdsl.engine.storekeys`). The values of
one executed plan lie in one safetensors file, a *blob*, named by the sha256 of its bytes; an SQLite
index says which blob holds which key.

    folder/results.sqlite          the index, in write-ahead mode
    folder/blobs/3f/3f9a….safetensors

Nothing here can give a wrong number. A blob is written under another name, renamed, and only then
entered in the index, so a process that is killed leaves at most a file that nothing points to. A
blob is read only if its bytes have the hash that is its name; any other is dropped, which makes its
values missing and not wrong. Two processes may work on one folder: each transaction is one write,
and the first value of a key stays. Whatever fails (no room, no permission, a damaged index) turns
the store off for the rest of the process, with the reason in `trouble`.

    with Store(default_folder()) as store:
        store.add({key: values}, plan=plan_key, proof="", about=About(task="ioi"))
        store.find([key])[key].values
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from pathdsl.errors import Diagnostic, Severity

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BLOB", "DEFAULT_BYTES", "INDEX", "About", "Found", "Store", "default_folder",
           "unusable"]  # fmt: skip

_T = TypeVar("_T")

DEFAULT_BYTES = 2_000_000_000
"""Bytes of blobs that a check leaves behind at most; the least recently used go first."""

SCHEMA = 1
INDEX = "results.sqlite"
BLOB = re.compile(r"[0-9a-f]{64}\.safetensors")
PATIENCE = 30.0  # seconds that a process waits for another one's transaction
_AT_ONCE = 500  # keys in one question; SQLite bounds the number of parameters

_TABLES = """
CREATE TABLE IF NOT EXISTS blobs (
    name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
    plan TEXT NOT NULL, proof TEXT NOT NULL, model TEXT NOT NULL, task TEXT NOT NULL,
    runs INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, blob TEXT NOT NULL REFERENCES blobs ON DELETE CASCADE, label TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_of ON entries (blob);
CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a blob is of, for people: model and task as written, number of runs, label by key."""

    model: str = ""
    task: str = ""
    runs: int = 0
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A stored value: (draws, rows) float64, the plan that computed it, and that plan's proof."""

    values: np.ndarray
    plan: str
    proof: str


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """`$PATHDSL_CACHE`, else `pathdsl` in the user's folder for caches; it need not exist."""
    if given := environment.get("PATHDSL_CACHE"):
        return Path(os.path.expanduser(given))
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(os.devnull)  # nothing can be kept there, and the warning says what to set
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "pathdsl"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "pathdsl"
    # The XDG specification: a relative path there is to be ignored.
    base = Path(environment.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else home / ".cache") / "pathdsl"


def unusable(folder: Path, error: Exception) -> Diagnostic:
    """The warning that says why a store is off, and what to do."""
    return Diagnostic(
        code="PD640",
        message="the result store cannot be used, so everything is computed",
        notes=(f"{folder}: {str(error).strip() or type(error).__name__}",),
        help="pathdsl cache prune --all, or `PATHDSL_CACHE=FOLDER` for another place, or "
        "`--no-cache`",
        severity=Severity.WARNING,
    )


class Store:
    """A folder of values. Never raises for what is wrong with the folder: see `trouble`.

    `max_bytes` bounds what `add` leaves behind. `trouble` is None, or the warning that says why the
    store is off: then nothing is found and nothing is kept.
    """

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.trouble: Diagnostic | None = None
        self._index: sqlite3.Connection | None = None
        self._guarded(self._open, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index; the store is off afterwards."""
        if self._index is not None:
            self._index.close()
            self._index = None

    @property
    def on(self) -> bool:
        """Whether values are found and kept."""
        return self._index is not None

    # ---------------------------------------------------------------------------------------------
    # Values
    # ---------------------------------------------------------------------------------------------

    def find(self, keys: Sequence[str]) -> dict[str, Found]:
        """The values that are there, by key; each blob's bytes are checked against its name."""
        return self._guarded(lambda: self._find(keys), {})

    def _find(self, keys: Sequence[str]) -> dict[str, Found]:
        where: dict[str, tuple[str, str, str]] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self.index.execute(
                "SELECT key, name, plan, proof FROM entries JOIN blobs ON blob = name "
                f"WHERE key IN ({marks})",
                part,
            )
            where |= {key: (name, plan, proof) for key, name, plan, proof in rows}
        blobs = {name: self._read(name) for name in {name for name, _, _ in where.values()}}
        good = [name for name, values in blobs.items() if values]
        now = time.time()
        with self.transaction() as index:
            index.executemany("UPDATE blobs SET used = ? WHERE name = ?", [(now, n) for n in good])
            for name in blobs.keys() - set(good):
                index.execute("DELETE FROM blobs WHERE name = ?", (name,))
        return {
            key: Found(values=blobs[name][key], plan=plan, proof=proof)
            for key, (name, plan, proof) in where.items()
            if key in blobs[name]
        }

    def _read(self, name: str) -> dict[str, np.ndarray]:
        """The values of a blob by key; empty where it is missing or not what was written."""
        from safetensors.numpy import load

        try:
            data = self.path_of(name).read_bytes()
        except OSError:
            return {}
        return dict(load(data)) if hashlib.sha256(data).hexdigest() == name else {}

    def add(self, values: Mapping[str, np.ndarray], *, plan: str, proof: str, about: About) -> None:
        """Keep the values of one plan; what is known under a key already stays.

        Args:
            values: (draws, rows) float64 by key.
            plan: the key of all that was computed together.
            proof: text that is handed back with each value.
            about: for people only.
        """
        if values:
            self._guarded(lambda: self._add(values, plan, proof, about), None)

    def _add(self, values: Mapping[str, np.ndarray], plan: str, proof: str, about: About) -> None:
        from safetensors.numpy import save

        data = save({key: values[key] for key in sorted(values)})
        name = hashlib.sha256(data).hexdigest()
        path = self.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{name}.{os.getpid()}.unfinished")
        try:
            unfinished.write_bytes(data)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        labels = about.labels or {}
        now = time.time()
        with self.transaction() as index:
            index.execute(
                "INSERT INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET used = excluded.used",
                (name, len(data), now, now, plan, proof, about.model, about.task, about.runs),
            )
            index.executemany(
                "INSERT OR IGNORE INTO entries VALUES (?, ?, ?)",
                [(key, name, labels.get(key, "")) for key in values],
            )
            # Another process may have been faster with every single one.
            index.execute(
                "DELETE FROM blobs WHERE name = ? "
                "AND NOT EXISTS (SELECT 1 FROM entries WHERE blob = blobs.name)",
                (name,),
            )
        if self.total_bytes() > self.max_bytes:
            from pathdsl.engine.storeprune import prune

            prune(self, max_bytes=self.max_bytes)

    # ---------------------------------------------------------------------------------------------
    # Records
    # ---------------------------------------------------------------------------------------------

    def record(self, key: str) -> str | None:
        """The text under a key, or None."""

        def read() -> str | None:
            row = self.index.execute("SELECT text FROM records WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            with self.transaction() as index:
                index.execute("UPDATE records SET used = ? WHERE key = ?", (time.time(), key))
            return str(row[0])

        return self._guarded(read, None)

    def add_record(self, key: str, text: str) -> None:
        """Keep a text under a key; one that is there already stays."""

        def write() -> None:
            now = time.time()
            with self.transaction() as index:
                index.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?)",
                              (key, text, now, now))  # fmt: skip

        self._guarded(write, None)

    # ---------------------------------------------------------------------------------------------
    # The folder
    # ---------------------------------------------------------------------------------------------

    @property
    def index(self) -> sqlite3.Connection:
        """The open index; sqlite3.OperationalError where the store is off."""
        if self._index is None:
            raise sqlite3.OperationalError("the result store is off")
        return self._index

    def path_of(self, name: str) -> Path:
        """Where the blob of that name lies, or would."""
        return self.folder / "blobs" / name[:2] / f"{name}.safetensors"

    def total_bytes(self) -> int:
        """Bytes of all blobs in the index."""
        return int(self.index.execute("SELECT COALESCE(SUM(bytes), 0) FROM blobs").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside, or none of it; waits for other processes."""
        index = self.index
        index.execute("BEGIN IMMEDIATE")
        try:
            yield index
        except BaseException:
            index.execute("ROLLBACK")
            raise
        index.execute("COMMIT")

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        index = sqlite3.connect(self.folder / INDEX, timeout=PATIENCE, isolation_level=None)
        try:
            _write_ahead(index)
            index.execute("PRAGMA synchronous = NORMAL")
            index.execute("PRAGMA foreign_keys = ON")
            version = index.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise sqlite3.DatabaseError(f"the index has version {version}, wanted {SCHEMA}")
            if version == 0:
                index.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA};"
                                    " COMMIT;")  # fmt: skip
        except BaseException:
            index.close()
            raise
        self._index = index

    def _guarded(self, work: Callable[[], _T], otherwise: _T) -> _T:
        """What `work` gives; `otherwise` where the store is off or this turns it off."""
        if self.trouble is not None:
            return otherwise
        try:
            return work()
        except (OSError, sqlite3.Error) as error:
            self.close()
            self.trouble = unusable(self.folder, error)
            return otherwise


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
