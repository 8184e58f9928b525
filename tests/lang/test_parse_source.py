"""Reading files, and the tables the parser is loaded from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import lark
import pytest

from pathdsl.errors import Diagnostic
from pathdsl.lang.syntax import tables
from pathdsl.lang.syntax.source import MAX_BYTES, SourceFile, read_source
from pathdsl.lang.syntax.tables import GRAMMAR, TABLES, build, dump, folder, key, parser


def refusal(path: Path) -> Diagnostic:
    found = read_source(path)
    assert isinstance(found, Diagnostic)
    return found


def test_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.circuit").code == "PD009"
    assert refusal(tmp_path).code == "PD009"
    assert refusal(tmp_path / "a\x00b").code == "PD009"


def test_too_big(tmp_path: Path) -> None:
    (tmp_path / "big.circuit").write_bytes(b"#" * (MAX_BYTES + 1))
    assert refusal(tmp_path / "big.circuit").code == "PD011"


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "x.circuit").write_bytes(b"# ok\nlet x = \xff\n")
    fault = refusal(tmp_path / "x.circuit")
    assert fault.code == "PD010"
    assert "line 2" in fault.message


def test_read(tmp_path: Path) -> None:
    (tmp_path / "x.circuit").write_bytes("let é = 1\r\n".encode())
    source = read_source(str(tmp_path / "x.circuit"))
    assert isinstance(source, SourceFile)
    assert source.text == "let é = 1\r\n"
    assert source.line_text(1) == "let é = 1"


def test_lines() -> None:
    source = SourceFile("x", "ab\n\n日本\n")
    assert [source.line_col(i) for i in (0, 2, 3, 4, 6, 7, 99, -1)] == [
        (1, 1), (1, 3), (2, 1), (3, 1), (3, 3), (4, 1), (4, 1), (1, 1),
    ]  # fmt: skip
    assert [source.line_text(n) for n in (0, 1, 2, 3, 4, 5)] == ["", "ab", "", "日本", "", ""]


def grammar() -> str:
    return folder().joinpath(GRAMMAR).read_text(encoding="utf-8")


def test_tables_fit_the_grammar() -> None:
    kept = folder().joinpath(TABLES).read_text(encoding="utf-8")
    if lark.__version__ != "1.3.1":
        pytest.skip("the tables are those of lark 1.3.1; another lark builds from the grammar")
    assert key(grammar()) in kept, "run `python -m pathdsl.lang.syntax.tables`"
    assert set(json.loads(dump(grammar()))) == {"key", "data", "memo"}


def test_tables_and_grammar_make_the_same_parser() -> None:
    text = (Path(__file__).resolve().parents[1] / "cases/every_form.circuit").read_text("utf-8")
    loaded, built = parser(), build(grammar())
    for statement in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]:
        assert loaded.parse(statement) == built.parse(statement)


def test_parser_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "TABLES", "missing.json")
    assert parser.__wrapped__().parse('use "x"').data == "use_decl"


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="lark"):
        built = lark.Lark(grammar(), parser="lalr", keep_all_tokens=True,
                          maybe_placeholders=False, debug=True)  # fmt: skip
    assert built.parse('use "x"') == build(grammar()).parse('use "x"')
    assert "conflict" not in caplog.text.lower()
