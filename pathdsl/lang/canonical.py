"""The identity of a hypothesis: a hash of its syntax tree, without layout, comments and places.

Two texts with one hash say the same: they differ in blanks and comments only. A
field that has its default value is left out of the spelling, so that a form which the language
gains later does not change the hash of files that do not use it.

    >>> from pathdsl.lang.syntax.parse import parse
    >>> tree_hash(parse("let x=1", "a")[0]) == tree_hash(parse("let  x = 1  # one", "b")[0])
    True
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from pathdsl.lang import ast
from pathdsl.lang.program import Program

__all__ = ["spelled", "tree_hash", "used_hashes"]


def spelled(value: object) -> Any:
    """A syntax tree, or a part of one, as JSON with one spelling."""
    match value:
        case ast.CircuitDecl(fields=given) if any(one.name == "needs" for one in given):
            # It says who can read the file, not what the file says; `fmt` may have written it.
            rest = tuple(one for one in given if one.name != "needs")
            return spelled(replace(value, fields=rest))
        case ast.Node():
            inside = {
                one.name: spelled(getattr(value, one.name))
                for one in fields(value)
                if one.compare and not _is_default(getattr(value, one.name), one.default)
            }
            return {"is": type(value).__name__, **inside}
        case tuple():
            return [spelled(item) for item in value]
        case float():
            return repr(value)
        case None | bool() | int() | str():
            return value
        case _:
            raise TypeError(f"`{type(value).__name__}` is no part of a syntax tree")


def tree_hash(file: ast.File) -> str:
    """The sha256 of a file's syntax tree, in hexadecimal digits."""
    text = json.dumps(spelled(file), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def used_hashes(program: Program) -> Mapping[str, str]:
    """The tree hash of every file that a program uses, by its path relative to the program's."""
    from pathdsl.lang.syntax.parse import parse

    folder = os.path.dirname(program.path)
    return {
        os.path.relpath(path, folder or ".").replace(os.sep, "/"): tree_hash(
            parse(source.text, path)[0]
        )
        for path, source in program.sources.items()
        if path != program.path
    }


def _is_default(value: object, default: object) -> bool:
    return default is not MISSING and type(value) is type(default) and value == default
