"""The frame of diagnostics, character by character."""

from __future__ import annotations

from pathdsl.errors import Diagnostic, Severity, Span
from pathdsl.lang.render import render
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.visible import printed

PATH = "hypotheses/ioi.circuit"
TEXT = (
    "\n" * 23 + "path wrong = s_inhibition@END -[v]-> induction@S2\n"
    "group g = {\n  a9.h0,\n}\n\tx日本 = ö\n"
)
SOURCES = {PATH: SourceFile(PATH, TEXT)}


def span(piece: str) -> Span:
    start = TEXT.index(piece)
    return Span(path=PATH, start=start, end=start + len(piece))


TRAVELS = Diagnostic(
    code="PD203",
    message="attention cannot read the future",
    span=span("induction@S2"),
    label="stands at S2 and would read END",
    labels=((span("s_inhibition@END"), "sender stands at END"),),
    help="the other direction exists: `induction@S2 -[v]-> s_inhibition@END`",
)
FRAME = """\
  --> hypotheses/ioi.circuit:24:38
   |
24 | path wrong = s_inhibition@END -[v]-> induction@S2
   |              ----------------        ^^^^^^^^^^^^ stands at S2 and would read END
   |              sender stands at END
   = help: the other direction exists: `induction@S2 -[v]-> s_inhibition@END`
"""


def test_the_frame_of_the_specification() -> None:
    head, frame = render([TRAVELS], SOURCES).split("\n", 1)
    assert head.startswith("error[PD203]")
    assert head.endswith(": attention cannot read the future")
    assert frame.startswith(FRAME)


def test_name_and_page_of_a_known_code() -> None:
    text = render([Diagnostic(code="PD014", message="ends", span=span("x"))], SOURCES)
    assert text.startswith("error[PD014] statement-unfinished: ends\n")
    assert text.endswith("   = more: pathdsl explain PD014\n")


def test_several_lines_notes_and_warnings() -> None:
    fault = Diagnostic(
        code="PD999", message="multi", span=span("{\n  a9.h0,\n}"), label="this one",
        notes=("first", "second\nmore"), severity=Severity.WARNING,
    )  # fmt: skip
    assert render([fault], SOURCES) == (
        "warning[PD999]: multi\n"
        "  --> hypotheses/ioi.circuit:25:11\n"
        "   |\n"
        "25 | group g = {\n"
        "   |           ^ from here\n"
        "...\n"
        "27 | }\n"
        "   | ^ this one\n"
        "   = note: first\n"
        "   = note: second\n"
        "           more\n"
    )


def test_tabs_and_wide_characters_keep_the_carets_under_the_text() -> None:
    text = render([Diagnostic(code="PD999", message="m", span=span("ö"))], SOURCES)
    line, under = text.split("\n")[3:5]
    assert line == "28 |     x日本 = ö"
    assert under == "   |             ^"


def test_without_position_or_source() -> None:
    lost = Diagnostic(code="PD999", message="gone", span=Span(path="other", start=0, end=3))
    text = render([lost, Diagnostic(code="PD999", message="none")], SOURCES)
    assert text == "error[PD999]: none\n\nerror[PD999]: gone\n  --> other\n"
    assert render([], SOURCES) == ""


def test_end_of_file() -> None:
    end = Span(path=PATH, start=len(TEXT), end=len(TEXT))
    text = render([Diagnostic(code="PD999", message="m", span=end, label="here")], SOURCES)
    assert text.endswith("29 |\n   | ^ here\n")


def test_concise_is_sorted() -> None:
    first = Diagnostic(code="PD999", message="first", span=span("path"))
    assert render([TRAVELS, first], SOURCES, style="concise").splitlines() == [
        f"{PATH}:24:1: error[PD999]: first",
        *render([TRAVELS], SOURCES, style="concise").splitlines(),
    ]


def test_a_second_file_has_a_frame_of_its_own() -> None:
    sources = {**SOURCES, "b": SourceFile("b", "group g = { a1.h1 }\n")}
    other = Span(path="b", start=6, end=7)
    fault = Diagnostic(
        code="PD999", message="m", span=span("g = {"), labels=((other, "first here"),)
    )
    assert " ::: b:1\n   |\n 1 | group g = { a1.h1 }\n   |       - first here\n" in render(
        [fault], sources
    )


def test_colour_only_adds_escapes() -> None:
    import re

    plain = render([TRAVELS], SOURCES)
    coloured = printed(render([TRAVELS], SOURCES, colour=True))
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[\d;]+m", "", coloured) == plain


def test_long_lines_are_cut_around_the_mark() -> None:
    text = "x" * 5000 + "MARK" + "y" * 5000
    source = {"a": SourceFile("a", text)}
    at = Span(path="a", start=5000, end=5004)
    lines = render([Diagnostic(code="PD999", message="m", span=at)], source).splitlines()
    assert len(lines[3]) < 200
    assert lines[3][lines[4].index("^") :].startswith("MARK")


def test_escape_sequences_in_the_source_are_not_printed() -> None:
    source = {"a": SourceFile("a", "let x = \x1b[31m")}
    fault = Diagnostic(code="PD999", message="m", span=Span(path="a", start=8, end=9))
    assert "\x1b" not in render([fault], source)
