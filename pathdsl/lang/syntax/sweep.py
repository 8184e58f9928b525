"""One look over a text before any parser sees it: linear in time, without recursion.

It refuses what no `.circuit` file contains (NUL and other control characters) and what would make
a tree too deep to walk: more than `MAX_DEPTH` brackets and operators inside one another. A chain
of operators counts as nesting, since `a - b - c` is a tree as deep as it is long. A keyword at
column 1 starts the count anew, as it starts a statement.

    >>> [fault.code for fault in sweep("path p = " + "(" * 1000, "x.circuit")]
    ['PD008']
"""

from __future__ import annotations

import re

from pathdsl.errors import Diagnostic, Span
from pathdsl.limits import DEPTH

KEYWORDS = (
    "circuit", "use", "model", "task", "group", "path", "metric", "let", "intervene", "claim",
)  # fmt: skip
MAX_DEPTH = DEPTH.most

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_PARTS = re.compile(
    rf"""(?P<skip>\#[^\n]*+|"(?:[^"\n\\]|\\[^\n])*+"?|->|~>)
    |(?P<start>(?m:^)(?:{"|".join(KEYWORDS)})(?![A-Za-z0-9_]))
    |(?P<open>[-~]\[|[(\[{{])
    |(?P<close>\][-~]>|[)\]}}])
    |(?P<part>[,;|])
    |(?P<operator>[-+*/^&])""",
    re.VERBOSE,
)


def sweep(text: str, path: str) -> list[Diagnostic]:
    """The faults for which a text is not parsed at all; at most one."""
    if control := _CONTROL.search(text):
        at = control.start()
        return [
            Diagnostic(
                code="PD010",
                message=f"this is not text: it holds the character U+{ord(control.group()):04X}",
                span=Span(path=path, start=at, end=at + 1),
            )
        ]
    depth = 0
    levels = [0]
    for part in _PARTS.finditer(text):
        kind = part.lastgroup
        if kind == "start":
            depth, levels = 0, [0]
        elif kind == "open":
            levels.append(0)
            depth += 1
        elif kind == "close" and len(levels) > 1:
            depth -= levels.pop() + 1
        elif kind == "part":
            depth -= levels[-1]
            levels[-1] = 0
        elif kind == "operator":
            levels[-1] += 1
            depth += 1
        if depth > MAX_DEPTH:
            return [
                Diagnostic(
                    code="PD008",
                    message=f"brackets and operators stand more than {MAX_DEPTH} deep inside one "
                    "another",
                    span=Span(path=path, start=part.start(), end=part.end()),
                    help="give the parts names of their own, with `path` or `let`",
                )
            ]
    return []


def open_brackets(text: str, start: int, end: int) -> list[tuple[str, int]]:
    """The brackets that a stretch of text opens and does not close: what was written, and where."""
    waiting: list[tuple[str, int]] = []
    for part in _PARTS.finditer(text, start, end):
        if part.lastgroup == "open":
            waiting.append((part.group(), part.start()))
        elif part.lastgroup == "close" and waiting:
            waiting.pop()
    return waiting
