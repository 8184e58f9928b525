"""The result store: values of runs on disk, found again by what they mean.

A *key* is the sha256 of everything that decides a value (`pathdsl.engine.storekeys`). The values of
one executed plan lie in one safetensors file, a *blob*, named by the sha256 of its bytes; an SQLite
index (`pathdsl.engine.storeindex`) says which blob holds which key.

    folder/results.sqlite          the index
    folder/blobs/3f/3f9a….safetensors

Nothing here can give a wrong number. A blob appears whole (`pathdsl.whole`) and is only then
entered in the index, so a process that is killed leaves at most a file that nothing points to. All
that is read back is verified: a blob by the hash that is its name, what the index says by a seal.
What does not hold is dropped and counted (`damaged`), which makes it missing and not wrong. Several
processes may work on one folder: each transaction is one write, and the first value of a key stays.
Where nothing can be written (no room, no permission) what is there is still read; where nothing can
be read either the store is off. `trouble` says why.

    with Store(default_folder()) as store:
        store.add({key: values}, plan=plan_key, proof="", about=About(task="ioi"))
        store.find([key])[key].values
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from pathdsl.engine.storefolder import (
    BLOB,
    DEFAULT_BYTES,
    About,
    Found,
    default_folder,
    tensors,
    unusable,
    warning,
)
from pathdsl.engine.storeindex import BLOB_COLUMNS, INDEX, BlobRow, connect, read_only, seal
from pathdsl.errors import Diagnostic
from pathdsl.whole import write_whole

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DEFAULT_BYTES", "INDEX", "About", "Found", "Store", "default_folder"]

_T = TypeVar("_T")

_AT_ONCE = 500  # keys in one question; SQLite bounds the number of parameters


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What a search met: blobs by how they are, and keys whose blob does not hold them."""

    used: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)


