"""The result store: values of runs on disk, found again by what they mean.

A *key* is the sha256 of everything that decides a value (`pathdsl.engine.store.keys`). The values
of one executed plan lie in one safetensors file, a *blob*, named by the sha256 of its bytes; an
SQLite index (`pathdsl.engine.store.index`) says which blob holds which key.

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
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pathdsl.engine.store.folder import (
    BLOB,
    DEFAULT_BYTES,
    About,
    Found,
    Underway,
    default_folder,
    tensors,
)
from pathdsl.engine.store.index import BLOB_COLUMNS, INDEX, BlobRow, seal
from pathdsl.engine.store.opened import OpenStore
from pathdsl.engine.store.prune import prune
from pathdsl.whole import write_whole

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DEFAULT_BYTES",
    "INDEX",
    "About",
    "Found",
    "Seen",
    "Store",
    "Underway",
    "default_folder",
]

_AT_ONCE = 500  # keys in one question; SQLite bounds the number of parameters


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a search met: blobs by how they are, and keys whose blob does not hold them."""

    used: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)


class Store(OpenStore):
    """A folder of values, open for one process.

    `max_bytes` bounds what `add` leaves behind. `whole_plans`: values are found only together with
    all that their plan computed. `kept` counts the values that were added;
    `under_way` says how much of the plan that is executed now is kept.
    """

    whole_plans = False

    def __init__(self, folder: str | PathLike[str], max_bytes: int = DEFAULT_BYTES) -> None:
        super().__init__(Path(folder))
        self.max_bytes = max_bytes
        self.kept = 0
        self.under_way: Underway | None = None

    # ---------------------------------------------------------------------------------------------
    # Values
    # ---------------------------------------------------------------------------------------------

    def find(self, keys: Sequence[str]) -> dict[str, Found]:
        """The values that are there, by key, each verified."""
        seen = Seen()
        none: dict[str, Found] = {}
        found = self.reading(lambda: self._find(keys, seen), none)
        self.damaged += len(seen.damaged) + len(seen.astray)
        if seen != Seen():
            self.writing(lambda: self._settle(seen))
        return found

    def _find(self, keys: Sequence[str], seen: Seen) -> dict[str, Found]:
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
                rows[blob] = (tuple(row), stamp)
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

    def _settle(self, seen: Seen) -> None:
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
            self.writing(lambda: self._add(values, plan, proof, about, unfinished))
        if self.writable and not unfinished:
            self.kept += len(values)
            self.under_way = None

    def _add(
        self, values: Mapping[str, np.ndarray], plan: str, proof: str, about: About, part: bool
    ) -> None:
        from safetensors.numpy import save

        data = save({key: values[key] for key in sorted(values)})
        name = hashlib.sha256(data).hexdigest()
        path = self.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        given = about.labels or {}
        labels = {key: given.get(key, "") for key in values}
        row = (name, len(data), plan, proof, about.model, about.task, about.runs, int(part))
        self._keep(row, labels, part)

    def _keep(self, row: BlobRow, labels: Mapping[str, str], part: bool) -> None:
        """Enter a blob that lies in the folder; the parts of its plan go when it is whole."""
        gone = self._enter(row, labels, without_parts=not part)
        for blob in gone:
            if BLOB.fullmatch(f"{blob}.safetensors"):
                self.path_of(blob).unlink(missing_ok=True)
        if self.total_bytes() > self.max_bytes:
            prune(self, max_bytes=self.max_bytes)

    def _enter(
        self, row: BlobRow, labels: Mapping[str, str], *, without_parts: bool = False
    ) -> list[str]:
        """Enter a blob with its keys in the index; the blobs of parts that went for it."""
        name, plan, now = row[0], row[2], time.time()
        gone: list[str] = []
        with self.transaction() as index:
            index.execute(
                f"INSERT INTO blobs ({BLOB_COLUMNS}, seal, created, used) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET used = excluded.used",
                (*row, seal(*row), now, now),
            )
            index.executemany(
                "INSERT OR IGNORE INTO entries VALUES (?, ?, ?)",
                [(key, name, label) for key, label in labels.items()],
            )
            # Another process may have been faster with every single one.
            index.execute(
                "DELETE FROM blobs WHERE name = ? "
                "AND NOT EXISTS (SELECT 1 FROM entries WHERE blob = blobs.name)",
                (name,),
            )
            if without_parts:
                parts = "FROM blobs WHERE plan = ? AND unfinished = 1"
                gone = [blob for (blob,) in index.execute(f"SELECT name {parts}", (plan,))]
                index.execute(f"DELETE {parts}", (plan,))
        return gone

    def parts_of(self, plan: str) -> dict[str, np.ndarray]:
        """The parts of an unfinished plan's values, by key, each verified."""

        def keys() -> list[str]:
            rows = self.index.execute(
                "SELECT key FROM entries JOIN blobs ON blob = name "
                "WHERE plan = ? AND unfinished = 1",
                (plan,),
            )
            return [key for (key,) in rows]

        return {key: found.values for key, found in self.find(self.reading(keys, [])).items()}

    def forget(self, plan: str) -> None:
        """Drop the parts of an unfinished plan."""

        def drop() -> None:
            with self.transaction() as index:
                index.execute("DELETE FROM blobs WHERE plan = ? AND unfinished = 1", (plan,))

        self.writing(drop)

    def reject(self, keys: Iterable[str]) -> None:
        """Drop values or records that are whole but are not what their key stands for."""
        gone = [(key,) for key in keys]
        self.damaged += len(gone)

        def drop() -> None:
            with self.transaction() as index:
                index.executemany("DELETE FROM entries WHERE key = ?", gone)
                index.executemany("DELETE FROM records WHERE key = ?", gone)

        self.writing(drop)

    # ---------------------------------------------------------------------------------------------
    # Records
    # ---------------------------------------------------------------------------------------------

    def record(self, key: str) -> str | None:
        """The text under a key, verified, or None."""

        def read() -> tuple[str, str] | None:
            found = self.index.execute("SELECT text, seal FROM records WHERE key = ?", (key,))
            row: tuple[str, str] | None = found.fetchone()
            return row

        row = self.reading(read, None)
        if row is None:
            return None
        text, stamp = row
        if seal(key, text) != stamp:
            self.reject([key])
            return None

        def touch() -> None:
            with self.transaction() as index:
                index.execute("UPDATE records SET used = ? WHERE key = ?", (time.time(), key))

        self.writing(touch)
        return text

    def add_record(self, key: str, text: str) -> None:
        """Keep a text under a key; one that is there already stays."""

        def write() -> None:
            now = time.time()
            with self.transaction() as index:
                index.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)",
                              (key, text, now, now, seal(key, text)))  # fmt: skip

        self.writing(write)

    def replace_record(self, key: str, text: str) -> None:
        """Keep a text under a key in place of the one that is there: facts that grow."""

        def write() -> None:
            now = time.time()
            with self.transaction() as index:
                index.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)",
                              (key, text, now, now, seal(key, text)))  # fmt: skip

        self.writing(write)

    def total_bytes(self) -> int:
        """Bytes of all blobs in the index."""
        total = self.index.execute("SELECT TOTAL(bytes) FROM blobs").fetchone()[0]
        return int(min(total, 1e18))  # damaged rows may sum up to infinity
