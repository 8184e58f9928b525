"""The hash of a syntax tree: layout and comments are no part of it, everything else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.lang.canonical import tree_hash, used_hashes
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.program import load_program
from pathdsl.lang.syntax.parse import parse

CASES = Path(__file__).parents[1] / "cases"
TEXT = "group g @END = { a9.h9 }\nclaim c: faithfulness(g) >= 80% at 95% confidence\n"


def of(text: str) -> str:
    file, faults = parse(text, "x.circuit")
    assert not faults
    return tree_hash(file)


@pytest.mark.parametrize("name", ["every_form.circuit", "ioi.circuit"])
def test_the_canonical_form_has_the_same_hash(name: str) -> None:
    text = (CASES / name).read_text("utf-8")
    assert of(format_text(text, name)) == of(text) == of("# a remark\n\n" + text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("80%", "79%"), ("95%", "90%"), (">=", ">"), ("a9.h9", "a9.h8"), ("@END", "@S2"),
        ("confidence", "confidence expect refuted"), ("group g", "group f"), ("80%", "0.8"),
    ],
)  # fmt: skip
def test_everything_else_has_another(before: str, after: str) -> None:
    assert of(TEXT.replace(before, after)) != of(TEXT)


def test_used_files_are_named_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.circuit").write_text('use "../lib.circuit"\n')
    (tmp_path / "lib.circuit").write_text("group g = { a0.h0 }\n")
    program, faults = load_program(str(tmp_path / "sub" / "x.circuit"))
    assert not faults
    assert used_hashes(program) == {"../lib.circuit": of("group g = { a0.h0 }\n")}
