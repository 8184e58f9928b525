"""Treated values: what treated paths carry, as plain hashable data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import TREATED, resolve_arguments

__all__ = ["TreatedKind", "TreatedSpec", "treated_spec"]

TreatedKind = Literal["paired", "mean", "zero", "noise", "resample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatedSpec:
    """The value that treated paths carry.

    `paired`: the prompt in `column`, row by row. `mean`: each component's mean output per token
    index over rows of equal `by` label and length, run on `column`. `zero`. `noise`: Gaussian added
    to `input` at the positions `at`, `scale` times the standard deviation of the embedding matrix.
    `resample`: `draws` other rows' `column`, of equal length (and `by` label), never the row's own.
    """

    kind: TreatedKind
    column: str = ""
    by: str = ""
    at: tuple[str, ...] = ()
    scale: float = 0.0
    seed: int = 0
    draws: int = 1

    @property
    def constant(self) -> bool:
        """Whether the treated value is no activation of any input."""
        return self.kind in ("mean", "zero")

    def __str__(self) -> str:
        match self.kind:
            case "paired":
                return self.column
            case "mean":
                return f"mean({self.column}" + (f", by: {self.by})" if self.by else ")")
            case "zero":
                return "zero"
            case "noise":
                places = ", ".join(self.at)
                return f"noise(at: [{places}], scale: {self.scale:g}, seed: {self.seed})"
            case "resample":
                by = f", by: {self.by}" if self.by else ""
                return f"resample({self.column}{by}, draws: {self.draws}, seed: {self.seed})"


def treated_spec(value: ast.Node) -> TreatedSpec:
    """The value that `treated = …` or `treat(P, treated: …)` names, in a file without faults."""
    name = value.name if isinstance(value, ast.Name | ast.Call) else ""
    if isinstance(value, ast.Name) and name not in TREATED:
        return TreatedSpec(kind="paired", column=name)
    if name not in TREATED:
        raise ValueError("the value is no treated value: the file was not checked")
    written = value.arguments if isinstance(value, ast.Call) else ()
    given = resolve_arguments(TREATED[name], written)
    fields = {key: _plain(argument) for key, argument in given.items() if argument is not None}
    if "at" in fields:
        at = fields["at"]
        fields["at"] = at if isinstance(at, tuple) else (at,)
    if "scale" in fields:
        fields["scale"] = float(fields["scale"])  # type: ignore[arg-type]
    return TreatedSpec(kind=name, **fields)  # type: ignore[arg-type]


def _plain(value: object) -> object:
    """A name or a position as text, a list of them as a tuple; a number as it is."""
    match value:
        case ast.Name(name=name):
            return name
        case ast.Position(name=name, offset=offset, index=index):
            return f"[{index}]" if index is not None else f"{name}{offset:+d}" if offset else name
        case ast.ListValue(items=items):
            return tuple(map(_plain, items))
    return value
