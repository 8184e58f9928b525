"""The statements of one file from one keystroke to the next, each parsed once.

A keystroke changes one statement of a thousand. What the others say is kept, syntax nodes and all:
every statement that was ever parsed stands in one growing text, the kept text, and nodes point into
that. A version of the file is a list of stretches of it in the order of the file, which is also how
places are translated: a statement that only moved has the nodes that it had, and moved with them.

    >>> statements = Statements("x.circuit")
    >>> one = statements.read("let a = 1\\nlet b = 2\\n")
    >>> two = statements.read("let a = 10\\nlet b = 2\\n")
    >>> one.file.statements[1] is two.file.statements[1], two.fresh[0].name.name
    (True, 'a')
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.syntax.parse import (
    Read,
    cuts,
    parse,
    parse_piece,
    read_piece,
    together,
    unusable,
)
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.syntax.sweep import sweep

__all__ = ["Statements", "Version"]

_MOST_KEPT = 16
"""The kept text may be so many times as long as the file, and a million characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One stretch of the kept text; `unread` are faults for which no statement is read."""

    start: int
    length: int
    read: tuple[Read, ...]
    unread: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A file as it is now.

    Spans of `file` and `faults` are those of `source`, the kept text; `text` is the file's own.
    `fresh` are the statements that the version before had not. `kept` is False where the text is
    the file's own, since nothing of it could be read by statements.
    """

    text: SourceFile
    source: SourceFile
    file: ast.File
    faults: list[Diagnostic]
    fresh: tuple[ast.Statement, ...]
    kept: bool
    _pieces: list[tuple[int, _Piece]] = field(repr=False)
    _by_place: list[tuple[int, int, int]] = field(repr=False)

    def there(self, offset: int) -> int | None:
        """Where a place of the file stands in the kept text; None before the first statement."""
        at = bisect_right(self._pieces, offset, key=lambda one: one[0]) - 1
        if at < 0:
            return None
        start, piece = self._pieces[at]
        return piece.start + min(offset - start, piece.length)

    def here(self, span: Span) -> tuple[int, int] | None:
        """Where something of the kept text stands in the file; None where it is gone."""
        at = bisect_right(self._by_place, span.start, key=lambda one: one[0]) - 1
        if at < 0:
            return None
        kept, length, start = self._by_place[at]
        if span.start - kept > length:
            return None
        moved = start - kept
        return span.start + moved, min(span.end, kept + length) + moved

    def continues(self, before: Version) -> bool:
        """Whether spans of an earlier version are places of this one too, or are gone."""
        return self.source.text.startswith(before.source.text) and (
            self.kept == before.kept or self.text == before.text
        )

    def stretch(self, offset: int) -> tuple[int, int]:
        """From and to of the statement around a place of the file."""
        at = bisect_right(self._pieces, offset, key=lambda one: one[0]) - 1
        if at < 0:
            end = self._pieces[0][0] if self._pieces else len(self.text.text)
            return 0, end
        start, piece = self._pieces[at]
        return start, start + piece.length

    def statement(self, offset: int) -> ast.Statement | None:
        """The statement around a place of the file; None where there is none or it is broken."""
        at = bisect_right(self._pieces, offset, key=lambda one: one[0]) - 1
        if at < 0:
            return None
        place = self.there(offset)
        found = [one.statement for one in self._pieces[at][1].read if one.statement is not None]
        for one in found:
            if place is not None and one.span.start <= place <= one.span.end:
                return one
        return found[-1] if found else None


class Statements:
    """Reads version after version of the file at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._kept: list[str] = []
        self._length = 0
        self._known: dict[str, list[_Piece]] = {}
        self._before: frozenset[int] = frozenset()

    def read(self, text: str) -> Version:
        """The file with this text."""
        if self._length > _MOST_KEPT * len(text) + 1_000_000:
            self._kept, self._length, self._known = [], 0, {}
        used: dict[str, int] = {}
        pieces: list[tuple[int, _Piece]] = []
        missing: list[tuple[int, str]] = []
        if not (whole := unusable(text, self.path)):
            for start, end in cuts(text):
                part = text[start:end]
                number = used[part] = used.get(part, 0) + 1
                if number > len(self._known.get(part, ())):
                    missing.append((start, part))
                    self._known.setdefault(part, []).append(self._place(part))
                pieces.append((start, self._known[part][number - 1]))
        kept = "".join(self._kept)
        self._kept = [kept]
        made: dict[int, _Piece] = {}
        for _, part in missing:
            for number, piece in enumerate(self._known[part]):
                if not piece.read and not piece.unread:
                    piece = self._parsed(kept, piece)
                    self._known[part][number] = piece
                    made[piece.start] = piece
        pieces = [(start, made.get(piece.start, piece)) for start, piece in pieces]
        read = [one for _, piece in pieces for one in piece.read]
        unread = [fault for _, piece in pieces for fault in piece.unread]
        statements = frozenset(id(one.statement) for one in read if one.statement is not None)
        if whole or unread or not statements:
            return self._plain(text)
        span = Span(path=self.path, start=0, end=len(kept))
        file, faults = together(read, [], span)
        before, self._before = self._before, statements
        fresh = tuple(
            one.statement
            for one in read
            if one.statement is not None and id(one.statement) not in before
        )
        return Version(
            text=SourceFile(self.path, text), source=SourceFile(self.path, kept),
            file=file, faults=faults, fresh=fresh, kept=True, _pieces=pieces,
            _by_place=sorted((piece.start, piece.length, start) for start, piece in pieces),
        )  # fmt: skip

    def _place(self, part: str) -> _Piece:
        """A place for a stretch of text, at the start of a line as it was."""
        self._kept.append("\n" + part)
        start = self._length + 1
        self._length = start + len(part)
        return _Piece(start=start, length=len(part), read=(), unread=())

    def _parsed(self, kept: str, piece: _Piece) -> _Piece:
        end = piece.start + piece.length
        unread = [
            replace(one, span=Span(path=self.path, start=piece.start, end=end))
            for one in sweep(kept[piece.start : end], self.path)
        ]
        read = () if unread else tuple(
            read_piece(one, kept, self.path)
            for one in parse_piece(kept, self.path, piece.start, end)
        )  # fmt: skip
        return replace(piece, read=read, unread=tuple(unread))

    def _plain(self, text: str) -> Version:
        """A file of which nothing is kept: its places are its own."""
        self._before = frozenset()
        source = SourceFile(self.path, text)
        file, faults = parse(text, self.path)
        whole = _Piece(start=0, length=len(text), read=(), unread=())
        return Version(
            text=source, source=source, file=file, faults=faults, fresh=(), kept=False,
            _pieces=[(0, whole)], _by_place=[(0, len(text), 0)],
        )  # fmt: skip
