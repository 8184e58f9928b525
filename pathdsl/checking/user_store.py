"""The result store of the user, where the environment says, and as large as it says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pathdsl.checking.options import read_size

if TYPE_CHECKING:
    from pathdsl.engine.store.store import Store

__all__ = ["most_bytes", "open_store"]

SIZE = "PATHDSL_CACHE_SIZE"


def most_bytes() -> int:
    """Bytes that a check leaves in the store at most; ValueError where `SIZE` holds no size."""
    from pathdsl.engine.store.store import DEFAULT_BYTES

    given = os.environ.get(SIZE)
    if not given:
        return DEFAULT_BYTES
    try:
        return read_size(given)
    except ValueError as error:
        raise ValueError(f"`{SIZE}`: {error}") from error


def open_store() -> Store:
    """The user's store, made if need be; its `warnings` say what is wrong with it.

    `PATHDSL_CACHE` names its folder. Raises ValueError as `most_bytes` does.
    """
    from pathdsl.engine.store.store import Store, default_folder

    return Store(default_folder(), most_bytes())
