"""Shards against one process: the same bits, and what sharding costs in processor time.

    python -m benchmarks.shards FILE [--shards 4] [--memory SIZE …] [--faults] [-- OPTIONS of check]

Runs `check FILE` alone, then in shards that start together, then the check that puts them together,
once for each `--memory`, and compares the hash of the result. With `--faults` workers are killed
(SIGKILL) after a second to twenty, one is stopped for ten seconds (SIGSTOP), and each is started
again until it is through: two at a time under each number, as two coordinators would. Time is that
of processors, of all processes of a kind together, so that a busy machine counts less. Threads are
one each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pathdsl.engine.store.shared import SharedStore

from .child import ROOT

LACKING = 4
JUDGED = (0, 1)


def run(words: Sequence[str], faults: random.Random | None = None) -> tuple[int, str, float]:
    """The exit code of one `check`, what it printed, and its processor seconds."""
    command = [sys.executable, "-m", "pathdsl", "check", *words]
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.DEVNULL)
        if faults is not None:
            threading.Thread(target=_disturb, args=(child, faults), daemon=True).start()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return child.returncode, out.read(), used.ru_utime + used.ru_stime


def _disturb(child: subprocess.Popen[bytes], faults: random.Random) -> None:
    """Kill or stop a worker while it works."""
    time.sleep(faults.uniform(1, 20))
    if child.returncode is not None:
        return
    if faults.random() < 0.7:
        child.send_signal(signal.SIGKILL)
        return
    child.send_signal(signal.SIGSTOP)
    time.sleep(10)
    child.send_signal(signal.SIGCONT)


def worker(
    words: Sequence[str], shard: str, folder: str, seed: int | None, into: list[str]
) -> None:
    """One shard until it is through; the first three starts are disturbed where `seed` is given."""
    spent, starts = 0.0, 0
    faults = random.Random(seed) if seed is not None else None
    while True:
        starts += 1
        given = [*words, "--shard", shard, "--store", folder, "--wait", "--quiet"]
        code, out, seconds = run(given, faults if starts <= 3 else None)
        spent += seconds
        if code == 0:
            break
        if code > 0 and code != LACKING:
            into.append(f"{shard}: exit code {code}")
            return
    into.append(f"{spent:.1f} s of processor in {starts} starts: {out.strip()}")


def sums_of(folder: str) -> tuple[int, int]:
    """How many sums behind means were kept by some process, and how many different ones."""
    kept: list[str] = []
    for path in sorted((Path(folder) / "index").glob("*.jsonl")):
        for line in path.read_text().split("\n"):
            if "sums of rows" in line:
                said = json.loads(line.partition(" ")[2])
                kept += [key for key, label in said["keys"].items() if label.startswith("sums")]
    return len(kept), len({*kept})


def result(out: str) -> str:
    """What decides whether two checks came to the same."""
    return str(json.loads(out)["files"][0]["result_sha256"])


def compare(words: Sequence[str], shards: int, faults: bool) -> None:
    """One round of it, printed."""
    started = time.monotonic()
    code, out, alone = run([*words, "--no-cache", "--format", "json"])
    if code not in JUDGED:
        raise SystemExit(f"`pathdsl check {' '.join(words)}` exits with {code}: nothing to compare")
    print(f"  alone     {alone:.1f} s of processor, {time.monotonic() - started:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        said: list[str] = []
        numbers = [n for n in range(1, shards + 1) for _ in range(2 if faults else 1)]
        threads = [
            threading.Thread(
                target=worker,
                args=(words, f"{n}/{shards}", folder, place if faults else None, said),
            )
            for place, n in enumerate(numbers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"  shards    {time.monotonic() - started:.0f} s")
        for line in sorted(said):
            print(f"    {line}")
        kept, different = sums_of(folder)
        print(f"    sums behind means: {kept} computed, {different} different")
        _, gathered, seconds = run([*words, "--store", folder, "--format", "json"])
        store = json.loads(gathered)["files"][0]["store"]
        print(f"  together  {seconds:.1f} s of processor; {store['computed']} values computed")
        with SharedStore(Path(folder)) as there:
            blocks = sum(len(work.blocks) for work in there.works.values())
            print(f"    {len(there.works)} plans of {blocks} blocks")
    same = result(out) == result(gathered)
    print(f"  {'the same bits' if same else 'OTHER BITS'}: {result(gathered)[:16]}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shards", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("file")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument(
        "--memory", action="append", help="of each check; several: one after another"
    )
    parser.add_argument("--faults", action="store_true")
    own = sys.argv[1:]
    end = own.index("--") if "--" in own else len(own)
    given, options = parser.parse_args(own[:end]), own[end + 1 :]
    if given.shards < 1:
        parser.error("`--shards`: at least one is needed")
    for memory in given.memory or ["2GB"]:
        print(f"{given.file}, --memory {memory}, {given.shards} shards", flush=True)
        words = [given.file, "--threads", "1", "--memory", memory, *options]
        compare(words, given.shards, given.faults)


if __name__ == "__main__":
    main()
