"""What can be measured on one run, one number per prompt: a record for each measure.

Source: docs/language.md, `metric`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pathdsl.lang.signatures.kinds import Kind, Signature, Unit, first, table

__all__ = ["MEASURES", "TOP_TOKEN", "MeasureRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRecord(Signature):
    """What is known of a measure; how it is computed stands in `pathdsl.engine.run.measure`.

    `reads`: the token of an `answer` column, the `reference` run beside this one, one `head`, or
    `nothing` but the logits of this run. `exact` values are counts, which rounding does not move.
    `vocabulary`: whether the logits of all tokens are needed, and not those of the answer alone.
    """

    reads: Literal["answer", "reference", "head", "nothing"]
    unit: Unit
    exact: bool
    vocabulary: bool


_ANSWER = (first("answer", Kind.COLUMN),)
_RUN = (first("run", Kind.RUN),)
_ANSWERED: tuple[tuple[str, Unit, bool, bool], ...] = (
    ("logit", "logits", False, False),
    ("prob", "prob", False, True),
    ("logprob", "nats", False, True),
    ("rank", "none", True, True),
    ("top1", "none", True, True),
)

MEASURES = table(
    *(
        MeasureRecord(
            name=name, parameters=_ANSWER, example=f"{name}(io)", reads="answer", unit=unit,
            exact=exact, vocabulary=vocabulary,
        )
        for name, unit, exact, vocabulary in _ANSWERED
    ),
    *(
        MeasureRecord(
            name=name, parameters=_RUN, example=f"{name}(reference)", reads="reference",
            unit="nats", exact=False, vocabulary=True,
        )
        for name in ("kl", "reverse_kl")
    ),
    MeasureRecord(
        name="attention",
        parameters=(first("head", Kind.ATTENTION),),
        example="attention(a9.h9, END -> IO)",
        reads="head",
        unit="none",
        exact=False,
        vocabulary=False,
    ),
)  # fmt: skip
"""The measures that a metric may name."""

TOP_TOKEN = MeasureRecord(
    name="top_token",
    example="faithfulness(P, as: agreement)",
    reads="nothing",
    unit="none",
    exact=True,
    vocabulary=True,
)
"""The id of the most likely token, which no metric names: scores of agreement read it."""
