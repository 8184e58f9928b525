"""The lexer gives the tokens of lark's own, on whole files and on damaged ones."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import lark
import pytest
from lark import TextSlice
from lark.exceptions import UnexpectedInput

from pathdsl.lang.syntax import lexing, tables

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "hypotheses").rglob("*.circuit"))
SIGNS = [
    *'()[]{}|&-+*/^~<>=!,;:@."#\n \t\\?%',
    *("->", "~>", "-[", "]->", "..", "a1.h2", "m3.n4", "in :", "edges (", "edges {", 'nodes("'),
    *("within(", "q", "END-1", "1e-3", "\u0663", "\u00e9"),
]


@cache
def _larks() -> lark.Lark:
    """The parser with lark's own contextual lexer."""
    kept = json.loads(
        tables.folder().joinpath(tables.TABLES).read_text(encoding="utf-8"),
        object_pairs_hook=tables._with_numbers,
    )
    plugins: Any = {"LexerThread": lexing._Thread}
    return lark.Lark._load_from_dict(kept["data"], kept["memo"], _plugins=plugins)


def _tokens(parser: lark.Lark, text: str, start: int, end: int) -> list[tuple[Any, ...]]:
    """The tokens that a parse reads, and how it ends."""
    steps: Any = parser.parse_interactive(TextSlice(text, start, end))
    found: list[tuple[Any, ...]] = []
    try:
        for token in steps.lexer_thread.lex(steps.parser_state):
            found.append((token.type, str(token), token.start_pos, token.end_pos))
            steps.feed_token(token)
    except UnexpectedInput as error:
        token = getattr(error, "token", None)
        found.append((type(error).__name__, error.pos_in_stream, str(token)))
    return found


def _same(text: str, start: int, end: int) -> None:
    mine = _tokens(tables.parser(), text, start, end)
    assert mine == _tokens(_larks(), text, start, end), text[start:end]


def _statements(text: str) -> list[tuple[int, int]]:
    from pathdsl.lang.syntax.parse import parse_pieces

    return [(piece.start, piece.end) for piece in parse_pieces(text, "x.circuit")[0]]


@pytest.mark.parametrize("seed", range(3))
def test_the_tokens_are_larks_own(seed: int) -> None:
    draw = random.Random(seed)
    for path in draw.sample(FILES, min(6, len(FILES))):
        text = path.read_text(encoding="utf-8")
        for start, end in _statements(text):
            _same(text, start, end)
            for _ in range(3):
                at = draw.randrange(start, end)
                cut = draw.choice([0, 0, 1, 4])
                damaged = text[:at] + draw.choice(SIGNS) + text[at + cut :]
                _same(damaged, start, max(start + 1, end - cut))


def test_every_terminal_is_a_word_or_begins_with_a_sign() -> None:
    lexer: Any = tables.parser().parser.lexer  # type: ignore[attr-defined]
    root = lexer._larks().root_lexer
    assert {one.name for one in root.terminals} >= {"BLANK", "COMMENT"} == {*root.ignore_types}
    for terminal in root.terminals:
        expression = terminal.pattern.to_regexp()
        words = lexing._words(expression) or lexing._begins_as_word(expression)
        if terminal.name in root.ignore_types:
            continue
        begins = [one for one in map(chr, range(127)) if _may_begin(re.compile(expression), one)]
        if words:
            assert all(one.isalpha() or one == "_" for one in begins), terminal.name
        else:
            assert not {*begins} & {*" \t\r\n#"}, terminal.name
            assert not any(one.isalpha() or one == "_" for one in begins), terminal.name
    assert root.scanner and not root.callback  # no literal is a word of another terminal


def _may_begin(expression: Any, sign: str) -> bool:
    behind = ["", "1", "1.h1", '"', "=", ">", "->", "[", "..", "(", "-", '("', "ircuit"]
    return any(expression.match(sign + more) for more in behind)
