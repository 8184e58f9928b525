"""What a check is at, on standard error: a bar on terminals, now and then a line elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pathdsl.cli.output import asked, colour_on, err

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["ProgressDisplay"]

FIRST = 30.0
"""Seconds before the first line where there is no terminal: what is over by then needs none."""
NEXT = 30.0
ENOUGH = 0.05
"""The share of a phase from which the rest of it can be told."""


class ProgressDisplay:
    """Shows the phases of one check: loading, self-checks, runs.

    with ProgressDisplay(quiet) as display:
        check_file(path, CheckOptions(progress=display.show))
    """

    def __init__(self, quiet: bool, now: Callable[[], float] = time.monotonic) -> None:
        self.on = not quiet
        self._now = now
        self._bar: Bar | None = None
        self._tasks: dict[str, TaskID] = {}
        self._at = ""
        self._phase, self._since = "", 0.0
        self._started = now()
        self._due = self._started + FIRST
        self._over = threading.Event()
        self._lines: threading.Thread | None = None

    def __enter__(self) -> ProgressDisplay:
        if self.on and not _terminal():
            self._lines = threading.Thread(target=self._tell, daemon=True)
            self._lines.start()
        elif self.on:
            from rich.console import Console
            from rich.progress import Progress

            colour = colour_on(sys.stderr, off=asked("no_color"))
            console = Console(stderr=True, no_color=not colour)
            self._bar = Progress(console=console, transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._lines is not None:
            self._lines.join()
        if self._bar is not None:
            self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """What is being done, how much of it is done, and how much there is to do."""
        if not self.on:
            return
        if self._bar is None:  # a phase of one step says no more by being at 0%
            self._at = (
                f"{what}, {done / total:.0%}{self._left(what, done / total)}" if total > 1 else what
            )
            return
        from rich.markup import escape

        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(escape(what), total=None)
        known = total if total > 1 or done else None  # a bar that pulses has no end in sight
        self._bar.update(self._tasks[what], completed=done, total=known)

    def _left(self, what: str, share: float) -> str:
        """How long this phase will take yet, once there is something to go by."""
        now = self._now()
        if what != self._phase:
            self._phase, self._since = what, now
        if not ENOUGH <= share < 1 or now <= self._since:
            return ""
        return f", about {_time((now - self._since) * (1 - share) / share)} left"

    def _tell(self) -> None:
        while not self._over.wait(1.0):
            self.line()

    def line(self) -> None:
        """Write a line if one is due; nothing is due in the first seconds."""
        now = self._now()
        if self._at and now >= self._due:
            self._due = now + NEXT
            err(f"pathdsl: {self._at}, after {_time(now - self._started)}\n")


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _time(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
