"""The kinds of treated values, one record each: how it is written and what follows from its kind.

What a kind is on the rows of a task stands in `pathdsl.engine.data.treated`, how its values are
computed in `pathdsl.engine.run.treated`; both are tables over the kinds of this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pathdsl import limits
from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import REQUIRED, SEED, Kind, Parameter, Signature, first
from pathdsl.record import record

__all__ = ["ROW", "TREATED_KINDS", "TreatedKind", "kind_of", "written"]

ROW = "id"
"""What `by:` names where each row is a group of its own."""

_LABEL = Parameter(
    name="by",
    kind=Kind.LABEL,
    means="a field of the rows: only rows that have its value in common count",
)
_DRAWS = Parameter(
    name="draws",
    kind=Kind.INTEGER,
    least=1,
    most=limits.DRAWS.most,
    means="how many times anew, the mean of which is taken",
)


@record
class TreatedKind:
    """One kind of treated value.

    `signature`: its word and arguments; None for the kind that is a column's bare name.
    `constant`: a value of each component that is no activation of any input, and no run.
    `drawn`: what its seed draws: other `rows` for each row, or `numbers` added to the input.
    `runs`: plain runs over all rows that its values take, for each draw of rows.
    `own_run`: on every row it is the unmodified model on that row's prompt in `column`.
    `varied`: whether `robustness` tries it in place of others.
    `warns`: whether the lint says that it takes the model off the inputs that it knows.
    """

    name: str
    signature: Signature | None
    constant: bool
    drawn: Literal["nothing", "rows", "numbers"]
    runs: int
    own_run: bool
    varied: bool
    warns: bool

    @property
    def reads_column(self) -> bool:
        """Whether it is made of the prompts of a column."""
        return self.signature is None or self.signature.parameter("column") is not None

    @property
    def averaged(self) -> bool:
        """Whether it is an average over rows: a constant that takes a run."""
        return self.constant and self.runs > 0


TREATED_KINDS: dict[str, TreatedKind] = {
    kind.name: kind
    for kind in (
        TreatedKind(
            name="paired",
            signature=None,
            constant=False,
            drawn="nothing",
            runs=1,
            own_run=True,
            varied=True,
            warns=False,
        ),
        TreatedKind(
            name="mean",
            signature=Signature(
                name="mean",
                parameters=(
                    first("column", Kind.COLUMN),
                    replace(_LABEL, choices=(ROW,)),
                    Parameter(
                        name="at",
                        kind=Kind.POSITIONS,
                        choices=("any",),
                        means="the positions at which the mean is taken, and put",
                    ),
                ),
                example="mean(prompt_abc, by: template)",
            ),
            constant=True,
            drawn="nothing",
            runs=1,
            own_run=False,
            varied=True,
            warns=False,
        ),
        TreatedKind(
            name="zero",
            signature=Signature(name="zero", example="zero"),
            constant=True,
            drawn="nothing",
            runs=0,
            own_run=False,
            varied=True,
            warns=False,
        ),
        TreatedKind(
            name="noise",
            signature=Signature(
                name="noise",
                parameters=(
                    Parameter(
                        name="at",
                        kind=Kind.POSITIONS,
                        default=REQUIRED,
                        means="the positions that get noise",
                    ),
                    Parameter(
                        name="scale",
                        kind=Kind.NUMBER,
                        default=3.0,
                        least=0.0,
                        means="in standard deviations of all entries of the embedding",
                    ),
                    _DRAWS,
                    SEED,
                ),
                example="noise(at: [S1, S2], scale: 3.0, seed: 0)",
            ),
            constant=False,
            drawn="numbers",
            runs=1,
            own_run=False,
            varied=False,
            warns=True,
        ),
        TreatedKind(
            name="resample",
            signature=Signature(
                name="resample",
                parameters=(
                    first("column", Kind.COLUMN),
                    _LABEL,
                    replace(_DRAWS, default=8),
                    SEED,
                ),
                example="resample(prompt, by: template, draws: 8, seed: 0)",
            ),
            constant=False,
            drawn="rows",
            runs=1,
            own_run=False,
            varied=True,
            warns=False,
        ),
    )
}


def kind_of(value: ast.Node) -> TreatedKind | None:
    """The kind that an expression is of; None for what is no treated value."""
    if not isinstance(value, ast.Name | ast.Call):
        return None
    kind = TREATED_KINDS.get(value.name)
    if kind is not None and kind.signature is not None:
        return kind
    if isinstance(value, ast.Call):
        return None
    return next(kind for kind in TREATED_KINDS.values() if kind.signature is None)


def written(kind: TreatedKind, given: Mapping[str, object]) -> str:
    """A treated value as the language writes it; what is empty in `given` is left out."""
    if kind.signature is None:
        return str(given["column"])
    parts = []
    for parameter in kind.signature.parameters:
        match given.get(parameter.name):
            case None | "":
                continue
            case tuple() as several:
                text = f"[{', '.join(map(str, several))}]"
            case float() as number:
                text = f"{number:g}"
            case other:
                text = str(other)
        parts.append(text if parameter.by_place else f"{parameter.name}: {text}")
    return f"{kind.name}({', '.join(parts)})" if kind.signature.parameters else kind.name
