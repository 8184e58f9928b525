"""The words that `intervene` blocks take beside runs and treated values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import REQUIRED, Kind, Parameter, Signature, first
from pathdsl.lang.walk import walk

__all__ = ["PATTERNS", "VECTOR", "names_value", "values_of", "vectors_in"]

PATTERNS: Mapping[str, str] = {
    "uniform": "uniform(S1, S2)",
    "only": "only(S1, S2)",
    "from": "from(reference)",
}
"""What `pattern` may be set to, each with an example."""

VECTOR = Signature(
    name="vector",
    parameters=(
        first("path", Kind.TEXT),
        Parameter(
            name="key", kind=Kind.TEXT, default=REQUIRED, means="the name of the tensor in the file"
        ),
        Parameter(
            name="scale",
            kind=Kind.NUMBER,
            default=1.0,
            means="the factor that the vector is taken times",
        ),
    ),
    example='vector("v.safetensors", key: "direction", scale: 4.0)',
)
"""A vector as wide as the residual stream, in a safetensors file."""


def vectors_in(node: ast.Node) -> Iterator[tuple[str, ast.Call]]:
    """The vectors that actions below a node add, each with the path of its file as written."""
    for action in walk(node):
        if isinstance(action, ast.Action) and action.verb == "add":
            for call in walk(action):
                if isinstance(call, ast.Call) and call.name == VECTOR.name:
                    for argument in call.arguments:
                        if argument.keyword in ("", "path") and isinstance(
                            argument.value, ast.String
                        ):
                            yield argument.value.value, call


def names_value(value: ast.Node | None, groups: Collection[str]) -> bool:
    """Whether what `set` names is a treated value, and no node: a declared group is a node."""
    if isinstance(value, ast.Name):
        return value.at is None and value.name not in groups
    return isinstance(value, ast.Call)


def values_of(action: ast.Action, groups: Collection[str]) -> Iterator[ast.Node]:
    """The treated values that an action names."""
    if action.verb == "set" and action.value is not None and names_value(action.value, groups):
        yield action.value
    if action.verb == "add":
        pending: list[ast.Node] = [action.value] if action.value is not None else []
        while pending:
            match pending.pop():
                case ast.Bracket(inner=inner) | ast.Unary(operand=inner):
                    pending.append(inner)
                case ast.Binary(left=left, right=right):
                    pending += [right, left]
                case ast.Call(name=VECTOR.name) | ast.Number():
                    pass
                case value:
                    yield value
