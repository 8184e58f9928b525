"""What can be measured on one run, one number per prompt: a record for each measure.

Source: docs/language.md, `metric`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Literal

from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import (
    REQUIRED,
    Kind,
    Parameter,
    Signature,
    Unit,
    first,
    table,
)
from pathdsl.lang.signatures.ranges import ANY, NOT_BELOW_0, SHARE, Range
from pathdsl.record import record

__all__ = ["MEASURES", "TOP_TOKEN", "MeasureRecord", "columns_in", "nodes_in", "takes_nodes"]


@record
class MeasureRecord(Signature):
    """What is known of a measure; how it is computed stands in `pathdsl.engine.run.measure`.

    `reads`: the token of an `answer` column, the `reference` run beside this one, the pattern of
    one `head`, what nodes `write` to the residual stream, what one head would `copy` from a token,
    the `slopes` of a metric, or `nothing` but the logits of this run. `values`: `reals`, `counts`,
    or `hits`, counts of 0 or 1. `vocabulary`: whether the logits of all tokens are needed, and not
    those of the answer alone.
    `scaled`: whether the final norm of this run is applied to what is written. `varied`: whether
    `robustness` tries it in the place of a metric. `reserved`: whether nothing else may have its
    name; measures that came after version 0.1 leave the name free, and a metric that has it wins.
    `whole`: whether it is read of an answer of several tokens. `range`: where its values lie.
    """

    reads: Literal["answer", "reference", "head", "write", "copy", "slopes", "nothing"]
    unit: Unit
    values: Literal["reals", "counts", "hits"]
    vocabulary: bool
    scaled: bool
    varied: bool
    reserved: bool
    whole: bool
    range: Range

    @property
    def exact(self) -> bool:
        """Whether rounding moves no value."""
        return self.values != "reals"


_ANSWER = (first("answer", Kind.COLUMN),)
_RUN = (first("run", Kind.RUN),)
_ANSWERED: tuple[tuple[str, Unit, Literal["reals", "counts", "hits"], bool, bool, Range], ...] = (
    ("logit", "logits", "reals", False, False, ANY),
    ("prob", "prob", "reals", True, True, SHARE),
    ("logprob", "nats", "reals", True, True, Range(-inf, 0.0)),
    ("rank", "none", "counts", True, False, Range(1.0, inf)),
    ("top1", "none", "hits", True, True, SHARE),
)
_WHOLE = ("prob", "logprob", "top1")
_NODE = first("node", Kind.NODES)
_WRITTEN: tuple[tuple[str, tuple[Parameter, ...], str, Unit, bool, Range], ...] = (
    ("dla", _ANSWER, "dla(a9.h9, io)", "logits", True, ANY),
    ("norm", (), "norm(a9.h9)", "none", False, NOT_BELOW_0),
    ("cosine", _RUN, "cosine(a9.h9, reference)", "none", False, Range(-1.0, 1.0)),
)

MEASURES = table(
    *(
        MeasureRecord(
            name=name, parameters=_ANSWER, example=f"{name}(io)", reads="answer", unit=unit,
            values=values, vocabulary=vocabulary, scaled=False, varied=varied, reserved=True,
            whole=name in _WHOLE, range=spans,
        )
        for name, unit, values, vocabulary, varied, spans in _ANSWERED
    ),
    *(
        MeasureRecord(
            name=name, parameters=_RUN, example=f"{name}(reference)", reads="reference",
            unit="nats", values="reals", vocabulary=True, scaled=False, varied=False,
            reserved=True, whole=False, range=NOT_BELOW_0,
        )
        for name in ("kl", "reverse_kl")
    ),
    MeasureRecord(
        name="attention",
        parameters=(first("head", Kind.ATTENTION),),
        example="attention(a9.h9, END -> IO)",
        reads="head",
        unit="none",
        values="reals",
        vocabulary=False,
        scaled=False,
        varied=False,
        reserved=True,
        whole=False,
        range=SHARE,
    ),
    *(
        MeasureRecord(
            name=name, parameters=(_NODE, *others), example=example, reads="write", unit=unit,
            values="reals", vocabulary=False, scaled=scaled, varied=False, reserved=False,
            whole=False, range=spans,
        )
        for name, others, example, unit, scaled, spans in _WRITTEN
    ),
    MeasureRecord(
        name="copy_score",
        parameters=(
            first("head", Kind.NODES),
            Parameter(name="of", kind=Kind.POSITIONS, default=REQUIRED,
                      means="the positions whose tokens count as copied"),
            Parameter(name="top", kind=Kind.INTEGER, default=5, least=1,
                      means="how many of the most likely tokens are looked at"),
            Parameter(name="negated", kind=Kind.BOOL, default=False,
                      means="whether the write is taken with the other sign"),
        ),
        example="copy_score(a9.h9, of: [IO, S1], top: 5)",
        reads="copy",
        unit="none",
        values="counts",
        vocabulary=True,
        scaled=False,
        varied=False,
        reserved=False,
        whole=False,
        range=SHARE,
    ),
)  # fmt: skip
"""The measures that a metric may name."""

TOP_TOKEN = MeasureRecord(
    name="top_token",
    example="faithfulness(P, as: agreement)",
    reads="nothing",
    unit="none",
    values="counts",
    vocabulary=True,
    scaled=False,
    varied=False,
    reserved=True,
    whole=False,
    range=NOT_BELOW_0,
)
"""The id of the most likely token, which no metric names: scores of agreement read it."""


def takes_nodes(name: str) -> bool:
    """Whether what is called so has nodes as its first argument."""
    record = MEASURES.get(name)
    return (
        record is not None and bool(record.parameters) and record.parameters[0].kind is Kind.NODES
    )


def columns_in(call: ast.Call) -> Iterator[ast.Name]:
    """The token columns that a measure is called with."""
    yield from (v for v in _given(call, Kind.COLUMN) if isinstance(v, ast.Name))


def nodes_in(call: ast.Call) -> Iterator[ast.NodeRef]:
    """The nodes whose writes a measure is called with."""
    yield from (v for v in _given(call, Kind.NODES) if isinstance(v, ast.NodeRef))


def _given(call: ast.Call, kind: Kind) -> Iterator[ast.Node]:
    record = MEASURES.get(call.name)
    if record is None:
        return
    places = iter(record.by_place)
    for argument in call.arguments:
        parameter = record.parameter(argument.keyword) if argument.keyword else next(places, None)
        if parameter is not None and parameter.kind is kind:
            yield argument.value
