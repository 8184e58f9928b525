"""Characters that show nothing and change what is read around them, written by their numbers.

A text of a stranger may turn round what follows it (U+202E) or end a line; in a report it may not.

>>> visible("a\u202eb"), token_text(" the\n")
('a[U+202E]b', ' the↵')
"""

from __future__ import annotations

import re

__all__ = ["token_text", "visible", "visible_lines"]

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
_BLANKS = {"\n": "↵", "\t": "⇥", "\r": "␍"}


def visible(text: str) -> str:
    """The text with controls, marks of direction and halves of characters as `[U+202E]`.

    Blanks, tabs and line breaks stay.
    """
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


_COLOUR = re.compile(r"(\x1b\[[0-9;]{1,8}m)")


def visible_lines(text: str, *, colour: bool) -> str:
    """A report for a terminal as `visible`; with `colour`, changes of colour stay."""
    if not colour:
        return visible(text)
    return "".join(part if i % 2 else visible(part) for i, part in enumerate(_COLOUR.split(text)))


def token_text(token: str) -> str:
    """A token on its own: line breaks and tabs are signs, and one without a character is `∅`."""
    return visible("".join(_BLANKS.get(character, character) for character in token)) or "∅"
