"""The canonical form of a `.circuit` file: one text for one tree, comments where they were.

Statements stay in order, each on one line; circuit, task and intervene blocks have a field a line;
a group or a list of edges that does not fit 88 columns, or holds comments, a member a line.
`=` (and the `@` of groups, and what follows the `:` of claims) is aligned in a run of neighbours of
one kind; statements with `for` stand outside the alignment. Comments at line ends are aligned too.

A form that came after the first version has the version that it needs written into the circuit
block (`pathdsl.lang.needs`).

Laws, tested: `format(format(x)) == format(x)`; the syntax trees are equal; the comments are equal.

    >>> print(format_text("group g={ a9.h9,a9.h6 }", "x.circuit"), end="")
    group g = { a9.h9, a9.h6 }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pathdsl.errors import LanguageError
from pathdsl.lang.format.pieces import Bit, Comment, bits_of, comments_between
from pathdsl.lang.needs import with_needs
from pathdsl.lang.syntax.parse import parse, parse_pieces

WIDTH = 88
_INDENT = "  "
_CONTINUED = "    "
_COMMENT_GAP = 4


@dataclass(slots=True, kw_only=True)
class _Line:
    """One printed line: code, the comment behind it, and whether an empty line stands before."""

    indent: str = ""
    code: str = ""
    comment: str = ""
    blank: bool = False


@dataclass(slots=True, kw_only=True)
class _Row:
    """What is aligned: the bits of a statement or a field and where its columns are.

    `at` and `cut` are indices of bits: the position of a group, and the bit that is pushed right to
    the common column. `pads` are blanks added before a bit.
    """

    bits: list[Bit]
    kind: str
    at: int | None = None
    cut: int | None = None
    pads: dict[int, int] = field(default_factory=dict)


def format_text(text: str, path: str) -> str:
    """The canonical form of a file's text; raises LanguageError when it does not parse."""
    file, faults = parse(text, path)
    if faults:
        raise LanguageError(faults)
    text = with_needs(text, file)
    pieces, _ = parse_pieces(text, path)
    lines: list[_Line] = []
    rows = [_row(bits_of(piece.tree, text)) for piece in pieces if piece.tree is not None]
    gaps = [
        comments_between(text, before, after)
        for before, after in zip(
            [0, *(row.bits[-1].end for row in rows)],
            [*(row.bits[0].start for row in rows), len(text)],
            strict=True,
        )
    ]
    breaks = [_breaks(rows, gaps, index) for index in range(len(rows))]
    _align_runs(rows, [any_blank for any_blank, _ in breaks])
    for row, (comments, blank), (_, missing) in zip(rows, gaps, breaks, strict=False):
        _add_comments(lines, comments, "", missing=missing)
        own = any(comment.own for comment in comments)
        wanted = blank or (missing and not own)
        lines += _lay_out(row, blank=wanted and bool(lines))
    _add_comments(lines, gaps[-1][0], "", missing=False)
    if lines:
        lines[0].blank = False
    return _print(lines)


# -------------------------------------------------------------------------------------------------
# Runs and columns
# -------------------------------------------------------------------------------------------------


def _row(bits: list[Bit]) -> _Row:
    """A statement with its columns; one with `for`, or a comment in its head, has none."""
    kind = bits[0].text
    row = _Row(bits=bits, kind=kind)
    mark = ":" if kind == "claim" else "="
    cut = next((i for i, bit in enumerate(bits) if bit.text == mark), None)
    if kind in ("circuit", "use", "intervene") or any(bit.role == "open" for bit in bits[:cut]):
        return row
    if cut is None or any(bit.comments for bit in bits[1 : cut + 1]):
        return row
    if any(bit.rule == "loop" for bit in bits[:cut]):
        return row
    row.cut = cut + 1 if kind == "claim" else cut
    if kind == "group":
        row.at = next((i for i, bit in enumerate(bits[:cut]) if bit.text == "@"), None)
    return row


def _is_block(row: _Row) -> bool:
    return row.kind in ("circuit", "task", "intervene") and row.cut is None


def _breaks(
    rows: Sequence[_Row], gaps: Sequence[tuple[list[Comment], bool]], index: int
) -> tuple[bool, bool]:
    """Whether an empty line stands between a statement and the one before, and whether it must be
    added: between statements of different kinds and around blocks."""
    comments, blank = gaps[index]
    written = blank or any(comment.blank for comment in comments)
    if index == 0:
        return written, False
    before, row = rows[index - 1], rows[index]
    needed = before.kind != row.kind or _is_block(before) or _is_block(row)
    return written or needed, needed and not written


def _align_runs(rows: Sequence[_Row], blanks: Sequence[bool]) -> None:
    """Pads the rows of each run of neighbours of one kind to common columns."""
    run: list[_Row] = []
    for row, blank in zip(rows, blanks, strict=True):
        if run and (blank or row.kind != run[0].kind):
            _align(run)
            run = []
        run.append(row)
    _align(run)


