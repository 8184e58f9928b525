"""What a choice of knockouts may be called with: a record for each.

Source: docs/scores.md, completeness(P, knockouts: K); docs/scores.md, minimality(P).
"""

from __future__ import annotations

from pathdsl import limits
from pathdsl.lang.signatures.kinds import SEED, Kind, Parameter, Signature, first, table, word
from pathdsl.record import record

__all__ = ["KNOCKOUTS", "KnockoutRecord"]


@record
class KnockoutRecord(Signature):
    """What is known of a choice of knockouts.

    `searches`: whether it needs values of runs to choose. `of_units`: whether it chooses among the
    units of P, which `over:` replaces.
    """

    searches: bool
    of_units: bool


KNOCKOUTS = table(
    KnockoutRecord(
        name="random",
        parameters=(first("count", Kind.INTEGER, 100, least=1, most=limits.RANDOM.most), SEED),
        example="random(100, seed: 0)",
        searches=False,
        of_units=True,
    ),
    KnockoutRecord(name="groups", example="groups", searches=False, of_units=False),
    KnockoutRecord(
        name="greedy",
        parameters=(
            first("steps", Kind.INTEGER, 10, least=1, most=limits.GREEDY.most),
            SEED,
            Parameter(
                name="runs",
                kind=Kind.INTEGER,
                default=10,
                least=1,
                most=limits.GREEDY.most,
                means="how many searches there are",
            ),
            Parameter(
                name="sample",
                kind=Kind.INTEGER,
                default=10,
                least=1,
                most=limits.GREEDY.most,
                means="how many units each step looks at",
            ),
            word(
                "by",
                ("incompleteness", "circuit"),
                "incompleteness",
                means="what a step makes as large as it can",
            ),
        ),
        example="greedy(10, seed: 0)",
        searches=True,
        of_units=True,
    ),
)
