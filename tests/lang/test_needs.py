"""`needs`: a file says which pathdsl can read it, and an older one says that, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.errors import LanguageError
from pathdsl.lang import ast, needs
from pathdsl.lang.canonical import tree_hash
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.needs import FIRST, FORMS, Form, release, stated
from pathdsl.lang.syntax.parse import parse

HEAD = 'circuit a "A" {{ language = 1{} }}\nmodel mini = bundled("ioi-mini")\n'
LOOPS = Form(name="a loop", since="0.3", used=lambda node: isinstance(node, ast.Loop))
SHIFTS = Form(
    name="an offset", since="0.10.2",
    used=lambda node: isinstance(node, ast.Position) and bool(node.offset),
)  # fmt: skip


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "FORMS", (LOOPS, SHIFTS))
    monkeypatch.setattr(needs, "_running", lambda: "0.11.0")


def codes(text: str, path: str = "x.circuit") -> list[str]:
    return [d.code for d in lint_file(path, text)[1]]


def test_the_table() -> None:
    assert release(FIRST) is not None
    for form in FORMS:
        assert (release(form.since) or ()) > (release(FIRST) or ())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('circuit a { needs = "0.2" }', "0.2"),
        ('# a\n\ncircuit a "t" {\n  cite = "needs"  # needs = "9"\n  needs="0.2.1"\n}', "0.2.1"),
        ('\ufeffcircuit a { needs = "0.2" }', "0.2"),
        ('circuit a { cite = "needs = \\"9\\""; needs = "1.0" }', "1.0"),
        ('circuit a { cite = "x" }\nlet needs = "0.2"', None),
        ('circuit a { cite = "x"; my_needs = "0.2" }', None),
        ('# circuit a { needs = "0.2" }', None),
        ("circuit a { needs = 0.2 }", None),
        ('circuit a { needs = "0.2', None),
        ('circuit a { new ! thing { needs = "0.2" } }', "0.2"),
        ('model m = x\ncircuit a { needs = "0.4" }', "0.4"),
    ],
)
def test_where_it_stands(text: str, version: str | None) -> None:
    found = stated(text)
    assert (found[2] if found else None) == version
    if found:
        assert text[found[0] : found[1]] == f'"{version}"'


@pytest.mark.parametrize("rest", ["", "\nlet x = $$$", "\nnew form = 1", "\n" + "(" * 900])
def test_an_older_pathdsl_says_that_alone(rest: str) -> None:
    text = HEAD.format('; needs = "9.1"') + rest
    program, found = lint_file("x.circuit", text)
    assert [d.code for d in found] == ["PD024"]
    assert found[0].message == "this file needs pathdsl 9.1, and this is 0.1.0"
    assert found[0].help == 'pip install "pathdsl>=9.1"'
    assert found[0].span is not None and text[found[0].span.start : found[0].span.end] == '"9.1"'
    assert not program.file.statements
    with pytest.raises(LanguageError):
        format_text(text, "x.circuit")


@pytest.mark.parametrize("running", ["0.1.0", "0.2.dev1", "0.2.0rc1", "0.10.0"])
def test_versions_are_numbers(running: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "_running", lambda: running)
    wanted = {"0.1": False, "0.1.0": False, "0.2": running == "0.1.0", "0.9": running != "0.10.0"}
    for version, refused in wanted.items():
        found = codes(HEAD.format(f'; needs = "{version}"'))
        assert ("PD024" in found) is refused, version


def test_of_a_file_that_is_used(tmp_path: Path) -> None:
    (tmp_path / "new.circuit").write_text(
        'circuit b { needs = "9.1" }\ngroup g = { a3.h1 } new\n', encoding="utf-8"
    )
    path = tmp_path / "x.circuit"
    path.write_text(HEAD.format("") + 'use "new.circuit"\npath p = g -> logits\n', encoding="utf-8")
    found = [d for d in lint_file(str(path))[1] if str(d.severity) == "error"]
    assert [d.code for d in found] == ["PD024"]
    assert found[0].span is not None and found[0].span.path.endswith("new.circuit")


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ('needs = "soon"', "PD139"), ('needs = "1"', "PD139"), ('needs = "0.1 "', "PD139"),
        ('needs = ">=0.1"', "PD139"), ('needs = ""', "PD139"), ("needs = 0.1", "PD115"),
        ('needs = ["0.1"]', "PD115"), ("needs = soon", "PD115"),
        ('needs = "0.1"; needs = "0.1"', "PD018"), ('need = "0.1"', "PD112"),
    ],
)  # fmt: skip
def test_what_is_no_version(field: str, code: str) -> None:
    assert code in codes(HEAD.format(f"; {field}"))


def test_no_hash_changes() -> None:
    hashes = {tree_hash(parse(HEAD.format(field), "x")[0]) for field in ("", '; needs = "0.1"')}
    assert len(hashes) == 1
    assert tree_hash(parse('circuit a { needs = "0.1" }', "x")[0]) == tree_hash(
        parse("circuit a", "x")[0]
    )


# ------------------------------------------------------------------------------- fmt and lint


LOOP = "let x for h in attn = mean(P(treat(h -> logits)))\n"


@pytest.mark.parametrize(
    ("circuit", "wanted"),
    [
        ("circuit a", 'circuit a {\n  needs = "0.3"\n}'),
        ('circuit a "A" { }', 'circuit a "A" {\n  needs = "0.3"\n}'),
        (
            "circuit a { language = 1  # one\n}",
            'circuit a {\n  needs    = "0.3"\n  language = 1    # one\n}',
        ),
        ('circuit a { needs = "0.2" }', 'circuit a {\n  needs = "0.3"\n}'),
        ('circuit a { needs = "0.5" }', 'circuit a {\n  needs = "0.5"\n}'),
        ('circuit a { needs = "0.3.0" }', 'circuit a {\n  needs = "0.3.0"\n}'),
    ],
)
@pytest.mark.usefixtures("later")
def test_fmt_writes_it(circuit: str, wanted: str) -> None:
    text = format_text(f"{circuit}\n{LOOP}", "x.circuit")
    assert text == f"{wanted}\n\n{LOOP}"
    assert format_text(text, "x.circuit") == text
    old, new = (tree_hash(parse(one, "x")[0]) for one in (f"{circuit}\n{LOOP}", text))
    assert old == new


@pytest.mark.usefixtures("later")
def test_the_newest_form_counts() -> None:
    text = f"circuit a\n{LOOP}path p = input@S1+1 -> logits\n"
    assert 'needs = "0.10.2"' in format_text(text, "x.circuit")


@pytest.mark.usefixtures("later")
def test_nothing_is_written_where_nothing_is_new_or_no_block_is_there() -> None:
    for text in ("circuit a\n\nlet x = 1\n", LOOP):
        assert format_text(text, "x.circuit") == text


def test_nothing_is_written_today() -> None:
    text = f"circuit a\n\n{LOOP}"
    assert FORMS == () and format_text(text, "x.circuit") == text


@pytest.mark.usefixtures("later")
def test_lint_says_which_version_is_needed() -> None:
    for field in ("", '; needs = "0.2"'):
        text = HEAD.format(field) + LOOP
        (found,) = [d for d in lint_file("x", text)[1] if d.code == "PD537"]
        assert found.message.startswith("a loop came with pathdsl 0.3") and "0.3" in found.help
        fix = found.fix
        assert fix is not None and text[fix.span.start : fix.span.end] == fix.was
        assert "PD537" not in codes(text[: fix.span.start] + fix.text + text[fix.span.end :])
    assert "PD537" not in codes(HEAD.format('; needs = "0.3"') + LOOP)
