"""Text of a `.circuit` file to its syntax tree, with every syntax fault of the file in one go.

The text is first swept once, without a parser, for what no statement can contain and for nesting
that is too deep (`pathdsl.lang.syntax.sweep`). Then it is cut where a statement's keyword stands at
column 1, and each piece is parsed for itself with the LALR(1) grammar `grammars/circuit.lark`:
positions stay those of the file, and a broken statement does not hide faults in the others.

    >>> file, faults = parse('path p = a9.h9 -> logits', "x.circuit")
    >>> [type(s).__name__ for s in file.statements], faults
    (['PathDecl'], [])
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from lark import TextSlice, Token, Tree
from lark.exceptions import UnexpectedInput

from pathdsl.errors import Diagnostic, Fix, Span
from pathdsl.lang import ast
from pathdsl.lang.needs import too_old
from pathdsl.lang.syntax.accepting import Accepting
from pathdsl.lang.syntax.build_statements import build_statement
from pathdsl.lang.syntax.faults import explain_fault
from pathdsl.lang.syntax.instead import begun
from pathdsl.lang.syntax.source import MAX_BYTES, SourceFile, read_source, too_big
from pathdsl.lang.syntax.spellings import correction_of_name, may_correct
from pathdsl.lang.syntax.stop import Stop
from pathdsl.lang.syntax.sweep import KEYWORDS, open_brackets, sweep
from pathdsl.lang.syntax.tables import parser
from pathdsl.near import nearest
from pathdsl.record import record

__all__ = [
    "BLANK", "KEYWORDS", "Piece", "Read", "SourceFile", "cuts", "expected", "parse",
    "parse_piece", "parse_pieces", "read_piece", "read_source", "together", "unusable",
]  # fmt: skip

_START = re.compile(rf"^(?:{'|'.join(KEYWORDS)})(?![A-Za-z0-9_])", re.MULTILINE)
_FIELD = re.compile(r"^model(?=[ \t]*=)", re.MULTILINE)
_MISSPELT = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)[ \t]+[A-Za-z_\"]", re.MULTILINE)
_INDENTED = re.compile(rf"(?:{'|'.join(KEYWORDS)})(?![A-Za-z0-9_])")
_NAMED = re.compile(r"[a-z]+[ \t]+([A-Za-z_][A-Za-z0-9_]*)")
BLANK = r"(?:[ \t\r\n\ufeff]|#[^\r\n]*+)*+"
"""Blanks and comments, as a regular expression."""
_BLANK = re.compile(BLANK)

# Words that may begin a line inside a statement, before another word.
_INNER = frozenset("at by expect for in on where within with except reference treated".split())


@record
class Piece:
    """One statement's stretch of the text and what became of it; `tree` is None where broken."""

    start: int
    end: int
    tree: Tree[Token] | None = None
    fault: Diagnostic | None = None


@record
class Read:
    """What one piece says: its statement, or its faults and the name that is `broken`.

    `given` are names that a task gives, of positions, columns and labels; `spellings` are faults
    where nothing of the file has such a name.
    """

    statement: ast.Statement | None
    faults: tuple[Diagnostic, ...]
    broken: ast.Name | None
    given: frozenset[str]
    spellings: tuple[Diagnostic, ...]


def parse(text: str, path: str) -> tuple[ast.File, list[Diagnostic]]:
    """The syntax tree of a file and its syntax faults, in the order of the text; never raises.

    Statements with a fault are left out of the tree; their names are in `File.broken`.
    """
    pieces, faults = parse_pieces(text, path)
    read = [read_piece(piece, text, path) for piece in pieces]
    return together(read, faults, Span(path=path, start=0, end=len(text)))


def read_piece(piece: Piece, text: str, path: str) -> Read:
    """What one statement's stretch of the text says, whatever stands around it."""
    faults = [piece.fault] if piece.fault else []
    statement, given = None, frozenset[str]()
    spellings: tuple[Diagnostic, ...] = ()
    if piece.tree is not None:
        built, faults = build_statement(piece.tree, path, text)
        if not faults:
            statement = built
            other = may_correct(text, piece.start, piece.end)
            if other and isinstance(statement, ast.TaskDecl):
                # No node stands in a task: its names are of positions, columns and labels.
                given = frozenset(str(name) for name in _names(piece.tree))
            elif other:
                spellings = tuple(_other_spellings(piece.tree, path))
    broken = None
    if faults and (named := _NAMED.match(text, piece.start)):
        span = Span(path=path, start=named.start(1), end=named.end(1))
        broken = ast.Name(name=named.group(1), span=span)
    return Read(statement=statement, faults=tuple(faults), broken=broken, given=given,
                spellings=spellings)  # fmt: skip


