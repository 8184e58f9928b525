"""The result store of a verb: opened and closed around its files, and what Ctrl-C leaves in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pathdsl.cli.complaints import complain
from pathdsl.errors import ExitCode

if TYPE_CHECKING:
    from pathdsl.engine.store.store import Store

__all__ = ["forget", "interrupted", "result_store", "store_limit"]

_used: list[Store | None] = []  # by the verb that runs; None where it keeps nothing


@contextmanager
def result_store(
    *, off: bool = False, shared: Path | None = None, who: str = "check"
) -> Iterator[Store | None]:
    """The user's store for the files of a verb, None if `off`; says at the end what is wrong.

    `shared`: a folder that others fill as well, in which this process is called `who`; leaves with
    3 where it cannot be written.
    """
    from pathdsl.checking.user_store import open_store

    try:
        store = None if off else (open_store() if shared is None else _shared(shared, who))
    except ValueError as error:
        import typer

        raise typer.BadParameter(str(error)) from error
    _used[:] = [store]
    yield store
    if store is not None:
        store.close()
        complain(store.warnings)
        if shared is not None:
            _vet(store)


def _shared(folder: Path, who: str) -> Store:
    from pathdsl.engine.store.shared import SharedStore

    store = SharedStore(folder, who)
    _vet(store, say=True)
    return store


def _vet(store: Store, *, say: bool = False) -> None:
    """Leave with 3 where a store that was asked for keeps nothing."""
    if store.trouble is None:
        return
    import typer

    if say:
        complain(store.warnings)
    raise typer.Exit(ExitCode.MACHINE_FAILED)


def store_limit() -> int:
    """Bytes that a check leaves in the store at most; typer.BadParameter where that is no size."""
    from pathdsl.checking.user_store import most_bytes
    from pathdsl.cli.options import readable

    with readable():
        return most_bytes()


def forget() -> None:
    """A new command begins, which has used no store yet."""
    _used.clear()


def interrupted() -> str:
    """What is said after Ctrl-C: what was kept, and how to go on."""
    if not _used:
        return "interrupted\n"
    store = _used.pop()
    if store is None:
        return "interrupted: nothing was kept, since no result store is used\n"
    kept = []
    if store.kept:
        kept.append("1 value" if store.kept == 1 else f"{store.kept:,} values")
    if store.under_way is not None:
        kept.append(f"{store.under_way.share:.0%} of what task `{store.under_way.task}` was at")
    complain(store.warnings)
    if not kept:
        return "interrupted: nothing was finished yet that could be kept\n"
    return (
        f"interrupted: {' and '.join(kept)} are in the result store; the same command goes on "
        "from there\n"
    )
