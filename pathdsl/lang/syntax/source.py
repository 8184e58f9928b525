"""A source text with its lines, and how one is read from disk.

Offsets count Unicode characters from 0; lines and columns count from 1, as editors show them. A
line ends at "\\n"; the "\\r" of a CRLF file belongs to the blank space at the end of its line.

    >>> SourceFile(path="x.circuit", text="use\\nmodel").line_col(4)
    (2, 1)
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang.fence import is_circuit
from pathdsl.limits import FILE_BYTES
from pathdsl.reading import read_file

MAX_BYTES = FILE_BYTES.most


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The text of one file and where its lines start."""

    path: str
    text: str
    starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        object.__setattr__(self, "starts", tuple(starts))

    def line_col(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of a character offset; offsets past the end give the end."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def line_text(self, number: int) -> str:
        """The text of line `number` (from 1) without its line end; "" outside the file."""
        if not 1 <= number <= len(self.starts):
            return ""
        start = self.starts[number - 1]
        end = self.starts[number] - 1 if number < len(self.starts) else len(self.text)
        return self.text[start:end].rstrip("\r")


def read_source(path: str | os.PathLike[str], *, named: bool = True) -> SourceFile | Diagnostic:
    """The text of a `.circuit` file, or the Diagnostic that says why it cannot be read.

    `named`: whether the command line names it, and not another file.
    """
    name = os.fspath(path)
    try:
        data = read_file(name, MAX_BYTES + 1, named=named)
    except FileNotFoundError:
        own = "`lint` and `fmt` read standard input; write the text to a file for this verb"
        return Diagnostic(
            code="PD009", message=f"there is no file `{name}`", help=own if name == "-" else ""
        )
    except IsADirectoryError:
        return Diagnostic(
            code="PD009",
            message=f"`{name}` is a folder, wanted a `.circuit` file",
            help=f"name the files in it: `{name.rstrip('/')}/*.circuit`",
        )
    except OSError as error:
        reason = error.strerror or str(error)
        return Diagnostic(code="PD009", message=f"cannot read `{name}`: {reason.lower()}")
    if len(data) > MAX_BYTES:
        return too_big(name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Diagnostic(
            code="PD010",
            message=f"`{name}` is not UTF-8 text: byte {error.start}, on line {line}, is no part "
            "of a character",
            help="save the file as UTF-8",
        )
    return SourceFile(name, text)


def sources_of(
    diagnostics: Iterable[Diagnostic], known: Mapping[str, SourceFile]
) -> dict[str, SourceFile]:
    """The texts that diagnostics point into, those of circuit files only: a line of another file is
    not shown. Files that cannot be read are left out."""
    sources = dict(known)
    for diagnostic in diagnostics:
        spans = [diagnostic.span, *(span for span, _ in diagnostic.labels)]
        for span in spans:
            if span is not None and span.path not in sources and is_circuit(span.path):
                text = read_source(span.path)
                if isinstance(text, SourceFile):
                    sources[span.path] = text
    return sources


def too_big(path: str) -> Diagnostic:
    """The refusal of a text of more than `MAX_BYTES` bytes."""
    return Diagnostic(
        code="PD011",
        message=f"`{path}` is larger than {MAX_BYTES // 1_000_000} MB",
        span=Span(path=path, start=0, end=0),
        help='put data rows into a `.jsonl` file and name it: `data = jsonl("rows.jsonl")`',
    )