def _align(run: Sequence[_Row]) -> None:
    for column in ("at", "cut"):
        widths = {}
        for index, row in enumerate(run):
            place = getattr(row, column)
            if place is not None and row.cut is not None:
                widths[index] = len(_flat(row, place))
        for index, width in widths.items():
            place = getattr(run[index], column)
            run[index].pads[place] = max(widths.values()) - width


def _flat(row: _Row, stop: int | None = None) -> str:
    """The row on one line, up to the bit `stop`."""
    out = ""
    for index, bit in enumerate(row.bits[:stop]):
        if index:
            out += " " * row.pads.get(index, 0) + (" " if bit.space else "")
        out += bit.text + bit.separator
    return out


# -------------------------------------------------------------------------------------------------
# Lines
# -------------------------------------------------------------------------------------------------


def _lay_out(row: _Row, *, blank: bool) -> list[_Line]:
    """The lines of one statement."""
    bits = row.bits
    items = sum(bit.role == "item" for bit in bits)
    # The one field of a derived task stands beside it; two on one line would need a `;`.
    always = items > 0 if _is_block(row) else items > 1 and row.kind == "task"
    commented = any(bit.comments for bit in bits)
    laid_out = any(bit.role == "open" for bit in bits)
    broken = always or (laid_out and (commented or len(_flat(row)) > WIDTH))
    if broken and row.kind in ("circuit", "task"):
        _align_fields(row)
    lines = [_Line(blank=blank)]
    inner = ""
    for index, bit in enumerate(bits):
        opened = index > 0 and bits[index - 1].role == "open"
        placed = broken and bit.role in ("item", "close")
        inside = inner
        if broken and bit.role == "close":
            inner = inner.removesuffix(_INDENT)
        indent = inner if placed else inner + _CONTINUED
        moved = _add_comments(
            lines, bit.comments, inside if placed else indent, blanks=placed, first=opened
        )
        if placed:
            empty = bit.blank and bit.role == "item" and not opened
            lines.append(_Line(indent=indent, blank=empty))
        elif moved:
            lines.append(_Line(indent=indent))
        elif index:
            lines[-1].code += " " * row.pads.get(index, 0) + (" " if bit.space else "")
        lines[-1].code += bit.text + _separator(bits, index, broken=broken)
        if broken and bit.role == "open":
            inner += _INDENT
    return lines


def _align_fields(row: _Row) -> None:
    """Aligns the `=` of the fields of a block, in runs without empty lines."""
    run: list[tuple[int, int]] = []

    def close() -> None:
        widest = max((width for _, width in run), default=0)
        for place, width in run:
            row.pads[place] = widest - width
        run.clear()

    for index, bit in enumerate(row.bits):
        if bit.role != "item":
            continue
        if bit.blank or any(comment.blank for comment in bit.comments):
            close()
        if not row.bits[index + 1].comments:
            run.append((index + 1, len(bit.text)))
    close()


def _separator(bits: Sequence[Bit], index: int, *, broken: bool) -> str:
    """What stands behind a bit: over several lines every member of a group has its comma."""
    bit = bits[index]
    after = bits[index + 1] if index + 1 < len(bits) else None
    if not broken or after is None or after.role not in ("item", "close"):
        return bit.separator
    return "," if after.owner == "group_set" and bit.role != "open" else ""


def _add_comments(
    lines: list[_Line],
    comments: Sequence[Comment],
    indent: str,
    *,
    blanks: bool = True,
    first: bool = False,
    missing: bool = False,
) -> bool:
    """Adds the comments before a bit; True when there were any.

    `blanks`: empty lines before them are kept; `first`: not before the first of them; `missing`:
    the first that stands on its own line gets one.
    """
    for comment in comments:
        if not comment.own and lines:
            lines[-1].comment = comment.text
            first = False
            continue
        blank = missing or (comment.blank and blanks and not first)
        lines.append(_Line(indent=indent, comment=comment.text, blank=blank))
        first = missing = False
    return bool(comments)


def _print(lines: Sequence[_Line]) -> str:
    """The text of the lines, comments at line ends aligned in runs of neighbours."""
    out: list[str] = []
    run: list[_Line] = []

    def flush() -> None:
        column = max((len(line.indent + line.code) for line in run), default=0) + _COMMENT_GAP
        for line in run:
            if line.blank:
                out.append("")
            out.append(f"{line.indent + line.code:<{column}}{line.comment}")
        run.clear()

    for line in lines:
        behind = bool(line.code and line.comment)
        if run and (not behind or line.blank or line.indent != run[-1].indent):
            flush()
        if behind:
            run.append(line)
            continue
        if line.blank:
            out.append("")
        out.append((line.indent + line.code + line.comment).rstrip())
    flush()
    return "".join(f"{line}\n" for line in out)
