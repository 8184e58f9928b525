"""The formatter: the model file comes out as it is, and its laws hold for drawn files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathdsl.errors import LanguageError
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.syntax.parse import parse
from tests.lang.strategies import files, with_comments

CASES = Path(__file__).resolve().parents[1] / "cases"


def comments(text: str) -> list[str]:
    """The comments of a text in order, blanks at their ends left out."""
    found = re.findall(r'"(?:[^"\n\\]|\\.)*"|(#[^\r\n]*)', text)
    return [comment.rstrip() for comment in found if comment]


def obeys_the_laws(text: str) -> None:
    tree, faults = parse(text, "x.circuit")
    assert not faults, (text, faults)
    once = format_text(text, "x.circuit")
    again, faults = parse(once, "x.circuit")
    assert not faults, (text, once, faults)
    assert again == tree, (text, once)
    assert comments(once) == comments(text)
    assert format_text(once, "x.circuit") == once
    assert not re.search(r"[ \t]+$", once, re.MULTILINE)
    assert "\n\n\n" not in once
    assert not once.startswith("\n") and not once.endswith("\n\n")


@given(files())
@settings(max_examples=120, deadline=None)
def test_laws(text: str) -> None:
    obeys_the_laws(text)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_laws_with_comments(data: st.DataObject) -> None:
    obeys_the_laws(data.draw(with_comments(data.draw(files(most=3)))))


@pytest.mark.parametrize("name", ["ioi.circuit", "every_form.circuit"])
def test_canonical_files_stay_as_they_are(name: str) -> None:
    text = (CASES / name).read_text(encoding="utf-8")
    assert format_text(text, name) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("\ufeff# only\r\n", "# only\n"),
        ('use"a"\n\n\n\nuse "b"\n', 'use "a"\n\nuse "b"\n'),
        ("group g={a9.h9,a9 . h6}".replace(" . ", "."), "group g = { a9.h9, a9.h6 }\n"),
        ("path p=a(->mlp)*->{b , c}", "path p = a (-> mlp)* -> {b, c}\n"),
        ("path p = a -[ k , v : window( 3 ),q ]->b", "path p = a -[k,v: window(3), q]-> b\n"),
        ("let a=- (x-1)*-y^-2", "let a = -(x - 1) * -y^-2\n"),
        ("metric LD on ioi@S2:logits=logit(io)@S2-1-logit(s)",
         "metric LD on ioi @S2: logits = logit(io) @S2-1 - logit(s)\n"),
        ("task t{a=1;bb=[x,\n y]}", "task t {\n  a  = 1\n  bb = [x, y]\n}\n"),
        ("task t { }", "task t {}\n"),
        ("let a = 1\nclaim c: a > 0\n", "let a = 1\n\nclaim c: a > 0\n"),
        ("group a @S2 = {a1.h1}\ngroup long_one = {m1}\n",
         "group a @S2    = { a1.h1 }\ngroup long_one = { m1 }\n"),
        ("path p = edges{a->b;c->d}", "path p = edges { a -> b; c -> d }\n"),
        ("path p = a # why\n -> b", "path p = a    # why\n    -> b\n"),
    ],
)  # fmt: skip
def test_canonical_form(text: str, expected: str) -> None:
    assert format_text(text, "x.circuit") == expected


def test_group_breaks_where_it_does_not_fit() -> None:
    members = ", ".join(f"a{layer}.h{head}" for layer in range(3) for head in range(5))
    lines = format_text(f"group g = {{ {members} }}\n", "x.circuit").splitlines()
    assert lines[0] == "group g = {"
    assert lines[1] == "  a0.h0,"
    assert lines[-1] == "}"
    assert len(lines) == 17


def test_broken_file_is_not_touched() -> None:
    with pytest.raises(LanguageError) as caught:
        format_text("path p = \n", "x.circuit")
    assert [fault.code for fault in caught.value.diagnostics] == ["PD014"]
