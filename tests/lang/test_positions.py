"""Positions from the end, spans and sets: how they are read, named, and what is refused."""

from __future__ import annotations

import pytest

from pathdsl.errors import Severity
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.resolve.places import pos_of
from pathdsl.graph.resolve.positions import distance, is_after
from pathdsl.lang import ast
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.only import is_asked
from pathdsl.lang.spelling import position_text
from pathdsl.lang.syntax.parse import parse
from pathdsl.score.places import Place, spelled

HEAD = """circuit c {
  language = 1
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 40)
  reference = prompt
  treated   = prompt_abc
}

metric LD: logits = logit(io) - logit(s)

"""


def faults(line: str) -> list[str]:
    found = lint_file("c.circuit", HEAD + line + "\n")[1]
    return [d.code for d in found if d.severity is Severity.ERROR]


def position(written: str) -> ast.Position:
    file, wrong = parse(f"path p = m0@{written}\n", "a")
    assert not wrong, wrong
    (path,) = file.statements
    assert isinstance(path, ast.PathDecl) and isinstance(path.path, ast.MlpRef)
    assert path.path.at is not None
    return path.path.at


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("S1..S2", "S1..S2"), ("S1+1 .. S2-1", "S1+1..S2-1"), ("[0..5]", "[0..5]"),
        ("[-1]", "END"), ("[-3]", "END-2"), ("[-3..-1]", "END-2..END"), ("[2..-1]", "[2]..END"),
        ("[0]..S1", "[0]..S1"), ("{S1}", "S1"), ("{END, S1}", "{S1, END}"),
        ("{S1, {S2, IO}, [1..2]}", "{[1..2], IO, S1, S2}"), ("[1]..[3]", "[1..3]"),
    ],
)  # fmt: skip
def test_one_writing_of_a_position(written: str, text: str) -> None:
    found = pos_of(position(written))
    assert str(found) == text
    assert Pos.parse(text) == found
    assert str(pos_of(position(text))) == text
    assert Pos.parse(position_text(position(written))) == found


def test_published_positions_keep_their_trees() -> None:
    assert position("[3]") == ast.Position(index=3, span=position("[3]").span)
    assert position("S1-2") == ast.Position(name="S1", offset=-2, span=position("S1").span)


def test_the_spelling_of_a_span_decides_what_attention_cannot_read() -> None:
    pos = Pos.parse
    assert is_after(pos("END"), pos("S1..S2")) and is_after(pos("END"), pos("{S1, S2}"))
    assert is_after(pos("[4..6]"), pos("[0..3]")) and not is_after(pos("[3..6]"), pos("[0..3]"))
    assert not is_after(pos("S1..END"), pos("S2"))
    assert distance(pos("S1..S2"), pos("S1..S2")) is None
    assert distance(pos("END-2"), pos("END")) == 2
    line = "let x = effect(input@END -[v]-> a3.h1@{S1, S2} -> logits, metric: LD)"
    assert faults(line) == []  # the graph says it, not the page


def test_labels_of_members() -> None:
    assert spelled("a9.h6@S1..S2") == Place(kind="head", layer=9, head=6, position="S1..S2")
    assert spelled("m0@S1..S2..m4@S1..S2") == Place(kind="mlp", layer=0, position="S1..S2", to="m4")
    assert spelled("{a0.h1, m2}@{S1, S2}") == Place(kind="set", position="{S1, S2}")
    assert is_asked("x[a9.h6]", "x", "a9.h6@{S1, S2}")
    assert is_asked("x[m0..m4]", "x", "m0@S1..S2..m4@S1..S2")
    assert is_asked("x[r1, {S1,S2}]", "x", "r1, {S1, S2}")
    assert not is_asked("x[r1, S1]", "x", "r1, S1..S2")


GOOD = [
    "group g @{S1, S2} = { a0.h1, m0 }\nlet x = effect(through(g), metric: LD)",
    "intervene i { pattern(a3.h1@[-1]) = only(S1..S2, [0]); block(a3.h2@S1..END -> {S1, IO}) }\n"
    "let x = mean(LD(reference with i))",
    "intervene i { add r1@S1..S2 = mean(prompt); set m0@{S1, S2} = treated }\n"
    "intervene j { zero q(a3.h1@[-2..-1]) }\nlet y = mean(LD(reference with j))\n"
    "let x = mean(LD(reference with i))",
    "metric look = attention(a3.h1, S2..END -> {IO, S1})\nlet x = mean(look(reference))",
    "let x for p in [S1..S2, @{S1, S2}, {IO, S1}, [3], @[2..4], [-2]] = "
    "effect(through(m0@p), metric: LD)\n"
    "let y = x[S1..S2] - x[{S1, S2}] - x[@{IO,S1}] - x[[3]] - x[[2..4]] - x[END-1]",
    "let x for i in [-3..-1] = effect(through(m0@[i]), metric: LD)\nlet y = x[-2]",
    "let x for i in [0, -1] = effect(through(m0@[0]..S1), metric: LD) * i",
    "let x for p in [S1, IO] = effect(through(m0@p..END), metric: LD)",
    "let x = effect(full, treated: noise(at: [S1..S2, @[3], @{IO, END}], scale: 1), metric: LD)",
    "let x = effect(full, treated: noise(at: S1+1..S2-1, scale: 1.0, seed: 0), metric: LD)",
    "metric c = copy_score(a3.h1, of: [IO, S1..S2])\nlet x = mean(c(reference))",
    "let x = overlap(through(a0.h1@S1..S2), through(a0.h1@{S1, S2}), over: head)",
    "path p = edges { input@{S1, S2} -> a0.h1@S1..END; a0.h1@S1..END -> logits }\n"
    "let x = effect(p | within(a0.h1@S1..S2), metric: LD)",
    "let x for p in [S1, S2+1, END] = mean(LD(treat(through(r1@p))) @p - LD(reference) @p)",
    "let x for i in [-2..-1] = mean(LD(reference) @[i])",
]  # fmt: skip


