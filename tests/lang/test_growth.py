"""Work grows with the length of a file, and what would not is refused; counted, not timed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.lint import FORMS, text_of
from pathdsl.errors import Diagnostic
from pathdsl.lang import walk
from pathdsl.lang.lint import lint_file
from pathdsl.lang.syntax.lexing import PLUGINS
from pathdsl.lang.syntax.parse import _accepting, parse_pieces
from pathdsl.lang.syntax.source import SourceFile, read_source
from pathdsl.lang.syntax.tables import parser

HEAD = text_of("claims", 0)


def counted(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> int:
    """How many syntax nodes are looked below, tokens are taken and characters are counted."""
    calls = 0
    below = walk.children
    lex = PLUGINS["ContextualLexer"].lex

    def children(node: object) -> object:
        nonlocal calls
        calls += 1
        return below(node)  # type: ignore[arg-type]

    def tokens(self: object, *given: object) -> object:
        nonlocal calls
        for token in lex(self, *given):
            calls += 1
            yield token

    with monkeypatch.context() as patch:
        patch.setattr(walk, "children", children)
        patch.setattr(PLUGINS["ContextualLexer"], "lex", tokens)
        act()
    return calls


@pytest.mark.parametrize("form", FORMS)
def test_ten_times_the_statements_are_ten_times_the_work(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = (
        counted(monkeypatch, lambda n=n: lint_file("x", text_of(form, n))) for n in (40, 400)
    )
    assert small > 40
    assert large < 11 * small


def test_a_token_knows_where_it_stands_without_lines() -> None:
    (piece,) = parse_pieces("\n" * 5 + "let a = 1", "x")[0]
    token = piece.tree.children[1]  # type: ignore[union-attr]
    assert (token.start_pos, token.end_pos, token.line) == (9, 10, None)


def test_accepted_terminals_are_those_of_lark() -> None:
    path = Path(__file__).resolve().parents[1] / "cases/every_form.circuit"
    text = path.read_text(encoding="utf-8")
    looked = 0
    for piece in parse_pieces(text, "x")[0][::3]:
        steps = parser().parse_interactive(text[piece.start : piece.end])
        for token in steps.lexer_thread.lex(steps.parser_state):
            wanted = frozenset(steps.accepts())
            assert _accepting().after(steps.parser_state.state_stack) == wanted
            steps.feed_token(token)
            looked += 1
    assert looked > 50


def errors(text: str) -> list[str]:
    return [d.code for d in lint_file("x", HEAD + text)[1] if d.severity == "error"]


def test_a_long_chain_of_names_is_refused_alone() -> None:
    first = "let x0 = mean(LD(reference))\n"
    chain = [f"let x{i} = x{i - 1}\n" for i in range(1, 3_000)]
    assert errors(first + "".join(chain)) == ["PD131"]
    assert errors(first + "".join(chain[:299])) == []
    assert errors("let x0 = x2999\n" + "".join(chain)) == ["PD131"]


@pytest.mark.parametrize(
    "written",
    [
        "claim c: mean(LD(reference)) > 0 at 95% confidence by bootstrap(1000000000)",
        "claim c: chance(faithfulness(main), among: 1000000000) < 5%",
        "claim c: completeness(main, knockouts: random(1000000000)) < 5",
        "claim c: completeness(main, knockouts: greedy(10000000)) < 5",
        "claim c: mean(LD(treat(main, treated: resample(prompt, draws: 1000000000)))) < 5",
        "claim c: independence_test(LD(treated), LD(reference), draws: 1000000000) < 5%",
    ],
)
def test_repetitions_without_bound_are_refused(written: str) -> None:
    assert errors(written + "\n") == ["PD116"]


def test_a_fifo_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.circuit")
    found = read_source(tmp_path / "pipe.circuit")
    assert isinstance(found, Diagnostic) and found.code == "PD009"
    assert "a pipe or a device" in found.message
    (tmp_path / "x.circuit").write_text('use "pipe.circuit"\n', encoding="utf-8")
    codes = [d.code for d in lint_file(str(tmp_path / "x.circuit"))[1]]
    assert "PD105" in codes


def test_what_a_shell_hands_over_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"let a = 1\n")
    os.close(writing)
    found = read_source(f"/dev/fd/{reading}")
    os.close(reading)
    assert isinstance(found, SourceFile) and found.text == "let a = 1\n"
