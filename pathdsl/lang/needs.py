"""Which version of pathdsl a file needs: `circuit NAME { needs = "0.2" }`.

The field is found in the text before anything is parsed, so that a version that is too old says so,
and not that it cannot read a form which came after it. `fmt` writes the field where a form is used
that the first version does not have. A form that is added after a release has a record here.

    >>> stated('circuit a { needs = "0.2" }  # needs = "9"')
    (20, 25, '0.2')
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.syntax.sweep import KEYWORDS
from pathdsl.lang.walk import walk
from pathdsl.record import record

__all__ = ["FIRST", "FORMS", "Form", "release", "stated", "too_old", "wanted", "with_needs"]

FIRST = "0.1.0"
"""The first version that was released; what it has needs no saying."""


@record
class Form:
    """A form of the language that came with version `since`; `used`: whether a node is one."""

    name: str
    since: str
    used: Callable[[ast.Node], bool]


FORMS: tuple[Form, ...] = ()
"""Every form that came after FIRST."""

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?\Z", re.ASCII)
# These are compiled for files with the word alone.
_CIRCUIT = r"^\ufeff?circuit(?![A-Za-z0-9_])"
_NEXT = rf"^(?:{'|'.join(KEYWORDS)})(?![A-Za-z0-9_])"
_NEEDS = r'#[^\n]*|"(?:[^"\n\\]|\\[^\n])*+"|(?<![A-Za-z0-9_])needs\s*=\s*("[^"\n\\]*")|\w+|.'


def release(text: str) -> tuple[int, int, int] | None:
    """`0.2` and `0.2.1` as numbers to compare; None for any other text."""
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _number(text: str) -> tuple[int, int, int]:
    return release(text) or (0, 0, 0)


def _running() -> str:
    from importlib.metadata import version

    return version("pathdsl")


def stated(text: str) -> tuple[int, int, str] | None:
    """From where to where the version stands that a file says it needs, and the version."""
    if "needs" not in text:
        return None
    following, needs = re.compile(_NEXT, re.MULTILINE), re.compile(_NEEDS, re.DOTALL)
    for circuit in re.finditer(_CIRCUIT, text, re.MULTILINE):
        behind = following.search(text, circuit.end())
        end = behind.start() if behind else len(text)
        for found in needs.finditer(text, circuit.end(), end):
            if found[1]:
                return found.start(1), found.end(1), found[1][1:-1]
    return None


def too_old(text: str, path: str) -> Diagnostic | None:
    """PD024 where a text needs a newer pathdsl than the one that runs."""
    found = stated(text)
    needed = release(found[2]) if found is not None else None
    running = _running() if needed is not None else ""
    own = re.match(r"\d+\.\d+(\.\d+)?", running)
    if found is None or needed is None or own is None or needed <= _number(own[0]):
        return None
    start, end, version = found
    return Diagnostic(
        code="PD024",
        message=f"this file needs pathdsl {version}, and this is {running}",
        span=Span(path=path, start=start, end=end),
        label="so says the file",
        help=f'pip install "pathdsl>={version}"',
    )


def wanted(file: ast.File) -> tuple[Form, ast.Node] | None:
    """The newest form that a file uses, and where first; None where it uses those of FIRST."""
    nodes = [node for statement in file.statements for node in walk(statement)] if FORMS else []
    used = [(form, node) for form in FORMS for node in nodes if form.used(node)]
    return max(used, key=lambda one: _number(one[0].since), default=None)


def with_needs(text: str, file: ast.File) -> str:
    """The text of a file with the version that its forms need, where it has a circuit block."""
    newest = wanted(file)
    circuit = next((s for s in file.statements if isinstance(s, ast.CircuitDecl)), None)
    if newest is None or circuit is None:
        return text
    since = newest[0].since
    found = stated(text)
    if found is not None:
        start, end, version = found
        enough = _number(version) >= _number(since)
        return text if enough else f'{text[:start]}"{since}"{text[end:]}'
    at, put = field_put(text, circuit, f'needs = "{since}"')
    return f"{text[:at]}{put}{text[at:]}"


def field_put(text: str, circuit: ast.CircuitDecl, field: str) -> tuple[int, str]:
    """Where and how a field is put into the block of a circuit: before all others.

    Where fields have lines of their own it gets one, too.
    """
    if circuit.fields:
        at = min(one.span.start for one in circuit.fields)
        before = text[text.rfind("\n", 0, at) + 1 : at]
        return at, f"{field}; " if before.strip() else f"{field}\n{before}"
    at = circuit.span.end
    if text[at - 1] != "}":
        return at, f" {{ {field} }}"
    at = text.rfind("{", circuit.span.start, at) + 1
    if text[at] == "\n":
        return at, f"\n  {field}"
    return at, f" {field}" + " " * (text[at] == "}")
