"""Diagnostics as text, in the frame that compilers have taught people to read.

    error[PD203] position-travels-back: attention cannot read the future
      --> ioi.circuit:24:38
       |
    24 | path wrong = s_inhibition@END -[v]-> induction@S2
       |              ----------------        ^^^^^^^^^^^^ stands at S2 and would read END
       |              sender stands at END
       = help: the other direction exists: `induction@S2 -[v]-> s_inhibition@END`
       = more: pathdsl explain PD203

The primary span has carets, the others dashes; a span over several lines is marked on its first and
its last line. Columns are those of the screen: tabs become blanks, wide characters count twice.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pathdsl.errors import Diagnostic, Severity, Span
from pathdsl.lang.rules import name_of
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.visible import coloured, visible
from pathdsl.record import record

_RED, _YELLOW, _BLUE, _BOLD = "31", "33", "34", "1"
_TAB = 4

# Longer lines are shown around the marks only, so that hostile or generated text stays readable.
_WIDEST = 160


@record
class _Mark:
    """One underlined stretch of one line, columns from 0, `end` exclusive."""

    line: int
    start: int
    end: int
    text: str
    primary: bool


def render(
    diagnostics: Iterable[Diagnostic],
    sources: Mapping[str, SourceFile],
    *,
    style: Literal["full", "concise"] = "full",
    colour: bool = False,
) -> str:
    """The diagnostics as text, sorted by file and position; "" for none, else ends with "\\n".

    `sources` has the text of each file by the path that spans carry; where one is missing the
    position is left out. What no one would see is made visible, and colours are those of
    `pathdsl.lang.visible.printed`.
    """
    ordered = sorted(diagnostics, key=_order)
    if style == "concise":
        return visible("".join(f"{_concise(d, sources)}\n" for d in ordered))
    return visible("\n".join(_full(d, sources, colour=colour) for d in ordered))


def _order(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    span = diagnostic.span
    if span is None:
        return "", 0, 0, diagnostic.code
    return span.path, span.start, span.end, diagnostic.code


def _where(span: Span | None, sources: Mapping[str, SourceFile]) -> str:
    if span is None:
        return ""
    source = sources.get(span.path)
    if source is None:
        return span.path
    line, column = source.line_col(span.start)
    return f"{span.path}:{line}:{column}"


def _head(diagnostic: Diagnostic) -> tuple[str, str]:
    name = name_of(diagnostic.code)
    named = f" {name}" if name != diagnostic.code.lower() else ""
    return f"{diagnostic.severity}[{diagnostic.code}]{named}", diagnostic.message


def _concise(diagnostic: Diagnostic, sources: Mapping[str, SourceFile]) -> str:
    head, message = _head(diagnostic)
    where = _where(diagnostic.span, sources)
    line = f"{head}: {message}"
    return " ".join((f"{where}: {line}" if where else line).split("\n"))


def _full(diagnostic: Diagnostic, sources: Mapping[str, SourceFile], *, colour: bool) -> str:
    paint = _Paint(colour, _RED if diagnostic.severity is Severity.ERROR else _YELLOW)
    head, message = _head(diagnostic)
    lines = [paint.strong(head) + paint.bold(f": {message}")]
    span = diagnostic.span
    source = sources.get(span.path) if span else None
    margin = " "
    if span is not None and source is None:
        lines.append(f"  {paint.frame('-->')} {span.path}")
    elif span is not None and source is not None:
        shown = _by_file(diagnostic, span, sources)
        number = max(mark.line for _, marks in shown for mark in marks)
        margin = " " * len(str(number))
        for index, (file, marks) in enumerate(shown):
            arrow = "-->" if index == 0 else ":::"
            where = _where(span, sources) if index == 0 else f"{file.path}:{marks[0].line}"
            lines.append(f"{margin}{paint.frame(arrow)} {where}")
            lines += _frame(file, marks, margin, paint)
    for note in diagnostic.notes:
        lines.append(_remark(margin, "note", note, paint))
    if diagnostic.help:
        lines.append(_remark(margin, "help", diagnostic.help, paint))
    if name_of(diagnostic.code) != diagnostic.code.lower():
        lines.append(_remark(margin, "more", f"pathdsl explain {diagnostic.code}", paint))
    return "\n".join(lines) + "\n"


def _remark(margin: str, kind: str, text: str, paint: _Paint) -> str:
    first, *rest = text.split("\n")
    indent = " " * (len(margin) + 5 + len(kind))
    lead = f"{margin} {paint.frame('=')} {paint.bold(kind + ':')} {first}"
    return "\n".join([lead, *(f"{indent}{line}" for line in rest)])


def _by_file(
    diagnostic: Diagnostic, span: Span, sources: Mapping[str, SourceFile]
) -> list[tuple[SourceFile, list[_Mark]]]:
    """The marks of each file, the primary's file first."""
    marks: dict[str, list[_Mark]] = {span.path: []}
    spans = [(span, diagnostic.label, True)]
    spans += [(other, text, False) for other, text in diagnostic.labels]
    for one, text, primary in spans:
        source = sources.get(one.path)
        if source is not None:
            marks.setdefault(one.path, []).extend(_marks(source, one, text, primary=primary))
    return [
        (sources[path], sorted(own, key=lambda m: (m.line, m.start))) for path, own in marks.items()
    ]


