"""What can be measured on one run, one number per prompt: a record for each measure.

Source: docs/language.md, `metric`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from pathdsl.lang.signatures.kinds import Kind, Signature, Unit, first, table
from pathdsl.lang.signatures.ranges import ANY, NOT_BELOW_0, SHARE, Range

__all__ = ["MEASURES", "TOP_TOKEN", "MeasureRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRecord(Signature):
    """What is known of a measure; how it is computed stands in `pathdsl.engine.run.measure`.

    `reads`: the token of an `answer` column, the `reference` run beside this one, one `head`, or
    `nothing` but the logits of this run. `values`: `reals`, `counts`, or `hits`, counts of 0 or 1.
    `vocabulary`: whether the logits of all tokens are needed, and not those of the answer alone.
    `varied`: whether `robustness` tries it in the place of a metric. `range`: where its values lie.
    """

    reads: Literal["answer", "reference", "head", "nothing"]
    unit: Unit
    values: Literal["reals", "counts", "hits"]
    vocabulary: bool
    varied: bool
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

MEASURES = table(
    *(
        MeasureRecord(
            name=name, parameters=_ANSWER, example=f"{name}(io)", reads="answer", unit=unit,
            values=values, vocabulary=vocabulary, varied=varied, range=spans,
        )
        for name, unit, values, vocabulary, varied, spans in _ANSWERED
    ),
    *(
        MeasureRecord(
            name=name, parameters=_RUN, example=f"{name}(reference)", reads="reference",
            unit="nats", values="reals", vocabulary=True, varied=False, range=NOT_BELOW_0,
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
        varied=False,
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
    varied=False,
    range=NOT_BELOW_0,
)
"""The id of the most likely token, which no metric names: scores of agreement read it."""
