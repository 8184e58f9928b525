"""A result store in a shared folder: every process writes its own index and reads those of all.

    folder/made-by.json                        what the values are computed with
    folder/index/3-of-16.1f9c….jsonl           what one process has added, line by line
    folder/blobs/3f/3f9a….safetensors          the values, as in a user's store

SQLite's write-ahead mode needs memory that processes share, and network file systems lock files
badly or not at all. So no file here has two writers. A blob appears whole under the hash of its
bytes, and whoever computes the same values writes the same file. An index only grows. Its lines are
sealed: one that is not all there yet (a write under way, a page that the network has not brought)
is read again later. What is read goes into an SQLite index in memory, and all that a user's store
does is done there.

Nothing is ever removed, whatever `PATHDSL_CACHE_SIZE` says: others may be about to read it. Values
are found only as those of whole plans, so that no value depends on what else lies in the folder.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pathdsl.engine.store.folder import warning
from pathdsl.engine.store.index import BlobRow, in_memory, seal
from pathdsl.engine.store.store import Seen, Store
from pathdsl.errors import Diagnostic, EngineError
from pathdsl.record import record

__all__ = ["MADE_BY", "SharedStore", "Work"]

MADE_BY = "made-by.json"
_NO_BOUND = 1 << 62


@record
class Work:
    """How a plan is cut into blocks of `step` rows: what its items are, known without the plan.

    `values` numbers for each of `n_rows` rows and `draws`; `macs` multiply-adds in all, means
    included. `itemsize`: bytes of a number of the model. `treats`: it has a self-check, which is
    its last item. `label` is for people.
    """

    plan: str
    label: str
    step: int
    n_rows: int
    draws: int
    values: int
    macs: int
    itemsize: int
    treats: bool

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First and end of the rows of each block."""
        ends = [*range(self.step, self.n_rows, self.step), self.n_rows]
        return tuple((number * self.step, end) for number, end in enumerate(ends))

    @property
    def items(self) -> int:
        """Its blocks, and its self-check."""
        return len(self.blocks) + self.treats


