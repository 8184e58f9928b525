"""`pathdsl check --on …`: every shard started, watched and started again, then the check itself.

A coordinator computes nothing and keeps nothing. All that it knows is in the store, so that it may
be killed and started again, or be one of two. Where fewer machines are free than there are shards,
one that waits in vain for a while goes to the back of the queue.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pathdsl.cli.complaints import complain
from pathdsl.cli.doors import Done, Door, Job
from pathdsl.cli.output import err, out
from pathdsl.cli.progress import ProgressDisplay
from pathdsl.engine.store.shared import SharedStore
from pathdsl.errors import ExitCode

__all__ = ["coordinate"]

LOOK = 0.5
"""Seconds between two looks at the shards."""
QUEUE = "30s"
"""How long a shard waits for others before it makes room."""
TRIES = 3
"""How often a shard is started that dies or fails."""


def coordinate(
    words: Sequence[str], more: Sequence[str], folder: Path, shards: int, door: Door, *, quiet: bool
) -> int:
    """Run `check` with `words` in shards, then once more with `more` besides; what it exits with.

    Wrong input ends all at once, and so does a shard that failed `TRIES` times: what was computed
    is in the store, and the same command goes on from there.
    """
    try:
        failed = _Shards(words, folder, shards, door).run(quiet=quiet)
        if failed is not None:
            return failed
        done = _finished(door, [*_command(words), *more])
    except KeyboardInterrupt:
        err(f"what is computed stays in {folder}; the same command goes on from there\n")
        raise
    finally:
        door.close()
    out(done.out)
    err(done.err)
    return done.code if done.code >= 0 else ExitCode.MACHINE_FAILED


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pathdsl", "check", *words]


def _finished(door: Door, command: Sequence[str]) -> Done:
    """What a command came to, which is started again where its end got lost."""
    for left in reversed(range(TRIES)):
        job = door.start(command)
        try:
            while (done := job.done()) is None:
                time.sleep(LOOK)
        except BaseException:
            job.cancel()
            raise
        if done.code >= 0 or not left:
            return done
    raise AssertionError


class _Shards:
    """The shards of one check, each until it is through."""

    def __init__(self, words: Sequence[str], folder: Path, shards: int, door: Door) -> None:
        self.words, self.folder, self.door, self.of = words, folder, door, shards
        self.left = {number: TRIES for number in range(1, shards + 1)}
        self.jobs: dict[int, Job] = {}

    def run(self, *, quiet: bool) -> int | None:
        """None when all are through, else what to exit with; said is why."""
        store = SharedStore(self.folder, "watching")
        if store.trouble is not None:  # each shard would fail for it
            complain([store.trouble])
            store.close()
            return ExitCode.MACHINE_FAILED
        before = {name for names in store.announced.values() for name in names}
        try:
            for number in self.left:
                self._start(number)
            with ProgressDisplay(quiet) as display:
                while self.left:
                    time.sleep(LOOK)
                    store.refresh()
                    display.show(f"{self.of} shards", *_progress(store, before))
                    if (code := self._look()) is not None:
                        return code
            return None
        finally:
            for job in self.jobs.values():
                job.cancel()
            store.close()

    def _start(self, number: int) -> None:
        shard = ["--shard", f"{number}/{self.of}", "--wait", "--timeout", QUEUE, "--quiet"]
        self.jobs[number] = self.door.start([*_command(self.words), *shard])

    def _look(self) -> int | None:
        """See which shards have ended, and start again those that must be."""
        for number, job in list(self.jobs.items()):
            done = job.done()
            if done is None:
                continue
            del self.jobs[number]
            if done.code in (ExitCode.AS_EXPECTED, ExitCode.NOTHING_TO_CHECK):
                del self.left[number]
                continue
            if done.code != ExitCode.LACKING:
                self.left[number] -= 1
                if done.code == ExitCode.WRONG_INPUT or not self.left[number]:
                    return self._given_up(number, done)
                err(f"shard {number}/{self.of} ended with {done.code} and is started again\n")
            self._start(number)
        return None

    def _given_up(self, number: int, done: Done) -> int:
        err(done.err)
        wrong = done.code == ExitCode.WRONG_INPUT
        times = "" if wrong else f" {TRIES} times"
        err(f"shard {number}/{self.of} failed{times}; what is computed stays in {self.folder}\n")
        return ExitCode.WRONG_INPUT if wrong else ExitCode.MACHINE_FAILED


def _progress(store: SharedStore, before: set[str]) -> tuple[int, int]:
    """Multiply-adds that are done and that are known of, of the plans of shards that run now."""
    there = store.n_values()
    done = known = 0
    for plan, names in store.announced.items():
        if names <= before:
            continue
        work = store.works[plan]
        parts = max(len(work.blocks) * work.draws, 1)
        known += work.macs
        done += work.macs * min(there.get(plan, 0), parts) // parts
    return done, max(known, 1)
