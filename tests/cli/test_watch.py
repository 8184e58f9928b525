"""`check --watch` in a process of its own: edits of all kinds, and its end."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from pathdsl.cli.watching import changed_files
from pathdsl.engine.load.held import Held
from pathdsl.engine.load.source import ModelSource
from pathdsl.models import bundled
from pathdsl.reading import noting, read_file
from tests.cli.run import INDUCTION, pathdsl

LAST = re.compile(r"checked in [\d.]+ s; watching \d+ files?, Ctrl-C ends")
ROWS = '{"id": "r%d", "p": [1, 2, 3, %d], "q": [1, 2, 4, %d], "a": 5, "b": 6}\n'


class Watching:
    """A command that watches, and what it prints."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pathdsl", "check", "--watch", "x.circuit"], cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PATHDSL_CACHE": str(folder / "store"), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self) -> str:
        """What is printed of the next check."""
        found = ""
        while not LAST.search(found):
            found += self._lines.get(timeout=120)
        return found


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    rows = "".join(ROWS % (i, i % 7, i % 5) for i in range(40))
    (tmp_path / "rows.jsonl").write_text(rows)
    (tmp_path / "x.circuit").write_text(INDUCTION)
    made = Watching(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()
    made.reader.join()
    assert made.process.stdout is not None
    made.process.stdout.close()


def test_edits_are_followed_until_ctrl_c(watching: Watching, tmp_path: Path) -> None:
    file = tmp_path / "x.circuit"
    first = watching.next()
    assert "2 claims: 1 supported, 1 refuted as expected" in first
    file.write_text(INDUCTION.replace("faithfulness(nodes) >= 80%", "faithfulness(nodes) <= 8%"))
    assert "sufficient" in (told := watching.next()) and "refuted" in told and "-----" in told
    (tmp_path / "new").write_text(INDUCTION)  # as editors do that save by renaming
    (tmp_path / "new").rename(file)
    assert "2 claims: 1 supported, 1 refuted as expected" in watching.next()
    file.write_text(INDUCTION.replace("{ a1.h2 }", "{ a1.h3 }"))
    assert "2 claims: 1 supported" not in watching.next()
    file.write_text(INDUCTION.replace("metric LD:", "metric LD"))
    assert "error[PD0" in watching.next()
    # A file that is read is followed as well, also after a fault of the file that names it.
    data = 'jsonl("rows.jsonl")'
    text = INDUCTION.replace("induction(take: 40, seed: 0, length: 16)", data)
    text = text.replace("prompt_other", "q").replace("= prompt\n", "= p\n")
    text = text.replace("logit(answer) - logit(wrong)", "logit(a) - logit(b)")
    file.write_text(text)
    told = watching.next()
    assert "error" in told and "positions" in told
    (tmp_path / "rows.jsonl").write_text("nonsense\n")
    assert "rows.jsonl" in watching.next()
    file.write_text(INDUCTION)
    assert "2 claims: 1 supported, 1 refuted as expected" in watching.next()
    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(timeout=60) == 130
    rest = "".join(list(watching._lines.queue))
    assert "Traceback" not in rest and "interrupted" in rest


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["x.circuit", "y.circuit"], "one file"),
        (["."], "one file"),
        (["x.circuit", "--format", "json"], "--format"),
        (["x.circuit", "--values", "v.csv"], "--values"),
        (["x.circuit", "--locked"], "--locked"),
    ],
)
def test_what_is_not_watched(words: list[str], why: str, tmp_path: Path) -> None:
    (tmp_path / "x.circuit").write_text(INDUCTION)
    done = pathdsl("check", "--watch", *words, cwd=tmp_path)
    assert done.returncode == 2 and "--watch" in done.stderr and why in done.stderr


def test_an_edit_during_a_check_is_the_next_ones(tmp_path: Path) -> None:
    """Whatever is read for the first time has the mark of then, not that of the check's end."""
    path = tmp_path / "rows.jsonl"
    path.write_text("one")
    with noting() as read, noting() as other:
        read_file(path)
        path.write_text("two")
        read_file(path)
    assert changed_files(read) == [str(path)] and read == other
    with noting() as read:
        read_file(path)
    assert not changed_files(read)
    at = path.stat()
    path.write_text("ten")
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))  # as `cp -p` and `rsync` do
    assert changed_files(read) == [str(path)]


def test_a_model_is_held_until_one_of_its_files_changes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled("induction-2l"), folder)
    held, source = Held(), ModelSource(kind="folder", location=str(folder))
    with noting() as read:
        first = held(source)
    assert held(source) is first
    assert {str(folder / name) for name in ("config.json", "model.safetensors")} <= {*read}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 0.5}))
    second = held(source)
    assert second is not first and second.model.config.layer_norm_epsilon == 0.5
    weights = folder / "model.safetensors"
    at, tensors = weights.stat(), load_file(weights)
    save_file({k: v * 2 for k, v in tensors.items()}, weights, metadata={"format": "pt"})
    os.utime(weights, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert weights.stat().st_size == at.st_size
    assert held(source).weights != second.weights
