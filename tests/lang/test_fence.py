"""What a file names lies below its own folder or the working one, links resolved."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pathdsl.checking.prepare import vet_file
from pathdsl.cli.main import main
from pathdsl.lang.fence import FREE, STDIN, Fence
from pathdsl.lang.program import load_program
from pathdsl.lang.syntax.source import sources_of
from pathdsl.limits import FILES

SECRET = "root:x:0:0:keep this\n"
OUTSIDE = """circuit c {{ language = 1 }}
use "{there}/lib.circuit"
model m = folder("{there}/model")
task t {{
  data      = jsonl("{there}/rows.jsonl")
  reference = prompt
  treated   = other
}}
path p = edges("{there}/edges.json", top: 3)
metric L: logits = logit(right) - logit(wrong)
claim c: mean(L(reference) - L(treat(p))) > 0 at 95% confidence
"""


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A folder to start in, which is no home, and one outside of it, with files in it."""
    work, there = tmp_path / "work", tmp_path / "there"
    (work / "sub").mkdir(parents=True)
    (there / "model").mkdir(parents=True)
    (there / "lib.circuit").write_text("group g = { a0.h0 }\n")
    for name in ("rows.jsonl", "rows.csv", "edges.json", "secret.txt"):
        (there / name).write_text(SECRET)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return work, there


def lint(name: str, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["lint", name, *more])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out + said.err


