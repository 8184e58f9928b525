"""Lark's contextual lexer without its count of lines: a token has its offsets, and they suffice.

Lark counts the lines from the start of the text to the start of a slice, for every slice: a file
cut into its statements would take time quadratic in its length. Both classes are given to lark as
its plugins, and change nothing but that `line` and `column` of tokens and errors are not kept.

    >>> from lark import TextSlice
    >>> from pathdsl.lang.syntax.tables import parser
    >>> tree = parser().parse(TextSlice('let a=1\\nuse "x"', 8, 15))
    >>> tree.children[1].start_pos, tree.children[1].line
    (12, None)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lark.lexer import ContextualLexer, LexerState, LexerThread, LineCounter, Token

__all__ = ["PLUGINS"]


class _Thread(LexerThread):
    """Starts at the start of a slice without reading what stands before it."""

    @classmethod
    def from_text(cls, lexer: Any, text_or_slice: Any) -> LexerThread:
        if isinstance(text_or_slice, str):
            return super().from_text(lexer, text_or_slice)
        counter = LineCounter("\n")
        counter.char_pos = text_or_slice.start
        return cls(lexer, LexerState(text_or_slice, counter))


class _Lexer(ContextualLexer):
    """The tokens by their offsets alone."""

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Token]:
        counter, text = lexer_state.line_ctr, lexer_state.text
        at = counter.char_pos
        while at < text.end:
            lexer: Any = self.lexers[parser_state.position]
            match = lexer.scanner.match(text, at)
            if match is None:
                break
            value, kind = match
            start, at = at, at + len(value)
            counter.char_pos = at
            if kind in lexer.ignore_types:
                continue
            token = Token(kind, value, start, end_pos=at)
            if kind in lexer.callback:
                token = lexer.callback[kind](token)
            lexer_state.last_token = token
            yield token
        yield from super().lex(lexer_state, parser_state)  # the end, or text that is no token


PLUGINS = {"LexerThread": _Thread, "ContextualLexer": _Lexer}
