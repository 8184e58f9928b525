"""Standard streams that are closed or full, and what else the system refuses."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pathdsl.cli import linting
from pathdsl.cli.main import main

GOOD = "group g = { a0.h0 }\n"


class Full(io.StringIO):
    """A stream on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


@pytest.mark.parametrize("stream", [None, Full()])
@pytest.mark.parametrize("words", [["lint", "x.circuit"], ["--help"], ["explain", "PD203"]])
def test_a_full_disk(
    stream: io.StringIO | None,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.circuit").write_text(GOOD)
    monkeypatch.setattr(sys, "stdout", stream)
    assert run(*words) == 3
    said = capsys.readouterr().err
    assert ("PD665" in said or "PD666" in said) and "bug" not in said
    assert ("closed" if stream is None else "no space") in said


def test_a_closed_standard_error_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.circuit").write_text(GOOD)
    for stream in (None, Full()):
        monkeypatch.setattr(sys, "stderr", stream)
        assert run("lint", "x.circuit", "none.circuit") == 2
        assert "none.circuit" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["lint", "-"], ["fmt", "-"]])
def test_a_closed_standard_input(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run(*words) == 2
    said = "".join(capsys.readouterr())
    assert "PD009" in said and "closed" in said


def test_standard_input_without_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"#" * 3_000_000)))
    assert run("lint", "-") == 2
    assert "PD011" in capsys.readouterr().out


def test_what_the_system_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "some.file")

    monkeypatch.setattr(linting, "expand", refuse)
    assert run("lint", "x.circuit") == 3
    said = capsys.readouterr().err
    assert "PD666" in said and "`some.file`" in said and "too many open files" in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_the_process(tmp_path: Path) -> None:
    """Also what Python itself does with a stream, before and after."""
    (tmp_path / "x.circuit").write_text(GOOD)
    words = f"{sys.executable} -m pathdsl lint x.circuit"
    for shell, code in ((">/dev/full", 3), (">&-", 3), ("2>&-", 0), ("<&- >&- 2>&-", 3)):
        done = subprocess.run(
            f"{words} {shell}", shell=True, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == code, (shell, done)
        assert "Traceback" not in done.stderr and "Exception" not in done.stderr
        assert ("PD665" in done.stderr) == (shell in (">/dev/full", ">&-"))
