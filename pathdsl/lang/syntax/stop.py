"""Where a statement stops being one, and what could have stood there, in words.

`Stop` is what the parser knows of a fault; `pathdsl.lang.syntax.faults` makes a Diagnostic of it.
"""

from __future__ import annotations

import re
from functools import cache

from pathdsl.errors import Diagnostic, Fix, Span
from pathdsl.lang.syntax.tables import parser
from pathdsl.record import record

_WORD = re.compile(r"[A-Za-z0-9_.]+")
_FOUND = re.compile(
    r'"[^"\n]*"?|[-=]+>|~[>=]|\]->|\]~>|-\[|~\[|[<>=!:]=|&&|\|\||[A-Za-z0-9_.]+%?|.', re.DOTALL
)

ARROWS = {"->", "~>", "-[", "~["}
_RUNS = {"reference", "treated", "treat", "keep"}
_NODES = {"HEAD", "MLP", "RESID", "WORD"}
_KEYS = {"in", "reference", "treated"}
_PATH_WORDS = {"full", "none", "through", "within", "edges", "random_like", "random_edges"}

# Terminals that stand for many texts, and what they are called in a message.
_KINDS = {
    "NAME": "a name",
    "STRING": 'a "text"',
    "NUMBER": "a number",
    "REL": "`<`, `<=`, `>`, `>=` or `~=`",
    "SLOT": "`q`, `k` or `v`",
    "SCORE": "a score",
    "SHIFT": "",
    "HEAD": "a node",
    "MLP": "a node",
    "RESID": "a node",
    "WORD": "a node",
}


@record
class Stop:
    """Where the parser stopped: the statement is `text[start:end]`, the fault is at `at`.

    `last` is the end of the last good token; `accepted` names the terminals that would have done.
    """

    text: str
    path: str
    start: int
    end: int
    at: int
    last: int
    accepted: frozenset[str]

    @property
    def found(self) -> str:
        """What stands at the fault, "" at the end of the statement."""
        match = _FOUND.match(self.text, self.at, self.end)
        return match.group() if match else ""

    @property
    def word(self) -> tuple[str, int]:
        """The whole dotted word around the fault and where it starts."""
        start = self.at
        while start > self.start and _WORD.fullmatch(self.text[start - 1]):
            start -= 1
        match = _WORD.match(self.text, start, self.end)
        return (match.group(), start) if match else ("", self.at)

    @property
    def keyword(self) -> str:
        """The statement's keyword."""
        match = re.compile(r"[a-z]+").match(self.text, self.start)
        return match.group() if match else ""

    @property
    def wanted(self) -> frozenset[str]:
        """What the accepted terminals look like when written; names in capitals stay names."""
        return _written(self.accepted)

    def fault(self, code: str, message: str, *, label: str = "", help: str = "",
              span: tuple[int, int] | None = None, notes: tuple[str, ...] = (),
              labels: tuple[tuple[Span, str], ...] = (),
              fix: str | None = None) -> Diagnostic:  # fmt: skip
        """A Diagnostic at this place, or at `span`; `fix`: what is to stand there instead."""
        start, end = span or self.here
        place = Span(path=self.path, start=start, end=end)
        repair = Fix(span=place, was=self.text[start:end], text=fix) if fix is not None else None
        return Diagnostic(
            code=code, message=message, label=label, help=help or (f"`{fix}`" if fix else ""),
            fix=repair, notes=notes, labels=labels, span=place,
        )  # fmt: skip

    @property
    def here(self) -> tuple[int, int]:
        """From and to of what was found; behind the last token at the statement's end."""
        if self.at >= self.end or not self.found:
            return self.last, self.last
        return self.at, self.at + len(self.found)


@cache
def _written(terminals: frozenset[str]) -> frozenset[str]:
    return frozenset(written(name) for name in terminals)


@cache
def written(terminal: str) -> str:
    """How a terminal of the grammar is written: `->`, `treat`; kinds such as NAME stay as named."""
    if terminal in _KINDS or terminal == "$END":
        return terminal
    pattern = parser().get_terminal(terminal).pattern.value
    pattern = pattern.partition("(?=")[0].removesuffix("(?![A-Za-z0-9_])")
    return re.sub(r"\\(.)", r"\1", pattern)


def expectation(stop: Stop) -> str:
    """What could have stood there: "a node or `(`", at most a handful of things."""
    wanted = set(stop.wanted)
    parts: list[str] = []
    if _KEYS <= wanted and not wanted & _PATH_WORDS:
        parts.append("an argument by its name")
        wanted -= {*_NODES, "NAME", *_KEYS}
    if "HEAD" in wanted:
        path = bool(wanted & _PATH_WORDS)
        parts.append("a path" if path else "a node")
        wanted -= {
            "HEAD",
            "MLP",
            "RESID",
            "WORD",
            "NAME",
            "{",
            "(",
            "windows",
            "nodes",
            *_PATH_WORDS,
        }
    if "SCORE" in wanted:
        parts.append("a number, a metric or a score")
        wanted -= {"SCORE", "NUMBER", "NAME", "(", "-", "attention"}
    if wanted >= _RUNS:
        parts.append("a run")
        wanted -= _RUNS
    if "->" in wanted and "~>" in wanted:
        parts.append("an arrow")
        wanted -= ARROWS
    if {"+", "-", "*", "/"} <= wanted:
        parts.append("an operator")
        wanted -= {"+", "-", "*", "/", "^", "@"}
    if "|" in wanted:
        parts.append("`|`, `&` or `-`")
        wanted -= {"|", "&", "-", "("}
    ends = [] if "$END" not in wanted else ["the end of the statement"]
    wanted -= {"$END", "@"} if len(wanted) > 2 else {"$END"}
    for name in sorted(wanted, key=lambda w: (w not in _KINDS, w)):
        text = _KINDS.get(name, f"`{name}`")
        if text and text not in parts:
            parts.append(text)
    parts = [*parts[: 6 - len(ends)], *ends]
    return " or ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "nothing"
