"""JSON as files from elsewhere bring it, read strictly: what is unclear is refused with its place.

`json.loads` takes the last of two equal keys, reads `1e999` as infinite, fails on an integer of
5,000 digits and at a depth that hangs on the caller's own. Here all of these are a `JsonFault`, for
the reader to turn into a diagnostic of its own::

    try:
        row = read_json(line)
    except JsonFault as fault:
        faults.add("PD322", f"line {number}, column {fault.column}: {fault}")

Source: RFC 8259 sections 4 (names are unique), 6 and 9 (limits that a reader may set).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pathdsl.near import quoted

__all__ = ["MOST_DIGITS", "MOST_LEVELS", "JsonFault", "read_json"]

MOST_LEVELS = 100
"""Lists and objects within one another."""
MOST_DIGITS = 300
"""Digits of an integer; one with fewer is always a finite number too."""

_TOO_DEEP = f"nested more than {MOST_LEVELS} levels deep"
# Long numbers and halves of characters, perhaps: a text with any is gone through token by token.
_LOOK = re.compile(
    rf"[0-9]{{{MOST_DIGITS + 1}}}|[0-9][eE]\+?[0-9]{{3}}|\\u[dD][89a-fA-F]|[\ud800-\udfff]"
)
_HALF = re.compile(r"[\ud800-\udfff]")
_CONSTANT = re.compile(r"NaN|Infinity")
_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)'
    r"|(?P<constant>NaN|-?Infinity)|(?P<mark>[\[\]{},:])|[^\"\[\]{},:]",
    re.DOTALL,
)


class JsonFault(ValueError):
    """Why a text is not read: `line` and `column` from 1, in characters.

    `refused`: it may well be JSON, and what is said is unclear or beyond the limits; otherwise it
    is no JSON at all.
    """

    def __init__(self, why: str, text: str, place: int, *, refused: bool) -> None:
        super().__init__(why)
        self.refused = refused
        self.line = text.count("\n", 0, place) + 1
        self.column = place - text.rfind("\n", 0, place)


def read_json(text: str | bytes, *, finite: bool = False) -> Any:
    """The value of a JSON text; bytes are UTF-8, with or without a mark at their beginning.

    `finite`: `NaN`, `Infinity` and `-Infinity`, which Python writes and JSON does not have, are
    refused. Raises JsonFault for all that is not read, and nothing else.
    """
    if isinstance(text, bytes):
        try:
            text = str(text, "utf-8-sig")
        except UnicodeDecodeError as error:
            before = str(error.object[: error.start], "utf-8", "replace")
            raise JsonFault("not UTF-8", before, len(before), refused=False) from None
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        _refuse(text[: error.pos], finite)
        raise JsonFault(error.msg, text, error.pos, refused=False) from None
    except (ValueError, RecursionError) as error:  # ours, or an integer too long for Python
        _refuse(text, finite)
        why = _TOO_DEEP if isinstance(error, RecursionError) else str(error)
        raise JsonFault(why, text, 0, refused=True) from None
    if _LOOK.search(text) or (finite and _CONSTANT.search(text)) or _is_deep(text, found):
        _refuse(text, finite)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _is_deep(text: str, found: Any) -> bool:
    """Whether lists and objects are nested beyond the limit."""
    if text.count("[") + text.count("{") <= MOST_LEVELS:
        return False
    level, depth = [one for one in (found,) if isinstance(one, list | dict)], 0
    while level and depth <= MOST_LEVELS:
        depth += 1
        inside = (one if isinstance(one, list) else one.values() for one in level)
        level = [item for one in inside for item in one if isinstance(item, list | dict)]
    return depth > MOST_LEVELS


def _refuse(text: str, finite: bool) -> None:
    """Raise JsonFault for the first key, number or level in a text that is not read.

    It goes through the tokens only, whether or not they make JSON.
    """
    open_: list[set[str] | None] = []  # the keys of every object around, None for a list
    key: tuple[str, int] | None = None
    for token in _TOKEN.finditer(text):
        written, place, kind = token.group(), token.start(), token.lastgroup
        if kind == "mark" and written in "[{":
            open_.append(set() if written == "{" else None)
            if len(open_) > MOST_LEVELS:
                raise JsonFault(_TOO_DEEP, text, place, refused=True)
        elif kind == "mark" and written in "]}":
            if open_:
                open_.pop()
        elif kind == "mark" and written == ":" and key is not None:
            keys = open_[-1] if open_ else None
            if keys is not None:
                name = _name(key[0])
                if name in keys:
                    why = f"the key {quoted(name)} stands twice in one object"
                    raise JsonFault(why, text, key[1], refused=True)
                keys.add(name)
        elif kind == "number":
            digits = len(re.split(r"[.eE]", written.lstrip("-"), maxsplit=1)[0])
            if digits > MOST_DIGITS:
                why = f"a number of {digits:,} digits, at most {MOST_DIGITS} are read"
                raise JsonFault(why, text, place, refused=True)
            if math.isinf(float(written)):
                raise JsonFault("a number too large to be read", text, place, refused=True)
        elif kind == "constant" and finite:
            raise JsonFault(f"{written} is no number", text, place, refused=True)
        if kind == "text":
            key = (written, place)
            if _HALF.search(_name(written)):
                why = "half of a surrogate pair, which is no character"
                raise JsonFault(why, text, place, refused=True)
        elif written.strip():
            key = None


def _name(written: str) -> str:
    """A key as it is read, escapes resolved; the same for all ways to write it."""
    try:
        return str(json.loads(written))
    except ValueError:
        return written