def _marks(source: SourceFile, span: Span, text: str, *, primary: bool) -> list[_Mark]:
    """A span as marks: one on its line, or one on its first and one on its last line."""
    line, column = source.line_col(span.start)
    last, stop = source.line_col(max(span.start, span.end))
    if last > line and stop == 1:  # The end of a line is not the start of the next.
        last, stop = last - 1, len(source.line_text(last - 1)) + 1
    if last == line:
        end = max(stop - 1, column)
        return [_Mark(line=line, start=column - 1, end=end, text=text, primary=primary)]
    first_text, last_text = source.line_text(line), source.line_text(last)
    indent = len(last_text) - len(last_text.lstrip())
    return [
        _Mark(
            line=line, start=column - 1, end=max(len(first_text.rstrip()), column),
            text="from here", primary=primary,
        ),
        _Mark(
            line=last, start=min(indent, stop - 1), end=max(stop - 1, 1),
            text=text or "to here", primary=primary,
        ),
    ]  # fmt: skip


def _frame(source: SourceFile, marks: Sequence[_Mark], margin: str, paint: _Paint) -> list[str]:
    blank = f"{margin} {paint.frame('|')}"
    lines = [blank]
    numbers = sorted({mark.line for mark in marks})
    for index, number in enumerate(numbers):
        if index and number > numbers[index - 1] + 1:
            lines.append(paint.frame("..."))
        text = source.line_text(number)
        here = [mark for mark in marks if mark.line == number]
        text, here = _cut(text, here)
        shown = screen(text)
        digits = paint.frame(f"{number:>{len(margin)}} |")
        lines.append(f"{digits} {shown}".rstrip())
        lines += [f"{blank} {under}" for under in _under(text, here, paint)]
    return lines


def _cut(text: str, marks: list[_Mark]) -> tuple[str, list[_Mark]]:
    """A very long line cut down to the part around its first mark."""
    if len(text) <= _WIDEST:
        return text, marks
    start = max(0, min(mark.start for mark in marks) - _WIDEST // 4)
    end = min(len(text), start + _WIDEST)
    lead = "..." if start else ""
    shift = len(lead) - start
    limit = len(lead) + end - start
    moved = [
        _Mark(
            line=m.line, start=min(m.start + shift, limit), end=min(m.end + shift, limit),
            text=m.text, primary=m.primary,
        )
        for m in marks
    ]  # fmt: skip
    return lead + text[start:end] + ("..." if end < len(text) else ""), moved


def _under(text: str, marks: Sequence[_Mark], paint: _Paint) -> list[str]:
    """The underline of one line, then the labels that do not fit beside it."""
    placed = []
    for mark in marks:
        start = width(text[: mark.start])
        placed.append((start, max(width(text[: mark.end]), start + 1), mark))
    size = max(end for _, end, _ in placed)
    row = [" "] * size
    # Secondary marks first: where two overlap the primary's carets are what is seen.
    for start, end, mark in sorted(placed, key=lambda p: p[2].primary):
        row[start:end] = ["^" if mark.primary else "-"] * (end - start)
    rightmost = max(placed, key=lambda p: p[0])
    clear = all(place is rightmost or place[1] <= rightmost[0] for place in placed)
    beside = rightmost if clear else None
    line = "".join(paint.signs("".join(same)) for _, same in itertools.groupby(row))
    if beside is not None and beside[2].text:
        line += f" {paint.mark(beside[2].text, primary=beside[2].primary)}"
    lines = [line]
    for place in sorted(placed, key=lambda p: -p[0]):
        start, _, mark = place
        if place is not beside and mark.text:
            lines.append(" " * start + paint.mark(mark.text, primary=mark.primary))
    return lines


def screen(text: str) -> str:
    """A line as it is printed: tabs as blanks, other control characters made visible."""
    out: list[str] = []
    for char in text:
        if char == "\t":
            out.append(" " * _TAB)
        elif unicodedata.category(char) in ("Cc", "Cf", "Cs"):
            out.append("\ufffd")
        else:
            out.append(char)
    return "".join(out)


def width(text: str) -> int:
    """How many columns a text takes on the screen."""
    if text.isascii() and "\t" not in text:
        return len(text)
    total = 0
    for char in text:
        if char == "\t":
            total += _TAB
        elif unicodedata.combining(char):
            total += 0
        else:
            total += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return total


@dataclass(frozen=True, slots=True)
class _Paint:
    """Colours of one diagnostic, or none."""

    on: bool
    main: str

    def strong(self, text: str) -> str:
        return coloured(text, f"{_BOLD};{self.main}") if self.on else text

    def bold(self, text: str) -> str:
        return coloured(text, _BOLD) if self.on else text

    def frame(self, text: str) -> str:
        return coloured(text, f"{_BOLD};{_BLUE}") if self.on else text

    def signs(self, text: str) -> str:
        if text.isspace():
            return text
        return self.strong(text) if text[0] == "^" else self.frame(text)

    def mark(self, text: str, *, primary: bool) -> str:
        if not self.on:
            return text
        return coloured(text, self.main if primary else _BLUE)
