"""Files of weights that run code when they are read, and so are not."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PICKLES", "note_of_pickle"]

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
"""How they end."""


def note_of_pickle(path: Path) -> tuple[str, ...]:
    """What to say of a path that leads to one; nothing for any other."""
    if path.suffix not in PICKLES or not os.path.isfile(path):
        return ()
    return (
        "a pickle runs code when it is read; wanted what `model.save_pretrained(folder)` writes",
    )
