"""A model that stays in memory between the checks of one process."""

from __future__ import annotations

from typing import Any

from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.load.weights import LoadedModel, load, weight_files

__all__ = ["Held"]


class Held:
    """Loads as `pathdsl.engine.load.weights.load` does, and keeps the last model that it loaded.

    It is loaded again where another is asked for, and where one of its files has changed.
    """

    def __init__(self) -> None:
        self._mark: Any = None
        self._model: LoadedModel | None = None

    def __call__(
        self,
        source: ModelSource,
        device: str = "cpu",
        threads: int | None = None,
        *,
        fused: bool = False,
    ) -> LoadedModel:
        """The model of a source; raises what `load` raises."""
        mark = source, device, threads, fused, _marks(source)
        if self._model is None or mark != self._mark:
            self._model = None  # one at a time has its weights in memory
            self._model = load(source, device, threads, fused=fused)
            self._mark = mark
        return self._model


def _marks(source: ModelSource) -> list[tuple[str, int, int, int]]:
    """What changes where somebody writes to a weight file."""
    return [
        (str(path), at.st_mtime_ns, at.st_size, at.st_ino)
        for path in weight_files(source)
        for at in (path.stat(),)
    ]