@pytest.mark.parametrize("lines", GOOD)
def test_wherever_a_position_may_stand(lines: str) -> None:
    assert faults(lines) == []
    once = format_text(HEAD + lines + "\n", "c.circuit")
    assert format_text(once, "c.circuit") == once


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("metric m @S1..S2 = logit(io)", "PD133"),
        ("metric m = logit(io) @{S1, S2}", "PD133"),
        ("metric m = norm(a3.h1@S1..S2)", "PD133"),
        ("let x = mean(LD(reference) @S1..S2)", "PD133"),
        ("let x for p in [S1, S1..S2] = mean(LD(reference) @p)", "PD133"),
        ("let x for p in [S1, {S1, S2}] = effect(through(m0@p..END), metric: LD)", "PD133"),
        ("let x for p in [S1, S1..S2] = effect(through(m0@p+1), metric: LD)", "PD133"),
        ("metric m @p = logit(io)\nlet x for p in [S1, S2] = mean(m(reference) @p)", "PD134"),
        ("let x = effect(full, metric: LD@S2)", "PD134"),
        ("metric m @S1 = logit(io)\nlet x = mean(m(reference) @S2)", "PD121"),
        ("metric m = logit(io) @S1\nlet x = mean(m(reference) @S2)", "PD121"),
        ("metric m = attention(a3.h1, END -> S1)\nlet x = mean(m(reference) @S2)", "PD121"),
        ("let x = mean(LD(reference) @NOWHERE)", "PD109"),
        ("let x = effect(through(m0@S1..NOWHERE), metric: LD)", "PD109"),
        ("let x = effect(through(m0@{S1, NOWHERE}), metric: LD)", "PD109"),
        ("let x = effect(through(m0@{S1, S1}), metric: LD)", "PD114"),
        ("let x = effect(through(m0@[5..2]), metric: LD)", "PD116"),
        ("let x = effect(through(m0@[-1..-3]), metric: LD)", "PD116"),
        ("let x = effect(through(m0@S2..S2-1), metric: LD)", "PD116"),
        ("let x for i in [2..4] = effect(through(m0@[3..i]), metric: LD)", "PD116"),
        ("let x for i in [0..-1] = effect(through(m0@[i]), metric: LD)", "PD017"),
        ("let x = effect(through(m0@[1.5..3]), metric: LD)", "PD012"),
        ("let x = effect(through(m0@[S1..S2]), metric: LD)", "PD101"),
        ("group g @S1..S2 = { a0.h1@S1 }", "PD121"),
        ("let x for p in [S1..S2, S1..S2] = effect(through(m0@p), metric: LD)", "PD114"),
        ("let x for p in [S1..S2, LD] = effect(through(m0@p), metric: LD)", "PD115"),
        ("let x for p in [S1, END] = effect(through(m0@p), metric: LD)\nlet y = x[S1..S2]",
         "PD101"),
        ("let x = effect(full, treated: noise(at: [-1], scale: 1), metric: LD)", "PD115"),
    ],
)  # fmt: skip
def test_faults(line: str, code: str) -> None:
    assert code in faults(line), faults(line)


@pytest.mark.parametrize(
    "written",
    ["(S1, S2)", "[S1, S2]", "[0, 3]", "-1", "S1:S2", "[:3]", "0..5", "..S1", "S1..", "{}",
     "{S1, except S2}", "S1...S2"],
)  # fmt: skip
def test_other_writings_are_told_the_forms(written: str) -> None:
    found = lint_file("c.circuit", HEAD + f"let x = effect(through(m0@{written}), metric: LD)\n")
    (fault,) = [d for d in found[1] if d.severity is Severity.ERROR]
    right = "`@[-1]`" if written == "-1" else "`@S1..S2`"
    assert fault.code == "PD001" and right in fault.help
