"""A result store that is open: its index, what fails, and what a user is told of that."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, TypeVar

from pathdsl.engine.store.folder import unusable, warning
from pathdsl.engine.store.index import FAULTS, INDEX, connect, read_only
from pathdsl.errors import Diagnostic

__all__ = ["OpenStore"]

_T = TypeVar("_T")


class OpenStore:
    """The index of a folder. Never raises for what is wrong with the folder: see `warnings`.

    `trouble` is None, or the warning that says why nothing can be kept and, where the store is not
    `on`, nothing found; `cause` is the fault that turned it off. `damaged` counts what was read,
    did not verify, and was dropped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trouble: Diagnostic | None = None
        self.cause: Exception | None = None
        self.damaged = 0
        self._index: sqlite3.Connection | None = None
        self._writable = True
        self._place = 0
        try:
            self._open()
        except FAULTS as error:
            self._turn_off(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index; the store is off afterwards."""
        if self._index is not None:
            with suppress(*FAULTS):  # of the last writes that go from the log to the index
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

    @property
    def index(self) -> sqlite3.Connection:
        """The open index; sqlite3.OperationalError where the store is off."""
        if self._index is None:
            raise sqlite3.OperationalError("the result store is off")
        return self._index

    def path_of(self, name: str) -> Path:
        """Where the blob of that name lies, or would."""
        return self.folder / "blobs" / name[:2] / f"{name}.safetensors"

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside, or none of it; waits for other processes."""
        index = self.index
        index.execute("BEGIN IMMEDIATE")
        try:
            yield index
        except BaseException:
            with suppress(*FAULTS):  # SQLite has rolled back by itself where the disk is full
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

    def reading(self, work: Callable[[], _T], otherwise: _T) -> _T:
        """What `work` gives; `otherwise` where the store is off or this turns it off."""
        if not self.on:
            return otherwise
        try:
            try:
                return work()
            except FAULTS:
                self._open_again()  # another process may have removed everything
                return work()
        except FAULTS as error:
            self._turn_off(error)
            return otherwise

    def writing(self, work: Callable[[], None]) -> None:
        """Do `work` where something can be kept; the first failure is the last attempt."""
        if not self.writable:
            return
        try:
            try:
                if self._place != self._placed():
                    self._open_again()  # another process has removed the file
                work()
            except FAULTS:
                self._open_again()
                if self._writable:
                    work()
        except (OSError, sqlite3.OperationalError) as error:
            self._keep_nothing(error)
        except FAULTS as error:
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
