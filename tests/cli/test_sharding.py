"""`check --shard K/N --store DIR`: the command line of shards."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from pathdsl.cli import coordinating
from pathdsl.cli.coordinating import coordinate
from pathdsl.cli.doors import LOST, Done, Job, Local, Ray, Slurm, _Task, run_command
from pathdsl.engine.store.folder import About
from pathdsl.engine.store.shared import SharedStore, Work
from tests.checking.test_shards import SEARCH, text
from tests.cli.run import pathdsl

LIMITS = ("--memory", "500kB", "--threads", "1")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "x.circuit").write_text(text("prompt_abc"))
    (tmp_path / "search.circuit").write_text(text("prompt_abc", more=SEARCH))
    return tmp_path


def test_two_shards_and_the_check_behind_them(home: Path) -> None:
    alone = pathdsl("check", "x.circuit", "--no-cache", "--format", "json", *LIMITS, cwd=home)
    for number in (2, 1):
        done = pathdsl("check", "x.circuit", "--shard", f"{number}/2", "--store", "s", *LIMITS,
                       cwd=home)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"shard {number}/2 of x.circuit: " in done.stdout
        assert "0 were there" in done.stdout and "so far" not in done.stdout
    found = pathdsl("check", "x.circuit", "--store", "s", "--format", "json", *LIMITS, cwd=home)
    assert found.returncode == alone.returncode == 0
    one, two = (json.loads(done.stdout)["files"][0] for done in (alone, found))
    assert two["store"]["computed"] == 0 and two["result_sha256"] == one["result_sha256"]
    again = pathdsl("check", "x.circuit", "--shard", "1/2", "--store", "s", *LIMITS, cwd=home)
    assert again.returncode == 0 and "0 items computed" in again.stdout
    kept = json.loads(pathdsl("cache", "info", "--store", "s", "--format", "json", cwd=home).stdout)
    assert kept["values"] == two["store"]["stored"] and kept["max_bytes"] is None
    assert kept["index_bytes"] > 0 == kept["damaged"]
    told = pathdsl("cache", "info", "--store", "s", cwd=home).stdout
    assert "that shards computed" in told and "none: nothing is removed" in told
    nothing = pathdsl("cache", "list", "--store", "nowhere", cwd=home)
    assert nothing.returncode == 2 and "no shard has written there" in nothing.stderr


def test_a_search_exits_with_4(home: Path) -> None:
    first = ("check", "search.circuit", "--shard", "1/2", "--store", "s", *LIMITS)
    done = pathdsl(*first, cwd=home)
    assert done.returncode == 4 and "PD643" in done.stderr and "so far" in done.stdout
    done = pathdsl(*first, "--wait", "--timeout", "1s", cwd=home)
    assert done.returncode == 4


def test_a_faulty_file_exits_with_2(home: Path) -> None:
    (home / "x.circuit").write_text("model m = \n")
    done = pathdsl("check", "x.circuit", "--shard", "1/2", "--store", "s", cwd=home)
    assert done.returncode == 2 and "PD0" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard", "1/2"], "give `--store DIR`"),
        (["--shard", "3/2", "--store", "s"], "no shard 3 of 2"),
        (["--shard", "1/2", "--store", "s", "--values", "v.csv"], "takes no `--values`"),
        (["--shard", "1/2", "--store", "s", "--format", "json"], "takes no `--format`"),
        (["--shard", "1/2", "--store", "s", "--figure", "f.svg"], "takes no `--figure`"),
        (["--shard", "1/2", "--store", "s", "--timeout", "2h"], "`--wait` waits"),
        (["--shard", "1/2", "--store", "s", "--wait", "--timeout", "2"], "20m"),
        (["--wait"], "for one `--shard`"),
        (["--store", "s", "--no-cache"], "takes no `--no-cache`"),
        (["--store", "s", "--locked"], "takes no `--locked`"),
        (["--store", "s", "--watch"], "takes no `--watch`"),
        (["--store", "s", "--revisions", "a,b"], "takes no `--revisions`"),
        (["--store", "s", "--memory", "0"], "`--memory`: `0` is nothing"),
        (["--store", ""], "`--store` is given an empty value"),
    ],
)
def test_what_has_no_meaning_is_refused(words: list[str], told: str, home: Path) -> None:
    done = pathdsl("check", "x.circuit", *words, cwd=home)
    assert done.returncode == 2 and told in " ".join(done.stderr.replace("│", " ").split())
    assert not (home / "s").exists()


def test_a_folder_that_cannot_be_used_ends_the_check(home: Path) -> None:
    (home / "s").write_text("a file")
    done = pathdsl("check", "x.circuit", "--store", "s", cwd=home)
    assert done.returncode == 3 and "PD640" in done.stderr and not done.stdout
    assert "`--store` with another folder" in " ".join(done.stderr.split())
    assert "prune" not in done.stderr and "PATHDSL_CACHE" not in done.stderr  # another store's


def test_a_folder_that_cannot_be_used_starts_no_shard(home: Path) -> None:
    (home / "blocked").write_text("")
    told = pathdsl("check", "x.circuit", "--on", "local", "--shards", "2", "--store", "blocked/s",
                   "--threads", "1", cwd=home)  # fmt: skip
    assert told.returncode == 3 and told.stderr.count("PD640") == 2  # the code, and where more is
    assert "started again" not in told.stderr


def test_a_damaged_file_is_named_with_what_helps(home: Path) -> None:
    words = ("check", "x.circuit", "--store", "s", "-q", *LIMITS)
    pathdsl(*words, "--shard", "1/2", cwd=home)
    parts = sorted((home / "s").glob("blobs/*/*.safetensors"))
    before = pathdsl(*words, cwd=home)
    for path in (home / "s").glob("blobs/*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:40])
    done = pathdsl(*words, cwd=home)
    assert done.stdout == before.stdout and done.returncode == before.returncode
    assert "computed anew" in done.stderr and "prune" not in done.stderr
    told = "".join(done.stderr.split())
    assert any(path.name in told for path in parts) and "remove" in told
    for path in parts:
        path.unlink()
    assert "PD640" not in pathdsl(*words, cwd=home).stderr


def test_a_lock_of_what_shards_computed_is_that_of_one_machine(home: Path) -> None:
    options = ("-q", *LIMITS)
    code = pathdsl("lock", "search.circuit", *options, cwd=home).returncode
    alone = (home / "search.circuit.lock").read_bytes()
    for number in (2, 1, 2, 1, 2, 1):
        pathdsl("check", "search.circuit", "--shard", f"{number}/2", "--store", "s", *options,
                cwd=home)  # fmt: skip
    for _ in range(2):  # from parts, and from whole plans
        (home / "search.circuit.lock").unlink()
        done = pathdsl("lock", "search.circuit", "--store", "s", *options, cwd=home)
        assert done.returncode == code, done.stderr
        assert (home / "search.circuit.lock").read_bytes() == alone
        assert pathdsl("check", "search.circuit", "--store", "s", *options, cwd=home).stdout
    other = ("--memory", "500kB", "--threads", "2")
    refused = pathdsl("lock", "search.circuit", "--store", "s", *other, cwd=home)
    assert refused.returncode == 3 and "PD642" in refused.stderr and "threads" in refused.stderr
    assert (home / "search.circuit.lock").read_bytes() == alone


# -------------------------------------------------------------------------------------------------
# Doors
# -------------------------------------------------------------------------------------------------


class Here:
    """A door that runs commands in this process, one after another; `ends` says how some end."""

    def __init__(self, home: Path, ends: dict[str, list[int]]) -> None:
        self.home, self.ends = home, ends
        self.started: list[str] = []
        self.cancelled = 0

    def start(self, command: Sequence[str]) -> Job:
        words = list(command)[3:]
        shard = words[words.index("--shard") + 1] if "--shard" in words else "check"
        self.started.append(shard)
        if self.ends.get(shard):
            return Over(self, Done(self.ends[shard].pop(0), "", f"{shard} failed\n"))
        found = pathdsl(*words, cwd=self.home)
        return Over(self, Done(found.returncode, found.stdout, found.stderr))

    def close(self) -> None:
        self.started.append("closed")


class Over:
    def __init__(self, door: Here, end: Done) -> None:
        self.door, self.end = door, end

    def done(self) -> Done:
        return self.end

    def cancel(self) -> None:
        self.door.cancelled += 1


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Here]]:
    monkeypatch.setattr(coordinating, "LOOK", 0.0)
    words = ["--store", "s", *LIMITS, "x.circuit"]

    def made(ends: dict[str, list[int]]) -> tuple[int, Here]:
        door = Here(home, ends)
        with contextlib.chdir(home):
            return coordinate(words, ["--format", "json"], Path("s"), 2, door, quiet=True), door

    return made


def test_a_shard_that_dies_is_started_again(
    run: Callable[..., tuple[int, Here]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, door = run({"2/2": [LOST, -9], "1/2": [4] * 5, "check": [LOST]})
    told = capsys.readouterr()
    assert code == 0 and door.started.count("2/2") == 3 and door.started.count("1/2") == 6
    assert door.started[-3:] == ["check", "check", "closed"] and not door.cancelled
    assert json.loads(told.out)["files"][0]["store"]["computed"] == 0
    assert "shard 2/2 ended with -9 and is started again" in told.err


def test_a_shard_that_fails_for_good_ends_all(
    run: Callable[..., tuple[int, Here]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, door = run({"2/2": [3] * 9, "1/2": [4] * 9})
    told = capsys.readouterr()
    assert code == 3 and door.started.count("2/2") == 3 and "check" not in door.started
    assert door.cancelled == 1 and "2/2 failed\nshard 2/2 failed 3 times" in told.err
    code, door = run({"1/2": [2]})
    assert code == 2 and door.started == ["1/2", "2/2", "closed"]


def test_the_whole_is_what_progress_counts(tmp_path: Path) -> None:
    work = Work(plan="p", label="", step=2, n_rows=8, draws=1, values=1, macs=80, itemsize=4,
                treats=False)  # fmt: skip
    with SharedStore(tmp_path, "1-of-2") as store:
        store.announce(work)
        assert coordinating._progress(store, set()) == (0, 80)
        about = About(labels={"a": "values of rows 0 to 2", "b": "sums of rows 0 to 2"})
        values = {key: np.zeros((1, 2)) for key in "ab"}
        store.add(values, plan="p", proof="", about=about, unfinished=True)
        assert coordinating._progress(store, set()) == (20, 80)
        assert coordinating._progress(store, store.announced["p"]) == (0, 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--on", "local"], "needs `--store DIR`"),
        (["--on", "local", "--store", "s"], "needs `--shards N`"),
        (["--on", "local", "--store", "s", "--shards", "2"], "needs `--threads N`"),
        (["--shards", "2"], "how many `--on` runs"),
        (["--on", "local", "--address", "auto"], "where `--on ray`"),
        (["--on", "ray", "--slurm", "a=b"], "what `--on slurm` tells"),
        (["--on", "local", "--shard", "1/2", "--store", "s"], "takes no `--on`"),
        (["--on", "local", "--store", "s", "--wait"], "takes no `--wait`"),
        (["--on", "local", "--store", "s", "--timeout", "9s"], "takes no `--timeout`"),
        (["--on", "local", "--store", "s", "--figure", "f.svg"], "takes no `--figure`"),
        (["--on", "slurm", "--store", "s", "--shards", "2", "--threads", "1", "--slurm", "x"],
         "wanted NAME=VALUE"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_beside_on_is_refused(words: list[str], told: str, home: Path) -> None:
    done = pathdsl("check", "x.circuit", *words, cwd=home)
    assert done.returncode == 2 and told in " ".join(done.stderr.replace("│", " ").split())
    assert not (home / "s").exists()


@pytest.mark.parametrize(("on", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_what_is_not_installed_is_said(
    on: str, package: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = pathdsl("check", "x.circuit", "--on", on, "--store", "s", "--shards", "2", *LIMITS,
                   cwd=home)  # fmt: skip
    assert done.returncode == 3 and "PD644" in done.stderr
    assert f'pip install "pathdsl[{on}]"' in done.stderr


def test_where_nobody_listens_it_is_said_at_once(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999"):
        done = pathdsl("check", "x.circuit", "--on", "ray", "--address", address, "--store", "s",
                       "--shards", "2", *LIMITS, cwd=home)  # fmt: skip
        assert done.returncode == 3 and "PD644" in done.stderr
        assert f"cannot be reached at `{address}`" in done.stderr and "no answer: " in done.stderr


def test_a_machine_without_the_paths_is_named(tmp_path: Path) -> None:
    for command, folder in (([str(tmp_path / "no")], tmp_path), (SAYS, tmp_path / "no")):
        code, out, told = run_command(command, str(folder))
        assert code == LOST and not out and "no such file" in told and str(folder) in told


class Fails:
    """Ray as a task sees it whose worker could not run it."""

    class exceptions:
        RayError = OSError

    def wait(self, tasks: object, timeout: float) -> tuple[bool, None]:
        return True, None

    def get(self, task: object) -> None:
        raise OSError(
            "\x1b[36mray::run()\x1b[39m\nTraceback …\nModuleNotFoundError: no `pathdsl`\n"
        )


def test_a_worker_that_cannot_run_it_says_why_in_a_line() -> None:
    assert _Task(Fails(), None).done() == Done(LOST, "", "Ray: ModuleNotFoundError: no `pathdsl`\n")


def test_where_there_is_no_sbatch_it_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", mock.MagicMock())
    monkeypatch.setenv("PATH", "")
    done = pathdsl("check", "x.circuit", "--on", "slurm", "--store", "s", "--shards", "2", *LIMITS,
                   cwd=home)  # fmt: skip
    assert done.returncode == 3 and "PD644" in done.stderr and "sbatch" in done.stderr


def ended(job: Job) -> Done:
    until = time.monotonic() + 60
    while (done := job.done()) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    return done


SAYS = [sys.executable, "-c", "import sys; print('out'); sys.exit('err')"]
SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_process_of_this_machine() -> None:
    door = Local()
    assert ended(door.start(SAYS)) == Done(1, "out\n", "err\n")
    slow = door.start(SLEEPS)
    assert slow.done() is None
    slow.cancel()
    assert ended(slow).code == -9


def test_a_job_of_submitit(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    door = Slurm(tmp_path, 1, {"partition": "none"}, cluster="local")
    assert ended(door.start(SAYS)) == Done(1, "out\n", "err\n")
    slow = door.start(SLEEPS)
    slow.cancel()
    assert ended(slow).code == LOST


def test_a_task_of_ray(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    door = Ray(None, 1)
    try:
        assert ended(door.start(SAYS)) == Done(1, "out\n", "err\n")
        slow = door.start(SLEEPS)
        time.sleep(1)
        print("of Ray")
        slow.cancel()
        assert ended(slow).code == LOST
    finally:
        door.close()
    print("a report")
    assert capsys.readouterr().out == "a report\n"
