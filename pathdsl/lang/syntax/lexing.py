"""Lark's contextual lexer, quick to start: no count of lines, and no expression for each state.

Lark counts the lines from the start of the text to the start of a slice, for every slice: a file
cut into its statements would take time quadratic in its length. And it compiles one expression of
all terminals for each set that some state accepts, which takes longer than to parse a file. Here
every terminal has an expression of its own, compiled when it is first tried, and what begins with a
letter is read once and looked up: nearly all terminals are words. Both classes are given to lark as
its plugins, and change nothing but that `line` and `column` of tokens and errors are not kept.

    >>> from lark import TextSlice
    >>> from pathdsl.lang.syntax.tables import parser
    >>> tree = parser().parse(TextSlice('let a=1\\nuse "x"', 8, 15))
    >>> tree.children[1].start_pos, tree.children[1].line
    (12, None)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from lark.lexer import ContextualLexer, LexerState, LexerThread, LineCounter, PatternStr, Token

__all__ = ["PLUGINS"]

_WORD = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_WORDS = re.compile(r"(?:([a-z_]+)|\(([a-z_|]+)\)|\[([a-z]+)\])\(\?!\[A-Za-z0-9_\]\)")
"""Expressions of whole words: `let(?!…)`, `(attn|mlp)(?!…)`, `[qkv](?!…)`."""
_IGNORED = re.compile(r"(?:[ \t\r\n\ufeff]|#[^\r\n]*+)*+")
"""BLANK and COMMENT of the grammar, with which no other terminal begins."""
_END = Callable[[str, int, int], int]
"""Where a terminal ends that begins at a place, before another place; -1 where it does not."""


class _Thread(LexerThread):
    """Starts at the start of a slice without reading what stands before it."""

    @classmethod
    def from_text(cls, lexer: Any, text_or_slice: Any) -> LexerThread:
        if isinstance(text_or_slice, str):
            return super().from_text(lexer, text_or_slice)
        counter = LineCounter("\n")
        counter.char_pos = text_or_slice.start
        return cls(lexer, LexerState(text_or_slice, counter))


@cache
def _words(expression: str) -> frozenset[str] | None:
    """The words that an expression of whole words is of; None for any other."""
    found = _WORDS.fullmatch(expression)
    if found is None:
        return None
    one, several, letters = found.groups()
    return frozenset(letters or (one or several).split("|"))


@cache
def _begins_as_word(expression: str) -> bool:
    """Whether what an expression matches begins with a letter or `_`, as its own text shows."""
    return re.match(r"[a-z]|\[A-Za-z_\]", expression) is not None


@cache
def _end_by(expression: str) -> _END:
    """By an expression that is compiled when it is first tried."""
    compiled: list[Any] = []

    def end(text: str, at: int, limit: int) -> int:
        if not compiled:
            compiled.append(re.compile(expression).match)
        match = compiled[0](text, at, limit)
        return match.end() if match else -1

    return end


def _end_as(literal: str) -> _END:
    def end(text: str, at: int, limit: int) -> int:
        return at + len(literal) if text.startswith(literal, at, limit) else -1

    return end


class _Lexer(ContextualLexer):
    """The tokens by their offsets alone; lark's own lexer is made where a text has a fault."""

    def __init__(self, conf: Any, states: Any, always_accept: Any = ()) -> None:
        self._larks = cache(lambda: ContextualLexer(conf, states, always_accept))
        self._accepts = cache(lambda state: frozenset(states[state]))
        # In lark's order of precedence, which is the same for each set of terminals.
        ordered = sorted(
            [one for one in conf.terminals if one.name not in conf.ignore],
            key=lambda one: (
                -one.priority, -one.pattern.max_width, -len(one.pattern.value), one.name,
            ),
        )  # fmt: skip
        self._literals = {
            one.name: one.pattern.value for one in ordered if isinstance(one.pattern, PatternStr)
        }
        self._terminals = [(one.name, one.pattern.to_regexp()) for one in ordered]
        self._of_word = cache(self._words)
        self._of_sign = cache(self._signs)

    def _words(self, word: str) -> list[tuple[str, _END | None]]:
        """What may begin at a word; None for the word itself, whatever stands behind it."""
        found: list[tuple[str, _END | None]] = []
        for name, expression in self._terminals:
            whole = _words(expression)
            if whole is not None:
                if word in whole:
                    found.append((name, None))
            elif _begins_as_word(expression):
                found.append((name, _end_by(expression)))
        return found

    def _signs(self, sign: str) -> list[tuple[str, _END]]:
        """What may begin with a character that begins no word."""
        found = []
        for name, expression in self._terminals:
            if literal := self._literals.get(name):
                if literal[0] == sign:
                    found.append((name, _end_as(literal)))
            elif not (_words(expression) or _begins_as_word(expression)):
                found.append((name, _end_by(expression)))
        return found

    def _match(self, text: str, at: int, limit: int, state: int) -> tuple[str, int] | None:
        """The terminal at a place that the parser takes in its state, and where it ends."""
        accepted = self._accepts(state)
        if word := _WORD.match(text, at, limit):
            for name, maybe in self._of_word(word.group()):
                if name in accepted:
                    end = word.end() if maybe is None else maybe(text, at, limit)
                    if end >= 0:
                        return name, end
            return None
        for name, ends in self._of_sign(text[at]):
            if name in accepted and (end := ends(text, at, limit)) >= 0:
                return name, end
        return None

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Token]:
        counter, whole = lexer_state.line_ctr, lexer_state.text
        at, limit, text = counter.char_pos, whole.end, whole.text
        while True:
            blank = _IGNORED.match(text, at, limit)
            at = counter.char_pos = blank.end() if blank else at
            if at >= limit:
                return
            match = self._match(text, at, limit, parser_state.position)
            if match is None:  # lark says of text that is no token what it is
                yield from self._larks().lex(lexer_state, parser_state)
                return
            kind, end = match
            token = Token(kind, text[at:end], at, end_pos=end)
            at = counter.char_pos = end
            lexer_state.last_token = token
            yield token


PLUGINS = {"LexerThread": _Thread, "ContextualLexer": _Lexer}
