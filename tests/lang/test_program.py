"""Programs of several files: what `use` brings in, from where, and what is reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pathdsl.lang.lint import lint_file, sort_diagnostics
from pathdsl.lang.program import Program, load_program


def write(folder: Path, **texts: str) -> str:
    """Files NAME.circuit with these texts; returns the path of `main.circuit`."""
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".circuit")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(folder / "main.circuit")


def load(folder: Path, **texts: str) -> tuple[Program, list[str]]:
    program, faults = load_program(write(folder, **texts))
    return program, [fault.code for fault in faults]


def test_one_file_is_sorted_into_its_kinds(tmp_path: Path) -> None:
    program, faults = load(
        tmp_path,
        main='circuit c { language = 1 }\nmodel m = bundled("x")\n'
        "task t { reference = prompt }\ngroup g = { a0.h1 }\npath p = g -> logits\n"
        "metric M = logit(io)\nlet l = mean(M(reference))\n"
        "intervene i { zero v(g) }\nclaim one: l > 0\nclaim two: l < 9\n",
    )
    assert faults == []
    assert program.circuit is not None
    assert program.model is not None
    assert [list(t) for t in (program.tasks, program.groups, program.paths)] == [
        ["t"],
        ["g"],
        ["p"],
    ]
    assert [list(t) for t in (program.metrics, program.lets, program.interventions)] == [
        ["M"],
        ["l"],
        ["i"],
    ]
    assert [claim.name.name for claim in program.claims] == ["one", "two"]
    assert program.kind("g") == "group"
    assert program.kind("m") == "model"
    assert program.kind("one") == "claim"
    assert program.kind("nothing") == ""
    assert program.names("group", "path") == ["g", "p"]
    assert not program.is_library


def test_use_brings_in_everything_but_circuit_model_and_claims(tmp_path: Path) -> None:
    program, faults = load(
        tmp_path,
        main='use "sub/other.circuit"\npath p = g -> logits\n',
        sub__other='circuit o { language = 1 }\nmodel m = bundled("x")\ngroup g = { a0.h1 }\n'
        'use "deep.circuit"\nclaim c: mean(M(reference)) > 0\n',
        sub__deep="metric M = logit(io)\n",
    )
    assert faults == []
    assert program.circuit is None
    assert program.model is None
    assert program.claims == ()
    assert set(program.groups) == {"g"}
    assert set(program.metrics) == {"M"}
    assert program.origin["p"] == program.path
    assert program.origin["g"] == os.path.join(tmp_path, "sub", "other.circuit")
    assert program.origin["M"] == os.path.join(tmp_path, "sub", "deep.circuit")
    assert set(program.sources) == set(program.origin.values())


def test_a_file_reached_twice_is_read_once(tmp_path: Path) -> None:
    program, faults = load(
        tmp_path,
        main='use "a.circuit"\nuse "b.circuit"\n',
        a='use "c.circuit"\n',
        b='use "./c.circuit"\n',
        c="group g = { a0.h1 }\n",
    )
    assert faults == []
    assert list(program.groups) == ["g"]


def test_a_cycle_is_reported_where_it_closes(tmp_path: Path) -> None:
    path = write(tmp_path, main='use "a.circuit"\n', a='use "main.circuit"\n')
    _, faults = load_program(path)
    assert [fault.code for fault in faults] == ["PD106"]
    assert faults[0].span is not None
    assert faults[0].span.path.endswith("a.circuit")
    assert "`main.circuit` -> `a.circuit` -> `main.circuit`" in faults[0].message


def test_a_clash_shows_both_places(tmp_path: Path) -> None:
    path = write(
        tmp_path, main='use "a.circuit"\npath g = a0.h1 -> logits\n', a="group g = { a0 }\n"
    )
    program, (fault,) = load_program(path)
    assert fault.code == "PD103"
    assert fault.span is not None
    assert fault.span.path == path
    assert fault.labels[0][0].path.endswith("a.circuit")
    assert "as group in" in fault.message
    assert program.kind("g") == "group"


def test_a_circuit_may_share_its_name_with_a_task(tmp_path: Path) -> None:
    text = "circuit ioi { language = 1 }\ntask ioi { reference = prompt }\n"
    assert load(tmp_path, main=text)[1] == []


def test_a_missing_used_file_is_a_fault_of_the_use(tmp_path: Path) -> None:
    _, faults = load_program(write(tmp_path, main='use "none.circuit"\n'))
    assert [fault.code for fault in faults] == ["PD105"]
    assert faults[0].span is not None


def test_a_missing_file_gives_an_empty_program(tmp_path: Path) -> None:
    program, faults = lint_file(str(tmp_path / "none.circuit"))
    assert [fault.code for fault in faults] == ["PD009"]
    assert program.file.statements == ()


def test_a_text_replaces_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, main="group old = { a0.h1 }\n", other="group g = { a0.h1 }\n")
    program, faults = load_program(path, 'use "other.circuit"\ngroup new = { a1.h1 }\n')
    assert faults == []
    assert list(program.groups) == ["g", "new"]


def test_faults_in_used_files_come_with_their_own_path(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main='use "a.circuit"\npath p = g -> nothing\n',
        a="group g = { a0.h1, gone }\n",
    )
    faults = lint_file(path)[1]
    assert [(f.code, Path(f.span.path).name) for f in faults if f.span] == [
        ("PD101", "main.circuit"),
        ("PD101", "a.circuit"),
    ]
    assert sort_diagnostics([*faults, *faults], first=path) == faults


def test_names_of_broken_statements_are_kept(tmp_path: Path) -> None:
    program, faults = load(tmp_path, main="group g = { a0.h1 a1 }\npath p = g -> logits\n")
    assert faults
    assert program.broken == {"g"}


def test_an_unreadable_text_leaves_no_follow_up_faults(tmp_path: Path) -> None:
    faults = lint_file(write(tmp_path, main="group g = { a0.h1 }\n\x00\n"))[1]
    assert [fault.code for fault in faults] == ["PD010"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n"])
def test_an_empty_file_is_a_library(text: str, tmp_path: Path) -> None:
    program, faults = lint_file(write(tmp_path, main=text))
    assert program.is_library
    assert faults == []