@pytest.mark.parametrize("way", ["../there", "{there}", "link", "sub/../../there"])
def test_every_path_that_leads_out_is_refused_and_not_looked_for(
    way: str, apart: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    work, there = apart
    (work / "link").symlink_to(there)
    text = OUTSIDE.format(there=way.format(there=there))
    (work / "x.circuit").write_text(text)
    _, found = vet_file("x.circuit")
    told = [d for d in found if d.code == "PD664"]
    assert len(told) == 3  # the model is looked at where nothing else is wrong
    assert not {d.code for d in found} & {"PD105", "PD300", "PD600", "PD601"}
    (work / "m.circuit").write_text(
        text.replace("use", "# use")
        .replace('jsonl("', 'jsonl("../')
        .replace('edges("', 'edges("../')
    )
    gone = text.replace("there/", "nowhere/")
    (work / "y.circuit").write_text(gone)
    same = [d.code for d in vet_file("y.circuit")[1]]
    assert way == "link" or same == [d.code for d in found]  # whether it is there does not show
    _, said = lint("x.circuit", capsys)
    assert "keep this" not in said


def test_a_model_folder_outside(apart: tuple[Path, Path]) -> None:
    work, there = apart
    (work / "x.circuit").write_text('model m = folder("../there/model")\n')
    assert [d.code for d in vet_file("x.circuit")[1] if d.code >= "PD6"] == ["PD664"]
    (work / "inside").symlink_to(there / "model")
    (work / "y.circuit").write_text('model m = folder("inside")\n')
    assert [d.code for d in vet_file("y.circuit")[1] if d.code >= "PD6"] == ["PD664"]
    free = [d.code for d in vet_file("x.circuit", None, FREE)[1]]
    assert "PD664" not in free and "PD601" in free


def test_what_the_command_line_names_is_free(apart: tuple[Path, Path]) -> None:
    from pathdsl.engine.load.source import parse_override, source_of

    work, there = apart
    (work / "x.circuit").write_text('model m = folder("../there/model")\n')
    program, _ = load_program("x.circuit")
    name, source = parse_override("m=folder:../there/model")
    assert source_of(program, {name: source}).location.endswith("there/model")
    program, faults = load_program(str(there / "lib.circuit"))
    assert not faults and "g" in program.groups


def test_the_working_folder_and_the_files_own_are_inside(apart: tuple[Path, Path]) -> None:
    work, there = apart
    (work / "lib.circuit").write_text("group g = { a0.h0 }\n")
    (work / "sub" / "x.circuit").write_text('use "../lib.circuit"\n')
    assert not load_program("sub/x.circuit")[1]
    (there / "x.circuit").write_text('use "./lib.circuit"\n')
    assert not load_program("../there/x.circuit")[1]
    os.chdir(work / "sub")
    assert [d.code for d in load_program("x.circuit")[1]] == ["PD664"]


def test_the_home_and_what_lies_above_are_no_place_to_start(
    apart: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = apart
    (work / "sub" / "x.circuit").write_text('use "../lib.circuit"\n')
    (work / "lib.circuit").write_text("group g = { a0.h0 }\n")
    for home in (work, work / "sub" / "somebody"):
        monkeypatch.setenv("HOME", str(home))
        assert [d.code for d in load_program("sub/x.circuit")[1]] == ["PD664"]
    os.chdir("/")
    assert Fence.around(str(work / "x.circuit")).roots == (str(work),)
    assert Fence.around(STDIN).roots == ()


@pytest.mark.parametrize("name", ["n" * 300 + ".circuit", "a/" * 3000 + "x.circuit"])
def test_names_that_are_too_long(name: str, apart: tuple[Path, Path]) -> None:
    codes = {d.code for d in load_program("x.circuit", f'use "{name}"\n')[1]}
    assert codes <= {"PD105", "PD664"} and codes


@pytest.mark.parametrize("written", ["notes.txt", "link.circuit"])
def test_no_line_of_a_file_that_is_no_circuit_is_shown(
    written: str, apart: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    work, _ = apart
    (work / "notes.txt").write_text(SECRET)
    (work / "link.circuit").symlink_to("notes.txt")
    (work / "x.circuit").write_text(f'use "{written}"\n')
    for name in ("x.circuit", written):
        code, said = lint(name, capsys)
        assert code == 2 and "PD022" in said
        assert "keep" not in said and "root" not in said
    (work / "x.circuit").write_text("path p = nothing.at(all\n")
    _, said = lint("x.circuit", capsys)
    assert "nothing.at(all" in said


def test_a_lock_is_not_written_through_a_link_that_leads_out(apart: tuple[Path, Path]) -> None:
    from pathdsl.checking.lock.file import read_lock, write_lock
    from pathdsl.errors import LanguageError

    work, there = apart
    (work / "x.circuit.lock").symlink_to(there / "secret.txt")
    with pytest.raises(LanguageError, match="PD653"):
        write_lock("x.circuit", {"lock_version": 1})
    assert (there / "secret.txt").read_text() == SECRET
    assert write_lock("x.circuit", {"lock_version": 1}, FREE)
    os.mkfifo(work / "y.circuit.lock")
    with pytest.raises(LanguageError, match="PD651"):
        read_lock("y.circuit")
    with pytest.raises(LanguageError, match="PD653"):
        write_lock("y.circuit", {"lock_version": 1})


def test_from_python_too(apart: tuple[Path, Path]) -> None:
    import pathdsl

    (apart[0] / "x.circuit").write_text(OUTSIDE.format(there="../there"))
    closed, free = pathdsl.check("x.circuit"), pathdsl.check("x.circuit", allow_outside=True)
    assert {d.code for d in closed.diagnostics} >= {"PD664"} and closed.exit_code == 2
    assert "PD664" not in {d.code for d in free.diagnostics} and free.exit_code == 2


def test_a_frame_is_of_a_circuit_file(apart: tuple[Path, Path]) -> None:
    from pathdsl.errors import Diagnostic, Span

    work, _ = apart
    (work / "notes.txt").write_text(SECRET)
    at = Span(path=str(work / "notes.txt"), start=0, end=4)
    assert sources_of([Diagnostic(code="PD999", message="m", span=at)], {}) == {}


def test_a_long_chain_of_files(apart: tuple[Path, Path]) -> None:
    work, _ = apart
    for i in range(600):
        (work / f"u{i}.circuit").write_text(f'use "u{i + 1}.circuit"\ngroup g{i} = {{ a0 }}\n')
    (work / "u600.circuit").write_text("group g600 = { a0 }\n")
    program, faults = load_program("u0.circuit")
    assert not faults
    assert list(program.groups) == [f"g{i}" for i in range(600, -1, -1)]


def test_a_program_has_so_many_files(
    apart: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathdsl.lang.program.FILES", replace(FILES, most=3))
    for name in "abc":
        (apart[0] / f"{name}.circuit").write_text(f"group {name} = {{ a0 }}\n")
    text = "".join(f'use "{name}.circuit"\n' for name in "abc")
    (fault,) = load_program("x.circuit", text)[1]
    assert fault.code == "PD023" and fault.span is not None


def test_a_pipe_is_no_file(apart: tuple[Path, Path]) -> None:
    os.mkfifo(apart[0] / "x.circuit")
    os.mkfifo(apart[0] / "lib.circuit")
    assert [d.code for d in load_program("x.circuit")[1]] == ["PD009"]
    assert [d.code for d in load_program("y.circuit", 'use "lib.circuit"\n')[1]] == ["PD105"]


def test_one_file_takes_no_others_result_with_it(
    apart: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pathdsl.checking import prepare

    def broken(path: str, *more: object) -> object:
        if path.startswith("b"):
            raise RuntimeError("unforeseen")
        return vet_file(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, "vet_file", broken)
    for name in ("a", "b", "c"):
        (apart[0] / f"{name}.circuit").write_text("group g = { a0 }\nlet\n")
    code, said = lint(".", capsys)
    assert code == 3 and "`b.circuit`: this is a bug in pathdsl: RuntimeError" in said
    assert "a.circuit:2:4" in said and "c.circuit:2:4" in said
