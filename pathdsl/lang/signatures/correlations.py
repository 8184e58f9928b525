"""`correlation(x, y, by: spearman)`: over the members of two families, or over the prompts.

The name is not reserved: where a file declares it, its own is meant.

Source: docs/scores.md, Correlations.
"""

from __future__ import annotations

from collections.abc import Callable

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.kinds import REQUIRED, Kind, Signature, first, word
from pathdsl.lang.signatures.ranges import Range
from pathdsl.lang.walk import strip

__all__ = [
    "CORRELATION",
    "FEWEST",
    "RANGE",
    "RANKED",
    "correlated",
    "each_member",
    "families",
    "is_correlation",
]

RANKED = {"pearson": False, "spearman": True}
"""The kinds of correlation, and whether it is that of ranks."""
CORRELATION = Signature(
    name="correlation",
    parameters=(
        first("x", Kind.EXPRESSION),
        first("y", Kind.EXPRESSION),
        word("by", tuple(RANKED), REQUIRED, means="of values, or of their ranks"),
    ),
    example="correlation(effects, sizes, by: spearman)",
)
RANGE = Range(-1.0, 1.0)
FEWEST = 3
"""Two members or prompts always lie on a line."""


def is_correlation(node: ast.Node, kind: Callable[[str], str]) -> bool:
    """Whether a node is a call of the function; `kind(name)` says what a file declares by it.

    A claim of that name is never called.
    """
    name = CORRELATION.name
    return isinstance(node, ast.Call) and node.name == name and kind(name) in ("", "claim")


def correlated(call: ast.Call) -> tuple[ast.Node, ...]:
    """What is correlated: the arguments by place, without brackets."""
    places = [parameter.name for parameter in CORRELATION.by_place]
    return tuple(strip(a.value) for a in call.arguments if not a.keyword or a.keyword in places)


def each_member(let: ast.LetDecl) -> ast.OverMembers:
    """All members of a let with `for`, as a function over members ranges over them."""
    assert let.loop is not None
    return ast.OverMembers(loop=let.loop, value=let.expression, span=let.expression.span)


def families(program: Program, call: ast.Call) -> tuple[ast.LetDecl, ...]:
    """The lets with `for` among what is correlated."""
    named = [program.lets.get(node.name) for node in correlated(call) if isinstance(node, ast.Name)]
    return tuple(let for let in named if let is not None and let.loop is not None)
