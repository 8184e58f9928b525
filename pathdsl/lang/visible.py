"""Text of strangers as it is shown: characters that show nothing are written by their numbers.

Such a text may move the cursor (U+001B), turn round what follows it (U+202E) or end a line; shown
to anybody, whoever shows it, it may not. Everything that is printed or written for people to read
goes through `visible`; JSON, which programs read, keeps what was said and escapes these characters.

>>> visible("a\\u202eb"), token_text(" the\\n")
('a[U+202E]b', ' the↵')
"""

from __future__ import annotations

import re
import secrets

__all__ = ["coloured", "escaped", "plainly", "printed", "token_text", "visible"]

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_BLANKS = {"\n": "↵", "\t": "⇥", "\r": "␍"}

# What begins a colour until the text reaches a terminal, as long as what will stand there; drawn
# anew by each process, so that no file can hold it.
_BEGIN = "".join(chr(0x100000 + secrets.randbelow(0xFFFD)) for _ in range(2))
_OWN = re.compile(rf"{_BEGIN}([0-9;]*)m")


def visible(text: str) -> str:
    """The text with controls, marks of direction and halves of characters as `[U+202E]`.

    Blanks, tabs, line breaks and the colours of `coloured` stay.
    """
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def coloured(text: str, codes: str) -> str:
    """The text in a colour of a terminal (`31`, `1;32`), which `printed` turns on and off."""
    return f"{_BEGIN}{codes}m{text}{_BEGIN}0m"


def plainly(text: str) -> str:
    """The text without the colours of `coloured`, as wide as it will stand on the screen."""
    return _OWN.sub("", text)


def printed(text: str) -> str:
    """A text on its way to a terminal or a file for people: `visible`, with its own colours."""
    return _OWN.sub("\x1b[\\1m", visible(text))


def escaped(json: str) -> str:
    """A JSON text with the same characters as `\\u202e`: it means what it meant and is safe to
    look at."""
    return _UNSEEN.sub(_escape, json)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def token_text(token: str) -> str:
    """A token on its own: line breaks and tabs are signs, and one without a character is `∅`."""
    return visible("".join(_BLANKS.get(character, character) for character in token)) or "∅"