class SharedStore(Store):
    """A folder that several processes and machines fill.

    `who` stands in the name of the index that this process writes, `3-of-16`.
    """

    whole_plans = True

    def __init__(self, folder: Path, who: str = "check") -> None:
        self.who = who
        self.works: dict[str, Work] = {}
        self.announced: dict[str, set[str]] = {}
        self._ours: Path | None = None
        self._offsets: dict[str, int] = {}
        self._broken: set[tuple[str, int]] = set()
        self._damaged: set[str] = set()
        self._absent: set[str] = set()
        super().__init__(folder, _NO_BOUND)
        if self.trouble is None and not os.access(folder / "index", os.W_OK):
            self._keep_nothing(PermissionError(f"no permission to write in {folder / 'index'}"))

    def _open(self) -> None:
        (self.folder / "index").mkdir(parents=True, exist_ok=True)
        self._anew()

    def _anew(self) -> None:
        """The index in memory from those of the folder, this process's own among them."""
        if self._index is not None:
            self._index.close()
        self._index = in_memory()
        self._offsets.clear()
        ours, self._ours = self._ours, None
        try:
            self._read_indices()
        finally:
            self._ours = ours

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What a user has to know of this store, each said once."""
        found: tuple[Diagnostic, ...] = () if self.trouble is None else (self.trouble,)
        if self.damaged:
            what = "entry was" if self.damaged == 1 else "entries were"
            left = sorted(str(self.path_of(name)) for name in self._damaged)
            listed = ", ".join([*left[:4], *["…"] * (len(left) > 4)])
            found += (
                warning(
                    f"{self.damaged} {what} damaged in `{self.folder}` and computed anew",
                    f"damaged still: {listed}" if left else "they are written anew, too",
                    f"remove {'this file' if len(left) == 1 else 'these files'}" if left else "",
                ),
            )
        if self._broken:
            what = "line is" if len(self._broken) == 1 else "lines are"
            found += (
                warning(
                    f"{len(self._broken)} {what} damaged in the indices of the store; what they "
                    "told of is computed anew",
                    f"{self.folder}: {', '.join(sorted({name for name, _ in self._broken}))}",
                    "remove these files, if nothing is writing to them",
                ),
            )
        return found

    def _turn_off(self, error: Exception) -> None:
        super()._turn_off(error)
        self.trouble = self._unusable("cannot be used, and nothing is computed without it", error)

    def _keep_nothing(self, error: Exception) -> None:
        before = self.trouble
        super()._keep_nothing(error)
        self.trouble = before or self._unusable("cannot be written; what is there is used", error)

    def _unusable(self, what: str, error: Exception) -> Diagnostic:
        return warning(
            f"the folder `{self.folder}` of `--store` {what}",
            str(error).strip() or type(error).__name__,
            "make room, get leave to write there or remove what is in the way, or `--store` with "
            "another folder",
        )

    # ---------------------------------------------------------------------------------------------
    # Indices
    # ---------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Learn what others have added since; blobs that were not there may have come."""
        absent, self._absent = self._absent, set()
        self.reading(self._anew if absent else self._read_indices, None)

    def _read_indices(self) -> None:
        for path in sorted((self.folder / "index").glob("*.jsonl")):
            if path != self._ours:
                with suppress(FileNotFoundError):
                    self._read_index(path)

    def _read_index(self, path: Path) -> None:
        """The lines behind those that were read; the first bad one is where to go on next time."""
        name, place = path.name, self._offsets.get(path.name, 0)
        if path.stat().st_size <= place:
            return
        with open(path, "rb") as file:
            file.seek(place)
            data = file.read()
        self._broken = {one for one in self._broken if one[0] != name}
        good = place
        for line in data.splitlines(keepends=True):
            place += len(line)
            if not line.strip():
                continue
            said = _unsealed(line) if line.endswith(b"\n") else None
            if said is None:
                if line.endswith(b"\n"):
                    self._broken.add((name, place - len(line)))
                continue
            self._learn(said, name)
            if not any(one == name for one, _ in self._broken):
                good = place
        self._offsets[name] = good

    def _learn(self, said: Mapping[str, Any], name: str) -> None:
        """Enter one line in the index in memory; what says nothing known is left out."""
        match said:
            case {"blob": list(row), "keys": dict(keys)} if len(row) == 8:
                if row[0] not in self._damaged | self._absent:
                    self._enter(tuple(row), keys)
            case {"record": str(key), "text": str(text), "replaces": bool(replaces)}:
                (super().replace_record if replaces else super().add_record)(key, text)
            case {"work": dict(work)}:
                with suppress(TypeError):
                    found = Work(**work)
                    self.works.setdefault(found.plan, found)
                    self.announced.setdefault(found.plan, set()).add(name)

    def _write(self, said: Mapping[str, Any]) -> None:
        """Add one line to this process's own index, on the disk when this returns."""
        if self._ours is None:
            name = f"{self.who}.{secrets.token_hex(4)}.jsonl"
            self._ours = self.folder / "index" / name
        text = json.dumps(said, separators=(",", ":"))
        # A line that was cut off by a full disk ends where the next begins.
        with open(self._ours, "ab") as file:
            file.write(f"\n{seal(text)[:16]} {text}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    # ---------------------------------------------------------------------------------------------
    # What a store does
    # ---------------------------------------------------------------------------------------------

    def _settle(self, seen: Seen) -> None:
        """Leave out what is damaged, and what is not there until it is looked for again: another
        process may have computed the same, or is about to."""
        if seen.damaged or seen.missing:
            self._damaged.update(seen.damaged)
            self._absent.update(seen.missing)
            self._anew()

    def _keep(self, row: BlobRow, labels: Mapping[str, str], part: bool) -> None:
        self._damaged.discard(row[0])
        self._absent.discard(row[0])
        self._write({"blob": list(row), "keys": dict(labels)})
        self._enter(row, labels)

    def forget(self, plan: str) -> None:
        """Nothing is removed: parts hang on no proof, and no value counts without one."""

    def add_record(self, key: str, text: str) -> None:
        """Keep a text under a key; one that is there already stays."""
        self._record(key, text, replaces=False)

    def replace_record(self, key: str, text: str) -> None:
        """Keep a text under a key in place of the one that is there."""
        self._record(key, text, replaces=True)

    def _record(self, key: str, text: str, *, replaces: bool) -> None:
        said = {"record": key, "text": text, "replaces": replaces}
        self.writing(lambda: self._write(said))
        (super().replace_record if replaces else super().add_record)(key, text)

    def announce(self, work: Work) -> None:
        """Say how a plan is cut, once."""
        ours = self._ours.name if self._ours is not None else ""
        if ours in self.announced.get(work.plan, ()):
            return
        self.writing(lambda: self._write({"work": asdict(work)}))
        self.works.setdefault(work.plan, work)
        if self._ours is not None:
            self.announced.setdefault(work.plan, set()).add(self._ours.name)

    def others_at(self, plan: str) -> bool:
        """Whether another process has begun with a plan."""
        ours = self._ours.name if self._ours is not None else ""
        return bool(self.announced.get(plan, set()) - {ours})

    def keys_of(self, plan: str) -> set[str]:
        """The keys of a plan's parts that are there; their bytes are not looked at."""

        def keys() -> set[str]:
            rows = self.index.execute(
                "SELECT key FROM entries JOIN blobs ON blob = name "
                "WHERE plan = ? AND unfinished = 1",
                (plan,),
            )
            return {key for (key,) in rows}

        return self.reading(keys, set())

    def n_values(self) -> dict[str, int]:
        """By plan, how many parts of its values are there."""

        def count() -> dict[str, int]:
            rows = self.index.execute(
                "SELECT plan, COUNT(*) FROM entries JOIN blobs ON blob = name "
                "WHERE unfinished = 1 AND label LIKE 'values %' GROUP BY plan"
            )
            return dict(rows.fetchall())

        return self.reading(count, {})

    # ---------------------------------------------------------------------------------------------
    # What the values are computed with
    # ---------------------------------------------------------------------------------------------

    def vet_made_by(self, ours: Mapping[str, str]) -> None:
        """Write down what the values of this folder are computed with, if nobody has; raises
        EngineError (PD642) where it is something else than `ours`, text by name."""
        path = self.folder / MADE_BY
        theirs = _made_by(path)
        if theirs is None and self.writable:
            _first(path, json.dumps(dict(ours), indent=2, sort_keys=True) + "\n")
            theirs = _made_by(path)
        if theirs is None:
            raise EngineError(
                Diagnostic(
                    code="PD642",
                    message=f"`{path}` does not say what the values in the folder were made with",
                    help="`--store` with a new folder",
                )
            )
        others = [name for name in (*ours, *theirs) if ours.get(name) != theirs.get(name)]
        if others:
            first = others[0]
            notes = [
                f"{name}: `{theirs.get(name, '')}` there, `{ours.get(name, '')}` here"
                for name in dict.fromkeys(others)
            ]
            raise EngineError(
                Diagnostic(
                    code="PD642",
                    message=f"the values in `{self.folder}` are of another {first}",
                    notes=tuple(notes),
                    help=_REPAIRS.get(first, "`--store` with a new folder"),
                )
            )


_REPAIRS = {
    "number of threads": "the same `--threads` everywhere, or `--store` with a new folder",
    "memory limit": "the same `--memory` everywhere, or `--store` with a new folder",
}


def _made_by(path: Path) -> dict[str, str] | None:
    """What a folder's values were made with; None where nobody has said it, or not readably."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        return None
    return found


def _first(path: Path, text: str) -> None:
    """Write a file that is not there yet; whoever comes second changes nothing."""
    with suppress(OSError):
        number, temporary = tempfile.mkstemp(dir=path.parent, prefix=".pathdsl-", suffix=".tmp")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.link(temporary, path)  # fails where the name is taken, on network folders, too
        finally:
            os.unlink(temporary)


def _unsealed(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is not the one that was written."""
    stamp, _, text = line.decode("utf-8", "replace").strip().partition(" ")
    if seal(text)[:16] != stamp:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
