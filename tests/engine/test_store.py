"""The result store by itself: nothing that happens to its folder gives a wrong value."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import pathdsl.engine.store.store as store_module
from pathdsl.engine.store.index import seal
from pathdsl.engine.store.prune import ORPHAN_AGE, clear, contents, prune
from pathdsl.engine.store.store import INDEX, About, Store, default_folder
from pathdsl.errors import Severity
from tests.engine.fuzz_store import Truth, broken_store, tried
from tests.test_whole import full_disk

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
        assert store.find(["a", "b"]) == {} and store.on
        assert [w.code for w in store.warnings] == ["PD640"] * (harm != "removed")
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


def test_on_a_full_disk_nothing_is_kept_and_what_is_there_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with filled(tmp_path) as store:
        monkeypatch.setattr(store_module, "write_whole", full)
        store.add({"c": TWO}, plan="", proof="", about=About())
        assert store.on and not store.writable
        (warning,) = store.warnings
        assert warning.code == "PD640" and "No space left" in warning.notes[0]
        assert same(store.find(["a", "c"])["a"].values, ONE)
        store.add_record("k", "text")
        assert store.record("k") is None and store.warnings == (warning,)
    monkeypatch.undo()
    with Store(tmp_path) as store:
        assert sorted(store.find(["a", "c"])) == ["a"]


def test_an_index_that_grows_no_more_is_still_read(tmp_path: Path) -> None:
    with filled(tmp_path) as store, full_disk(60_000):
        for n in range(50):
            store.add_record(f"{n}", "x" * 4000)
        assert store.on and not store.writable
        (warning,) = store.warnings
        assert "disk" in warning.notes[0], warning
        assert sorted(store.find(["a", "b"])) == ["a", "b"]
        assert store.record("0") == "x" * 4000
    with full_disk(10_000), Store(tmp_path) as store:  # not even room to open it for writing
        assert sorted(store.find(["a", "b"])) == ["a", "b"]


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder for a user whom permissions bind, which they do not for the root of a container."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if root:
            folder.chmod(0o755)
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o755)


@pytest.mark.parametrize("log", ["moved into the index", "beside the index"])
def test_a_folder_that_may_only_be_read_is_read(nobody: Path, log: str) -> None:
    folder = nobody / "store"
    with filled(folder):
        if log == "beside the index":  # as a process leaves it that is killed
            folder = shutil.copytree(folder, nobody / "left")
    paths = [folder, *folder.rglob("*")]
    before = {path: path.stat().st_mtime_ns for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with Store(folder) as read:
        assert read.on and not read.writable, read.warnings
        (warning,) = read.warnings
        assert "nothing can be written" in warning.message
        assert same(read.find(["a"])["a"].values, ONE)
        read.add({"c": TWO}, plan="", proof="", about=About())
        read.add_record("k", "text")
        assert read.find(["c"]) == {} and read.record("k") is None
        assert read.warnings == (warning,) and len(contents(read).blobs) == 1
    assert {path: path.stat().st_mtime_ns for path in paths} == before


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE records SET text = 'x'",
        "UPDATE records SET text = '[]'",
        "UPDATE records SET text = CAST(x'ff00fe' AS TEXT)",
        "UPDATE records SET text = 7, seal = NULL",
        "UPDATE blobs SET proof = '{}'",
        "UPDATE blobs SET plan = 'other'",
        "UPDATE blobs SET bytes = 1e300, used = 'soon', created = x'00'",
        "UPDATE blobs SET name = 'a/../../b'",
        "UPDATE blobs SET name = upper(name)",
        "UPDATE entries SET blob = 'none'",
        "DELETE FROM blobs",
    ],
)
def test_what_the_index_says_is_verified(tmp_path: Path, harm: str) -> None:
    with filled(tmp_path) as store:
        store.add_record("k", "text")
        store.index.execute("PRAGMA foreign_keys = OFF")
        store.index.execute("PRAGMA ignore_check_constraints = ON")
        try:
            store.index.execute(harm)
        except sqlite3.IntegrityError:  # NOT NULL
            store.index.execute(harm.partition(", seal")[0])
    with Store(tmp_path) as store:
        told = contents(store)
        assert told.damaged > 0
        found = store.find(["a", "b"])
        assert all(same(found[key].values, {"a": ONE, "b": TWO}[key]) for key in found)
        assert all((one.plan, one.proof) == ("p", "held") for one in found.values())
        text = store.record("k")
        assert text == (None if "records" in harm else "text")
        assert store.on and store.writable
        assert len(store.warnings) == (store.damaged > 0)
        filled(tmp_path).close()  # computed anew
        store.add_record("k", "text")
        found = store.find(["a", "b"])
        assert sorted(found) == ["a", "b"] and store.record("k") == "text"
        pruned = prune(store, verify=True)
        assert contents(store).damaged == 0 and pruned.blobs == 0
        assert sorted(store.find(["a", "b"])) == ["a", "b"] and store.record("k") == "text"


@pytest.mark.parametrize("kind", ["no safetensors", "another dtype", "another key", "one axis"])
def test_a_blob_with_the_right_hash_and_the_wrong_content(tmp_path: Path, kind: str) -> None:
    filled(tmp_path).close()
    data = {
        "no safetensors": b"\xff" * 100,
        "another dtype": save({"a": ONE.astype(np.float32), "b": TWO}),
        "another key": save({"c": ONE}),
        "one axis": save({"a": ONE[0], "b": TWO}),
    }[kind]
    name = hashlib.sha256(data).hexdigest()
    with Store(tmp_path) as store:
        path = store.path_of(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        row = (name, len(data), "p", "held", "m", "t", 1, 0)
        store.index.execute("PRAGMA foreign_keys = OFF")
        store.index.execute("UPDATE blobs SET name = ?, bytes = ?, seal = ?",
                            (name, len(data), seal(*row)))  # fmt: skip
        store.index.execute("UPDATE entries SET blob = ?", (name,))
    with Store(tmp_path) as store:
        assert store.find(["a", "b"]) == {} and store.on
        filled(tmp_path).close()
        assert same(store.find(["a"])["a"].values, ONE)


def test_an_index_of_the_first_kind_is_made_anew(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / INDEX)
    old.executescript(
        "CREATE TABLE blobs (name TEXT PRIMARY KEY, bytes INTEGER); PRAGMA user_version = 1;"
        "CREATE TABLE entries (key TEXT PRIMARY KEY, blob TEXT REFERENCES blobs) WITHOUT ROWID;"
        "INSERT INTO blobs VALUES ('x', 1); INSERT INTO entries VALUES ('a', 'x');"
    )
    old.close()
    with filled(tmp_path) as store:
        assert store.warnings == () and same(store.find(["a"])["a"].values, ONE)


def test_another_process_that_removes_everything_turns_nothing_off(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        for harm in (clear, lambda folder: shutil.rmtree(folder)):
            harm(tmp_path)
            store.add({"c": TWO}, plan="p", proof="", about=About())
            store.add_record("k", "text")
            assert store.record("k") == "text" and store.warnings == ()
            assert same(store.find(["a", "c"])["c"].values, TWO)
            with Store(tmp_path) as other:
                assert sorted(other.find(["a", "c"])) == ["c"]


def test_a_removed_folder_between_the_file_and_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store_module.write_whole

    def removed(path: Path, data: bytes) -> None:
        monkeypatch.setattr(store_module, "write_whole", real)
        clear(tmp_path)
        shutil.rmtree(path.parent)
        real(path, data)

    with filled(tmp_path) as store:
        monkeypatch.setattr(store_module, "write_whole", removed)
        store.add({"c": TWO}, plan="p", proof="", about=About())
        assert same(store.find(["c"])["c"].values, TWO) and store.warnings == ()


def test_parts_go_when_the_whole_comes(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for key in "xy":
            store.add({key: ONE}, plan="p", proof="", about=About(), unfinished=True)
        store.add({"z": TWO}, plan="other", proof="", about=About(), unfinished=True)
        assert len(contents(store).unfinished) == 3 and contents(store).plans == ()
        store.add({"a": ONE}, plan="p", proof="held", about=About())
        assert sorted(store.find([*"xyza"])) == ["a", "z"]
        found = contents(store)
        assert (len(found.unfinished), len(found.plans), found.n_values) == (1, 1, 1)
        assert len(blobs(tmp_path)) == 2 and found.leftover_bytes == 0


def test_stores_broken_at_random(tmp_path: Path) -> None:
    """A longer run, by hand: `python -m tests.engine.fuzz_store --seconds 600`."""
    truth, whole, folder = Truth(), tmp_path / "whole", tmp_path / "broken"
    with Store(whole) as store:
        truth.fill(store)
    for seed in range(40):
        what = broken_store(whole, folder, random.Random(f"ci-{seed}"))
        try:
            tried(truth, folder)
        except BaseException as error:
            error.add_note(f"seed ci-{seed}: {what}")
            raise


# ------------------------------------------------------------------------------- kills

CHILD = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pathdsl.engine.store.store import About, Store

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store = Store(Path(sys.argv[1]))
where, real = sys.argv[2], os.replace
if where == "without a name":
    os.fsync = die
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


@pytest.mark.parametrize("where", ["without a name", "after the rename", "in the transaction"])
def test_a_kill_in_mid_write_leaves_nothing_that_is_read(tmp_path: Path, where: str) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), where], timeout=60)
    assert done.returncode == -signal.SIGKILL
    left = where != "without a name" or sys.platform != "linux"
    assert len(blobs(tmp_path)) == left
    with Store(tmp_path) as store:
        assert store.find(["a"]) == {} and store.trouble is None
        assert (contents(store).leftover_bytes > 0) == left
        assert prune(store).leftovers == 0  # it may belong to a process that still writes
        store.add({"a": np.ones((1, 3))}, plan="p", proof="", about=About())
        assert same(store.find(["a"])["a"].values, np.ones((1, 3)))
        long_ago = time.time() - ORPHAN_AGE - 60
        for path in blobs(tmp_path):
            os.utime(path, (long_ago, long_ago))
        assert prune(store).leftovers == 0  # the same name was entered meanwhile
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
