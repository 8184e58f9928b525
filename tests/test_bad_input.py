"""Whatever is wrong with a file, its data or its model: a diagnostic and an exit code."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pathdsl.cli.main import main
from tests.bad_input_cases import CASES, Bad, sound
from tests.cli.run import pathdsl, process


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of the command line, and all that it prints."""
    with pytest.raises(SystemExit) as end:
        main(["check", "--no-color", *arguments])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out + said.err


def no_traceback(said: str) -> None:
    assert "Traceback" not in said and "this is a bug" not in said, said[-3000:]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(case: Bad, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound(tmp_path)
    case.make(tmp_path)
    started = time.monotonic()
    code, said = run([str(tmp_path / "x.circuit")], capsys)
    assert time.monotonic() - started < 20
    no_traceback(said)
    assert code == case.exits, said
    if case.code:
        assert f"[{case.code}" in said, said
        assert "help" in said or "note" in said or "x.circuit:" in said, said
    for word in case.words:
        assert word in said, said
    assert len(said) < 20_000
    assert not list(tmp_path.rglob("was-run")) and not Path("was-run").exists()


def test_the_sound_folder_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound(tmp_path)
    code, said = run([str(tmp_path / "x.circuit"), "--allow-inconclusive"], capsys)
    assert code == 0, said


def test_a_folder_and_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.circuit").mkdir()
    for name in ("folder.circuit", "gone.circuit", "folder.circuit/x.circuit"):
        code, said = run([str(tmp_path / name)], capsys)
        no_traceback(said)
        assert code in (2, 5) and name.split("/")[0] in said


def test_nodes_that_are_not_executed_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound(tmp_path)
    path = tmp_path / "x.circuit"
    whole = path.read_text()
    for change, wanted in (
        (("L(reference) -", "L(treat(through(m0.n3)) with off) -"), "PD225"),
        (("a1.h2@END", "m0.n99999"), "PD205"),
    ):
        path.write_text(whole.replace(*change) + "intervene off { set m0 = input }\n")
        code, said = run([str(path)], capsys)
        no_traceback(said)
        assert code == 2 and f"[{wanted}]" in said


def command(*arguments: str, folder: Path, run: Any = pathdsl) -> tuple[int, str]:
    done = run(*arguments, cwd=folder, NO_COLOR="1")
    return done.returncode, done.stdout + done.stderr


def test_the_command_on_many_wrong_files(tmp_path: Path) -> None:
    """Every file of one call is answered; the worst exit code wins."""
    chosen = [case for case in CASES if case.name in ("truncated", "binary", "missing column")]
    for case in chosen:
        folder = tmp_path / case.name.replace(" ", "-")
        sound(folder)
        case.make(folder)
    names = [f"{case.name.replace(' ', '-')}/x.circuit" for case in chosen]
    code, said = command("check", *names, folder=tmp_path)
    no_traceback(said)
    assert code == 2
    for name in names:
        assert name in said
    assert "row-2" in said


def test_the_command_on_a_model_that_fails(tmp_path: Path) -> None:
    for name in ("no weights", "own code"):
        folder = tmp_path / name.replace(" ", "-")
        sound(folder)
        next(case for case in CASES if case.name == name).make(folder)
    code, said = command("check", "no-weights/x.circuit", "own-code/x.circuit", folder=tmp_path)
    no_traceback(said)
    assert code == 3 and "PD602" in said and "PD604" in said


def test_the_command_on_endless_brackets(tmp_path: Path) -> None:
    (tmp_path / "x.circuit").write_text("path p = " + "(" * 10_000_000)
    started = time.monotonic()
    code, said = command("check", "x.circuit", folder=tmp_path, run=process)
    no_traceback(said)
    assert code == 2 and "PD0" in said and len(said) < 20_000
    assert time.monotonic() - started < 30
