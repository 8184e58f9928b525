"""What the scores and the searches for knockouts may be called with.

Source: language.md section 6 and scores.md; each score's formula stands in `pathdsl.score`.
"""

from __future__ import annotations

from pathdsl import limits
from pathdsl.lang.signatures.kinds import (
    REQUIRED,
    SEED,
    Kind,
    Parameter,
    Signature,
    first,
    table,
    word,
)
from pathdsl.lang.signatures.pvalues import DRAWN

__all__ = ["DISSIMILARITIES", "FAITHFUL", "KNOCKOUTS", "OVER", "SCORES"]

FAITHFUL = ("recovered", "ratio", "gap", "explained", "unexplained", "kl", "agreement", "rms")
DISSIMILARITIES = ("absolute", "squared", "kl", "reverse_kl")

_COMMON = (
    Parameter(name="metric", kind=Kind.METRIC),
    Parameter(name="task", kind=Kind.TASK),
    Parameter(name="scope", kind=Kind.PATHS),
)
_P = first("P", Kind.PATHS)
OVER = Parameter(name="over", kind=Kind.UNITS)
_SPLIT = Parameter(name="split", kind=Kind.BOOL, default=True)
_GAP, _MEAN = word("as", ("gap", "share"), "gap"), word("as", ("mean", "rms"), "mean")
SCORES = table(
    Signature(
        name="faithfulness",
        parameters=(
            _P,
            *_COMMON,
            word("as", FAITHFUL, "recovered"),
            word("by", DISSIMILARITIES, "absolute"),
            word("among", ("wrong", "right")),
            Parameter(name="answer", kind=Kind.COLUMN),
        ),
        example="faithfulness(P, as: recovered)",
    ),
    Signature(
        name="completeness",
        parameters=(
            _P,
            *_COMMON,
            Parameter(
                name="knockouts",
                kind=Kind.KNOCKOUTS,
                default=REQUIRED,
                choices=("random", "groups", "greedy"),
            ),
            _GAP,
            OVER,
            _SPLIT,
        ),
        example="completeness(P, knockouts: random(100, seed: 0))",
    ),
    Signature(
        name="minimality",
        parameters=(
            _P,
            *_COMMON,
            word("per", ("node", "edge", "group"), "node"),
            Parameter(name="knockouts", kind=Kind.KNOCKOUTS, choices=("groups", "greedy")),
            Parameter(name="given", kind=Kind.GIVEN),
            word("as", ("gap", "share", "rms"), "gap"),
            OVER,
            _SPLIT,
        ),
        example="minimality(P, per: node)",
    ),
    Signature(name="effect", parameters=(_P, *_COMMON, _MEAN), example="effect(P)"),
    Signature(
        name="accuracy",
        parameters=(
            first("RUN", Kind.RUN),
            *_COMMON,
            Parameter(name="answer", kind=Kind.COLUMN, default=REQUIRED),
        ),
        example="accuracy(reference, answer: io)",
    ),
    Signature(
        name="overlap",
        parameters=(
            _P,
            first("Q", Kind.PATHS),
            *_COMMON,
            Parameter(name="over", kind=Kind.OVER, default="node", choices=("node", "edge")),
            word("as", ("united", "of_first", "of_second", "of_smaller"), "united"),
        ),
        example="overlap(P, Q, over: node, as: united)",
    ),
    *(
        Signature(
            name=name,
            parameters=(_P, *_COMMON, word("rank", ("signed", "absolute"), REQUIRED)),
            example=f'{name}(edges("scores.json"), rank: {rank})',
        )
        for name, rank in (("cpr", "signed"), ("cmd", "absolute"))
    ),
    Signature(name="paths", parameters=(_P, *_COMMON), example="paths(P)"),
    Signature(
        name="chance",
        parameters=(
            first("SCORE", Kind.EXPRESSION),
            *_COMMON,
            *DRAWN,
            SEED,
            OVER,
        ),
        example="chance(faithfulness(P), among: 100, seed: 0)",
    ),
)
KNOCKOUTS = table(
    Signature(
        name="random",
        parameters=(first("count", Kind.INTEGER, 100, least=1, most=limits.RANDOM.most), SEED),
        example="random(100, seed: 0)",
    ),
    Signature(name="groups", example="groups"),
    Signature(
        name="greedy",
        parameters=(
            first("steps", Kind.INTEGER, 10, least=1, most=limits.GREEDY.most),
            SEED,
            Parameter(name="runs", kind=Kind.INTEGER, default=10, least=1, most=limits.GREEDY.most),
            Parameter(
                name="sample", kind=Kind.INTEGER, default=10, least=1, most=limits.GREEDY.most
            ),
            word("by", ("incompleteness", "circuit"), "incompleteness"),
        ),
        example="greedy(10, seed: 0)",
    ),
)