def together(
    pieces: Iterable[Read], faults: list[Diagnostic], whole: Span
) -> tuple[ast.File, list[Diagnostic]]:
    """The file of pieces in the order of the text; `faults` are those of the text as a whole."""
    read = list(pieces)
    kept, broken, wrong = _without_other_spellings(read)
    for one in read:
        faults = [*faults, *one.faults] if one.faults else faults
    file = ast.File(path=whole.path, statements=tuple(kept), broken=tuple(broken), span=whole)
    return file, sorted(faults + wrong, key=lambda fault: fault.span.start if fault.span else 0)


def parse_pieces(text: str, path: str) -> tuple[list[Piece], list[Diagnostic]]:
    """Each statement's tree with all its tokens, and the faults of the text as a whole."""
    faults = unusable(text, path) or sweep(text, path)
    if faults:
        return [], faults
    pieces: list[Piece] = []
    for start, end in cuts(text):
        pieces += parse_piece(text, path, start, end)
    return pieces, []


def unusable(text: str, path: str) -> list[Diagnostic]:
    """The fault for which a text is not looked at, whatever its statements; at most one."""
    # A character takes at most 4 bytes in UTF-8: most texts need no encoding to be measured.
    if len(text) * 4 > MAX_BYTES and len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return [too_big(path)]
    newer = too_old(text, path)
    return [newer] if newer else []


def cuts(text: str) -> list[tuple[int, int]]:
    """From and to of each statement, and of what stands before the first."""
    starts = [*_starts(text), len(text)]
    blank = _BLANK.match(text)
    first = blank.end() if blank else 0
    before = [(first, starts[0])] if first < starts[0] else []
    return [*before, *itertools.pairwise(starts)]


def _starts(text: str) -> list[int]:
    """Where statements start: at a keyword in column 1, or at a word much like one."""
    starts = {match.start() for match in _START.finditer(text)}
    for match in _FIELD.finditer(text):  # a field of a task, where a block is open
        before = max((start for start in starts if start < match.start()), default=0)
        waiting = open_brackets(text, before, match.start())
        if waiting and waiting[-1][0] == "{":
            starts.discard(match.start())
    if text.startswith("\ufeff") and _START.match(text, 1):
        starts.add(1)
    for match in _MISSPELT.finditer(text):
        word = match.group(1)
        if match.start() not in starts and word not in _INNER and _keyword_near(word):
            starts.add(match.start())
    return sorted(starts)


def _keyword_near(word: str) -> str:
    """The statement keyword that a word was probably meant to be, or ""."""
    # Nearer than a suggestion has to be: the word begins a statement by it.
    return "".join(nearest(word, KEYWORDS, cutoff=0.7))


def parse_piece(text: str, path: str, start: int, end: int) -> Iterator[Piece]:
    """The statement of a stretch of the text; two where another follows that has no keyword."""
    match = _START.match(text, start) or (start == 1 and _START.match(text[start:]))
    if not match:
        indented = _INDENTED.match(text, start)
        fault = _indented(indented, path) if indented else _unknown(text, path, start, "")
        yield Piece(start=start, end=end, fault=fault)
        return
    try:
        # The text is handed over up to `end` only; offsets stay those of the whole text.
        tree: Any = parser().parse(TextSlice(text, start, end))
        yield Piece(start=start, end=end, tree=tree)
        return
    except UnexpectedInput:
        stop = _first_fault(text, path, start, end)
    at = stop.at
    word = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").match(text, at)
    if word and "$END" in stop.accepted and text[at - 1] == "\n":
        # The statement is whole up to here: what follows at column 1 was meant to be another.
        yield from parse_piece(text, path, start, at)
        fault = _unknown(text, path, at, "")
        yield Piece(start=at, end=end, fault=fault)
        return
    yield Piece(start=start, end=end, fault=explain_fault(stop))


def expected(text: str, path: str, start: int, end: int) -> frozenset[str] | None:
    """The terminals that could stand behind a statement's first part, `$END` among them.

    None where that part is no beginning of a statement.
    """
    if not _START.match(text, start, end):
        return None
    stop = _first_fault(text, path, start, end)
    return stop.accepted if stop.at >= end else None


