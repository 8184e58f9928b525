r"""Text in LaTeX: every character that LaTeX reads as a command becomes one that prints it.

>>> escape("50% of a_b"), plain_formula(r"\frac{1}{2}"), plain_formula(r"\input{x}")
('50\\% of a\\_b', True, False)
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["escape", "macro_word", "plain_formula", "typed"]

_CHARACTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "-": "-{}",
    "≈": r"\ensuremath{\approx}", "≤": r"\ensuremath{\le}", "≥": r"\ensuremath{\ge}",
    "·": r"\textperiodcentered{}", "…": r"\ldots{}", "∅": r"\ensuremath{\varnothing}",
    "Ø": r"\O{}", "∖": r"\ensuremath{\setminus}", "−": r"\ensuremath{-}", "“": "``", "”": "''",
    "‘": "`", "’": "'", "–": "--", "—": "---", "→": r"\ensuremath{\to}",
}  # fmt: skip
_COMMANDS = frozenset(
    "operatorname mathrm frac left right cdot min max to sqrt le ge approx mbox text texttt "
    "textbackslash textasciicircum textasciitilde textless textgreater textbar textquotedbl "
    "textquotesingle textasciigrave lvert rvert allowbreak".split()
)
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_LATIN = frozenset(map(chr, (*range(0x20, 0x7F), *range(0xA1, 0x180))))
"""What LaTeX with T1 and UTF-8 prints without a further package, as far as it is used here."""


def escape(text: str) -> str:
    """The text as LaTeX prints it; a character that its fonts lack becomes `[U+4E2D]`.

    Line breaks and other control characters become one blank.
    """
    printed = []
    for character in unicodedata.normalize("NFC", text):
        if character in _CHARACTERS:
            printed.append(_CHARACTERS[character])
        elif character in _LATIN:
            printed.append(character)
        elif character.isspace() or unicodedata.category(character) == "Cc":
            printed.append(" ")
        else:
            printed.append(f"[U+{ord(character):04X}]")
    return "".join(printed)


def typed(text: str) -> str:
    """The text in typewriter letters inside a formula, which may break at its blanks."""
    parts = [escape(part) for part in text.split()]
    return r"\allowbreak ".join(
        r"\text{\texttt{" + part + (r"\ " if i < len(parts) - 1 else "") + "}}"
        for i, part in enumerate(parts)
    )


def macro_word(text: str) -> str:
    """Letters alone, as names of macros want: `a9.h6` is `aNinehSix`; "" where none is left."""
    words = re.findall(r"[A-Za-z]+|\d", text)
    parts = [_DIGITS[int(word)] if word.isdigit() else word for word in words]
    return "".join(parts[:1]) + "".join(part[:1].upper() + part[1:] for part in parts[1:])


def plain_formula(latex: str) -> bool:
    """Whether a formula holds nothing but symbols, brackets and the commands of reports.

    A formula that comes with a stranger's file is printed only then: LaTeX can read files.
    """
    commands = re.findall(r"\\([A-Za-z]+|.)", latex, flags=re.DOTALL)
    if any(c not in _COMMANDS if c.isalpha() else c not in " _%{}&#$,;" for c in commands):
        return False
    bare = re.sub(r"\\([A-Za-z]+|.)", "", latex, flags=re.DOTALL)
    if re.search(r"[%#&$~\\]|\^\^", bare) or not set(bare) <= _LATIN:
        return False
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    pairs = len(re.findall(r"\\left(?![A-Za-z])", latex))
    return depth == 0 and pairs == len(re.findall(r"\\right(?![A-Za-z])", latex))
