"""The result store by itself: nothing that happens to its folder gives a wrong value."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pathdsl.engine.store import INDEX, About, Store, default_folder
from pathdsl.engine.storeprune import ORPHAN_AGE, clear, contents, prune
from pathdsl.errors import Severity

ONE = np.array([[1.0, -np.inf, 0.1 + 0.2]])
TWO = np.arange(6.0).reshape(2, 3)


def filled(folder: Path) -> Store:
    store = Store(folder)
    labels = {"a": "run: one", "b": "run: two"}
    about = About(model="m", task="t", runs=1, labels=labels)
    store.add({"a": ONE, "b": TWO}, plan="p", proof="held", about=about)
    assert store.trouble is None
    return store


def blobs(folder: Path) -> list[Path]:
    return sorted(folder.glob("blobs/*/*"))


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype == np.float64 and left.tobytes() == right.tobytes()


# ------------------------------------------------------------------------------- values


def test_values_come_back_bit_by_bit(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with Store(tmp_path) as store:
        found = store.find(["a", "b", "c"])
    assert sorted(found) == ["a", "b"]
    assert same(found["a"].values, ONE) and same(found["b"].values, TWO)
    assert (found["a"].plan, found["a"].proof) == ("p", "held")
    assert [path.suffix for path in blobs(tmp_path)] == [".safetensors"]


def test_many_keys_are_asked_for_at_once(tmp_path: Path) -> None:
    values = {f"{i}": np.full((1, 1), float(i)) for i in range(1203)}
    with Store(tmp_path) as store:
        store.add(values, plan="p", proof="", about=About())
        found = store.find([*values, "none"])
    assert len(found) == 1203 and found["777"].values[0, 0] == 777.0


def test_the_first_value_of_a_key_stays(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        store.add({"a": TWO}, plan="later", proof="", about=About())
        assert same(store.find(["a"])["a"].values, ONE)
        store.add({"a": TWO, "c": TWO}, plan="later", proof="", about=About())
        found = store.find(["a", "c"])
        assert found["a"].plan == "p" and found["c"].plan == "later"
        assert len(contents(store).blobs) == 2  # the first `later` had nothing new


def test_records(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert store.record("k") is None
        store.add_record("k", "first")
        store.add_record("k", "second")
        assert store.record("k") == "first"


# ------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("harm", ["truncated", "changed", "empty", "removed"])
def test_a_damaged_blob_is_a_miss_and_is_written_again(tmp_path: Path, harm: str) -> None:
    filled(tmp_path).close()
    (path,) = blobs(tmp_path)
    data = path.read_bytes()
    match harm:
        case "truncated":
            path.write_bytes(data[:-9])
        case "changed":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "empty":
            path.write_bytes(b"")
        case "removed":
            path.unlink()
    with Store(tmp_path) as store:
        assert store.find(["a", "b"]) == {} and store.trouble is None
    with filled(tmp_path) as store:
        assert same(store.find(["a"])["a"].values, ONE)
    assert path.read_bytes() == data


def test_a_folder_that_cannot_be_one_turns_the_store_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        store = Store(folder)
        assert not store.on and store.trouble is not None
        assert store.trouble.code == "PD640" and store.trouble.severity is Severity.WARNING
        store.add({"a": ONE}, plan="", proof="", about=About())
        store.add_record("k", "text")
        assert store.find(["a"]) == {} and store.record("k") is None
    assert (tmp_path / "file").read_text() == "here"


def test_a_damaged_index_turns_the_store_off_until_all_is_removed(tmp_path: Path) -> None:
    filled(tmp_path).close()
    (tmp_path / INDEX).write_bytes(b"no database at all" * 100)
    store = Store(tmp_path)
    assert store.trouble is not None and "prune --all" in store.trouble.help
    gone = clear(tmp_path)
    assert gone.leftovers == 1 and blobs(tmp_path) == []
    with filled(tmp_path) as again:
        assert same(again.find(["b"])["b"].values, TWO)


def test_an_index_of_another_version_is_not_read(tmp_path: Path) -> None:
    filled(tmp_path).close()
    index = sqlite3.connect(tmp_path / INDEX)
    index.execute("PRAGMA user_version = 99")
    index.close()
    store = Store(tmp_path)
    assert store.trouble is not None and "version 99" in store.trouble.notes[0]


def test_a_full_disk_turns_the_store_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with filled(tmp_path) as store:
        monkeypatch.setattr(Path, "write_bytes", full)
        store.add({"c": TWO}, plan="", proof="", about=About())
        assert store.trouble is not None and "No space left" in store.trouble.notes[0]
        assert not store.on
    monkeypatch.undo()
    with Store(tmp_path) as store:
        assert sorted(store.find(["a", "c"])) == ["a"]


# ------------------------------------------------------------------------------- kills

CHILD = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pathdsl.engine.store import About, Store

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store = Store(Path(sys.argv[1]))
where, real = sys.argv[2], os.replace
if where == "before the rename":
    os.replace = die
if where == "after the rename":
    os.replace = lambda a, b: (real(a, b), die())
if where == "in the transaction":
    class Dying:
        def __init__(self, index): self.index = index
        def execute(self, text, *rest):
            if "NOT EXISTS (SELECT" in text: die()
            return self.index.execute(text, *rest)
        def executemany(self, *rest): return self.index.executemany(*rest)
    store._index = Dying(store._index)
store.add({"a": np.ones((1, 3))}, plan="p", proof="", about=About())
"""