class Store:
    """A folder of values. Never raises for what is wrong with the folder: see `warnings`.

    `max_bytes` bounds what `add` leaves behind. `trouble` is None, or the warning that says why
    nothing can be kept and, where the store is not `on`, nothing found; `cause` is the fault that
    turned it off. `damaged` counts what was read, did not verify, and was dropped.
    """

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.trouble: Diagnostic | None = None
        self.cause: Exception | None = None
        self.damaged = 0
        self._index: sqlite3.Connection | None = None
        self._writable = True
        self._place = 0
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            self._turn_off(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index; the store is off afterwards."""
        if self._index is not None:
            with suppress(sqlite3.Error):  # of the last writes that go from the log to the index
                self._index.close()
            self._index = None

    @property
    def on(self) -> bool:
        """Whether values are found."""
        return self._index is not None

    @property
    def writable(self) -> bool:
        """Whether values are kept."""
        return self.on and self._writable

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What a user has to know of this store, each said once."""
        found = [self.trouble] if self.trouble is not None else []
        if self.damaged:
            what = "entry was" if self.damaged == 1 else "entries were"
            found.append(
                warning(
                    f"{self.damaged} {what} damaged in the result store and computed anew",
                    f"{self.folder}: what is read back must have the hash it was written with",
                    "pathdsl cache prune, which removes what else is damaged there",
                )
            )
        return tuple(found)

    # ---------------------------------------------------------------------------------------------
    # Values
    # ---------------------------------------------------------------------------------------------

    def find(self, keys: Sequence[str]) -> dict[str, Found]:
        """The values that are there, by key, each verified."""
        seen = _Seen()
        found = self._reading(lambda: self._find(keys, seen), {})
        self.damaged += len(seen.damaged)
        if seen != _Seen():
            self._writing(lambda: self._settle(seen))
        return found

    def _find(self, keys: Sequence[str], seen: _Seen) -> dict[str, Found]:
        rows: dict[str, tuple[BlobRow, str]] = {}
        where: dict[str, str] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            for key, blob, stamp, *row in self.index.execute(
                f"SELECT key, blob, seal, {BLOB_COLUMNS} FROM entries LEFT JOIN blobs "
                f"ON blob = name WHERE key IN ({marks})",
                part,
            ):
                where[key] = blob
                rows[blob] = (tuple(row), stamp)  # type: ignore[assignment]
        blobs: dict[str, Mapping[str, np.ndarray]] = {}
        for name, (row, stamp) in rows.items():
            if row[0] is None:
                continue  # its keys have gone astray
            values = self._read(name) if seal(*row) == stamp else None
            if values is None:
                seen.damaged.append(name)
            elif not values:
                seen.missing.append(name)
            else:
                seen.used.append(name)
            blobs[name] = values or {}
        found = {}
        for key, name in where.items():
            if key in blobs.get(name, {}):
                _, _, plan, proof, *_ = rows[name][0]
                found[key] = Found(values=blobs[name][key], plan=plan, proof=proof)
            elif name not in (*seen.damaged, *seen.missing):
                seen.astray.append(key)
        return found

    def _read(self, name: str) -> dict[str, np.ndarray] | None:
        """The values of a blob by key: none where it is missing, None where it is damaged."""
        if not BLOB.fullmatch(f"{name}.safetensors"):
            return None
        try:
            data = self.path_of(name).read_bytes()
        except OSError:
            return {}
        return tensors(data, name)

    def _settle(self, seen: _Seen) -> None:
        """Note what was used and drop what was not there."""
        now = time.time()
        with self.transaction() as index:
            index.executemany(
                "UPDATE blobs SET used = ? WHERE name = ?", [(now, name) for name in seen.used]
            )
            gone = [(name,) for name in (*seen.damaged, *seen.missing)]
            index.executemany("DELETE FROM blobs WHERE name = ?", gone)
            index.executemany("DELETE FROM entries WHERE key = ?", [(k,) for k in seen.astray])

    def add(
        self,
        values: Mapping[str, np.ndarray],
        *,
        plan: str,
        proof: str,
        about: About,
        unfinished: bool = False,
    ) -> None:
        """Keep the values of one plan; what is known under a key already stays.

        Args:
            values: two axes of float64 by key.
            plan: the key of all that was computed together.
            proof: text that is handed back with each value.
            about: for people only.
            unfinished: these are parts of a plan's values; they go when the whole comes.
        """
        if values:
            self._writing(lambda: self._add(values, plan, proof, about, unfinished))

    def _add(
        self, values: Mapping[str, np.ndarray], plan: str, proof: str, about: About, part: bool
    ) -> None:
        from safetensors.numpy import save

        data = save({key: values[key] for key in sorted(values)})
        name = hashlib.sha256(data).hexdigest()
        path = self.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        labels = about.labels or {}
        now = time.time()
        row = (name, len(data), plan, proof, about.model, about.task, about.runs, int(part))
        with self.transaction() as index:
            index.execute(
                f"INSERT INTO blobs ({BLOB_COLUMNS}, seal, created, used) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET used = excluded.used",
                (*row, seal(*row), now, now),
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
            gone = []
            if not part:
                parts = "FROM blobs WHERE plan = ? AND unfinished = 1"
                gone = [blob for (blob,) in index.execute(f"SELECT name {parts}", (plan,))]
                index.execute(f"DELETE {parts}", (plan,))
        for blob in gone:
            if BLOB.fullmatch(f"{blob}.safetensors"):
                self.path_of(blob).unlink(missing_ok=True)
        if self.total_bytes() > self.max_bytes:
            from pathdsl.engine.storeprune import prune

            prune(self, max_bytes=self.max_bytes)

    def reject(self, keys: Iterable[str]) -> None:
        """Drop values or records that are whole but are not what their key stands for."""
        gone = [(key,) for key in keys]
        self.damaged += len(gone)

        def drop() -> None:
            with self.transaction() as index:
                index.executemany("DELETE FROM entries WHERE key = ?", gone)
                index.executemany("DELETE FROM records WHERE key = ?", gone)

        self._writing(drop)

    # ---------------------------------------------------------------------------------------------
    # Records
    # ---------------------------------------------------------------------------------------------

    def record(self, key: str) -> str | None:
        """The text under a key, verified, or None."""

        def read() -> tuple[str, str] | None:
            found = self.index.execute("SELECT text, seal FROM records WHERE key = ?", (key,))
            row: tuple[str, str] | None = found.fetchone()
            return row

        row = self._reading(read, None)
        if row is None:
            return None
        text, stamp = row
        if seal(key, text) != stamp:
            self.reject([key])
            return None

        def touch() -> None:
            with self.transaction() as index:
                index.execute("UPDATE records SET used = ? WHERE key = ?", (time.time(), key))

        self._writing(touch)
        return text

    def add_record(self, key: str, text: str) -> None:
        """Keep a text under a key; one that is there already stays."""

        def write() -> None:
            now = time.time()
            with self.transaction() as index:
                index.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)",
                              (key, text, now, now, seal(key, text)))  # fmt: skip

        self._writing(write)

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
        total = self.index.execute("SELECT TOTAL(bytes) FROM blobs").fetchone()[0]
        return int(min(total, 1e18))  # damaged rows may sum up to infinity

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside, or none of it; waits for other processes."""
        index = self.index
        index.execute("BEGIN IMMEDIATE")
        try:
            yield index
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself where the disk is full
                index.execute("ROLLBACK")
            raise
        index.execute("COMMIT")

    def _open(self) -> None:
        try:
            self._index = connect(self.folder)
            self._place = self._placed()
        except (OSError, sqlite3.OperationalError) as error:
            if not (self.folder / INDEX).is_file():
                raise
            self._index = read_only(self.folder)
            self._keep_nothing(error)

    def _placed(self) -> int:
        """Which file the index is, by the file system; 0 where there is none."""
        try:
            return (self.folder / INDEX).stat().st_ino
        except OSError:
            return 0

    def _reading(self, work: Callable[[], _T], otherwise: _T) -> _T:
        """What `work` gives; `otherwise` where the store is off or this turns it off."""
        if not self.on:
            return otherwise
        try:
            try:
                return work()
            except (OSError, sqlite3.Error):
                self._open_again()  # another process may have removed everything
                return work()
        except (OSError, sqlite3.Error) as error:
            self._turn_off(error)
            return otherwise

    def _writing(self, work: Callable[[], None]) -> None:
        """Do `work` where something can be kept; the first failure is the last attempt."""
        if not self.writable:
            return
        try:
            try:
                if self._place != self._placed():
                    self._open_again()  # another process has removed the file
                work()
            except (OSError, sqlite3.Error):
                self._open_again()
                if self._writable:
                    work()
        except (OSError, sqlite3.OperationalError) as error:
            self._keep_nothing(error)
        except sqlite3.Error as error:
            self._turn_off(error)

    def _open_again(self) -> None:
        self.close()
        self._open()

    def _turn_off(self, error: Exception) -> None:
        self.close()
        self.cause = error
        self.trouble = unusable(self.folder, error)

    def _keep_nothing(self, error: Exception) -> None:
        self._writable = False
        if self.trouble is None:
            self.trouble = warning(
                "nothing can be written to the result store; what is there is used",
                f"{self.folder}: {str(error).strip() or type(error).__name__}",
                "make room or get leave to write there, or `PATHDSL_CACHE=FOLDER` for another "
                "place",
            )
