"""The source text of a node, as reports quote it: on one line, loop variables by their members."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from pathdsl.lang import ast
from pathdsl.lang.program import Program

__all__ = ["written"]

_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|#[^\n]*')


def written(
    program: Program,
    node: ast.Node,
    labels: Mapping[str, str] | None = None,
    positions: Collection[str] = (),
) -> str:
    """The text of a node without its comments; "" without source.

    `labels` are those of the members that stand for loop variables, by the variable's name;
    `positions` are the variables that may stand behind `@`.
    """
    source = program.sources.get(node.span.path)
    if source is None:
        return ""
    text = _COMMENT.sub(lambda m: m[1] or "", source.text[node.span.start : node.span.end])
    text = " ".join(text.split())
    for name, label in (labels or {}).items():
        # Behind `@` stands a position, which only an item of a list can be.
        before = r"[\w.]" if name in positions else r"[\w.@]"
        text = re.sub(rf"(?<!{before}){re.escape(name)}\b", label.replace("\\", r"\\"), text)
    return text