@pytest.mark.parametrize("where", ["before the rename", "after the rename", "in the transaction"])
def test_a_kill_in_mid_write_leaves_nothing_that_is_read(tmp_path: Path, where: str) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), where], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(blobs(tmp_path)) == 1
    with Store(tmp_path) as store:
        assert store.find(["a"]) == {} and store.trouble is None
        assert contents(store).leftover_bytes > 0
        assert prune(store).leftovers == 0  # it may belong to a process that still writes
        store.add({"a": np.ones((1, 3))}, plan="p", proof="", about=About())
        assert same(store.find(["a"])["a"].values, np.ones((1, 3)))
        long_ago = time.time() - ORPHAN_AGE - 60
        for path in blobs(tmp_path):
            os.utime(path, (long_ago, long_ago))
        assert prune(store).leftovers == (where == "before the rename")
        assert same(store.find(["a"])["a"].values, np.ones((1, 3)))
    assert len(blobs(tmp_path)) == 1


def _work(folder: str, seed: int, gate: object) -> None:
    gate.wait(30)  # type: ignore[attr-defined]
    with Store(Path(folder)) as store:
        for i in range(25):
            key = f"key {(i * 7 + seed) % 25}"
            wanted = np.full((1, 50), float(key.split()[1]))
            found = store.find([key])
            if key in found:
                assert same(found[key].values, wanted)
            store.add({key: wanted, f"own {seed} {i}": wanted}, plan="p", proof="", about=About())
            store.add_record(key, key)
            if i % 10 == 9:
                prune(store, max_bytes=4000)
        assert store.trouble is None, store.trouble


def test_several_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    workers = [context.Process(target=_work, args=(str(tmp_path), n, gate)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with Store(tmp_path) as store:
        assert store.index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.index.execute("PRAGMA foreign_key_check").fetchall() == []
        keys = [f"key {i}" for i in range(25)]
        found = store.find(keys)
        assert found  # pruning leaves the last ones
        for key, value in found.items():
            assert same(value.values, np.full((1, 50), float(key.split()[1])))
        assert all(store.record(key) == key for key in keys)
        assert not list(tmp_path.glob("blobs/*/*.unfinished"))


# ------------------------------------------------------------------------------- pruning


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for name in "abc":
            store.add({name: TWO * ord(name)}, plan="p", proof="", about=About())
        each = contents(store).bytes // 3
        assert store.find(["a"])  # now `b` is the one that was not used for longest
        gone = prune(store, max_bytes=2 * each)
        assert (gone.blobs, gone.values, gone.bytes) == (1, 1, each)
        assert sorted(store.find(list("abc"))) == ["a", "c"]
        assert len(blobs(tmp_path)) == 2
        assert prune(store, max_bytes=0).blobs == 2 and blobs(tmp_path) == []


def test_a_store_stays_within_its_bound(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.add({"a": TWO}, plan="p", proof="", about=About())
        each = contents(store).bytes
    with Store(tmp_path, max_bytes=3 * each) as store:
        for i in range(10):
            store.add({f"{i}": TWO + i}, plan="p", proof="", about=About())
            assert store.total_bytes() <= 3 * each
        assert sorted(store.find([f"{i}" for i in range(10)])) == ["7", "8", "9"]
        assert len(blobs(tmp_path)) == 3


def test_what_was_not_used_for_long_goes(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        store.add_record("k", "text")
        assert prune(store, older_than=60.0).blobs == 0
        for table in ("blobs", "records"):
            store.index.execute(f"UPDATE {table} SET used = used - 61")
        gone = prune(store, older_than=60.0)
        assert (gone.blobs, gone.values) == (1, 2)
        assert store.find(["a"]) == {} and store.record("k") is None


def test_clearing_removes_what_a_store_wrote_and_nothing_else(tmp_path: Path) -> None:
    filled(tmp_path).close()
    mine = [tmp_path / "notes.txt", tmp_path / "blobs" / "ab" / "mine.safetensors"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    gone = clear(tmp_path)
    assert (gone.blobs, gone.values, gone.leftovers) == (1, 2, 0)
    assert all(path.read_text() == "mine" for path in mine)
    with Store(tmp_path) as store:
        assert contents(store).blobs == ()


def test_contents(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        found = contents(store)
    (blob,) = found.blobs
    assert (blob.model, blob.task, blob.runs) == ("m", "t", 1)
    assert blob.labels == ("run: one", "run: two") and found.n_values == 2
    assert blob.bytes == found.bytes == blobs(tmp_path)[0].stat().st_size


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_folder({"PATHDSL_CACHE": str(tmp_path)}) == tmp_path
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder({}) == tmp_path / ".cache" / "pathdsl"
    assert default_folder({"XDG_CACHE_HOME": str(tmp_path / "x")}) == tmp_path / "x" / "pathdsl"
    assert default_folder({"XDG_CACHE_HOME": "relative"}) == tmp_path / ".cache" / "pathdsl"
    with monkeypatch.context() as nobody:
        nobody.setattr(Path, "home", _no_home)
        assert Store(default_folder({})).trouble is not None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_folder({}) == tmp_path / "Library" / "Caches" / "pathdsl"


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")
