"""What a check is doing and how far it is, told to whoever waits."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Meter", "Progress"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is to do."""

OFTEN = 0.1
"""Seconds between two calls at least, but for the first and the last of a phase."""


class Meter:
    """The phases of a check, one after another, and the steps of each."""

    def __init__(self, tell: Progress | None = None) -> None:
        self._tell = tell
        self.what = ""
        self._total = 0
        self._last = 0.0
        self.done = 0

    def start(self, what: str, total: int = 1) -> None:
        """Begin a phase of so many steps."""
        self.what, self._total, self.done = what, max(total, 1), 0
        self._say()

    def add(self, steps: int = 1) -> None:
        """So many steps more are done."""
        self.done += steps
        if self._tell is not None and time.monotonic() - self._last >= OFTEN:
            self._say()

    def end(self) -> None:
        """The phase is over, whatever was counted."""
        self.done = self._total
        self._say()

    def _say(self) -> None:
        if self._tell is not None:
            self._last = time.monotonic()
            self._tell(self.what, min(self.done, self._total), self._total)
