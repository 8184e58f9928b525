"""The parser of one statement, loaded from tables that were worked out beforehand.

lark needs a good part of a second to turn `circuit.lark` into LALR tables, more than the rest of
`lint` together. The tables are plain data, so they are kept as JSON beside the grammar
(`circuit.tables.json`), with a key made of the grammar's text and lark's version. Where the key
does not fit (another lark, a grammar under work) the parser is built from the grammar instead:
slower, and the same. Nothing is unpickled, and nothing is written but by
`python -m pathdsl.lang.syntax.tables`, which makes the tables anew after a change of the
grammar; a test fails when they are stale.

    >>> parser().parse("use \\"other.circuit\\"").data
    'use_decl'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import lark

from pathdsl.lang.syntax.lexing import PLUGINS

GRAMMAR = "circuit.lark"
TABLES = "circuit.tables.json"

# The format of the tables below; part of the key.
_FORMAT = 1


def folder() -> Path:
    """Where the grammar lies: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "grammars"
    return installed if installed.joinpath(GRAMMAR).is_file() else package.parent / "grammars"


@cache
def parser() -> lark.Lark:
    """The LALR(1) parser of one statement; every token stays in its trees."""
    grammar = folder().joinpath(GRAMMAR).read_text(encoding="utf-8")
    try:
        text = folder().joinpath(TABLES).read_text(encoding="utf-8")
        kept = json.loads(text, object_pairs_hook=_with_numbers)
        if kept["key"] == key(grammar):
            return lark.Lark._load_from_dict(kept["data"], kept["memo"], _plugins=PLUGINS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # Tables are only a shortcut; the grammar decides.
    return build(grammar)


def build(grammar: str, plugins: Mapping[str, type] = PLUGINS) -> lark.Lark:
    """The same parser, worked out from the grammar's text."""
    return lark.Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        keep_all_tokens=True,
        maybe_placeholders=False,
        _plugins=dict(plugins),
    )


def key(grammar: str) -> str:
    """What the tables depend on: their format, lark's version, the grammar's text."""
    text = f"{_FORMAT}\n{lark.__version__}\n{grammar.replace(chr(13), '')}"
    return hashlib.sha256(text.encode()).hexdigest()


def dump(grammar: str) -> str:
    """The tables of a grammar as the text of their file."""
    data, memo = build(grammar, {}).memo_serialize([lark.lexer.TerminalDef, lark.grammar.Rule])
    kept = {"key": key(grammar), "data": data, "memo": memo}
    return json.dumps(kept, separators=(",", ":"), default=sorted) + "\n"


def _with_numbers(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """JSON turns the numbers that are keys into text; this turns them back."""
    return {int(name) if name.isdecimal() else name: value for name, value in pairs}


if __name__ == "__main__":
    place = Path(__file__).resolve().parents[3] / "grammars"
    text = place.joinpath(GRAMMAR).read_text(encoding="utf-8")
    # lark 1.3.1 numbers the states anew each time: tables that fit are left as they are.
    if key(text) not in place.joinpath(TABLES).read_text(encoding="utf-8"):
        place.joinpath(TABLES).write_text(dump(text), encoding="utf-8")
