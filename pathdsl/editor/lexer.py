"""The Pygments lexer of the language, named in the package's entry points as `circuit`.

It colours listings in documents, notebooks and terminals: `pygmentize -l circuit FILE`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups
from pygments.token import Token, Whitespace, string_to_tokentype

from pathdsl.editor.colours import COLOURS, Part, Region, rules

__all__ = ["CircuitLexer"]


def _token(kind: str) -> Any:
    return string_to_tokentype(COLOURS[kind].pygments)


def _coloured(part: Part) -> Any:
    """What stands in a rule of Pygments for the kinds of one of ours."""
    if len(part.kinds) == 1:
        return _token(part.kinds[0])
    return bygroups(*map(_token, part.kinds))


def _state(parts: tuple[Part, ...]) -> list[Any]:
    made: list[Any] = []
    for part in parts:
        if isinstance(part, Region):
            made.append((part.begin, _coloured(part), _pushed(part)))
        else:
            made.append((part.match, _coloured(part)))
    return [*made, (r"[ \t\r\n\ufeff]+", Whitespace), (r".", Token.Error)]


def _pushed(region: Region) -> str:
    """The state inside a region: that of its rules, left at its end."""
    return f"{region.inside} until {region.end}"


def _states() -> dict[str, list[Any]]:
    known = rules()
    found = {"root": _state(known["root"])}
    pending = [part for parts in known.values() for part in parts if isinstance(part, Region)]
    for region in pending:
        end = (region.end, _token(region.kinds[0]), "#pop")
        if region.end.startswith("(?="):  # before the next statement
            end = (region.end, Whitespace, "#pop")
        found[_pushed(region)] = [end, *_state(known[region.inside])]
    return found


class CircuitLexer(RegexLexer):
    """Colours `.circuit` files."""

    name = "Circuit"
    aliases: ClassVar[list[str]] = ["circuit", "pathdsl"]
    filenames: ClassVar[list[str]] = ["*.circuit"]
    url = ""
    tokens: ClassVar[dict[str, list[Any]]] = _states()
