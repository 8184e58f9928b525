"""Runs one command line in a folder and says what is wrong with its answer.

An answer is right if there is no traceback and no "bug in pathdsl", the exit code is one of those
that the table of the help text knows, a refusal has a code or is a complaint of the command line,
names a place, is short, and came in time.
"""

from __future__ import annotations

import io
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from pathdsl.cli.main import main

__all__ = ["Answer", "faults", "run"]

SECONDS = 20
"""Of the processor; on a busy machine the clock says nothing."""
WAITING = 180
"""Seconds by the clock, for what waits and does nothing."""
LONGEST = 40_000
_CODE = re.compile(r"\[?PD\d{3}\b")
_PLACE = re.compile(
    r"\w\.(?:circuit|jsonl|csv|json|lock|safetensors|sqlite)|row `|task `|model|store"
)
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command line came to; `raised` is an exception that left it."""

    words: tuple[str, ...]
    code: int
    said: str
    seconds: float
    raised: str = ""


class TooLong(BaseException):
    """Raised by the alarm."""


def run(words: list[str], folder: Path) -> Answer:
    """The answer to a command line, in a folder with a store of its own."""
    told, code, raised = io.StringIO(), -1, ""
    begun = time.process_time()
    with _inside(folder), redirect_stdout(told), redirect_stderr(told):
        try:
            with _alarm():
                main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raised = f"{type(error).__name__}: {error}"
    return Answer(
        words=tuple(words), code=code, said=told.getvalue(), raised=raised,
        seconds=time.process_time() - begun,
    )  # fmt: skip


def faults(answer: Answer) -> list[str]:
    """What is wrong with an answer; nothing where it is as it must be."""
    found = []
    if answer.raised:
        found.append(f"raised {answer.raised[:200]}")
    for word in ("Traceback", "bug in pathdsl"):
        if word in answer.said:
            at = answer.said.index(word)
            found.append(f"said {answer.said[at : at + 200]!r}")
    if answer.code not in (0, 1, 2, 3, 5) and not answer.raised:
        found.append(f"exit code {answer.code}")
    if answer.code in (2, 3):
        if not _CODE.search(answer.said) and "Usage:" not in answer.said:
            found.append("a refusal without a code")
        if not _PLACE.search(answer.said):
            found.append("a refusal without a place")
    if _UNSEEN.search(answer.said):
        found.append("characters that are not seen")
    if len(answer.said) > LONGEST and answer.words[0] != "report":
        found.append(f"{len(answer.said):,} characters")
    if answer.seconds > SECONDS:
        found.append(f"{answer.seconds:.0f} s")
    return found


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    here, known = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ |= {"PATHDSL_CACHE": str(folder / "store"), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ |= known


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooLong

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring), signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS + 5)
    signal.alarm(WAITING)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGPROF, before[1])