def _first_fault(text: str, path: str, start: int, end: int) -> Stop:
    """Where a statement stops being one, and the terminals that could have stood there."""
    # A second, slower parse, token by token: the fast one does not say what it would accept.
    steps: Any = parser().parse_interactive(TextSlice(text, start, end))
    states: list[int] = steps.parser_state.state_stack
    # Refusing a token may change the parser's stack by reductions: it is kept from before.
    before = states.copy()
    n_read = n_good = 0
    at, last, begins = end, start, start
    try:
        for token in steps.lexer_thread.lex(steps.parser_state):
            n_read, begins = n_read + 1, token.start_pos
            steps.feed_token(token)
            n_good, last, before = n_good + 1, token.end_pos, states.copy()
    except UnexpectedInput as error:
        # A token that was lexed and refused, or text that is no token at all.
        at = begins if n_read > n_good else _position_of(error, end)
    accepted = _accepting().after(before)
    return Stop(text=text, path=path, start=start, end=end, at=at, last=last, accepted=accepted)


@cache
def _accepting() -> Accepting:
    tables: Any = parser().parse_interactive("").parser_state.parse_conf
    return Accepting(tables.states, tables.end_state)


def _position_of(error: UnexpectedInput, end: int) -> int:
    token = getattr(error, "token", None)
    if token is None:
        return error.pos_in_stream if error.pos_in_stream is not None else end
    return end if token.type == "$END" or token.start_pos is None else token.start_pos


def _unknown(text: str, path: str, at: int, why: str) -> Diagnostic:
    match = re.compile(r"[^\s({\[=:;,#]+|\S").match(text, at)
    word = match.group() if match else ""
    span = Span(path=path, start=at, end=at + len(word))
    told = begun(word, text[at:].partition("\n")[0])
    keyword = "" if told else _keyword_near(word)
    known = ", ".join(f"`{one}`" for one in KEYWORDS)
    return Diagnostic(
        code="PD002",
        message=f"no statement begins with `{word}`",
        span=span,
        label=f"did you mean `{keyword}`?" if keyword else why,
        notes=() if keyword else (f"statements begin at column 1 with {known}",),
        help=f"`{keyword}`" if keyword else told,
        fix=Fix(span=span, was=word, text=keyword) if keyword else None,
    )


def _indented(keyword: re.Match[str], path: str) -> Diagnostic:
    return Diagnostic(
        code="PD015",
        message=f"`{keyword.group()}` begins a statement and stands at column 1",
        span=Span(path=path, start=keyword.start(), end=keyword.end()),
        label="not at the start of its line",
    )


def _names(tree: Tree[Token]) -> Iterator[Token]:
    return tree.scan_values(lambda value: isinstance(value, Token) and value.type == "NAME")


def _other_spellings(tree: Tree[Token], path: str) -> list[Diagnostic]:
    """Names that are how another tool writes a node: `L9H9`, `mlp5`."""
    faults = []
    for token in _names(tree):
        if right := correction_of_name(token):
            span = Span(path=path, start=token.start_pos or 0, end=token.end_pos or 0)
            faults.append(
                Diagnostic(
                    code="PD006",
                    message=f"`{token}` is how another tool writes a node",
                    span=span,
                    label=f"here it is `{right}`",
                    help=f"`{right}`",
                    fix=Fix(span=span, was=str(token), text=right),
                )
            )
    return faults


def _without_other_spellings(
    read: list[Read],
) -> tuple[list[ast.Statement], list[ast.Name], list[Diagnostic]]:
    """Reports other tools' spellings of nodes, except where the file gives them as names.

    The statements that are left, the names of the others, and the faults.
    """
    statements = [one.statement for one in read if one.statement is not None]
    broken = [one.broken for one in read if one.broken is not None]
    if not any(one.spellings for one in read):
        return statements, broken, []
    if any(isinstance(statement, ast.UseDecl) for statement in statements):
        # The name may come from the other file; the name check decides.
        return statements, broken, []
    own = {name for one in read for name in one.given}
    own |= {s.name.name for s in statements if not isinstance(s, ast.UseDecl)}
    kept: list[ast.Statement] = []
    wrong: list[Diagnostic] = []
    for one in read:
        real = [f for f in one.spellings if f.message.split("`")[1] not in own]
        wrong += real
        if one.statement is None:
            continue
        if real and not isinstance(one.statement, ast.UseDecl):
            broken.append(one.statement.name)
        else:
            kept.append(one.statement)
    return kept, broken, wrong
