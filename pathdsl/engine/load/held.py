"""A model that stays in memory between the checks of one process."""

from __future__ import annotations

from typing import Any

from pathdsl.engine.load.files import all_files
from pathdsl.engine.load.source import ModelSource, folder_of
from pathdsl.engine.load.weights import LoadedModel, load, weight_files
from pathdsl.reading import Mark, mark_of, note

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
        streamed: bool = False,
    ) -> LoadedModel:
        """The model of a source; raises what `load` raises."""
        mark = source, device, threads, fused, streamed, _marks(source)
        if self._model is None or mark != self._mark:
            self._model = None  # one at a time has its weights in memory
            self._model = load(source, device, threads, fused=fused, streamed=streamed)
            self._mark = mark
        return self._model


def _marks(source: ModelSource) -> list[tuple[str, Mark]]:
    """What changes where somebody writes to a file that decides how the model computes.

    Beside weights that is the config, whose constants are part of the model. (Files of the hub lie
    in a folder that is named by their commit.)
    """
    folder = folder_of(source)
    files = {*weight_files(source), *(all_files(folder) if folder is not None else ())}
    for path in sorted(files):
        note(path)
    return [(str(path), mark_of(path)) for path in sorted(files)]
