"""The result store of a verb: opened and closed around its files, and what Ctrl-C leaves in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pathdsl.cli.complaints import complain

if TYPE_CHECKING:
    from pathdsl.engine.store.store import Store

__all__ = ["forget", "interrupted", "result_store", "store_limit"]

_used: list[Store | None] = []  # by the verb that runs; None where it keeps nothing


@contextmanager
def result_store(*, off: bool = False) -> Iterator[Store | None]:
    """The user's store for the files of a verb, None if `off`; says at the end what is wrong."""
    from pathdsl.checking.user_store import open_store
    from pathdsl.cli.options import readable

    with readable():
        store = None if off else open_store()
    _used[:] = [store]
    yield store
    if store is not None:
        store.close()
        complain(store.warnings)


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
