"""Breaks result stores at random: bytes of their files, values in the rows of their index.

    python -m tests.engine.fuzz_store --seconds 600 --seed 1

What is found must be what was written, to the bit; no fault may raise; what is lost can be kept
again or the store says that it is off; `prune --all` always helps. Prints what happened how often.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from pathdsl.engine.store.index import FAULTS
from pathdsl.engine.store.prune import clear, contents, prune
from pathdsl.engine.store.store import INDEX, About, Store

__all__ = ["Truth", "broken_store", "harm", "tried"]

COLUMNS = {
    "blobs": ("name", "bytes", "created", "used", "plan", "proof", "model", "task", "runs",
              "unfinished", "seal"),
    "entries": ("key", "blob", "label"),
    "records": ("key", "text", "created", "used", "seal"),
}  # fmt: skip
PLANS = ("p0", "p1", "p2")


class Truth:
    """A store whose content is known; `fill` writes what is missing of it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.values = {
            plan: {f"{plan}-{i}": rng.standard_normal((1 + i % 2, 7)) for i in range(5)}
            for plan in PLANS
        }
        self.parts = {f"part-{i}": rng.standard_normal((3, 4)) for i in range(4)}
        self.records = {f"r{i}": f"text {i} é" * (1 + 300 * (i == 3)) for i in range(6)}

    def fill(self, store: Store) -> None:
        for plan, values in self.values.items():
            labels = {key: f"label of {key}" for key in values}
            about = About(model="m", task="t", runs=2, labels=labels)
            store.add(values, plan=plan, proof=f"proof of {plan}", about=about)
        for key, part in self.parts.items():
            store.add({key: part}, plan="half", proof="", about=About(), unfinished=True)
        for key, text in self.records.items():
            store.add_record(key, text)

    def found(self, store: Store) -> int:
        """How much of it is found; AssertionError where something else is."""
        count = 0
        for plan, values in self.values.items():
            for key, one in store.find([*values, "none"]).items():
                assert one.values.dtype == np.float64 and one.values.shape == values[key].shape
                assert one.values.tobytes() == values[key].tobytes(), key
                assert (one.plan, one.proof) == (plan, f"proof of {plan}"), one
                count += 1
        for key, part in store.parts_of("half").items():
            assert part.tobytes() == self.parts[key].tobytes()
            count += 1
        for key, text in self.records.items():
            found = store.record(key)
            assert found in (None, text), found
            count += found is not None
        return count

    @property
    def everything(self) -> int:
        return sum(map(len, self.values.values())) + len(self.parts) + len(self.records)


def _any_value(rng: random.Random, old: object) -> object:
    text = old if isinstance(old, str) else repr(old)
    place = rng.randrange(len(text) + 1)
    return rng.choice(
        [
            text[:place] + chr(rng.choice([0, 7, 34, 65, 97, 233, 0x202E, 0x1F600])) + text[place:],
            text[:place] + text[place + 1 :],
            text.upper(),
            "", "[]", "{}", "null", "x", "../../etc/passwd", "[" * 5000, "9" * 5000,
            None, 0, 1, -1, 2**62, 1e308, float("-inf"), b"", b"\xff\xfe\x00", rng.randbytes(40),
        ]
    )  # fmt: skip


def _harm_row(folder: Path, rng: random.Random) -> str:
    table = rng.choice([*COLUMNS])
    column = rng.choice(COLUMNS[table])
    index = sqlite3.connect(folder / INDEX, isolation_level=None)
    try:
        index.execute("PRAGMA ignore_check_constraints = ON")
        rows = index.execute(f"SELECT {COLUMNS[table][0]}, {column} FROM {table}").fetchall()
        key, old = rng.choice(rows)
        which = "" if rng.random() < 0.3 else f" WHERE {COLUMNS[table][0]} = ?"
        new = _any_value(rng, old)
        given = (new, key) if which else (new,)
        index.execute(f"UPDATE OR IGNORE {table} SET {column} = ?{which}", given)
    finally:
        index.close()
    return f"row {table}"


def _harm_file(folder: Path, rng: random.Random) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    index = [path for path in files if path.name.startswith(INDEX)]
    path = rng.choice(index if rng.random() < 0.6 else files)
    data = bytearray(path.read_bytes())
    how = rng.choice(["flip", "flip", "flip", "page", "cut", "longer", "copy"])
    if not data:
        how = "longer"
    match how:
        case "flip":
            for _ in range(rng.choice([1, 1, 1, 4, 64])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "page":
            start = rng.randrange(len(data)) // 512 * 512
            data[start : start + 512] = rng.choice([bytes(512), rng.randbytes(512)])
        case "cut":
            del data[rng.randrange(len(data)) :]
        case "longer":
            data += rng.randbytes(rng.choice([1, 100, 5000]))
        case "copy":
            start, to = rng.randrange(len(data)), rng.randrange(len(data))
            data[to : to + 100] = data[start : start + 100]
    path.write_bytes(bytes(data))
    return f"{'index' if path in index else 'blob'} {how}"


def harm(folder: Path, rng: random.Random) -> str:
    """Break something in a store; says what."""
    return _harm_row(folder, rng) if rng.random() < 0.4 else _harm_file(folder, rng)


def broken_store(whole: Path, folder: Path, rng: random.Random) -> str:
    """A copy of a store, broken in one to three places."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    what = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        try:
            what.append(harm(folder, rng))
        except sqlite3.Error:
            what.append("row of an index that is broken already")
    return " + ".join(sorted(set(what)))


def tried(truth: Truth, folder: Path) -> str:
    """Use a broken store in every way; says what came of it."""
    with Store(folder) as store:
        first = truth.found(store)
        on = store.on
        assert len(store.warnings) <= 2 and (on or store.trouble is not None)
        assert all(w.code == "PD640" for w in store.warnings)
        truth.fill(store)
        second = truth.found(store)
        assert second >= first or not store.on
        damaged, kept = store.damaged, store.writable and second == truth.everything
    try:
        with Store(folder) as store:
            if store.on:
                contents(store)
                prune(store, max_bytes=10**9, older_than=1e9, verify=True)
                told = contents(store)
                assert told.damaged == 0
                truth.fill(store)
                assert truth.found(store) == truth.everything
                outcome = "mended by prune" if not kept else "kept again at once"
            else:
                outcome = "off"
    except FAULTS:
        outcome = "index refused"  # as PD640, which says `prune --all`
    clear(folder)
    with Store(folder) as store:
        assert store.warnings == () and truth.found(store) == 0
        truth.fill(store)
        assert truth.found(store) == truth.everything
    lost = truth.everything - first
    return f"{outcome}, {'nothing' if not lost else 'something'} lost, " + (
        f"{'said' if damaged or not on else 'not said'}"
    )


def main() -> None:
    """Break stores for so many seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth, counts, until = Truth(), Counter[str](), time.monotonic() + options.seconds
    slowest, n = 0.0, 0
    with tempfile.TemporaryDirectory() as scratch:
        whole, folder = Path(scratch) / "whole", Path(scratch) / "broken"
        with Store(whole) as store:
            truth.fill(store)
        while time.monotonic() < until:
            seed = f"{options.seed}-{n}"
            started = time.monotonic()
            what = broken_store(whole, folder, random.Random(seed))
            try:
                counts[tried(truth, folder)] += 1
            except BaseException:
                print(f"seed {seed}: {what}")
                raise
            slowest, n = max(slowest, time.monotonic() - started), n + 1
    print(f"{n} stores, slowest {slowest:.2f} s")
    for outcome, count in counts.most_common():
        print(f"{count:8} {outcome}")


if __name__ == "__main__":
    main()
