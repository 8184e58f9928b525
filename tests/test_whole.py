"""Every file that is written appears whole or not at all, and a killed writer leaves nothing."""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import pathdsl.whole as whole
from pathdsl.cli import main as cli
from pathdsl.whole import PREFIX, STALE, SUFFIX, write_whole

OLD = b"what was there\n"
NEW = b"n" * 5000


@contextmanager
def full_disk(room: int = 1000) -> Iterator[None]:
    """No file can be longer than this: what the system says then, it says of a full disk, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["unnamed", "named"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to write, by files without a name and, as on other systems, by named ones."""
    if request.param == "named":
        monkeypatch.setattr(whole, "_unnamed", lambda folder: None)
    return tmp_path / "x.txt"


def test_a_new_file_has_the_permissions_of_one_and_an_old_one_keeps_its_own(place: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(place, NEW)
        assert place.read_bytes() == NEW and stat.S_IMODE(place.stat().st_mode) == 0o640
        place.chmod(0o604)
        write_whole(place, OLD)
    finally:
        os.umask(before)
    assert place.read_bytes() == OLD and stat.S_IMODE(place.stat().st_mode) == 0o604
    assert os.listdir(place.parent) == ["x.txt"]


def test_links_are_followed(place: Path) -> None:
    (place.parent / "far").mkdir()
    place.symlink_to("far/real.txt")
    write_whole(place, OLD)
    write_whole(place, NEW)
    assert place.is_symlink() and (place.parent / "far" / "real.txt").read_bytes() == NEW


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, OLD)
    assert os.read(reader, 100) == OLD and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)
    with pytest.raises(OSError, match="No space"):
        write_whole("/dev/full", OLD)


def test_on_a_full_disk_the_old_file_stays(place: Path) -> None:
    place.write_bytes(OLD)
    with full_disk(), pytest.raises(OSError):
        write_whole(place, NEW)
    assert place.read_bytes() == OLD and os.listdir(place.parent) == ["x.txt"]


@pytest.mark.parametrize("where", ["", "missing/x.txt", "file/x.txt"])
def test_what_cannot_be_written_raises(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(OSError):
        write_whole(tmp_path / where, NEW)
    assert os.listdir(tmp_path) == ["file"]


KILLED = """
import os, signal, sys
import pathdsl.whole as whole
if sys.argv[2] == "named":
    whole._unnamed = lambda folder: None
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
whole.write_whole(sys.argv[1], b"n" * 5000)
"""


@pytest.mark.parametrize("how", ["unnamed", "named"])
def test_a_killed_writer_leaves_nothing_beside_the_file(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), how], timeout=60)
    assert done.returncode == -signal.SIGKILL and path.read_bytes() == OLD
    left = [name for name in os.listdir(tmp_path) if name != "x.txt"]
    assert left == [] if how == "unnamed" and sys.platform == "linux" else len(left) == 1
    for name in left:
        assert name.startswith(PREFIX) and name.endswith(SUFFIX)
    write_whole(path, NEW)  # somebody may still be writing that one
    assert len(os.listdir(tmp_path)) == 1 + len(left)
    for name in left:
        os.utime(tmp_path / name, times=(time.time() - STALE - 5,) * 2)
    write_whole(path, NEW)
    assert os.listdir(tmp_path) == ["x.txt"]


def test_only_one_module_writes_files() -> None:
    """Anything else would write in place; scratch folders and the build of models may."""
    package = Path(whole.__file__).parent
    writes = re.compile(
        r"\.write_(text|bytes)\(|open\([^)\n]*\"[wxa]b?\"|NamedTemporaryFile|mkstemp|to_csv\("
    )
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if writes.search(path.read_text(encoding="utf-8"))
    }
    scratch = {
        "checking/breaking/revision.py", "checking/discovery/run.py", "lang/syntax/tables.py",
        "checking/discovery/beside.py", "checking/discovery/reached.py", "editor/textmate.py",
        "checking/discovery/alone.py",  # a lock, which holds nothing
        "engine/store/shared.py",  # sealed lines behind others, and a name that the first takes
        "graph/formats/content.py",  # the text of a script for the reader
    }  # fmt: skip
    scratch |= {name for name in found if name.startswith("models/build/")}
    assert found - scratch == {"whole.py"}


# ------------------------------------------------------------------------------- commands


BAD = "circuit c {language=1}\nmodel m = bundled( 'induction-2l' )\n".replace("'", '"')


@pytest.mark.parametrize("command", ["fmt", "values", "report"])
def test_commands_keep_the_old_file_on_a_full_disk(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    circuit = tmp_path / "x.circuit"
    circuit.write_text(
        BAD + "task t { data = induction(take: 8, seed: 0)\n reference = prompt }\n"
        "metric LD: logits = logit(answer) - logit(wrong)\nlet a = mean(LD(reference))\n"
    )
    place = circuit if command == "fmt" else tmp_path / "old.csv"
    place.write_bytes(place.read_bytes() if command == "fmt" else OLD)
    before = place.read_bytes()
    arguments = {
        "fmt": ["fmt", "x.circuit"],
        "values": ["check", "x.circuit", "--no-cache", "--values", "old.csv"],
        "report": ["report", "x.circuit", "--no-cache", "--to", "html", "-o", "old.csv"],
    }[command]
    names = sorted(os.listdir(tmp_path))
    with full_disk(100):
        assert cli._run(arguments, False) == 2
    printed = capsys.readouterr().err
    assert f"PD641] file-not-written: cannot write `{place.name}`: file too" in printed, printed
    assert "as it was" in printed
    assert place.read_bytes() == before and sorted(os.listdir(tmp_path)) == names
